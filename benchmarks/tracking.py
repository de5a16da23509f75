"""How well nodules are followed from scan to scan, on simulated pairs of real lungs.

    python -m benchmarks.tracking ../shared/ct [--scan lidc_0001] [--zero | --kernels]

Baseline: 300 nodules of 1.8 to 5 mm in a real scan (`imaging.insertion`). Follow-up: the same lungs after a
smooth known motion (`imaging.phantom.motion`), with noise added, thicker where the scan is thin; half of the
nodules are gone, an eighth has grown by 35 %, 20 are new. With `--zero` nothing changes but place and noise,
with `--kernels` nothing but the kernel: one acquisition, sharp and soft. Both scans go through the code path
of `mipc track`; lungs that the model learnt from are judged by the model that never saw them. What the lungs
hold themselves (scars, nodules of their own, vessels taken for nodules) stays, and stands in what both scans
report: the change is held against the inserted nodules alone and, in brackets, with these.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from benchmarks.froc import load, model_file_of, voxel_noise_hu
from imaging.classifier import load_model
from imaging.geometry import points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, draw_sites, insert_nodules, random_direction
from imaging.lungs import segment_lungs
from imaging.matching import Fate
from imaging.phantom.motion import draw_motion, moved
from imaging.screen import find_nodules, recall_of, slice_mm
from imaging.tracking import FollowUp, Observed, track
from imaging.training.examples import thicken
from records.model import Nodule, Volume

SCANS = {
    "lidc_0001": 1,
    "lidc_0004": 2,
    "lidc_0006": 1,
    "ricord_000082": 1,
}  # slices averaged in the follow-up
COUNT, NEW = 300, 20
GROWTH = 1.35
PEAK_MM, ZERO_PEAK_MM = 15.0, 6.0
HIT_MM = 1.5
SOFTER_MM = 0.55  # what the soft kernel blurs more, in the plane, standard deviation


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A pair of scans and its truth.

    Attributes
    ----------
    before, after : list of InsertedNodule
    same : list of int or None
        For each of `after`, which of `before` it is; None if it is new.
    marks_mm, truth_mm : (N, 3) ndarray
        Places all through the baseline's lungs, and where they lie in the follow-up.
    """

    baseline: Volume
    follow_up: Volume
    before: list[InsertedNodule]
    after: list[InsertedNodule]
    same: list[int | None]
    marks_mm: NDArray[np.float64]
    truth_mm: NDArray[np.float64]


def simulate(volume: Volume, thicker: int, *, seed: int, changes: bool) -> Simulated:
    """Make a pair out of one scan."""
    rng = np.random.default_rng(seed)
    lungs = segment_lungs(volume)
    inside = points_mm(volume, np.argwhere(lungs.labels[::6, ::10, ::10] > 0) * np.array([6.0, 10.0, 10.0]))
    sites = draw_sites(volume, lungs.labels > 0, COUNT + NEW, apart_mm=6.0, rng=rng)
    before = [_nodule(site, rng.uniform(1.8, 5.0), rng) for site in sites[:COUNT]]
    motion = draw_motion(inside, peak_mm=PEAK_MM if changes else ZERO_PEAK_MM, rng=rng)
    places = motion.to_follow_up(sites)
    kept = rng.permutation(COUNT)[: COUNT // 2] if changes else np.arange(COUNT)
    grown = set(kept[: COUNT // 8].tolist()) if changes else set()
    after, same = [], []
    for n in kept.tolist():
        size = before[n].diameter_mm * (GROWTH if n in grown else 1.0)
        after.append(replace(before[n], centre_mm=tuple(places[n].tolist()), diameter_mm=size))
        same.append(n)
    if changes:
        after += [_nodule(place, rng.uniform(2.5, 5.0), rng) for place in places[COUNT:]]
        same += [None] * NEW
    later = moved(volume, motion)
    later = thicken(later, thicker) if thicker > 1 else later
    later = _noisier(later, 0.6 * voxel_noise_hu(volume, lungs), rng)
    return Simulated(
        _ill(volume, before, rng), _ill(later, after, rng), before, after, same,
        inside, motion.to_follow_up(inside),
    )  # fmt: skip


def two_kernels(volume: Volume, *, seed: int) -> Simulated:
    """Make a pair out of one scan by seeing it through a softer kernel as well."""
    rng = np.random.default_rng(seed)
    lungs = segment_lungs(volume)
    inside = points_mm(volume, np.argwhere(lungs.labels[::6, ::10, ::10] > 0) * np.array([6.0, 10.0, 10.0]))
    sites = draw_sites(volume, lungs.labels > 0, COUNT, apart_mm=6.0, rng=rng)
    nodules = [_nodule(site, rng.uniform(1.8, 5.0), rng) for site in sites]
    sharp = _ill(volume, nodules, rng)
    sigmas = [0.0, *(SOFTER_MM / step for step in volume.spacing_mm[1:])]
    soft = replace(
        sharp, hu=np.rint(ndimage.gaussian_filter(sharp.hu.astype(np.float32), sigmas)).astype(np.int16)
    )
    return Simulated(sharp, soft, nodules, nodules, list(range(COUNT)), inside, inside)


def _nodule(site: NDArray[np.float64], diameter_mm: float, rng: np.random.Generator) -> InsertedNodule:
    direction = random_direction(rng)
    x, y, z = site.tolist()
    return InsertedNodule((x, y, z), diameter_mm, rng.uniform(-100, 60), rng.uniform(1.0, 1.15), direction)


def _ill(volume: Volume, nodules: list[InsertedNodule], rng: np.random.Generator) -> Volume:
    noise_hu = voxel_noise_hu(volume, segment_lungs(volume))
    blur = ScannerBlur(0.55, slice_mm(volume))
    return replace(volume, hu=insert_nodules(volume, nodules, blur, noise_hu=noise_hu, rng=rng))


def _noisier(volume: Volume, noise_hu: float, rng: np.random.Generator) -> Volume:
    grain = ndimage.gaussian_filter(rng.standard_normal(volume.hu.shape, np.float32), (0, 0.7, 0.7))
    return replace(volume, hu=np.rint(volume.hu + grain * (noise_hu / grain.std())).astype(np.int16))


def observe(volume: Volume, model_file: Path) -> Observed:
    """Screen one scan."""
    model = load_model(model_file)
    found = find_nodules(volume, model)
    recall = recall_of(model, slice_mm(volume), found.nodules)
    return Observed(volume, found.lungs, found.nodules, found.pattern, recall)


def named(nodules: tuple[Nodule, ...], truth: list[InsertedNodule]) -> dict[int, int]:
    """Return which inserted nodule each mark shows, by its number; marks on nothing are left out."""
    tree = cKDTree(np.array([n.centre_mm for n in nodules]).reshape(-1, 3))
    names = {}
    for number, one in enumerate(truth):
        near = tree.query_ball_point(one.centre_mm, max(one.diameter_mm / 2, HIT_MM))
        if near:
            names[nodules[max(near, key=lambda n: nodules[n].probability)].nodule_id] = number
    return names


def report(pair: Simulated, scans: tuple[Observed, Observed], change: FollowUp, seconds: float) -> None:
    """Print the figures of one pair."""
    off_mm = np.linalg.norm(change.alignment.to_follow_up(pair.marks_mm) - pair.truth_mm, axis=1)
    median, high = np.quantile(off_mm, (0.5, 0.95))
    size_mm = np.linalg.norm(pair.marks_mm - pair.truth_mm, axis=1)
    print(f"  motion {np.median(size_mm):.1f} mm (largest {size_mm.max():.1f}); {seconds:.1f} s for the pair")
    print(f"  landmark error      median {median:.2f} mm, 95 % {high:.2f} mm")
    print(f"  measured            {change.alignment.quality}")
    first, second = named(scans[0].nodules, pair.before), named(scans[1].nodules, pair.after)
    report_matches(pair, scans, change, first, second)
    report_burden(pair, scans[0], change, {n.nodule_id for n in scans[0].nodules} - first.keys())
    both = [s.value_mm.value for s, t in zip(change.sizes, change.traces, strict=True) if s and t.baseline]
    print(f"  sizes               95 % of differences within {np.quantile(np.abs(both), 0.95):.2f} mm")
    print(f"  suggested           {change.suggestion.reading}: {change.suggestion.sentence}")


def report_matches(
    pair: Simulated,
    scans: tuple[Observed, Observed],
    change: FollowUp,
    first: dict[int, int],
    second: dict[int, int],
) -> None:
    """Print how many nodules were followed rightly; `first` and `second` name those that marks show."""
    right = wrong = 0
    told = dict.fromkeys(("gone", "gone, called persisting", "new", "new, called persisting"), 0)
    false = dict.fromkeys(("gone", "new"), 0)
    survivors = {n for n in pair.same if n is not None}
    for trace in change.traces:
        one = first.get(trace.baseline.nodule_id) if trace.baseline else None
        other = second.get(trace.follow_up.nodule_id) if trace.follow_up else None
        if trace.baseline and trace.follow_up:
            is_same = one is not None and other is not None and pair.same[other] == one
            right += is_same
            wrong += not is_same and (one is not None or other is not None)
        elif trace.baseline and one is not None and one not in survivors:
            told["gone" if trace.fate is Fate.GONE else "gone, called persisting"] += 1
        elif trace.follow_up and other is not None and pair.same[other] is None:
            told["new" if trace.fate is Fate.NEW else "new, called persisting"] += 1
        elif trace.fate in (Fate.GONE, Fate.NEW):
            false[trace.fate.value] += 1
    reported = [{n.nodule_id for n in scan.nodules if n.reported} for scan in scans]
    later = {pair.same[n]: mark for mark, n in second.items()}
    findable = sum(
        mark in reported[0] or later.get(n) in reported[1] for mark, n in first.items() if n in later
    )
    precision, recall = right / max(right + wrong, 1), right / max(findable, 1)
    print(f"  matches             precision {precision:.3f}, recall {recall:.3f} of {findable} to be found")
    print(f"  fates               {told}; false {false}; grown {change.grown}, shrunken {change.shrunken}")


def report_burden(pair: Simulated, baseline: Observed, change: FollowUp, unnamed: set[int]) -> None:
    """Print count and volume, and their changes; `unnamed` are the baseline's marks on no inserted nodule."""
    volumes = [np.array([np.pi / 6 * n.diameter_mm**3 for n in some]) for some in (pair.before, pair.after)]
    own = [n for n in baseline.nodules if n.reported and n.nodule_id in unnamed]
    each = 1.0 / baseline.recall.at(np.array([n.diameter_mm.value for n in own])) if own else np.zeros(0)
    print(f"  of their own        {len(own)} marks, for {each.sum():.0f} structures, in the baseline")
    both = change.zones[0]
    for name, (before, after), stays, told, found in (
        ("count", [len(some) for some in volumes], each.sum(), both.baseline.count, both.count_change),
        (
            "volume",
            [some.sum() for some in volumes],
            float(each @ np.array([n.volume_mm3 for n in own])) if own else 0.0,
            both.baseline.volume_mm3,
            both.volume_change,
        ),
    ):
        assert found is not None
        print(
            f"  {name:6} at baseline  {told.value:.0f} ({told.low:.0f} to {told.high:.0f}), "
            f"truth {before:.0f} ({before + stays:.0f})"
        )
        value = found.value
        told_so = f"{100 * value.value:+.0f} % ({100 * value.low:+.0f} to {100 * value.high:+.0f})"
        true, shown = after / before - 1, (after + stays) / (before + stays) - 1
        print(
            f"  change of {name:6}    {told_so}, truth {100 * true:+.0f} % ({100 * shown:+.0f} %), "
            f"real: {found.is_real}"
        )
    for zone in change.zones[1:]:
        if zone.count_change is not None and zone.side is not None and zone.zone is not None:
            value = zone.count_change.value
            print(
                f"    {zone.side.value:5} {zone.zone.value:6}      count {100 * value.value:+.0f} % "
                f"({100 * value.low:+.0f} to {100 * value.high:+.0f})"
            )


def main(
    scans: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    scan: Annotated[str, typer.Option(help="Only this one.")] = "",
    zero: Annotated[bool, typer.Option("--zero", help="Pairs without change.")] = False,
    kernels: Annotated[bool, typer.Option("--kernels", help="One acquisition, two kernels.")] = False,
) -> None:
    """Simulate, track, and print."""
    for number, (name, thicker) in enumerate(SCANS.items()):
        if scan and name != scan:
            continue
        volume, _ = load(scans, name, 1)
        if kernels:
            pair = two_kernels(volume, seed=100 + number)
        else:
            pair = simulate(volume, 1 if zero else thicker, seed=100 + number, changes=not zero)
        began = time.perf_counter()
        model_file = model_file_of(name)
        seen = observe(pair.baseline, model_file), observe(pair.follow_up, model_file)
        change = track(*seen)
        slices = f"{slice_mm(pair.baseline):g} and {slice_mm(pair.follow_up):g} mm slices"
        print(f"\n{name}, {slices}{', no change' if zero or kernels else ''}")
        report(pair, seen, change, time.perf_counter() - began)


if __name__ == "__main__":
    typer.run(main)
