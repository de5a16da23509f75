"""What napari finds: a valid manifest, and a reader of folders."""

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.imaging.dicom.making import chest, export
from tests.viewer.screen import PYDANTIC_1, needs_screen, phantom
from viewer.plugin import get_reader

MANIFEST = Path(__file__).parents[2] / "viewer" / "napari.yaml"


@pytest.mark.filterwarnings(PYDANTIC_1)
def test_the_manifest_is_valid_and_names_what_exists():
    npe2 = pytest.importorskip("npe2")
    pytest.importorskip("napari")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    (point,) = entry_points(group="napari.manifest", name="mipc")
    assert point.value == "viewer:napari.yaml"


def test_a_folder_is_read_in_hounsfield_units_and_millimetres(tmp_path):
    volume = chest()
    export(tmp_path, volume)
    reader = get_reader(str(tmp_path))
    assert reader is not None
    ((data, attributes, kind),) = reader(str(tmp_path))
    assert kind == "image"
    assert (data == volume.hu[::-1]).all()  # the head first
    assert attributes["scale"] == pytest.approx(volume.spacing_mm)


def test_a_folder_without_images_is_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("no images here")
    assert get_reader(str(tmp_path)) is None


@pytest.fixture
def ct(tmp_path):
    """Write a phantom with a target of known place and size."""
    volume = phantom()
    export(tmp_path / "ct", volume)
    return tmp_path / "ct", volume


# As `napari FOLDER` does: the folder goes through npe2 to this plug-in; then its widgets, in each theme.
NAPARI = """
import json, sys
import napari
import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QPushButton

viewer = napari.Viewer(show=True)
(layer,) = viewer.open(sys.argv[1], plugin="mipc")
dock, controls = viewer.window.add_plugin_dock_widget("mipc", "CT windows and slabs")
viewer.window.add_plugin_dock_widget("mipc", "Reading room")
buttons = {button.text(): button for button in controls.findChildren(QPushButton)}
corners = {}
for theme in ("dark", "light"):
    viewer.theme = theme
    for _ in range(10):
        QApplication.processEvents()
    shown = dock.grab().toImage()
    corners[theme] = QColor(shown.pixel(shown.width() - 3, shown.height() - 3)).lightness()
buttons["Mediastinum"].click()
limits = layer.contrast_limits
buttons["MIP 10 mm"].click()
picture = viewer.screenshot(canvas_only=True, flash=False)
print(json.dumps({
    "shape": layer.data.shape, "scale": list(layer.scale), "units": [str(unit) for unit in layer.units],
    "limits": list(limits), "mode": str(layer.projection_mode), "slab": viewer.dims.thickness[0],
    "greys": len(np.unique(picture[..., 0])), "corners": corners,
}))
viewer.close()
"""


@needs_screen
def test_napari_opens_a_folder_and_the_widgets_keep_its_theme(ct):
    pytest.importorskip("napari")
    folder, volume = ct
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NAPARI, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert tuple(found["shape"]) == volume.hu.shape
    assert found["scale"] == pytest.approx(volume.spacing_mm)
    assert found["units"] == ["millimeter"] * 3
    assert found["limits"] == [-160.0, 240.0]
    assert (found["mode"], found["slab"]) == ("max", 10.0)
    assert found["greys"] > 2  # mediastinum: lungs black, chest and target grey
    assert found["corners"]["dark"] < 100 < 150 < found["corners"]["light"]
