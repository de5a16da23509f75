"""What a reader's measurements of a patient come to: made by the analysis, compared in the viewer."""

from dataclasses import dataclass
from enum import StrEnum

from records.reads import Response

__all__ = ["Disputed", "ReaderResponse", "disputes"]


class Disputed(StrEnum):
    """What two readers of the same scans may come to differently."""

    BEST_RESPONSE = "best response"
    RESPONSE_DATE = "date of response"
    PROGRESSION_DATE = "date of progression"


@dataclass(frozen=True, slots=True)
class ReaderResponse:
    """One patient by one reader, over all time points.

    Attributes
    ----------
    reader : str
        As the reads name their evaluator.
    best : Response
        Without confirmation.
    responded, progressed : str
        ISO 8601, the day of the first CR or PR and of the progression; "" if there was none.
    """

    subject_id: str
    reader: str
    best: Response
    responded: str
    progressed: str

    @property
    def values(self) -> dict[Disputed, str]:
        """What is compared between readers."""
        return {
            Disputed.BEST_RESPONSE: self.best.value,
            Disputed.RESPONSE_DATE: self.responded,
            Disputed.PROGRESSION_DATE: self.progressed,
        }


def disputes(first: ReaderResponse, second: ReaderResponse) -> tuple[Disputed, ...]:
    """Return what two readers of a patient came to differently."""
    return tuple(what for what in Disputed if first.values[what] != second.values[what])
