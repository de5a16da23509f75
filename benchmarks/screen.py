"""How long one study takes, whole command, beside SimpleITK only reading the same series.

    python -m benchmarks.screen SCAN_FOLDER [--repeats 3] [--slices 600]

The series is first written as a plain uncompressed copy, with `--slices` interpolated to so many.
Start-up counts on both sides: each run is a new process.
Memory is the sum over the process tree, looked at every 20 ms.
"""

import copy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

SIMPLEITK = """
import sys, SimpleITK as sitk
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
reader.Execute()
"""


def plain_copy(source: Path, target: Path) -> int:
    """Write the DICOM files of a folder uncompressed; return how many there are."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    count = 0
    for file in sorted(source.rglob("*")):
        if not file.is_file() or not pydicom.misc.is_dicom(file):
            continue
        image = pydicom.dcmread(file)
        if image.file_meta.TransferSyntaxUID.is_compressed:
            image.decompress()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(target / f"{count:04}.dcm", enforce_file_format=True)
        count += 1
    return count


def interpolate(folder: Path, slices: int) -> None:
    """Replace the axial slices in a folder by as many as wanted, between the first and the last of them."""
    import pydicom
    from pydicom.uid import generate_uid

    files = sorted(folder.iterdir())
    images = sorted((pydicom.dcmread(file) for file in files), key=lambda i: float(i.ImagePositionPatient[2]))
    stored = np.stack([image.pixel_array for image in images])
    for file in files:
        file.unlink()
    step = (len(images) - 1) / (slices - 1)
    for n in range(slices):
        before = min(int(n * step), len(images) - 2)
        share = n * step - before
        image, after = copy.deepcopy(images[before]), images[before + 1]
        mixed = (1 - share) * stored[before] + share * stored[before + 1]
        image.PixelData = np.rint(mixed).astype(stored.dtype).tobytes()
        x, y, z = (float(v) for v in image.ImagePositionPatient)
        image.ImagePositionPatient = [x, y, round(z + share * (float(after.ImagePositionPatient[2]) - z), 4)]
        image.SliceThickness = round(step * float(image.SliceThickness), 4)
        image.InstanceNumber = n + 1
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(folder / f"{n:04}.dcm", enforce_file_format=True)


def tree_rss_bytes(pid: int) -> int:
    """Return the resident memory of a process and all below it."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * 4096
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in GiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_rss_bytes(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with status {process.returncode}")
    return seconds, peak / 2**30


def main(
    scan: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    slices: Annotated[int | None, typer.Option(min=2, help="Interpolate to so many.")] = None,
) -> None:
    """Print seconds and memory of one screening, and the ratio to SimpleITK's reading."""
    mipc = Path(sys.executable).with_name("mipc")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain"
        plain.mkdir()
        count = plain_copy(scan, plain)
        if slices:
            interpolate(plain, slices)
        print(f"{scan.name}: {slices or count} uncompressed files")
        ours, theirs = [], []
        for run in range(repeats + 1):  # the first fills the caches and is not counted
            out = Path(scratch) / "out"
            shutil.rmtree(out, ignore_errors=True)
            mine = measured([str(mipc), "screen", str(plain), "--out", str(out)])
            peer = measured([sys.executable, "-c", SIMPLEITK, str(plain)])
            if run:
                ours.append(mine)
                theirs.append(peer)
        seconds, peak = (statistics.median(column) for column in zip(*ours, strict=True))
        peer_seconds, peer_peak = (statistics.median(column) for column in zip(*theirs, strict=True))
        print(f"mipc screen     {seconds:6.2f} s  {peak:5.2f} GiB")
        print(f"SimpleITK read  {peer_seconds:6.2f} s  {peer_peak:5.2f} GiB")
        print(f"ratio           {seconds / peer_seconds:6.1f}")


if __name__ == "__main__":
    typer.run(main)
