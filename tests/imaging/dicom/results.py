"""A small screened study with nodules of known place and size, for tests of what is exported."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from imaging.dicom import StudyFiles, read_volume
from imaging.geometry import points_mm
from imaging.pictures import Pictures, draw
from records.model import Attenuation, Screening, Volume
from tests.imaging.dicom.making import chest, export, only_study
from tests.records import examples

# (plane, row, column) and diameter in mm: between voxels, on one, at the border, smaller than a voxel.
NODULES = (
    ((5.0, 20.0, 30.0), 4.0),
    ((12.4, 33.3, 12.7), 9.0),
    ((23.0, 47.0, 24.2), 3.0),
    ((2.5, 9.1, 9.9), 1.2),
)


def screened(
    folder: Path, *, volume: Volume | None = None, writes=True, nodules=NODULES, **changes
) -> tuple[Screening, StudyFiles, Volume, Pictures]:
    """Write a study, unless it is there, and return it with a screening.

    The screening reports `nodules`, and holds one candidate that it does not report.
    """
    if writes:
        export(folder, volume or chest(24, spacing_mm=(1.25, 0.8, 0.8)))
    study = only_study(folder)
    (series,) = study.series
    read = read_volume(series)
    places = points_mm(read, np.array([place for place, _ in nodules]).reshape(-1, 3))
    found = [
        replace(
            examples.nodule(number, tuple(map(float, place)), diameter_mm),
            attenuation=list(Attenuation)[number % 4],
        )
        for number, (place, (_, diameter_mm)) in enumerate(zip(places, nodules, strict=True), start=1)
    ]
    found.append(
        examples.nodule(99, tuple(map(float, points_mm(read, np.array([[8.0, 8, 8]]))[0])), 3, False)
    )
    screening = replace(
        examples.miliary_screening(),
        study=study.study,
        series=series.description,
        nodules=tuple(found),
        **changes,
    )
    lungs = np.ones(read.hu.shape, np.uint8)
    return screening, study, read, draw(read, lungs, found)
