"""What the engine says: one record a time point, one a patient."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from records.reads import Evaluator, Response

__all__ = ["Best", "NewLesion", "Source", "TimePoint"]


class NewLesion(StrEnum):
    """Whether a time point shows a new lesion."""

    YES = "Y"
    NO = "N"
    EQUIVOCAL = "EQUIVOCAL"


class Source(StrEnum):
    """Whose word a response is."""

    READER = "READER"
    ACCEPTED = "ACCEPTED"  # the reader whom the trial's accepted flag names
    ADJUDICATED = "ADJUDICATED"  # the reader whom the adjudicator chose


@dataclass(frozen=True, slots=True)
class TimePoint:
    """The response at one time point by one evaluator.

    Attributes
    ----------
    date_text : str
        As the data give it; may lack the day.
    day : datetime.date
        The day to calculate with.
    progression_day : datetime.date or None
        The day a PD dates from: that of the scan that showed it, or of the scan on which a new lesion,
        equivocal then, was first seen.
    target_response, nontarget_response : Response or None
        None if there is no such lesion at baseline.
    sum_mm : Decimal or None
        Sum of diameters; None unless every target was assessed.
    nadir_mm, baseline_mm : Decimal or None
        The smallest earlier complete sum, baseline included, and the baseline sum.
    rule : str
        The sentence with the numbers that decided.
    shows_disease : bool
        Some lesion was seen. Without, a PR after a CR is a scan that was not complete or a raised marker.
    """

    subject_id: str
    evaluator: Evaluator
    visit_number: Decimal
    visit: str
    date_text: str
    day: date
    target_response: Response | None
    nontarget_response: Response | None
    new_lesion: NewLesion
    overall_response: Response
    sum_mm: Decimal | None
    nadir_mm: Decimal | None
    baseline_mm: Decimal | None
    rule: str
    last_scan_day: date
    progression_day: date | None = None
    accepted: bool = False
    adjudicated: bool = False  # accepted because an adjudicator chose it
    source: Source = Source.READER
    shows_disease: bool = True

    @property
    def is_adequate(self) -> bool:
        """Whether the time point could be judged."""
        return self.overall_response is not Response.NE


@dataclass(frozen=True, slots=True)
class Best:
    """The best response of one patient by one evaluator.

    `day` is the day of the time point it comes from; None if there is none.
    `came_from` names the evaluator whose response it is.
    """

    subject_id: str
    evaluator: str
    response: Response
    confirmed: bool  # whether confirmation was asked for
    day: date | None
    visit: str
    rule: str
    source: Source = Source.READER
    came_from: str = ""
