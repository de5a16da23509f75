"""A small chest of known content, written as DICOM, and ways to spoil it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset

from imaging.dicom import derive_uid, find_studies
from imaging.dicom.files import Frame, PixelFormat, Reconstruction, Rescale, SeriesFiles, StudyFiles
from imaging.dicom.sources import Source
from imaging.dicom.write import write_series
from records.model import Study, Volume

STUDY = Study(derive_uid("test", "study"), "P1", "Doe^Jane", "2020-01-02", "CT chest")
# Rows are the LPS directions of planes (up), rows (to the back) and columns (to the left).
UPRIGHT = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


FORMAT = PixelFormat("1.2.840.10008.1.2.1", 512, 512, 1, "MONOCHROME2", 16, 16, True, None, 1)
MADE = Reconstruction("1.2.840.10008.5.1.4.1.1.2", ("ORIGINAL", "PRIMARY", "AXIAL"), "STANDARD", 1.25, 1)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frame(z_mm: float, number: int = 0, **changes) -> Frame:
    """Return an image as intake describes it, without a file."""
    values = {
        "source": Source(f"{number}.dcm"),
        "number": 0,
        "sop_instance_uid": f"1.{number}",
        "instance_number": number,
        "position_mm": (-150.0, -150.0, z_mm),
        "orientation": AXIAL,
        "pixel_spacing_mm": (0.7, 0.7),
        "rescale": Rescale(1, -1024, "HU"),
        "reconstruction": MADE,
        "format": FORMAT,
        "pixels_at": 0,
        "pixels_length": None,
    }
    return Frame(**(values | changes))


def chest(
    planes: int = 24,
    *,
    spacing_mm: tuple[float, float, float] = (2.5, 6.0, 6.0),
    size: int = 48,
    axes: np.ndarray = UPRIGHT,
    thickness_mm: float | None = None,
    kernel: str = "STANDARD",
) -> Volume:
    """Return a body of 40 HU in air, two lungs of -850 HU, and noise that is different in every voxel."""
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    hu = np.full((planes, size, size), -1000.0)
    hu[:, (row / 0.7) ** 2 + (column / 0.9) ** 2 < 1] = 40
    for centre in (-0.4, 0.4):
        hu[:, (row / 0.45) ** 2 + ((column - centre) / 0.3) ** 2 < 1] = -850
    hu += np.random.default_rng(planes).normal(0, 15, hu.shape)
    origin_mm = np.array([10.0, -20.0, 30.0])
    return Volume(
        hu=np.maximum(np.rint(hu), -1024).astype(np.int16),
        origin_mm=tuple(origin_mm.tolist()),
        axes=axes,
        spacing_mm=spacing_mm,
        slice_thickness_mm=thickness_mm or spacing_mm[0],
        kernel=kernel,
        series_uid="",
        frame_of_reference_uid="",
        sop_instance_uids=("",) * planes,
    )


def export(folder: Path, volume: Volume | None = None, **options) -> list[Path]:
    """Write a series, the most caudal image first."""
    named = {"study": STUDY, "series_number": 2, "description": "thin"}
    return write_series(volume or chest(), folder, **(named | options))


def edit(paths: Sequence[Path] | Path, change: Callable[[FileDataset], object]) -> None:
    """Change what files say, and write them back."""
    for path in [paths] if isinstance(paths, Path) else paths:
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)


def setting(**values) -> Callable[[FileDataset], None]:
    """Return a change that sets attributes by keyword; None deletes."""

    def change(image: FileDataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(image, keyword)
            else:
                setattr(image, keyword, value)

    return change


def only_study(folder: Path) -> StudyFiles:
    (study,) = find_studies([folder]).studies
    return study


def only_series(folder: Path) -> SeriesFiles:
    (series,) = only_study(folder).series
    return series
