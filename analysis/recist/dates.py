"""ISO 8601 dates as trials write them, which may lack the day or the month."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

__all__ = ["PartialDate", "parse_date"]


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date known to the day, the month or the year.

    Attributes
    ----------
    text : str
        As written, without a time of day.
    first, last : date
        The earliest and the latest day it may be.
    """

    text: str
    first: date
    last: date

    @property
    def missing(self) -> str:
        """The ADaM imputation flag: "" for a full date, "D" without day, "M" without month."""
        return {4: "M", 7: "D"}.get(len(self.text), "")

    def not_before(self, day: date | None) -> date:
        """Return the day to calculate with: the first possible one, but not before `day`."""
        return self.first if day is None else min(max(self.first, day), self.last)


@lru_cache(maxsize=65536)
def parse_date(text: str) -> PartialDate:
    """Read a date of ISO 8601: `2014-02-28`, `2014-02`, `2014`; a time of day is left out.

    Raises
    ------
    ValueError
        If the text is no such date.
    """
    day = text.partition("T")[0]
    parts = day.split("-")
    if len(day) not in (4, 7, 10) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not a date as ISO 8601 writes it, YYYY-MM-DD")
    numbers = [int(part) for part in parts]
    try:
        if len(numbers) == 3:
            full = date(*numbers)
            return PartialDate(day, full, full)
        if len(numbers) == 2:
            year, month = numbers
            return PartialDate(day, date(year, month, 1), date(year, month, monthrange(year, month)[1]))
        if len(numbers) == 1:
            return PartialDate(day, date(numbers[0], 1, 1), date(numbers[0], 12, 31))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a day of the calendar") from error
    raise ValueError(f"{text!r} is not a date as ISO 8601 writes it, YYYY-MM-DD")
