"""What napari finds: a valid manifest, and a reader of folders."""

import importlib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.imaging.dicom.making import chest, export
from tests.viewer.screen import PYDANTIC_1
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
