"""Two reads of the same cases side by side: what the viewer collects and the analysis judges."""

from dataclasses import dataclass

__all__ = ["PairedClasses", "PairedDates", "PairedReads", "PairedSizes"]


@dataclass(frozen=True, slots=True)
class PairedClasses:
    """One question answered twice, with a class for an answer.

    Attributes
    ----------
    classes : tuple of str
        All that could be answered, in their order.
    is_ordered : bool
        Whether classes further apart disagree more.
    cases, first, second : tuple of str
        One entry a case that has both answers.
    """

    name: str
    classes: tuple[str, ...]
    is_ordered: bool
    cases: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def discordant(self) -> tuple[str, ...]:
        """The cases answered differently."""
        return tuple(
            case for case, one, other in zip(self.cases, self.first, self.second, strict=True) if one != other
        )


@dataclass(frozen=True, slots=True)
class PairedSizes:
    """One size measured twice, mm; one entry a case that has both."""

    name: str
    cases: tuple[str, ...]
    first_mm: tuple[float, ...]
    second_mm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PairedDates:
    """One day named twice, ISO 8601, "" for never."""

    name: str
    cases: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def discordant(self) -> tuple[str, ...]:
        """The cases with another day, or with a day by one reader alone."""
        return tuple(
            case for case, one, other in zip(self.cases, self.first, self.second, strict=True) if one != other
        )


@dataclass(frozen=True, slots=True)
class PairedReads:
    """Two readers, or one reader twice."""

    first: str
    second: str
    classes: tuple[PairedClasses, ...]
    sizes: tuple[PairedSizes, ...]
    dates: tuple[PairedDates, ...] = ()
