"""The ground floor: what the rooms hand each other, and where it is kept."""
