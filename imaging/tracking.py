"""Follow-up on the images: what became of each micronodule between two scans of one patient.

Lungs are laid over each other, nodules matched one to one, sizes and burden compared against what measuring
twice leaves, and a reading is suggested to the reviewers. Nothing here is a RECIST category.
"""

from dataclasses import dataclass

from imaging.alignment import Alignment, Quality
from imaging.burden import ZoneBurden, burden_by_zone
from imaging.count import Recall
from imaging.lungs import Lungs
from imaging.matching import Fate, Scan, Trace, match
from imaging.paired import MOST_RATIO
from imaging.registration import align
from imaging.repeatability import SizeChange, size_change
from imaging.suggestion import Reading, Suggestion, suggest
from records.model import Nodule, Pattern, Volume

__all__ = [
    "Alignment",
    "Fate",
    "FollowUp",
    "Observed",
    "Quality",
    "Reading",
    "Trace",
    "align",
    "track",
]


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """One scan as it was screened.

    Attributes
    ----------
    nodules : tuple of Nodule
        All candidates.
    pattern : Pattern
        How many nodules there are, and in which zones.
    recall : Recall
        Of the model at this slice thickness.
    """

    volume: Volume
    lungs: Lungs
    nodules: tuple[Nodule, ...]
    pattern: Pattern
    recall: Recall


@dataclass(frozen=True, slots=True, eq=False)
class FollowUp:
    """What two scans of a patient show together.

    Attributes
    ----------
    alignment : Alignment
        Where it is not good, there are no traces, and `suggestion` says why.
    traces : tuple of Trace
        Every nodule that either scan reported.
    sizes : tuple of SizeChange or None
        One a trace; None where it was not sized in both scans.
    zones : tuple of ZoneBurden
        Both lungs, then each zone.
    """

    alignment: Alignment
    traces: tuple[Trace, ...]
    sizes: tuple[SizeChange | None, ...]
    zones: tuple[ZoneBurden, ...]
    suggestion: Suggestion

    def count(self, fate: Fate) -> int:
        """Return how many nodules met this fate."""
        return sum(trace.fate is fate for trace in self.traces)

    @property
    def fates(self) -> dict[str, int]:
        """How many nodules met each fate."""
        return {fate.value: self.count(fate) for fate in Fate}

    @property
    def grown(self) -> int:
        """How many persisting nodules have really grown."""
        return sum(size is not None and size.is_real and size.value_mm.value > 0 for size in self.sizes)

    @property
    def shrunken(self) -> int:
        """How many persisting nodules have really shrunken."""
        return sum(size is not None and size.is_real and size.value_mm.value < 0 for size in self.sizes)


def _told(trace: Trace) -> float | None:
    """Return how a nodule's volume changed as both images tell, if it did not grow beyond what they can."""
    ratio = trace.volume_ratio
    return ratio if ratio is not None and ratio < MOST_RATIO else None


def track(baseline: Observed, follow_up: Observed) -> FollowUp:
    """Compare two scans of one patient.

    A bad alignment yields no matches, and the suggestion says what is wrong with it.
    """
    alignment = align(baseline.volume, baseline.lungs, follow_up.volume, follow_up.lungs)
    traces: tuple[Trace, ...] = ()
    if alignment.is_good:
        traces = match(
            Scan(baseline.volume, baseline.lungs, baseline.nodules),
            Scan(follow_up.volume, follow_up.lungs, follow_up.nodules),
            alignment,
        )
    pairs = [(t.baseline, t.follow_up) for t in traces]
    compared = sum(one is not None and other is not None for one, other in pairs)
    sizes = tuple(
        size_change(t.baseline, t.follow_up, compared, _told(t)) if t.baseline and t.follow_up else None
        for t in traces
    )
    zones = burden_by_zone(
        traces,
        (baseline.nodules, follow_up.nodules),
        (baseline.pattern, follow_up.pattern),
        (baseline.recall, follow_up.recall),
    )
    suggestion = (
        suggest(traces, zones[0])
        if alignment.is_good
        else Suggestion(
            None, f"The scans could not be aligned, so no nodules were matched: {alignment.reason}."
        )
    )
    return FollowUp(alignment, traces, sizes, zones, suggestion)
