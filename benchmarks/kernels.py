"""How micronodules are found, sized and counted with sharp, noisy kernels and at low dose.

    python -m benchmarks.kernels ../shared/ct [--scan lidc_0004] [--kernel "sharp, 50 HU"]

A scan of a soft-tissue kernel, with nodules or without, is shown as another kernel would: sharpened by
unsharp masking, whose edges overshoot as those of lung kernels do (B60 to B70), or blurred; then noise is
added that has the spectrum of filtered back-projection, a ramp cut by the kernel (`imaging.phantom.scanner`).
Nodules are inserted before that, at places drawn in the scan as it is: all kernels show the same ones.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.froc import Draw, Scan, inserted, load, matched, model_file_of, sensitivity, sizing
from benchmarks.unread import unread_places
from imaging.classifier import Model, load_model
from imaging.protocol import load_protocol
from imaging.resolution import voxel_noise_hu
from imaging.screen import Findings, find_nodules, slice_mm
from imaging.training.rescanning import add_dose_noise, blurred, sharpened
from imaging.verdict import judge
from records.errors import ScreeningError
from records.model import Volume

SCANS = ("lidc_0004", "ricord_000082")
SEED = 30_000
FEW = Draw(150, (1.5, 6.0), SEED)
MANY = Draw(400, (1.5, 5.0), SEED + 1, 5.0)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A reconstruction, as it differs from that of a soft-tissue kernel at usual dose."""

    name: str
    sharpening: float  # share of the detail that is added once more
    detail_mm: float  # what is finer is detail
    blur_mm: float  # in the plane, besides
    grain_mm: float  # the kernel's blur as noise is cut by it
    noise_hu: float  # of a voxel

    def rescan(self, volume: Volume, seed: int) -> Volume:
        """Return a scan as this kernel would show it."""
        if self.noise_hu == 0:
            return volume
        pixel_mm = volume.spacing_mm[1]
        shown = sharpened(volume.hu.astype(np.float32), self.sharpening, self.detail_mm, pixel_mm)
        if self.blur_mm:
            shown = blurred(shown, self.blur_mm, pixel_mm)
        there_hu = voxel_noise_hu(shown[len(shown) // 4 : -len(shown) // 4 : 8])
        added_hu = float(np.sqrt(max(self.noise_hu**2 - there_hu**2, 0.0)))
        add_dose_noise(shown, added_hu, self.grain_mm, pixel_mm, np.random.default_rng(seed))
        return replace(volume, hu=np.clip(np.rint(shown), -1024, 3071).astype(np.int16))


KERNELS = (
    Kernel("as it is", 0.0, 0.7, 0.0, 0.5, 0.0),
    Kernel("sharp, 50 HU", 1.5, 0.7, 0.0, 0.33, 50.0),
    Kernel("sharp, 70 HU", 1.5, 0.7, 0.0, 0.33, 70.0),
    Kernel("sharp, 90 HU", 1.5, 0.7, 0.0, 0.33, 90.0),
    Kernel("low dose, 40 HU", 0.0, 0.7, 0.4, 0.65, 40.0),
    Kernel("low dose, 60 HU", 0.0, 0.7, 0.4, 0.65, 60.0),
)


def row(scan: Scan, plain: Findings, crowd: Findings, slices_mm: float, seconds: float) -> str:
    """Return what a kernel's rows of the table say after its name."""
    found = [sensitivity([scan], low, 5, marks)[:5] for low in (2, 3) for marks in (4, 8)]
    reported = sum(nodule.reported for nodule in plain.nodules)
    lungs_ml = plain.summary.right_ml + plain.summary.left_ml
    parts = ["  ".join(found), f"{reported:3d}", f"{lungs_ml:5.0f} ml", f"{plain.summary.noise_hu:4.1f} HU"]
    for findings in (plain, crowd):
        count, noise_hu = findings.pattern.nodule_count, findings.summary.noise_hu
        verdict = judge(findings.pattern, load_protocol(), slices_mm, noise_hu)
        parts.append(f"{count.value:4.0f} [{count.low:.0f}, {count.high:.0f}] {verdict.label.value}")
    sizes = [f"{'':18}{low}-{high} mm: {sizing([scan], low, high)}" for low, high in ((2, 3), (3, 5))]
    return "\n".join(["   ".join([*parts, f"{seconds:.1f} s"]), *sizes])


def measure(
    volume: Volume, name: str, marks: NDArray[np.float64], model: Model, kernels: Sequence[Kernel]
) -> None:
    """Screen a scan as each kernel shows it, with nodules and without, and print its rows."""
    lungs = find_nodules(volume, model).lungs
    ill, truth, new = inserted(volume, lungs, FEW)
    crowded, _, _ = inserted(volume, lungs, MANY)
    for kernel in kernels:
        try:
            plain = find_nodules(kernel.rescan(volume, SEED), model)
            crowd = find_nodules(kernel.rescan(crowded, SEED + 2), model)
            again = kernel.rescan(ill, SEED + 1)
            began = time.perf_counter()
            found = find_nodules(again, model).nodules
            seconds = time.perf_counter() - began
        except ScreeningError as error:
            print(f"{kernel.name:16}  {error.sentence}", flush=True)
            continue
        scan = matched(volume, lungs, truth, new, found, marks, unread_places(name))
        print(f"{kernel.name:16}  {row(scan, plain, crowd, slice_mm(volume), seconds)}", flush=True)


def main(
    scans: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    scan: Annotated[list[str] | None, typer.Option(help="Folder; two if left out.")] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="By name; all if left out.")] = None,
) -> None:
    """Rescan, screen, and print the tables."""
    chosen = [one for one in KERNELS if not kernel or one.name in kernel]
    for name in scan or SCANS:
        volume, marks = load(scans, name, 1)
        print(f"\n{name}: 2-5 mm at 4 and 8 false marks, 3-5 mm at 4 and 8; reported in the clean scan;")
        print(f"lungs; noise at the finest band; count and verdict of none and of {MANY.count}; seconds")
        measure(volume, name, marks, load_model(model_file_of(name)), chosen)


if __name__ == "__main__":
    typer.run(main)
