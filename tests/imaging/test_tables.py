import csv
import io
import os

import pytest

from imaging.tables import NODULE_COLUMNS, STUDY_COLUMNS, Tables, write_atomically
from records.errors import Reason
from tests.records.examples import miliary_screening, not_evaluable_screening

# Copied from the design, so that a column is never renamed by accident.
STUDY_DESIGN = """study_uid, series_uid, patient_id, study_date, verdict, probability, nodule_count,
nodule_count_low, nodule_count_high, count_right, count_left, fraction_le_5mm, median_diameter_mm,
diameter_cv, zones_occupied, criteria, exclusions, reason, slice_spacing_mm, slice_thickness_mm, kernel,
lung_volume_ml, seconds"""
NODULE_DESIGN = """study_uid, series_uid, nodule_id, x_mm, y_mm, z_mm, diameter_mm, diameter_low_mm,
diameter_high_mm, volume_mm3, mean_hu, attenuation, probability, reported, side, zone, pleura_distance_mm,
sop_instance_uid, slice_index"""
VERSIONS = ("program_version", "model_version", "protocol")
AXES = ("long_axis_mm", "short_axis_mm")


def tables(folder, *screenings):
    with Tables(folder) as written:
        for screening in screenings:
            written.add(screening)
    paths = [folder / "studies.csv", folder / "nodules.csv"]
    return [list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""))) for path in paths]


def test_columns_are_those_of_the_design_then_the_versions_and_axes():
    assert tuple(" ".join(STUDY_DESIGN.split()).split(", ")) + VERSIONS == STUDY_COLUMNS
    assert tuple(" ".join(NODULE_DESIGN.split()).split(", ")) + VERSIONS + AXES == NODULE_COLUMNS


def test_a_study_is_one_row_in_words_and_millimetres(tmp_path):
    [row], nodules = tables(tmp_path, miliary_screening())
    assert (row["verdict"], row["probability"], row["reason"]) == ("mipc", "0.970000", "")
    assert (row["nodule_count"], row["nodule_count_low"], row["nodule_count_high"]) == (
        "332.0",
        "270.0",
        "410.0",
    )
    assert row["criteria"] == "profuse=yes;tiny=yes"
    assert row["exclusions"] == "unilateral=no;lymphangitic=unknown"
    assert (row["slice_spacing_mm"], row["lung_volume_ml"]) == ("1.250", "4800")
    assert (row["program_version"], row["protocol"]) == ("0.1.0", "default@abababababab")
    assert len(nodules) == 41
    assert {nodule["study_uid"] for nodule in nodules} == {row["study_uid"]}
    assert [nodule["reported"] for nodule in nodules].count("true") == 40


def test_a_study_that_was_not_judged_has_its_reason_and_no_invented_numbers(tmp_path):
    [row], nodules = tables(tmp_path, not_evaluable_screening(reason=Reason.LUNGS_INCOMPLETE))
    assert (row["verdict"], row["reason"]) == ("not_evaluable", "lungs_incomplete")
    assert {row[name] for name in ("probability", "nodule_count", "lung_volume_ml", "series_uid")} == {""}
    assert nodules == []


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1", " =1+1", "＝1+1"]
)
def test_a_spreadsheet_does_not_run_what_a_header_says(tmp_path, cell):
    [row], _ = tables(tmp_path, miliary_screening(patient_id=cell))
    assert row["patient_id"] == "'" + " ".join(cell.split())


@pytest.mark.parametrize(
    "cell", ["Doe\0Jane", "\udc80", 'a"b,c', "line\nbreak", "x" * 10_000, "\u202egnp.exe"]
)
def test_a_hostile_header_stays_in_its_cell(tmp_path, cell):
    rows, _ = tables(tmp_path, miliary_screening(patient_id=cell), not_evaluable_screening())
    assert [row["verdict"] for row in rows] == ["mipc", "not_evaluable"]
    assert (tmp_path / "studies.csv").read_bytes().count(b"\n") == 3
    assert b"\0" not in (tmp_path / "studies.csv").read_bytes()
    assert "\u202e" not in (tmp_path / "studies.csv").read_text()


def test_a_table_that_failed_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "studies.csv"
    path.write_text("old")

    def fail_half_way():
        with write_atomically(path) as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["studies.csv"]
