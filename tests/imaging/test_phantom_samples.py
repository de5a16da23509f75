"""The studies of sample_dicoms: size, headers, truth, and that the generator still writes these bytes."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.phantom import NoduleSpec, draw_patient, scan
from imaging.phantom.__main__ import main
from imaging.phantom.samples import SAMPLES, THIN, Sample, write_localizer, write_samples

FOLDER = Path(__file__).parents[2] / "sample_dicoms"
TINY = Sample(
    "tiny",
    "SAMPLE-99",
    "2024-01-02",
    3,
    replace(THIN, spacing_mm=(10.0, 4.0, 4.0), matrix=80, nodules=NoduleSpec(5)),
    extra=(replace(THIN, spacing_mm=(20.0, 4.0, 4.0), matrix=80),),
)


def truth() -> list[dict[str, str]]:
    with (FOLDER / "truth.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_samples_are_within_40_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 40e6


def test_every_sample_has_its_series():
    for sample in SAMPLES:
        heads = [
            pydicom.dcmread(path, stop_before_pixels=True) for path in (FOLDER / sample.name).glob("*.dcm")
        ]
        assert {head.StudyInstanceUID for head in heads} == {sample.study.uid}
        series = Counter(int(head.SeriesNumber) for head in heads)
        assert set(series) == ({1, 2, 3} if sample.extra else {2})
        assert series[2] > 100
        assert all("Synthetic" in head.ImageComments for head in heads)
        assert {str(head.file_meta.TransferSyntaxUID) for head in heads} == {"1.2.840.10008.1.2.4.80"}


def test_truth_counts_what_each_sample_is_named_for():
    counts = Counter(row["study"] for row in truth())
    assert counts == {"miliary": 700, "miliary_treated": 15, "few": 8, "one_sided": 400}
    assert {row["side"] for row in truth() if row["study"] == "one_sided"} == {"right"}
    assert {row["side"] for row in truth() if row["study"] == "miliary"} == {"right", "left"}


def test_a_nodule_of_the_truth_is_bright_at_its_place_in_the_files():
    rows = [row for row in truth() if row["study"] == "miliary" and float(row["diameter_mm"]) > 3.5]
    heads = {}
    for path in (FOLDER / "miliary").glob("*.dcm"):
        image = pydicom.dcmread(path)
        heads[float(image.ImagePositionPatient[2])] = image
    levels = np.array(sorted(heads))
    found = []
    for row in rows[:60]:
        x, y, z = (float(row[f"{axis}_mm"]) for axis in "xyz")
        image = heads[levels[np.argmin(np.abs(levels - z))]]
        left, front, _ = (float(v) for v in image.ImagePositionPatient)
        line = round((y - front) / float(image.PixelSpacing[0]))
        column = round((x - left) / float(image.PixelSpacing[1]))
        found.append(int(image.pixel_array[line, column]) + int(image.RescaleIntercept))
    # A solid ball of 3.5 mm in slices of 2 mm keeps well over half of its contrast of some 850 HU.
    assert np.percentile(found, 5) > -500


def test_the_generator_still_writes_the_committed_files(tmp_path):
    """The smallest piece: a localizer and a slice; for the whole, `make samples` and `git status`."""
    sample = next(one for one in SAMPLES if one.extra)
    phantom = scan(draw_patient(sample.seed), sample.spec)
    path = write_localizer(sample, phantom.volume, tmp_path)
    assert path.read_bytes() == (FOLDER / sample.name / path.name).read_bytes()
    plane = 40
    image = pydicom.dcmread(FOLDER / sample.name / f"002-{len(phantom.volume.hu) - plane:04d}.dcm")
    np.testing.assert_array_equal(image.pixel_array - 1024, phantom.volume.hu[plane])


def test_a_sample_is_written_over_what_was_there(tmp_path):
    old = tmp_path / "tiny" / "002-0999.dcm"
    old.parent.mkdir()
    old.write_bytes(b"")
    (sample, phantom), *others = write_samples(tmp_path, (TINY,))
    assert (sample.name, others) == ("tiny", [])
    names = {path.name for path in (tmp_path / "tiny").iterdir()}
    assert old.name not in names
    assert Counter(name[:3] for name in names) == {"001": 1, "002": len(phantom.volume.hu), "003": 14}
    assert len((tmp_path / "truth.csv").read_text().splitlines()) == 1 + 5


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_the_command_says_how_it_is_used(arguments, capsys):
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
