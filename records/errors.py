"""Failures we foresee: a code for the table, a sentence for the radiographer."""

from enum import StrEnum

__all__ = ["GeometryError", "Reason", "ScreeningError", "SeriesError", "StoreError"]


class Reason(StrEnum):
    """Why a study has no plain verdict: the `reason` column of `studies.csv`."""

    NO_CT = "no_ct"
    TOO_FEW_SLICES = "too_few_slices"
    SLICES_MISSING = "slices_missing"
    GANTRY_TILT = "gantry_tilt"
    MIXED_GEOMETRY = "mixed_geometry"
    TOO_THICK = "too_thick"
    NOT_HU = "not_hu"
    UNREADABLE_PIXELS = "unreadable_pixels"
    LUNGS_NOT_FOUND = "lungs_not_found"
    LUNGS_INCOMPLETE = "lungs_incomplete"
    LUNGS_IMPLAUSIBLE = "lungs_implausible"
    NEAR_THRESHOLD = "near_threshold"
    POOR_QUALITY = "poor_quality"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


class ScreeningError(Exception):
    """A study cannot be judged.

    Parameters
    ----------
    reason : Reason
        The code that goes into the table.
    sentence : str
        What was expected and what was found, for a person who can act on it.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence

    def __reduce__(self) -> tuple[type["ScreeningError"], tuple[Reason, str]]:
        """Let it cross from one process to another, whole."""
        return type(self), (self.reason, self.sentence)


class SeriesError(ScreeningError):
    """No series of the study can be screened."""


class GeometryError(ScreeningError):
    """The slices of a series do not make one regular volume."""


class StoreError(Exception):
    """The study database cannot be used: a sentence says why and what to do."""
