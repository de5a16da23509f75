"""How the shipped model was made: `python -m imaging.training --help`."""
