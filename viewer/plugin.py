"""What napari finds through `napari.yaml`: `napari FOLDER` opens a CT as it is hung, in Hounsfield units."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from viewer.layers import WINDOWS, display

__all__ = ["get_reader", "open_pack"]

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader of CT folders, files and archives, or None if no image is there."""
    from imaging.dicom import find_studies

    return read_ct if find_studies(_paths(path)).studies else None


def read_ct(path: str | Sequence[str]) -> list[LayerData]:
    """Read the series that would be screened, of each study.

    Returns
    -------
    list of (data, attributes, "image")
        Planes from the head down; the scale is the distance between voxels in mm.

    Raises
    ------
    ScreeningError
        If a study holds no series that can be read.
    """
    from imaging.dicom import choose_series, find_studies, read_volume

    layers: list[LayerData] = []
    for study in find_studies(_paths(path)).studies:
        series = choose_series(study).series
        shown = display(read_volume(series))
        attributes = {
            "name": series.description_text or "CT",
            "scale": shown.spacing_mm,
            "units": ("mm", "mm", "mm"),
            "contrast_limits": WINDOWS["lung"].limits_hu,
            "colormap": "gray",
            "metadata": {"origin_mm": shown.origin_mm, "axes": shown.axes},
        }
        layers.append((shown.hu, attributes, "image"))
    return layers


def open_pack(pack: Path) -> None:
    """Open the reading room on a pack, in a window of its own."""
    from viewer.window.room import Room

    _rooms.append(Room(pack))


_rooms: list[object] = []  # a window without an owner is closed at once


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
