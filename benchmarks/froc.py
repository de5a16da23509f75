"""How many micronodules are found, at how many false marks, and how well they are sized.

    python -m benchmarks.froc ../shared/ct [--replicates 2] [--montage] [--lobed --no-dense] [--out out/froc]

Solid nodules of -150 to +60 HU are put at random sites of real lungs by the physical model of
`imaging.insertion`, and screened through the code path of `mipc screen`. Lungs that the shipped model
learnt from are judged by the fold model that never saw that patient (`benchmarks/folds`, written by the same
training run); lungs nobody learnt from are judged by the shipped model. Thick slices are averages of thin
ones, or scans that are thick. False marks within reach of a reader's mark are not counted either way.
There are two thin scans and five thick ones: each thin one is drawn for three times as often, so that chance
is alike. Disease is simulated: see docs/model.md.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from benchmarks.reading import OUTLINED, SMALLER, readers_nodules
from benchmarks.unread import unread_places
from imaging import dicom
from imaging.candidates import Candidates, build_scale_space
from imaging.classifier import MODEL_FILE, Model, load_model
from imaging.features import FEATURE_NAMES, describe_quickly
from imaging.geometry import index_of
from imaging.insertion import (
    MOSTLY_NEW,
    InsertedNodule,
    ScannerBlur,
    draw_sites,
    images_of,
    insert_nodules,
    lobed_nodule,
    random_direction,
    shares_new,
)
from imaging.lungs import Lungs
from imaging.resolution import noise_of
from imaging.screen import find_nodules, slice_mm
from imaging.training.calibrate import OPERATING_PROBABILITY
from imaging.training.examples import read_marks, thicken
from imaging.training.hits import READ_MM, are_false, near_read, own_marks
from records.model import Nodule, Volume

FOLDS = Path(__file__).parent / "folds"
KINDS = (("lidc_0001", 1), ("lidc_0003", 1), ("lidc_0004", 1), ("lidc_0004", 2), ("lidc_0006", 1))
KINDS += (("ricord_000082", 1), ("ricord_000082", 2))
THIN_MM = 1.3
VESSEL_HU = -500
SHEET, SHEET_HU = 0.25, 25.0  # second over first curvature; curvature of a fissure with its blur
FAINT_HU = -45.0  # the darker half of what is inserted
SEED = 20_000
THIN_TIMES = 3  # draws of a thin scan for each of a thick one
DENSE = (400, 800, 1200)
LARGE_BANDS_MM = ((6, 8), (8, 10), (10, 12), (12, 16), (16, 30))
LARGE_FALSE_MM = 8.0
AGREED = 2  # of four readers


@dataclass(frozen=True, slots=True)
class Draw:
    """Which nodules are put into a scan."""

    count: int
    diameter_mm: tuple[float, float]
    seed: int
    apart_mm: float = 9.0
    by_ratio: bool = False  # as many of 6 to 12 mm as of 12 to 24
    lobed: bool = False
    hu: tuple[float, float] = (-150.0, 60.0)  # solid

    def diameter(self, rng: np.random.Generator) -> float:
        """Return one diameter, mm."""
        if self.by_ratio:
            return float(np.exp(rng.uniform(*np.log(self.diameter_mm))))
        return float(rng.uniform(*self.diameter_mm))


LARGE = Draw(30, (6.0, 30.0), SEED + 98, 42.0, by_ratio=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One inserted nodule and what became of it."""

    scan: str
    thin: bool
    diameter_mm: float
    hu: float
    site: str
    contrast: str
    mostly_new: bool  # see `imaging.insertion.shares_new`
    probability: float  # of the most probable mark on it, 0 if none
    measured_mm: float  # NaN if none
    low_mm: float
    high_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One screened scan."""

    rows: tuple[Row, ...]
    false: NDArray[np.float64]  # probabilities of false marks
    false_read: NDArray[np.float64]  # without those of `benchmarks.unread`
    thin: bool
    reported_true: int
    reported_false: int
    large_false: int  # reported, of `LARGE_FALSE_MM` and more


def load(scans: Path, name: str, slices: int) -> tuple[Volume, NDArray[np.float64]]:
    """Return a scan and its readers' marks, (M, 4)."""
    study = dicom.find_studies([scans / name]).studies[0]
    volume = dicom.read_volume(dicom.choose_series(study).series)
    marks = read_marks(scans / "lidc_marks.csv", patient_of(name))
    return thicken(volume, slices) if slices > 1 else volume, marks


def patient_of(name: str) -> str:
    """Return who a scan of LIDC-IDRI is of, by its folder's name."""
    return "LIDC-IDRI-" + name[-4:]


def at_fissures(volume: Volume, lungs: Lungs, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which places of the lungs without disease lie within 2 mm of a thin, faint sheet."""
    space = build_scale_space(volume, lungs)
    noise_hu = noise_of(space.levels[0] - space.levels[1], space.inside)
    sheets = np.zeros(len(places), bool)
    for shift_mm in (*np.eye(3) * 2.0, *np.eye(3) * -2.0, np.zeros(3)):
        index = places + shift_mm / np.asarray(volume.spacing_mm) - space.start
        none = np.zeros(len(places))
        quick = describe_quickly(space, Candidates(index, none.astype(int) + 1, none), noise_hu)
        column = {name: quick[:, n] for n, name in enumerate(FEATURE_NAMES[: quick.shape[1]])}
        bend_hu = column["hessian_0.9mm_strength"] * np.exp(column["log_contrast"])
        sheet = (np.abs(column["hessian_0.9mm_second"]) < SHEET) & (bend_hu > SHEET_HU)
        sheets |= sheet & (column["peak_hu"] < VESSEL_HU)
    return sheets


def site_of(
    volume: Volume, lungs: Lungs, index: NDArray[np.float64], radius_mm: float, at_fissure: bool
) -> str:
    """Say what a place in the lungs without disease lies at: pleura, vessel, fissure, or nothing."""
    if lungs.sample(lungs.depth_mm, index[None])[0] < radius_mm + 1.5:
        return "pleura"
    reach = np.ceil((radius_mm + 1.0) / np.asarray(volume.spacing_mm)).astype(int)
    centre = np.rint(index).astype(int)
    window = tuple(slice(max(c - r, 0), c + r + 1) for c, r in zip(centre, reach, strict=True))
    if volume.hu[window].max() > VESSEL_HU:
        return "vessel"
    return "fissure" if at_fissure else "isolated"


def model_file_of(name: str) -> Path:
    """Return the model that never saw a scan."""
    fold = FOLDS / f"{name}.npz"
    return fold if fold.exists() else MODEL_FILE


def voxel_noise_hu(volume: Volume, lungs: Lungs) -> float:
    """Return the noise of single voxels in the lungs, by how far they are off the mean of 3 by 3."""
    grain = volume.hu[::4].astype(np.float32)
    grain -= ndimage.uniform_filter(grain, (0, 3, 3))
    return 1.48 * float(np.median(np.abs(grain[lungs.labels[::4] > 0])))


def inserted(
    volume: Volume, lungs: Lungs, draw: Draw
) -> tuple[Volume, list[InsertedNodule], NDArray[np.float64]]:
    """Insert nodules at random sites of the lungs; return the scan, the nodules, and what of each is new."""
    rng = np.random.default_rng(draw.seed)
    sites = draw_sites(volume, lungs.labels > 0, draw.count, apart_mm=draw.apart_mm, rng=rng)
    truth = []
    for x, y, z in sites.tolist():
        direction = random_direction(rng)
        diameter_mm, hu = draw.diameter(rng), float(rng.uniform(*draw.hu))
        if draw.lobed:
            truth.append(lobed_nodule((x, y, z), diameter_mm, hu, rng))
        else:
            truth.append(InsertedNodule((x, y, z), diameter_mm, hu, rng.uniform(1.0, 1.2), direction))
    blur = ScannerBlur(0.55, slice_mm(volume))
    noise_hu = voxel_noise_hu(volume, lungs)
    images = images_of(volume, truth, blur)
    hu = insert_nodules(volume, truth, blur, noise_hu=noise_hu, rng=rng, images=images)
    return replace(volume, hu=hu), truth, shares_new(volume, truth, images, lungs.labels > 0)


def screened(
    volume: Volume,
    lungs: Lungs,
    marks: NDArray[np.float64],
    model: Model,
    draw: Draw,
    unread: NDArray[np.float64],
) -> tuple[Scan, Volume, tuple[Nodule, ...]]:
    """Insert nodules, screen, and match marks to nodules."""
    ill, truth, new = inserted(volume, lungs, draw)
    found = find_nodules(ill, model).nodules
    return matched(volume, lungs, truth, new, found, marks, unread), ill, found


def matched(
    volume: Volume,
    lungs: Lungs,
    truth: list[InsertedNodule],
    new: NDArray[np.float64],
    found: tuple[Nodule, ...],
    marks: NDArray[np.float64],
    unread: NDArray[np.float64],
) -> Scan:
    """Match marks to inserted nodules."""
    thin = slice_mm(volume) <= THIN_MM
    own, is_false = own_marks(truth, found), are_false(truth, found, marks)
    places = index_of(volume, np.array([t.centre_mm for t in truth]))
    fissures = at_fissures(volume, lungs, places)
    rows = []
    told = zip(truth, own, places, fissures.tolist(), (new >= MOSTLY_NEW).tolist(), strict=True)
    for nodule, mark, place, at_fissure, mostly_new in told:
        rows.append(
            Row(
                volume.series_uid,
                thin,
                nodule.diameter_mm,
                nodule.hu,
                site_of(volume, lungs, place, nodule.diameter_mm / 2, at_fissure),
                "faint" if nodule.hu < FAINT_HU else "bright",
                mostly_new,
                *_told(found, mark),
            )
        )
    diameter_mm = np.array([n.diameter_mm.value for n in found])
    false = is_false & (diameter_mm < 10)
    probability = np.array([n.probability for n in found])
    reported = np.array([n.reported for n in found], bool)
    hits = np.isin(np.arange(len(found)), own)
    return Scan(
        tuple(rows),
        np.sort(probability[false])[::-1],
        np.sort(probability[false & ~near_read(found, unread)])[::-1],
        thin,
        int((hits & reported).sum()),
        int((false & reported).sum()),
        int((is_false & reported & (diameter_mm >= LARGE_FALSE_MM)).sum()),
    )


def _told(found: tuple[Nodule, ...], mark: int) -> tuple[float, float, float, float]:
    """Return probability and diameter with its interval, mm, of a mark, or what stands for none (-1)."""
    if mark < 0:
        return 0.0, np.nan, np.nan, np.nan
    size = found[mark].diameter_mm
    return found[mark].probability, size.value, size.low, size.high


def as_read(
    volume: Volume,
    found: tuple[Nodule, ...],
    nodules: list[tuple[InsertedNodule, str, int]],
    marks: NDArray[np.float64],
) -> Scan:
    """Match the marks in a scan as it is to what readers marked in it: where none of them counts as false."""
    own = own_marks([replace(one, diameter_mm=one.diameter_mm + 2 * READ_MM) for one, _, _ in nodules], found)
    rows = []
    for (nodule, kind, readers), mark in zip(nodules, own, strict=True):
        rows.append(
            Row(
                volume.series_uid,
                slice_mm(volume) <= THIN_MM,
                nodule.diameter_mm,
                np.nan,
                kind,
                "agreed" if readers >= AGREED else "alone",
                True,
                *_told(found, mark),
            )
        )
    false = np.sort(
        [n.probability for n, is_one in zip(found, are_false([], found, marks), strict=True) if is_one]
    )
    none = np.zeros(0)
    return Scan(tuple(rows), false[::-1], none, slice_mm(volume) <= THIN_MM, 0, 0, 0)


def report_read(name: str, scans: list[Scan]) -> None:
    """Print what is found of the nodules that readers marked, in the scans as they are."""
    print(f"\n{name}, as they are: {len(scans)} scans with readers' marks")
    for kind in (OUTLINED, SMALLER):
        for agreed in ("agreed", "alone"):
            who = f"{AGREED} readers or more" if agreed == "agreed" else "fewer readers"
            for marks in (4, 8):
                share = sensitivity(scans, 0, 99, marks, site=kind, contrast=agreed)
                print(f"  {kind}, {who}, at {marks} false marks   {share}")


def sensitivity(scans: list[Scan], low: float, high: float, false_marks: float, **where: object) -> str:
    """Return the share found at so many false marks a scan, with its bootstrap interval over nodules."""
    false = np.sort(np.concatenate([s.false for s in scans]))[::-1]
    place = int(false_marks * len(scans))
    threshold = false[place] if place < len(false) else 0.0
    chosen = [r for s in scans for r in s.rows if low <= r.diameter_mm < high]
    chosen = [r for r in chosen if all(getattr(r, key) == value for key, value in where.items())]
    if not chosen:
        return "   -"
    hits = np.array([r.probability > threshold for r in chosen])
    rng = np.random.default_rng(0)
    again = [hits[rng.integers(len(hits), size=len(hits))].mean() for _ in range(1000)]
    low_end, high_end = np.quantile(again, (0.05, 0.95))
    return f"{hits.mean():.3f} [{low_end:.3f}, {high_end:.3f}] n={len(hits)}"


def _without_unread(scans: list[Scan]) -> list[Scan]:
    return [replace(scan, false=scan.false_read) for scan in scans]


def sizing(scans: list[Scan], low: float, high: float) -> str:
    """Return error, bias and coverage of diameters."""
    rows = [r for s in scans for r in s.rows if low <= r.diameter_mm < high and r.probability > 0.1]
    if not rows:
        return "-"
    error = np.array([r.measured_mm - r.diameter_mm for r in rows])
    held = np.mean([r.low_mm <= r.diameter_mm <= r.high_mm for r in rows])
    size = f"mean absolute {np.abs(error).mean():.2f} mm, bias {error.mean():+.2f} mm"
    return f"{size}, 90 % interval holds {held:.2f}"


def large(scans: list[Scan]) -> None:
    """Print what became of large nodules that add to the picture."""
    for low, high in LARGE_BANDS_MM:
        rows = [r for s in scans for r in s.rows if low <= r.diameter_mm < high and r.mostly_new]
        found = [r for r in rows if r.probability >= OPERATING_PROBABILITY]
        error = np.array([r.measured_mm - r.diameter_mm for r in found])
        size = f", error {np.abs(error).mean():.2f} mm, bias {error.mean():+.2f} mm" if found else ""
        print(f"  large, {low}-{high} mm            reported {len(found)} of {len(rows)}{size}")
    marks = np.mean([s.large_false for s in scans])
    print(f"  large, false marks of {LARGE_FALSE_MM:g} mm and more {marks:.1f} a scan")


def report(name: str, scans: list[Scan], dense: list[tuple[int, Scan]], with_large: list[Scan]) -> None:
    """Print the tables of one slice thickness."""
    print(f"\n{name}: {len(scans)} scans")
    for low, high, marks in ((2, 5, 4), (3, 5, 4), (3, 5, 8), (2, 3, 8), (1.5, 2, 8), (2, 5, 1), (2, 5, 8)):
        found = sensitivity(scans, low, high, marks)
        print(f"  {low:g}-{high:g} mm at {marks} false marks   {found}")
    for site in ("isolated", "vessel", "pleura", "fissure"):
        print(f"  2-5 mm at 4, {site:9}      {sensitivity(scans, 2, 5, 4, site=site)}")
    for contrast in ("faint", "bright"):
        print(f"  2-5 mm at 4, {contrast:9}      {sensitivity(scans, 2, 5, 4, contrast=contrast)}")
    for low, high, marks in ((2, 5, 4), (3, 5, 4), (3, 5, 8)):
        visible = sensitivity(scans, low, high, marks, mostly_new=True)
        hidden = sensitivity(scans, low, high, marks, mostly_new=False)
        print(f"  {low}-{high} mm at {marks}, mostly new     {visible}; mostly there before {hidden}")
    print(f"  2-5 mm at 4, unread dots aside {sensitivity(_without_unread(scans), 2, 5, 4)}")
    both = sensitivity(_without_unread(scans), 2, 5, 4, mostly_new=True)
    print(f"  2-5 mm at 4, both              {both}")
    for low, high in ((2, 3), (3, 5), (5, 6)):
        print(f"  diameter {low}-{high} mm           {sizing(scans, low, high)}")
    for count, scan in dense:
        recall = scan.reported_true / len(scan.rows)
        precision = scan.reported_true / max(scan.reported_true + scan.reported_false, 1)
        print(f"  {count} nodules of 1.5-5 mm     recall {recall:.2f}, precision {precision:.2f}")
    if with_large:
        large(with_large)


def plot(groups: dict[str, list[Scan]], file: Path) -> None:
    """Draw sensitivity for 2-5 mm over false marks a scan."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for name, scans in groups.items():
        false = np.sort(np.concatenate([s.false for s in scans]))[::-1]
        hits = np.array([r.probability for s in scans for r in s.rows if 2 <= r.diameter_mm < 5])
        axes.plot(
            (np.arange(len(false)) + 1) / len(scans), [float((hits > t).mean()) for t in false], label=name
        )
    axes.set(
        xscale="log", xlim=(0.25, 64), ylim=(0, 1), xlabel="false marks a scan", ylabel="sensitivity, 2-5 mm"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=130)


def montage(volume: Volume, found: tuple[Nodule, ...], scan: Scan, file: Path) -> None:
    """Draw the most probable false marks, axial and coronal, 20 mm wide."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    wrong = [n for n in found if n.probability in set(scan.false[:24].tolist())][:24]
    figure, axes = plt.subplots(6, 8, figsize=(12, 9.4), layout="constrained")
    for place, nodule in zip(axes.reshape(-1, 2), wrong, strict=False):
        p, r, c = np.rint(index_of(volume, np.array([nodule.centre_mm]))[0]).astype(int)
        across, up = round(10 / volume.spacing_mm[2]), round(10 / volume.spacing_mm[0])
        axial = volume.hu[p, max(r - across, 0) : r + across, max(c - across, 0) : c + across]
        coronal = volume.hu[max(p - up, 0) : p + up, r, max(c - across, 0) : c + across][::-1]
        place[0].imshow(axial, cmap="gray", vmin=-1200, vmax=200)
        place[1].imshow(
            coronal, cmap="gray", vmin=-1200, vmax=200, aspect=volume.spacing_mm[0] / volume.spacing_mm[2]
        )
        place[0].set_title(f"{nodule.probability:.2f}, {nodule.diameter_mm.value:.1f} mm", fontsize=7)
    for place in axes.flat:
        place.axis("off")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main(
    scans: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Where plot and montages go.")] = Path("out/froc"),
    replicates: Annotated[
        int, typer.Option(min=1, help=f"Draws of a thick scan; of a thin one {THIN_TIMES} times as many.")
    ] = 2,
    montages: Annotated[bool, typer.Option("--montage", help="Draw the false marks.")] = False,
    dense: Annotated[bool, typer.Option(help="Also 400 to 1,200 nodules, and large ones.")] = True,
    lobed: Annotated[bool, typer.Option(help="Nodules of two to four lobes.")] = False,
) -> None:
    """Insert, screen, and print the tables."""
    out.mkdir(parents=True, exist_ok=True)
    sparse: dict[str, list[Scan]] = {"slices up to 1.25 mm": [], "2.5 mm slices": []}
    crowded: dict[str, list[tuple[int, Scan]]] = {"slices up to 1.25 mm": [], "2.5 mm slices": []}
    masses: dict[str, list[Scan]] = {"slices up to 1.25 mm": [], "2.5 mm slices": []}
    read: dict[str, list[Scan]] = {"slices up to 1.25 mm": [], "2.5 mm slices": []}
    for name, slices in track(KINDS, "scans"):
        volume, marks = load(scans, name, slices)
        unread = unread_places(name)
        model = load_model(model_file_of(name))
        clean = find_nodules(volume, model)
        lungs = clean.lungs
        is_thin = slice_mm(volume) <= THIN_MM
        key = "slices up to 1.25 mm" if is_thin else "2.5 mm slices"
        if nodules := readers_nodules(scans / "lidc_marks.csv", patient_of(name)):
            read[key].append(as_read(volume, clean.nodules, nodules, marks))
        for replicate in range(THIN_TIMES * replicates if is_thin else replicates):
            draw = Draw(150, (1.5, 6.0), SEED + replicate, lobed=lobed)
            scan, ill, found = screened(volume, lungs, marks, model, draw, unread)
            sparse[key].append(scan)
            if montages and replicate == 0:
                montage(ill, found, scan, out / f"false_marks_{name}_{slices}.png")
        for count in DENSE if dense and name in ("lidc_0004", "lidc_0001") and slices == 1 else ():
            crowd = Draw(count, (1.5, 5.0), SEED + 99, 5.0)
            made, _, _ = screened(volume, lungs, marks, model, crowd, unread)
            crowded[key].append((count, made))
        if dense and slices == 1:
            made, _, _ = screened(volume, lungs, marks, model, LARGE, unread)
            masses[key].append(made)
    for name, group in sparse.items():
        report(name, group, crowded[name], masses[name])
        report_read(name, read[name])
    plot(sparse, out / "froc.png")
    print(f"\nplot: {out / 'froc.png'}")


if __name__ == "__main__":
    typer.run(main)
