"""Numbers in sentences: one slice, two slices."""

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with what it counts, `many` where that is not `one` and an s.

    >>> counted(1, "slice"), counted(0, "slice"), counted(1200, "study", "studies")
    ('1 slice', '0 slices', '1200 studies')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
