"""Which nodule is which: those of two aligned scans matched one to one.

Every mark that either scan reported is accounted for: it persists, is gone, is new, or cannot be assessed.
Partners are sought among all candidates of the other scan, not only the reported ones. Close neighbours are
told apart by the assignment that is best for all of them together. Then the images themselves are asked: how
much of each nodule the other scan still shows (`imaging.paired`). A partner that lies where nearly nothing of
the nodule is left is something else, mostly the vessel it touched, and is given up. A mark without a partner
is gone, or new, if the other image does not show it; and can't be told of where that image ends, or where
there is no air (`imaging.presence`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from imaging.alignment import Alignment
from imaging.lungs import Lungs
from imaging.nodules import zone_of
from imaging.paired import MOST_RADIUS_MM, Shares, measure_shares
from imaging.presence import Look, look
from imaging.resolution import Resolution, measure_resolution
from records.model import Nodule, Point, Side, Volume, Zone

__all__ = ["Doubt", "Fate", "Scan", "Trace", "gate_mm", "match"]

FloatArray = NDArray[np.float64]
Left = dict[int, tuple[float, float]]  # of the mark of this number: share of contrast, ratio of volume

GATE_MM = (2.0, 5.0)  # the gate is never narrower or wider than this
CENTRE_ERROR_MM = 0.7  # 95 % of fitted centres lie nearer to their nodule
GATE_FACTOR = 1.3  # of the 95th percentile of the alignment's error: wide enough for 99 %
SIZE_SLACK = 0.25  # of the mean diameter is added to the gate: a growing mass moves its own centre
SIZE_SCALE = 1.0  # log ratio of diameters that costs as much as half the gate
FULL_GAIN, WEAK_GAIN = 1.2, 0.1  # for a partner to a reported mark, and to a candidate that was not
SEEN_SHARE = 0.5  # of its contrast is still there; of unchanged nodules 0.8 and more, of gone ones near 0
REPLACED_SHARE = 0.25  # a reported partner with less of the nodule is something else, not the nodule shrunk
LEAST_AIR_SHARE = 0.25  # of a shell: less, and what lies there is covered by effusion or collapse


class Fate(StrEnum):
    """What became of a nodule from the baseline scan to the follow-up."""

    PERSISTING = "persisting"
    GONE = "gone"
    NEW = "new"
    NOT_ASSESSABLE = "not_assessable"


class Doubt(StrEnum):
    """Why a nodule was not sized in one scan, or its fate can't be told."""

    NONE = ""
    SEEN_NOT_MARKED = "seen_not_marked"  # something is there, but no candidate to size
    OUTSIDE_COVERAGE = "outside_coverage"
    NO_AIR = "no_air"  # effusion, collapse or consolidation where it should be


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What tracking needs of one scan."""

    volume: Volume
    lungs: Lungs
    nodules: tuple[Nodule, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One nodule through both scans.

    Attributes
    ----------
    baseline, follow_up : Nodule or None
        Its marks.
    baseline_mm, follow_up_mm : Point
        Where it lies in each scan (LPS), measured or carried over.
    side, zone
        Of the baseline's lungs.
    distance_mm : float or None
        Between the mark in the follow-up and where the alignment expected it.
    contrast_share : float or None
        How much of its contrast the other image shows at its place; of the baseline's mark if reported.
    volume_ratio : float or None
        The same as a volume, follow-up over baseline. None for what can't be assessed, or is too large.
    """

    fate: Fate
    doubt: Doubt
    baseline: Nodule | None
    follow_up: Nodule | None
    baseline_mm: Point
    follow_up_mm: Point
    side: Side
    zone: Zone
    distance_mm: float | None
    contrast_share: float | None
    volume_ratio: float | None = None


def gate_mm(alignment: Alignment) -> float:
    """Return how far from its expected place a nodule's partner may lie: by the measured residual."""
    residual = alignment.quality.residual_p95_mm
    assert residual is not None, "a good alignment has a residual"
    return float(np.clip(GATE_FACTOR * np.hypot(residual, CENTRE_ERROR_MM), *GATE_MM))


def match(baseline: Scan, follow_up: Scan, alignment: Alignment) -> tuple[Trace, ...]:
    """Match the nodules of two scans one to one.

    Parameters
    ----------
    baseline, follow_up : Scan
    alignment : Alignment
        A good one.

    Returns
    -------
    tuple of Trace
        Marks of the baseline in their order, then those of the follow-up alone.

    Raises
    ------
    ValueError
        If the alignment is not good: nothing may be matched by it.
    """
    if not alignment.is_good:
        raise ValueError(f"nodules can't be matched: {alignment.reason}")
    before, after = baseline.nodules, follow_up.nodules
    expected = alignment.to_follow_up(_centres(before))
    pairs, distances = assign(before, after, expected, gate_mm(alignment))
    sharpness = measure_resolution(baseline.volume), measure_resolution(follow_up.volume)
    ahead = _left(baseline, follow_up, alignment.to_follow_up, sharpness)
    back = _left(follow_up, baseline, alignment.to_baseline, sharpness[::-1])
    true = [n for n, (here, there) in enumerate(pairs) if _is_same(before[here], after[there], ahead, back)]
    pairs, distances = [pairs[n] for n in true], [distances[n] for n in true]
    partner = dict(pairs)
    taken = {there for _, there in pairs}
    lost = [n for n, one in enumerate(before) if one.reported and n not in partner]
    fresh = [n for n, one in enumerate(after) if one.reported and n not in taken]
    slack = alignment.quality.residual_mm or 0.0
    traces: dict[int, Trace] = {}
    for (here, there), distance in zip(pairs, distances, strict=True):
        one, other = before[here], after[there]
        share, ratio = ahead.get(one.nodule_id, (None, None))
        if share is None and other.nodule_id in back:  # only the follow-up reported it
            share, less = back[other.nodule_id]
            ratio = None if less <= 0 else 1.0 / less
        traces[here] = Trace(
            Fate.PERSISTING, Doubt.NONE, one, other, one.centre_mm, other.centre_mm,
            one.side, one.zone, distance, share, ratio,
        )  # fmt: skip
    marks = [before[n] for n in lost]
    gone = _judge(baseline, follow_up, marks, alignment.to_follow_up, slack, Fate.GONE, ahead)
    for n, (fate, doubt, share) in zip(lost, gone, strict=True):
        one = before[n]
        ratio = ahead.get(one.nodule_id, (None, None))[1] if fate is Fate.PERSISTING else None
        traces[n] = Trace(
            fate, doubt, one, None, one.centre_mm, _point(expected[n]), one.side, one.zone, None, share, ratio
        )
    new = [after[n] for n in fresh]
    places = alignment.to_baseline(_centres(new))
    judged = _judge(follow_up, baseline, new, alignment.to_baseline, slack, Fate.NEW, back)
    arrivals = [
        Trace(fate, doubt, None, one, _point(place), one.centre_mm,
              one.side, _zone(baseline, one.side, place), None, share)
        for one, place, (fate, doubt, share) in zip(new, places, judged, strict=True)
    ]  # fmt: skip
    return (*(traces[n] for n in sorted(traces)), *arrivals)


def assign(
    before: Sequence[Nodule], after: Sequence[Nodule], expected_mm: FloatArray, gate: float
) -> tuple[list[tuple[int, int]], list[float]]:
    """Pair nodules so that all distances together are least.

    Parameters
    ----------
    before, after : sequence of Nodule
    expected_mm : (N, 3) ndarray
        Where those of `before` should lie in the follow-up.
    gate : float
        No pair may lie further apart than this, mm, and a share of its size.

    Returns
    -------
    list of (int, int)
        Indices into `before` and `after`, each at most once; one of a pair at least was reported.
    list of float
        Their distances, mm.
    """
    if not before or not after:
        return [], []
    here, there, distance, gain = _possible(before, after, expected_mm, gate)
    links = coo_matrix((np.ones(len(here)), (here, len(before) + there)), (len(before) + len(after),) * 2)
    _, group = connected_components(links, directed=False)
    chosen: list[int] = []
    order = np.argsort(group[here], kind="stable")
    for edges in np.split(order, np.flatnonzero(np.diff(group[here][order])) + 1):
        chosen += _best(here[edges], there[edges], gain[edges], edges) if len(edges) else []
    chosen.sort(key=lambda edge: int(here[edge]))
    return [(int(here[e]), int(there[e])) for e in chosen], [float(distance[e]) for e in chosen]


def _possible(
    before: Sequence[Nodule], after: Sequence[Nodule], expected_mm: FloatArray, gate: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray, FloatArray]:
    """Return every pair within the gate that is worth making: indices, distance, gain."""
    sizes = [np.array([n.diameter_mm.value for n in some]) for some in (before, after)]
    reported = [np.array([n.reported for n in some], bool) for some in (before, after)]
    widest = gate + SIZE_SLACK * float(max(sizes[0].max(), sizes[1].max()))
    near = cKDTree(expected_mm).sparse_distance_matrix(
        cKDTree(_centres(after)), widest, output_type="coo_matrix"
    )
    here, there, distance = near.row.astype(np.intp), near.col.astype(np.intp), near.data
    one, other = sizes[0][here], sizes[1][there]
    reach = gate + SIZE_SLACK * (one + other) / 2
    unlike = np.log(one / other) / SIZE_SCALE
    cost = (distance / reach) ** 2 + 0.5 * unlike**2
    gain = np.where(reported[0][here], FULL_GAIN, WEAK_GAIN) - cost
    gain += np.where(reported[1][there], FULL_GAIN, WEAK_GAIN)
    kept = (distance <= reach) & (reported[0][here] | reported[1][there]) & (gain > 0)
    return here[kept], there[kept], distance[kept], gain[kept]


def _best(
    here: NDArray[np.intp], there: NDArray[np.intp], gain: FloatArray, edges: NDArray[np.intp]
) -> list[int]:
    """Return the edges of one group of neighbours whose gain together is largest."""
    rows, row = np.unique(here, return_inverse=True)
    columns, column = np.unique(there, return_inverse=True)
    gains = np.zeros((len(rows), len(columns)))  # nothing is gained by leaving two apart
    number = np.full(gains.shape, -1)
    gains[row, column], number[row, column] = gain, edges
    chosen = number[linear_sum_assignment(gains, maximize=True)]
    return [int(edge) for edge in chosen if edge >= 0]


def _left(
    own: Scan,
    other: Scan,
    to_other: Callable[[FloatArray], FloatArray],
    sharpness: tuple[Resolution, Resolution],
) -> Left:
    """Return how much the other image shows of each reported mark, by its number: share, volume ratio."""
    marks = [n for n in own.nodules if n.reported and n.diameter_mm.value < 2 * MOST_RADIUS_MM]
    radii = np.array([n.diameter_mm.value for n in marks]) / 2
    found: Shares = measure_shares(own.volume, other.volume, _centres(marks), radii, to_other, sharpness)
    values = zip(found.share.tolist(), found.volume_ratio.tolist(), strict=True)
    return {mark.nodule_id: value for mark, value in zip(marks, values, strict=True)}


def _is_same(one: Nodule, other: Nodule, ahead: Left, back: Left) -> bool:
    """Whether the images bear out that two marks are one nodule, seen from each that was reported."""
    for mark, partner, left in ((one, other, ahead), (other, one, back)):
        limit = REPLACED_SHARE if partner.reported else SEEN_SHARE
        if mark.nodule_id in left and left[mark.nodule_id][0] < limit:
            return False
    return True


def _judge(
    own: Scan,
    other: Scan,
    nodules: Sequence[Nodule],
    to_other: Callable[[FloatArray], FloatArray],
    slack_mm: float,
    missing: Fate,
    left: Left,
) -> list[tuple[Fate, Doubt, float | None]]:
    """Say of marks without a partner whether they are missing in the other image or only in its marks."""
    centres = _centres(nodules)
    radii = np.array([n.diameter_mm.value for n in nodules]) / 2
    here = look(own.volume, centres, radii)
    there = look(other.volume, centres, radii, to_image=to_other, slack_mm=slack_mm)
    shares = [
        left[nodule.nodule_id][0]
        if nodule.nodule_id in left
        else float(there.contrast_hu[n] / max(here.contrast_hu[n], 1.0))
        for n, nodule in enumerate(nodules)
    ]
    return [_verdict(here, there, n, share, missing) for n, share in enumerate(shares)]


def _verdict(
    here: Look, there: Look, n: int, share: float, missing: Fate
) -> tuple[Fate, Doubt, float | None]:
    if not there.is_covered[n]:
        return Fate.NOT_ASSESSABLE, Doubt.OUTSIDE_COVERAGE, None
    if there.air_share[n] < LEAST_AIR_SHARE and here.air_share[n] >= LEAST_AIR_SHARE:
        return Fate.NOT_ASSESSABLE, Doubt.NO_AIR, None
    if share >= SEEN_SHARE:
        return Fate.PERSISTING, Doubt.SEEN_NOT_MARKED, share
    return missing, Doubt.NONE, share


def _zone(scan: Scan, side: Side, place_mm: FloatArray) -> Zone:
    from imaging.geometry import index_of

    return zone_of(scan.lungs, side, float(index_of(scan.volume, place_mm[None])[0, 0]))


def _centres(nodules: Sequence[Nodule]) -> FloatArray:
    return np.array([n.centre_mm for n in nodules], np.float64).reshape(-1, 3)


def _point(place_mm: FloatArray) -> Point:
    x, y, z = place_mm.tolist()
    return x, y, z
