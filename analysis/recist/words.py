"""Numbers as a sentence shows them."""

from decimal import ROUND_DOWN, Decimal

__all__ = ["mm", "number", "percent"]

HUNDREDTH = Decimal("0.01")


def number(value: Decimal) -> str:
    """Return a decimal without the zeros that say nothing.

    >>> number(Decimal("31.200000"))
    '31.2'
    """
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def mm(value: Decimal) -> str:
    """Return a length with its unit."""
    return number(value) + " mm"


def percent(part: Decimal, whole: Decimal) -> str:
    """Return `part` of `whole` in per cent, cut (not rounded) after two places.

    Rounding would show a growth of 19.999 % as the 20 % that it is not.

    >>> percent(Decimal("5.9999"), Decimal(30))
    '19.99 %'
    """
    return number((100 * part / whole).quantize(HUNDREDTH, rounding=ROUND_DOWN)) + " %"
