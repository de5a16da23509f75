"""What the change suggests to the reviewers who decide.

Three readings are possible, and none is a RECIST category: whether disease progresses is the reader's call,
and miliary nodules are too small for RECIST's millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

from imaging.burden import ZoneBurden
from imaging.matching import Fate, Trace
from imaging.pattern import LARGE_MM
from records.wording import counted

__all__ = ["Reading", "Suggestion", "suggest"]

# An increase of a fifth in diameter is one of 73 % in volume (RECIST 1.1, 4.3.4 on unequivocal progression).
UNEQUIVOCAL_INCREASE = 1.2**3 - 1
LEAST_GROWTH, LEAST_GROWTH_MM = 0.2, 5.0  # both, for a progression of what is measured (RECIST 1.1, 4.3.1)
# Marks that a pair of scans shows as new and that are not: three in six simulated pairs by an earlier model,
# with half an event more for their being so few (Jeffreys 1946). Since then four in twelve, three of them
# nodules of 2 to 2.4 mm that grew by a third (docs/tracking.md); real pairs may be worse, and it stays.
NEW_BY_CHANCE = (3 + 0.5) / 6
CHANCE = 0.01  # so many new marks are seen by chance in at most one pair in a hundred


class Reading(StrEnum):
    """What reviewers are pointed at."""

    NON_PROGRESSION = "consistent with non-progression"
    NEW_LESIONS = "new lesions"
    UNEQUIVOCAL_INCREASE = "unequivocal increase"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A reading and the numbers behind it; without one, why there is none."""

    reading: Reading | None
    sentence: str


def least_new() -> int:
    """Return how many new nodules are more than chance.

    >>> least_new()
    4
    """
    count = 1
    while stats.poisson.sf(count - 1, NEW_BY_CHANCE) > CHANCE:
        count += 1
    return count


def suggest(traces: Sequence[Trace], whole: ZoneBurden) -> Suggestion:
    """Return the suggested reading of one pair of scans.

    Parameters
    ----------
    traces : sequence of Trace
    whole : ZoneBurden
        Of both lungs.
    """
    fates = [trace.fate for trace in traces]
    new, gone, kept = (fates.count(fate) for fate in (Fate.NEW, Fate.GONE, Fate.PERSISTING))
    change = whole.volume_change
    counts = ", ".join(
        (
            counted(kept, "nodule persists", "nodules persist"),
            counted(gone, "is gone", "are gone"),
            counted(new, "is new", "are new"),
        )
    )
    if not traces:
        return Suggestion(
            Reading.NON_PROGRESSION, "Neither scan shows a micronodule that the detector reports."
        )
    unclear = fates.count(Fate.NOT_ASSESSABLE)
    if unclear > len(traces) / 2:
        return Suggestion(
            None,
            f"{unclear} of {counted(len(traces), 'nodule')} can't be assessed in both scans, "
            "so nothing is suggested.",
        )
    volume = (
        f"the volume of micronodules changed by {100 * change.value.value:+.0f} % "
        f"(90 % interval {100 * change.value.low:+.0f} to {100 * change.value.high:+.0f} %)"
        if change
        else "there are too few nodules to tell a change in volume"
    )
    if change and change.is_real and change.value.value >= UNEQUIVOCAL_INCREASE:
        return Suggestion(
            Reading.UNEQUIVOCAL_INCREASE,
            f"{counts}; {volume}, at least the {100 * UNEQUIVOCAL_INCREASE:.0f} % of a fifth in diameter.",
        )
    if new >= least_new():
        return Suggestion(
            Reading.NEW_LESIONS, f"{counts}, {least_new()} and more are not by chance; {volume}."
        )
    large = sum(_is_large_increase(trace) for trace in traces)
    if large:
        lesions = counted(large, "lesion is", "lesions are")
        return Suggestion(
            None,
            f"{counts}; {volume}. But {lesions} new or larger, and {LARGE_MM:g} mm or more: "
            "to be measured by hand, so nothing is suggested.",
        )
    chance = f", fewer than the {least_new()} that are more than chance" if new else ""
    return Suggestion(Reading.NON_PROGRESSION, f"{counts}{chance}; {volume}.")


def _is_large_increase(trace: Trace) -> bool:
    """Whether a lesion that is no micronodule is new, or grew as much as RECIST asks of a sum."""
    if trace.follow_up is None or trace.follow_up.diameter_mm.value < LARGE_MM:
        return False
    if trace.baseline is None:
        return trace.fate is Fate.NEW
    before_mm, after_mm = trace.baseline.diameter_mm.value, trace.follow_up.diameter_mm.value
    least_mm = max(LEAST_GROWTH * before_mm, LEAST_GROWTH_MM)
    return after_mm - before_mm >= least_mm - 1e-6  # from 26.0 to 31.2 mm is a fifth, in floats too
