"""How much micronodular disease there is, by zone, and how much it has changed.

Micronodules are what is under 10 mm: larger lesions are measured one by one (RECIST 1.1), and a single mass
would outweigh a thousand nodules. Each scan's burden stands for what is *there*: marks, less the false ones
the model makes, over its recall at each size, as in `imaging.count`.

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

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imaging.count import INTERVAL, NORMAL_90, RECALL_UNCERTAINTY, Recall
from imaging.matching import Fate, Trace
from imaging.paired import MOST_RATIO
from imaging.pattern import LARGE_MM
from records.model import Estimate, Nodule, Side, Zone, ZoneSummary

__all__ = ["Burden", "Change", "ZoneBurden", "burden_by_zone"]

FloatArray = NDArray[np.float64]

DRAWS = 500
FEWEST = 5  # nodules in both scans together; a change of fewer is told one by one

# Repeatability coefficient of a total, as a log ratio: 1.96 times the root mean square over pairs without
# change is 0.048 for three of them (docs/tracking.md), and 0.055 for their zones: rounded up, they are few.
# `python -m benchmarks.tracking` with `--zero` and `--kernels` measures it.
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
    zones: tuple[Sequence[ZoneSummary], Sequence[ZoneSummary]],
    recalls: tuple[Recall, Recall],
) -> tuple[ZoneBurden, ...]:
    """Return the burden of both lungs, then of each zone.

    Parameters
    ----------
    traces : sequence of Trace
        From `imaging.matching.match`; empty where nothing could be matched, then there is no change.
    nodules, zones, recalls : pair
        Of the baseline and of the follow-up: all candidates, the zones' volumes, the model's recall.
    """
    ledger = _ledger(traces, recalls)
    keys: list[tuple[Side | None, Zone | None]] = [(None, None)]
    keys += [(zone.side, zone.zone) for zone in zones[0]]
    total_ml = [sum(zone.volume_ml for zone in some) for some in zones]
    found = []
    for side, zone in keys:
        inside = _within(side, zone)
        burdens = []
        for scan in (0, 1):
            here_ml = sum(z.volume_ml for z in zones[scan] if inside(z))
            small = [n for n in nodules[scan] if n.reported and _is_small(n) and inside(n)]
            share = here_ml / max(total_ml[scan], 1e-9)
            burdens.append(_burden(small, recalls[scan], share))
        rows = np.array([inside(trace) for trace in traces], bool)
        changes = [_change(entries[rows]) for entries in (ledger.volume, ledger.count)]
        found.append(ZoneBurden(side, zone, burdens[0], burdens[1], changes[0], changes[1]))
    return tuple(found)


def _within(side: Side | None, zone: Zone | None) -> Callable[[Nodule | ZoneSummary | Trace], bool]:
    return lambda one: side is None or (one.side is side and one.zone is zone)


def _is_small(nodule: Nodule) -> bool:
    return nodule.diameter_mm.value < LARGE_MM


def _burden(reported: Sequence[Nodule], recall: Recall, lung_share: float) -> Burden:
    """Estimate what is there from what was reported in a part of the lungs."""
    weights = recall.at(np.array([n.diameter_mm.value for n in reported]))
    weights = 1.0 / weights if len(reported) else np.zeros(0)
    volumes = np.array([n.volume_mm3 for n in reported])
    found, false = len(reported), recall.false_marks * lung_share
    true_share = max(0.0, 1.0 - false / found) if found else 0.0
    tail = (1 - INTERVAL) / 2
    # Marks are Poisson counts; the recall differs between scanners.
    low = float(stats.gamma.ppf(tail, found)) if found else 0.0
    high = float(stats.gamma.ppf(1 - tail, found + 1))
    each = float(weights.mean()) if found else 1.0
    doubt = 1 + RECALL_UNCERTAINTY
    count = true_share * float(weights.sum())
    counted = Estimate(
        count, min(count, max(0.0, low - false) * each / doubt), max(count, high * each * doubt)
    )
    volume = true_share * float((weights * volumes).sum())
    spread = float(np.sqrt(((weights * volumes) ** 2).sum())) / max(float((weights * volumes).sum()), 1e-9)
    widest = float(np.exp(NORMAL_90 * spread)) * doubt
    typical = float(np.median(weights * volumes)) if found else 0.0
    measured = Estimate(
        volume,
        min(volume, max(0.0, volume / widest - (false * typical if found else 0.0))),
        max(volume, volume * widest),
    )
    return Burden(counted, measured)


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
