"""A study as the store keeps it: what a worker hands back, with no database loaded."""

import zlib
from dataclasses import dataclass
from typing import Self

from cattrs import BaseValidationError

from records.codec import screening_from_json, screening_to_json
from records.errors import Reason, StoreError
from records.model import Provenance, Screening, VerdictLabel

__all__ = ["UNREADABLE", "StoredStudy", "unpack", "unreadable"]

UNREADABLE = (
    "a result in the store was kept by another version of mipc, or is damaged: screen it again with "
    "--no-resume"
)


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """One study as the store keeps it.

    Attributes
    ----------
    fingerprint : str
        Digest of the images that were read, so that a study that grew is seen.
    result : bytes
        The whole screening, deflated JSON.
    pictures : bytes or None
        Its pictures; the store does not look inside.
    """

    study_uid: str
    fingerprint: str
    provenance: Provenance
    verdict: VerdictLabel
    probability: float | None
    reason: Reason | None
    seconds: float
    result: bytes
    pictures: bytes | None

    @classmethod
    def of(cls, screening: Screening, fingerprint: str, pictures: bytes | None = None) -> Self:
        """Pack a screening for the store."""
        return cls(
            study_uid=screening.study.uid,
            fingerprint=fingerprint,
            provenance=screening.provenance,
            verdict=screening.verdict.label,
            probability=screening.verdict.probability,
            reason=screening.verdict.reason,
            seconds=screening.seconds,
            result=zlib.compress(screening_to_json(screening).encode("ascii"), level=1),
            pictures=pictures,
        )

    @property
    def screening(self) -> Screening:
        """The screening that was packed."""
        return unpack(self.result, self.study_uid)


def unpack(result: bytes, study: str) -> Screening:
    """Return the screening that was packed; `study` is named if it cannot be read.

    Raises
    ------
    StoreError
        If another version packed it, or it is damaged.
    """
    try:
        return screening_from_json(zlib.decompress(result).decode("ascii"))
    except (BaseValidationError, KeyError, ValueError, zlib.error) as error:
        raise StoreError(unreadable(study)) from error


def unreadable(study: str) -> str:
    """Return the sentence about one study, whatever its UID holds.

    >>> unreadable("1.2.3")[:18]
    'study 1.2.3: a res'
    """
    return f"study {study.encode('unicode_escape').decode('ascii')[:80]}: {UNREADABLE}"
