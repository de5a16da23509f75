"""How nodules are found and sized that are not solid: of ground glass, and calcified.

    python -m benchmarks.densities ../shared/ct [--replicates 1]

150 nodules of 1.5 to 6 mm are put into each of two thin scans and two of 2.5 mm slices, at the same places
for each range of attenuation, solid ones among them, and screened as `benchmarks.froc` does. Of ground glass
and of scars nobody has set a target; what is asked is that they are not sized as if they were solid. Told are
those that add to the picture (`imaging.insertion.shares_new`): a faint nodule at a vessel can't be seen.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from benchmarks.froc import THIN_MM, Draw, Scan, inserted, load, matched, model_file_of, sensitivity, sizing
from benchmarks.unread import unread_places
from imaging.classifier import load_model
from imaging.screen import find_nodules, slice_mm
from imaging.training.hits import own_marks

SCANS = ("lidc_0004", "ricord_000082", "lidc_0001", "lidc_0003")  # two thin ones, two thick ones
RANGES_HU = {
    "faint ground glass": (-650.0, -450.0),
    "ground glass": (-450.0, -150.0),
    "solid": (-150.0, 60.0),
    "dense": (60.0, 200.0),
    "partly calcified": (200.0, 500.0),
    "calcified": (500.0, 1200.0),
}
SEED = 40_000
NAMED_MM = 3.0  # smaller ones are too few voxels to be called anything
LIKELY = 0.1  # marks whose sizes and names are told, as in `benchmarks.froc`


def report(scans: Sequence[Scan], named: Counter[str]) -> str:
    """Return what became of the nodules of one range of attenuation."""
    new = [replace(scan, rows=tuple(row for row in scan.rows if row.mostly_new)) for scan in scans]
    found = [f"{low}-{high} mm at 4 {sensitivity(new, low, high, 4)}" for low, high in ((2, 3), (3, 5))]
    sizes = [f"{low}-{high} mm: {sizing(new, low, high)}" for low, high in ((2, 3), (3, 5), (5, 6))]
    told = ", ".join(f"{count} {name}" for name, count in named.most_common())
    return "\n    ".join(["; ".join(found), *sizes, f"of {NAMED_MM:g} mm and more called {told}"])


def main(
    scans: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    replicates: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Insert, screen, and print a table for thin and for thick slices."""
    made: dict[tuple[bool, str], list[Scan]] = {}
    named: dict[tuple[bool, str], Counter[str]] = {}
    for name in track(SCANS, "scans"):
        volume, marks = load(scans, name, 1)
        model = load_model(model_file_of(name))
        lungs, is_thin = find_nodules(volume, model).lungs, slice_mm(volume) <= THIN_MM
        for kind, hu in RANGES_HU.items():
            for replicate in range(replicates):
                draw = Draw(150, (1.5, 6.0), SEED + replicate, hu=hu)
                ill, truth, new = inserted(volume, lungs, draw)
                found = find_nodules(ill, model).nodules
                scan = matched(volume, lungs, truth, new, found, marks, unread_places(name))
                made.setdefault((is_thin, kind), []).append(scan)
                count = named.setdefault((is_thin, kind), Counter())
                for nodule, row, mark in zip(truth, scan.rows, own_marks(truth, found), strict=True):
                    if nodule.diameter_mm >= NAMED_MM and row.mostly_new and row.probability > LIKELY:
                        count[found[mark].attenuation.value] += 1
    for (is_thin, kind), some in made.items():
        low, high = RANGES_HU[kind]
        slices = "slices up to 1.25 mm" if is_thin else "2.5 mm slices"
        print(f"{slices}, {kind} ({low:.0f} to {high:.0f} HU)\n    {report(some, named[is_thin, kind])}")


if __name__ == "__main__":
    typer.run(main)
