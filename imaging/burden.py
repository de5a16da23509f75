"""How much micronodular disease there is, by zone, and how much it has changed.

Micronodules are what is under 10 mm: larger lesions are measured one by one (RECIST 1.1), and a single mass
would outweigh a thousand nodules. Each scan's burden stands for what is *there*: as many as the census says
(`imaging.census`), of the sizes that were reported and, as far as more are there, of those that are missed
most (`imaging.count`).

The change is told from the nodules themselves and not from two totals. Of those that the baseline reports a
share is still there; of those that the follow-up reports a share is new. What persists is one and the same
number of nodules in both scans, so that

    follow-up / baseline = (share of the baseline's that persists) / (share of the follow-up's that is old)

holds whatever each scan's detector misses (capture and recapture, Lincoln 1930). A mark counts as far as it
is probably a nodule: vessels taken for nodules persist, and would damp the change. For the volume, each
nodule persists with what both images together say is left of it (`imaging.paired`): the two scans may differ
in slices and sharpness, which would make totals of fitted volumes differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, pi

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imaging.census import USUAL_MM
from imaging.count import INTERVAL, NORMAL_90, RECALL_UNCERTAINTY, Recall
from imaging.matching import Fate, Trace
from imaging.paired import MOST_RATIO
from imaging.pattern import LARGE_MM
from records.model import Estimate, Nodule, Pattern, Side, Zone, ZoneSummary

__all__ = ["Burden", "Change", "ZoneBurden", "burden_by_zone"]

FloatArray = NDArray[np.float64]

DRAWS = 500
TINY = 1e-6  # stands for none where a logarithm is taken
FEWEST = 5  # nodules in both scans together; a change of fewer is told one by one

# Repeatability coefficient of a total, as a log ratio: 1.96 times the root mean square over eight pairs
# without change is 0.057 (docs/tracking.md). `python -m benchmarks.tracking` with `--zero` and `--kernels`
# measures it.
REPEATABILITY = 0.06


@dataclass(frozen=True, slots=True)
class Burden:
    """What one scan shows of micronodules, corrected for misses and false marks."""

    count: Estimate
    volume_mm3: Estimate


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change of a total: -0.5 is half as much.

    Attributes
    ----------
    value : Estimate
        With its 90 % interval, which holds the repeatability of two scans.
    is_real : bool
        The change is larger than two scans without change differ by, and its interval leaves out none.
    """

    value: Estimate
    is_real: bool


@dataclass(frozen=True, slots=True)
class ZoneBurden:
    """A sixth of the lungs, or all of them where side and zone are None.

    Attributes
    ----------
    volume_change, count_change : Change or None
        None where there was nothing at baseline, or too few nodules to tell.
    """

    side: Side | None
    zone: Zone | None
    baseline: Burden
    follow_up: Burden
    volume_change: Change | None
    count_change: Change | None

    def holds(self, one: Nodule | ZoneSummary | Trace) -> bool:
        """Return whether something lies here."""
        return self.side is None or (one.side is self.side and one.zone is self.zone)


@dataclass(frozen=True, slots=True, eq=False)
class _Ledger:
    """What each trace adds: its probability to be a nodule, over the recall at its size; (N, 4) entries.

    In columns: what the baseline reports, what of that is there in the follow-up, what the follow-up
    reports, and what of that is new.
    """

    count: FloatArray
    volume: FloatArray


def burden_by_zone(
    traces: Sequence[Trace],
    nodules: tuple[Sequence[Nodule], Sequence[Nodule]],
    patterns: tuple[Pattern, Pattern],
    recalls: tuple[Recall, Recall],
) -> tuple[ZoneBurden, ...]:
    """Return the burden of both lungs, then of each zone.

    Parameters
    ----------
    traces : sequence of Trace
        From `imaging.matching.match`; empty where nothing could be matched, then there is no change.
    nodules, patterns, recalls : pair
        Of the baseline and of the follow-up: all candidates, how many nodules there are and in which zones,
        the model's recall.
    """
    scans = [_Scan.of(*scan) for scan in zip(nodules, patterns, recalls, strict=True)]
    ledger = _ledger(traces, (scans[0].recalls[0], scans[1].recalls[0]))
    keys: list[tuple[Side | None, Zone | None]] = [(None, None)]
    keys += [(zone.side, zone.zone) for zone in patterns[0].zones]
    found = []
    for side, zone in keys:
        inside = _within(side, zone)
        rows = np.array([inside(trace) for trace in traces], bool)
        changes = [_change(entries[rows]) for entries in (ledger.volume, ledger.count)]
        baseline, follow_up = (_burden(scan, side, zone) for scan in scans)
        found.append(ZoneBurden(side, zone, baseline, follow_up, changes[0], changes[1]))
    return tuple(found)


def _within(side: Side | None, zone: Zone | None) -> Callable[[Nodule | ZoneSummary | Trace], bool]:
    return lambda one: side is None or (one.side is side and one.zone is zone)


def _is_small(nodule: Nodule) -> bool:
    return nodule.diameter_mm.value < LARGE_MM


def _diameters(nodules: Sequence[Nodule]) -> FloatArray:
    return np.array([n.diameter_mm.value for n in nodules], float)


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What one scan says of its micronodules.

    Attributes
    ----------
    reported : sequence of Nodule
        Micronodules.
    count : Estimate
        How many there are.
    by_zone : dict
        Of these, in each zone.
    recalls : (Recall, Recall, Recall)
        By which what is reported stands for so many: `count`, and the ends of its interval.
    """

    reported: Sequence[Nodule]
    count: Estimate
    by_zone: dict[tuple[Side, Zone], float]
    recalls: tuple[Recall, Recall, Recall]

    @classmethod
    def of(cls, nodules: Sequence[Nodule], pattern: Pattern, recall: Recall) -> "_Scan":
        """Take what is no micronodule out of what a census counts."""
        reported = [n for n in nodules if n.reported and _is_small(n)]
        large = [n for n in nodules if n.reported and not _is_small(n)]
        told = pattern.nodule_count
        value, low, high = (max(0.0, one - len(large)) for one in (told.value, told.low, told.high))
        by_zone = {
            (z.side, z.zone): max(0.0, z.nodule_count - sum(map(_within(z.side, z.zone), large)))
            for z in pattern.zones
        }
        sizes = _diameters(reported)
        likely, fewest, most = (recall.adding_up_to(number, sizes) for number in (value, low, high))
        return cls(reported, Estimate(value, low, high), by_zone, (likely, fewest, most))

    def volumes_mm3(self, nodules: Sequence[Nodule]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what volume each nodule stands for: likeliest, and by the ends of the count's interval."""
        sizes, volumes = _diameters(nodules), np.array([n.volume_mm3 for n in nodules], float)
        # Where there are fewer than were reported, some of these are false.
        ends = self.count.value, self.count.low, self.count.high
        trues = [min(1.0, there / max(len(self.reported), 1)) for there in ends]
        likely, low, high = (
            true * volumes / recall.at(sizes) for true, recall in zip(trues, self.recalls, strict=True)
        )
        return likely, low, high


def _burden(scan: _Scan, side: Side | None, zone: Zone | None) -> Burden:
    """Return what there is in a zone, or in both lungs."""
    inside = _within(side, zone)
    here = [n for n in scan.reported if inside(n)]
    count = scan.count
    if side is not None and zone is not None:
        count = _part_of(scan.count, scan.by_zone[side, zone], len(here))
    likely, low, high = scan.volumes_mm3(here)
    volume = float(likely.sum())
    if volume == 0:
        everywhere = scan.volumes_mm3(scan.reported)[2]
        each_mm3 = float(everywhere.mean()) if len(everywhere) else pi / 6 * USUAL_MM**3
        return Burden(count, Estimate(0.0, 0.0, count.high * each_mm3))
    chance = exp(NORMAL_90 * float(np.sqrt((likely**2).sum())) / volume)
    counted = float(low.sum()) / volume, float(high.sum()) / volume
    return Burden(count, _doubted(volume, counted, (1 / chance, chance)))


def _part_of(whole: Estimate, value: float, reported: int) -> Estimate:
    """Return how many of a count lie where so many were reported; these are a Poisson count."""
    tail = (1 - INTERVAL) / 2
    most = float(stats.gamma.ppf(1 - tail, reported + 1))
    doubts = (whole.low / whole.value, whole.high / whole.value) if whole.value > 0 else (0.0, 1.0)
    if reported == 0 or value == 0:
        return Estimate(value, 0.0, value + most * doubts[1])
    least = float(stats.gamma.ppf(tail, reported))
    return _doubted(value, doubts, (least / reported, most / reported))


def _doubted(value: float, *doubts: tuple[float, float]) -> Estimate:
    """Return a value with its interval, doubted for reasons that have nothing to do with each other.

    Each says down to which share of it, and up to how many times it, the value may be.
    """
    low, high = (float(np.linalg.norm([np.log(max(one[end], TINY)) for one in doubts])) for end in (0, 1))
    return Estimate(value, value * exp(-low), value * exp(high))


def _ledger(traces: Sequence[Trace], recalls: tuple[Recall, Recall]) -> _Ledger:
    """Return what each trace stands for in both scans; what can't be assessed stands for nothing."""
    growth = _typical_growth(traces)
    count, volume = np.zeros((len(traces), 4)), np.zeros((len(traces), 4))
    for n, trace in enumerate(traces):
        marks = (trace.baseline, trace.follow_up)
        first = trace.baseline or trace.follow_up
        if trace.fate is Fate.NOT_ASSESSABLE or first is None or not _is_small(first):
            continue
        before, after = (
            mark.probability / float(recall.at(np.array([mark.diameter_mm.value]))[0])
            if mark and mark.reported
            else 0.0
            for mark, recall in zip(marks, recalls, strict=True)
        )
        persists, is_new = trace.fate is Fate.PERSISTING, trace.fate is Fate.NEW
        count[n] = before, before * persists, after, after * is_new
        if trace.baseline:
            volume[n, 0] = before * trace.baseline.volume_mm3
            volume[n, 1] = volume[n, 0] * _volume_ratio(trace, growth) * persists
        if trace.follow_up:
            volume[n, 2] = after * trace.follow_up.volume_mm3
            volume[n, 3] = volume[n, 2] * is_new
    return _Ledger(count, volume)


def _volume_ratio(trace: Trace, typical: float) -> float:
    """Return the growth of what persists, from both images; from both fits where it grew too much."""
    ratio = trace.volume_ratio
    if ratio is not None and ratio < MOST_RATIO:
        return ratio
    if trace.baseline and trace.follow_up:
        return trace.follow_up.volume_mm3 / trace.baseline.volume_mm3
    return typical if ratio is None else ratio


def _typical_growth(traces: Sequence[Trace]) -> float:
    """Return the median ratio of volumes of what was sized in both scans: for what was seen and not sized."""
    ratios = [t.follow_up.volume_mm3 / t.baseline.volume_mm3 for t in traces if t.baseline and t.follow_up]
    return float(np.median(ratios)) if ratios else 1.0


def _change(entries: FloatArray) -> Change | None:
    """Return the relative change of a total; its interval holds chance, recall and repeatability."""
    entries = entries[entries.any(axis=1)]
    if len(entries) < FEWEST or not entries[:, 0].any():
        return None
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(entries), np.full(len(entries), 1 / len(entries)), size=DRAWS)
    totals, sums = entries.sum(axis=0), drawn @ entries
    if np.count_nonzero(entries[:, 1]) >= FEWEST:
        ratio = float(_recaptured(totals[None])[0])
        ratios = _recaptured(sums)
    else:  # too few persist to lay the scans over each other: totals, whose recalls differ
        ratio = float(_of_totals(totals[None])[0])
        doubt = np.log(1 + RECALL_UNCERTAINTY) / NORMAL_90
        ratios = _of_totals(sums) * np.exp(rng.normal(0, doubt, DRAWS))
    ratios = ratios * np.exp(rng.normal(0, REPEATABILITY / 1.96, DRAWS))
    low, high = np.quantile(ratios, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    if (
        ratio == 0
    ):  # of so many none is left, which says less than that none would be (Hanley 1983, JAMA 249:1743)
        high = 1 - ((1 - INTERVAL) / 2) ** (1 / len(entries))
    is_real = abs(np.log(max(ratio, 1e-9))) > REPEATABILITY and not low <= 1.0 <= high
    return Change(
        Estimate(float(ratio - 1), float(min(low, ratio) - 1), float(max(high, ratio) - 1)), bool(is_real)
    )


def _recaptured(totals: FloatArray) -> FloatArray:
    """Return follow-up over baseline from (N, 4) totals: the share that persists, over what is old."""
    before, kept, after, new = totals.T
    old = 1 - np.divide(new, after, out=np.zeros(len(totals)), where=after > 0)
    return np.asarray(np.maximum(kept, 0) / np.maximum(before, 1e-9) / np.maximum(old, 1e-3))


def _of_totals(totals: FloatArray) -> FloatArray:
    """Return follow-up over baseline from what is there or new, without laying the scans over each other."""
    before, kept, _, new = totals.T
    return np.asarray((kept + new) / np.maximum(before, 1e-9))
