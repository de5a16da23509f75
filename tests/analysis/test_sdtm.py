"""SDTM in: the words of the tumour domains, and every refusal by its row."""

import csv
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.adam import ADRS_COLUMNS, adrs_rows
from analysis.response import InputError, Source, follow, judge, stated_differences
from analysis.response import ProblemCode as Code
from analysis.sdtm import read_rs, read_sdtm
from records.reads import LesionKind, NonTargetStatus, Response, Seen
from tests.shared import SHARED

SDTM = SHARED / "clinical" / "sdtm"

TU = tuple("USUBJID VISIT VISITNUM TULOC TUTESTCD TUORRES TUMETHOD TULNKID TUEVAL TUEVALID".split())
TR = (
    "USUBJID",
    "VISITNUM",
    "VISIT",
    "TRLNKID",
    "TRTESTCD",
    "TRORRES",
    "TRORRESU",
    "TRSTRESN",
    "TRSTRESU",
    "TRSTAT",
    "TRREASND",
    "TREVAL",
    "TREVALID",
    "TRACPTFL",
    "TRDTC",
)
DAYS = {"1": "2024-01-01", "2": "2024-02-12", "3": "2024-03-25"}


def tu(link="T01", role="TARGET", location="LIVER", visit="1", **cells):
    return dict(USUBJID="P1", VISITNUM=visit, TULNKID=link, TUORRES=role, TULOC=location) | cells


def tr(visit="1", size="20", link="T01", test="LDIAM", **cells):
    row = dict(USUBJID="P1", VISITNUM=visit, TRLNKID=link, TRTESTCD=test, TRORRES=size, TRORRESU="mm")
    return row | {"TRDTC": DAYS.get(visit, "")} | cells


def write_study(folder, tu_rows, tr_rows):
    for name, columns, rows in (("tu.csv", TU, tu_rows), ("tr.csv", TR, tr_rows)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(rows)


@pytest.fixture
def study(tmp_path):
    """Return a function that writes TU and TR and reads them back."""

    def write_and_read(tu_rows, tr_rows):
        write_study(tmp_path, tu_rows, tr_rows)
        return read_sdtm(tmp_path / "tu.csv", tmp_path / "tr.csv")

    return write_and_read


def responses(courses):
    return [point.overall_response for course in courses for point in follow(course.reads)]


def test_a_patient_is_read_and_judged(study):
    courses = study([tu()], [tr(), tr("2", "14"), tr("3", "20")])
    assert responses(courses) == [Response.PR, Response.PD]
    assert courses[0].evaluator.label == "INVESTIGATOR"


def test_order_of_rows_changes_nothing(study):
    rows = [tr(), tr("2", "14"), tr("3", "20"), tr(link="T02"), tr("2", "0", "T02"), tr("3", "3", "T02")]
    named = [tu(), tu("T02", location="LUNG")]
    assert responses(study(named, rows)) == responses(study(named[::-1], rows[::-1]))


@pytest.mark.parametrize("unit", ["mm", "cm"])
def test_units_change_nothing(study, unit):
    scale = 1 if unit == "mm" else 10
    sizes = ("20", "14", "16.8")
    rows = [
        tr(visit, f"{Decimal(size) / scale}", TRORRESU=unit) for visit, size in zip("123", sizes, strict=True)
    ]
    courses = study([tu()], rows)
    assert responses(courses) == [Response.PR, Response.SD]
    assert follow(courses[0].reads)[-1].sum_mm == Decimal("16.8")


def test_nodes_are_followed_by_their_short_axis(study):
    rows = [tr(), tr(size="16", test="LPERP"), tr("2", "18"), tr("2", "9", test="LPERP")]
    courses = study([tu(location="LYMPH NODE, AXILLARY")], rows)
    assert responses(courses) == [Response.CR]


def test_a_node_whose_long_axis_was_not_done_is_measured_all_the_same(study):
    rows = [tr(size="16", test="LPERP"), tr("2", "9", test="LPERP"), tr("2", "", TRSTAT="NOT DONE")]
    assert responses(study([tu(location="LYMPH NODE")], rows)) == [Response.CR]


@pytest.mark.parametrize(
    ("cells", "seen", "sum_mm"),
    [
        pytest.param({"TRORRES": "TOO SMALL TO MEASURE", "TRSTRESN": "5"}, Seen.TOO_SMALL, 5, id="too-small"),
        pytest.param({"TRORRES": "", "TRSTAT": "NOT DONE"}, Seen.NOT_ASSESSED, None, id="not-done"),
        pytest.param({"TRORRES": "NOT EVALUABLE"}, Seen.NOT_ASSESSED, None, id="not-evaluable"),
        pytest.param({"TRORRES": "ABSENT"}, Seen.ABSENT, 0, id="absent"),
        pytest.param({"TRORRES": "3"}, Seen.MEASURED, 3, id="true-3-mm"),
    ],
)
def test_how_a_target_was_found(study, cells, seen, sum_mm):
    course = study([tu()], [tr(), tr("2", **cells)])[0]
    assert course.reads[1].measurements[0].seen is seen
    assert follow(course.reads)[0].sum_mm == sum_mm


def test_reason_for_a_missing_target_is_in_the_rule(study):
    course = study([tu()], [tr(), tr("2", "", TRSTAT="NOT DONE", TRREASND="SCAN NOT PERFORMED")])[0]
    assert "T01 (SCAN NOT PERFORMED)" in follow(course.reads)[0].rule


def test_split_lesion_is_joined(study):
    named = [tu(), tu("T01.1", visit="2", TUTESTCD="TUSPLIT"), tu("T01.2", visit="2", TUTESTCD="TUSPLIT")]
    course = study(named, [tr(), tr("2", "8", "T01.1"), tr("2", "7.5", "T01.2")])[0]
    assert follow(course.reads)[0].sum_mm == Decimal("15.5")


def test_split_lesion_with_a_missing_piece_is_not_assessed(study):
    course = study([tu()], [tr(), tr("2", "8", "T01.1"), tr("2", "", "T01.2", TRSTAT="NOT DONE")])[0]
    assert responses([course]) == [Response.NE]


def test_merged_lesions_are_counted_once(study):
    named = [tu(), tu("T02", location="LUNG"), tu("T01/T02", visit="2", TUTESTCD="TUMERGE")]
    course = study(named, [tr(), tr(link="T02"), tr("2", "33", "T01/T02")])[0]
    assert follow(course.reads)[0].sum_mm == 33
    assert course.reads[1].measurements[1].merged_into == "T01"


@pytest.mark.parametrize(
    ("test", "word", "expected"),
    [
        pytest.param("TUMSTATE", "PRESENT", NonTargetStatus.PRESENT, id="present"),
        pytest.param("TUMSTATE", "ABSENT", NonTargetStatus.ABSENT, id="absent"),
        pytest.param(
            "TUMSTATE", "UNEQUIVOCAL PROGRESSION", NonTargetStatus.UNEQUIVOCAL_PROGRESSION, id="progression"
        ),
        pytest.param("TUMSTATE", "NOT EVALUABLE", NonTargetStatus.NOT_ASSESSED, id="not-evaluable"),
        pytest.param("LNSTATE", "NON-PATHOLOGICAL", NonTargetStatus.ABSENT, id="normal-node"),
        pytest.param("LNSTATE", "PATHOLOGICAL", NonTargetStatus.PRESENT, id="pathological-node"),
        pytest.param("LPERP", "10", NonTargetStatus.PRESENT, id="node-10-mm"),
        pytest.param("LPERP", "9.9", NonTargetStatus.ABSENT, id="node-9.9-mm"),
        pytest.param("TUMSTATE", "TOO SMALL TO MEASURE", NonTargetStatus.PRESENT, id="faint"),
    ],
)
def test_non_target_states(study, test, word, expected):
    named = [tu("NT01", "NON-TARGET", "LYMPH NODE")]
    course = study(named, [tr(size="PRESENT", link="NT01", test="TUMSTATE"), tr("2", word, "NT01", test)])[0]
    assert course.reads[1].non_targets[0].status is expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("LYMPH NODE", Response.CR, id="a-node-of-5-mm-is-normal"),
        pytest.param("LIVER", Response.NON_CR_NON_PD, id="a-mass-is-still-there"),
    ],
)
@pytest.mark.parametrize("test", ["TUMSTATE", "LPERP"])
def test_non_target_too_small_to_measure(study, location, expected, test):
    """As for targets: what is too faint counts 5 mm, and a node of 5 mm is normal."""
    if location == "LIVER" and test == "LPERP":
        test = "LDIAM"
    named = [tu("NT01", "NON-TARGET", location)]
    rows = [tr(size="PRESENT", link="NT01", test="TUMSTATE"), tr("2", "TOO SMALL TO MEASURE", "NT01", test)]
    assert responses(study(named, rows)) == [expected]


def test_node_in_pieces_is_followed_by_their_short_axes(study):
    pieces = [tr("2", size, f"T01.{n}", "LPERP") for n, size in enumerate(("9", "8"), start=1)]
    course = study([tu(location="LYMPH NODE")], [tr(size="20", test="LPERP"), *pieces])[0]
    assert (responses([course]), follow(course.reads)[0].sum_mm) == ([Response.CR], 17)


def test_miliary_patient_is_non_progressive(study):
    named = [tu("NT01", "NON-TARGET", "LUNG, MILIARY")]
    rows = [tr(visit, "PRESENT", "NT01", "TUMSTATE") for visit in "12"]
    course = study(named, rows)[0]
    assert course.reads[0].lesions[0].kind is LesionKind.MILIARY
    assert responses([course]) == [Response.NON_CR_NON_PD]


def test_new_lesion_named_in_tu_is_progression(study):
    named = [tu(), tu("N01", "NEW", "BRAIN", "2")]
    assert responses(study(named, [tr(), tr("2")])) == [Response.PD]


def test_equivocal_new_lesion_waits_for_proof(study):
    named = [tu(), tu("N01", "NEW", "BRAIN", "2")]
    doubt = tr("2", "EQUIVOCAL", "N01", "TUMSTATE")
    proof = tr("3", "UNEQUIVOCAL", "N01", "TUMSTATE")
    courses = study(named, [tr(), tr("2"), doubt, tr("3"), proof])
    assert responses(courses) == [Response.SD, Response.PD]
    assert follow(courses[0].reads)[1].progression_day.isoformat() == DAYS["2"]


def test_visit_that_was_not_done_is_no_time_point(study):
    rows = [tr(), dict(USUBJID="P1", VISITNUM="2", TRTESTCD="TRALL", TRSTAT="NOT DONE"), tr("3")]
    assert responses(study([tu()], rows)) == [Response.SD]


def test_sums_in_the_file_are_left_to_the_engine(study):
    assert responses(study([tu()], [tr(), tr("2"), tr("2", "999", "", "SUMDIAM")])) == [Response.SD]


@pytest.mark.parametrize(
    ("tu_rows", "tr_rows", "code", "place"),
    [
        pytest.param([tu()], [tr(), tr("2", "-3")], Code.NEGATIVE_SIZE, "tr.csv row 3", id="negative"),
        pytest.param([tu()], [tr(), tr("2", "2o")], Code.NOT_A_NUMBER, "tr.csv row 3", id="letter"),
        pytest.param([tu()], [tr(), tr("2", "nan")], Code.NOT_A_NUMBER, "tr.csv row 3", id="nan"),
        pytest.param([tu()], [tr(), tr("2", "1e999")], Code.NOT_A_NUMBER, "tr.csv row 3", id="huge"),
        pytest.param([tu()], [tr(), tr("2", "2000")], Code.IMPLAUSIBLE_SIZE, "tr.csv row 3", id="metres"),
        pytest.param([tu()], [tr(), tr("2", TRORRESU="in")], Code.UNKNOWN_UNIT, "tr.csv row 3", id="inches"),
        pytest.param([tu()], [tr(), tr("2", "")], Code.MISSING_VALUE, "tr.csv row 3", id="no-size"),
        pytest.param([tu()], [tr(), tr("2", TRDTC="")], Code.MISSING_VALUE, "tr.csv row 3", id="no-date"),
        pytest.param(
            [tu()],
            [tr(), tr("2", TRSTRESN="21", TRSTRESU="mm")],
            Code.CONTRADICTION,
            "tr.csv row 3",
            id="two-sizes",
        ),
        pytest.param(
            [tu()],
            [tr(), tr("2", TRSTAT="NOT DONE")],
            Code.CONTRADICTION,
            "tr.csv row 3",
            id="done-or-not",
        ),
        pytest.param(
            [tu()], [tr(), tr("2"), tr("2")], Code.DUPLICATE_MEASUREMENT, "tr.csv row 4", id="twice"
        ),
        pytest.param(
            [tu()], [tr(), tr("2", test="SIZE")], Code.UNKNOWN_CODE, "tr.csv row 3", id="unknown-test"
        ),
        pytest.param(
            [tu(), tu("T02", "PRIMARY")], [tr()], Code.UNKNOWN_CODE, "tu.csv row 3", id="unknown-role"
        ),
        pytest.param([tu(TUTESTCD="WHAT")], [tr()], Code.UNKNOWN_CODE, "tu.csv row 2", id="unknown-tu-test"),
        pytest.param(
            [tu()],
            [tr(), tr("2", TRACPTFL="YES")],
            Code.UNKNOWN_CODE,
            "tr.csv row 3",
            id="unknown-flag",
        ),
        pytest.param(
            [tu(), tu("NT01", "NON-TARGET", "PLEURAL EFFUSION")],
            [tr(), tr("2"), tr("2", "WORSE", "NT01", "TUMSTATE")],
            Code.UNKNOWN_CODE,
            "tr.csv row 4",
            id="unknown-state",
        ),
        pytest.param(
            [tu()],
            [tr(), tr("2", link="T09")],
            Code.UNKNOWN_LESION,
            "tr.csv row 3",
            id="unknown-lesion",
        ),
        pytest.param(
            [tu(), tu("T02", visit="2")],
            [tr(), tr("2"), tr("2", link="T02")],
            Code.TARGET_AFTER_BASELINE,
            "tu.csv row 3",
            id="target-after-baseline",
        ),
        pytest.param(
            [tu(f"T{n:02d}", location=f"ORGAN {n}") for n in range(6)],
            [tr(link=f"T{n:02d}") for n in range(6)],
            Code.TOO_MANY_TARGETS,
            "tu.csv row 7",
            id="six-targets",
        ),
        pytest.param(
            [tu(f"T{n:02d}", location=f"LUNG, LOBE {n}") for n in range(3)],
            [tr(link=f"T{n:02d}") for n in range(3)],
            Code.TOO_MANY_IN_ORGAN,
            "tu.csv row 4",
            id="three-in-the-lungs",
        ),
        pytest.param(
            [tu()],
            [tr(), tr("2", TRDTC="2023-12-31")],
            Code.DATES_OUT_OF_ORDER,
            "tr.csv row 3",
            id="dates-out-of-order",
        ),
        pytest.param(
            [tu()], [tr(), tr("2", TRDTC="12/02/2024")], Code.BAD_DATE, "tr.csv row 3", id="bad-date"
        ),
        pytest.param([tu(), tu()], [tr()], Code.DUPLICATE_ROW, "tu.csv row 3", id="named-twice"),
        pytest.param([tu()], [tr(), tr("two")], Code.NOT_A_NUMBER, "tr.csv row 3", id="visit-not-a-number"),
        pytest.param([tu()], [tr(), tr("")], Code.MISSING_VALUE, "tr.csv row 3", id="no-visit"),
        pytest.param(
            [tu(), tu("N01", "NEW")], [tr()], Code.CONTRADICTION, "tu.csv row 3", id="new-at-baseline"
        ),
    ],
)
def test_refusals_name_the_row(study, tu_rows, tr_rows, code, place):
    with pytest.raises(InputError) as refused:
        study(tu_rows, tr_rows)
    assert (place, code) in [(problem.where, problem.code) for problem in refused.value.problems]


def test_all_problems_of_all_files_are_told_at_once_in_their_order(study):
    with pytest.raises(InputError) as refused:
        study(
            [tu(), tu("T02", "PRIMARY"), tu("T03", visit="2")],
            [tr(), tr("2", "-3"), tr("3", "x"), tr("3", "5", "T09")],
        )
    found = [(problem.where, problem.code) for problem in refused.value.problems]
    assert found == [
        ("tr.csv row 3", Code.NEGATIVE_SIZE),
        ("tr.csv row 4", Code.NOT_A_NUMBER),
        ("tr.csv row 5", Code.UNKNOWN_LESION),
        ("tu.csv row 3", Code.UNKNOWN_CODE),
        ("tu.csv row 4", Code.TARGET_AFTER_BASELINE),
    ]
    assert "P1, INVESTIGATOR" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("", Code.UNREADABLE, id="empty"),
        pytest.param("USUBJID,VISITNUM\nP1,1\n", Code.MISSING_COLUMN, id="columns-missing"),
        pytest.param('USUBJID,VISITNUM\n"P1,1\n', Code.UNREADABLE, id="open-quote"),
        pytest.param("USUBJID,VISITNUM,TULNKID,TUORRES\nP1,1,T01\n", Code.UNREADABLE, id="field-missing"),
    ],
)
def test_files_that_are_no_tables(tmp_path, text, code):
    (tmp_path / "tu.csv").write_text(text)
    (tmp_path / "tr.csv").write_text(",".join(TR) + "\n")
    with pytest.raises(InputError) as refused:
        read_sdtm(tmp_path / "tu.csv", tmp_path / "tr.csv")
    assert code in [problem.code for problem in refused.value.problems]


def test_file_that_is_not_text(tmp_path):
    (tmp_path / "tu.csv").write_bytes(b"\xff\xfe\x00USUBJID")
    (tmp_path / "tr.csv").write_text(",".join(TR) + "\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_sdtm(tmp_path / "tu.csv", tmp_path / "tr.csv")


def test_unknown_response_in_rs_is_refused(tmp_path):
    (tmp_path / "rs.csv").write_text("USUBJID,VISITNUM,RSTESTCD,RSORRES\nP1,2,OVRLRESP,BETTER\nP1,2,SHOE,9\n")
    with pytest.raises(InputError) as refused:
        read_rs(tmp_path / "rs.csv")
    assert [problem.where for problem in refused.value.problems] == ["rs.csv row 2", "rs.csv row 3"]


ADJUDICATOR = {"RSEVAL": "ADJUDICATOR", "RSEVALID": ""}


def trial_with_adjudicator(folder, chosen, flags=("", "", "Y")):
    """Write two readers, PR and SD at the second visit, and the choice of one who measured nothing."""
    who = [{"EVAL": "INDEPENDENT ASSESSOR", "EVALID": f"RADIOLOGIST {n}"} for n in (1, 2)]

    def by(reader, domain):
        return {domain + name: value for name, value in reader.items()}

    rows = [tr(**by(reader, "TR")) for reader in who]
    rows += [tr("2", size, **by(reader, "TR")) for reader, size in zip(who, ("14", "16"), strict=True)]
    write_study(folder, [tu(**by(reader, "TU")) for reader in who], rows)
    stated = [(by(who[0], "RS"), "PR"), (by(who[1], "RS"), "SD"), (ADJUDICATOR, chosen)]
    with (folder / "rs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["USUBJID", "VISITNUM", "RSTESTCD", "RSORRES", "RSEVAL", "RSEVALID", "RSACPTFL"])
        for (reader, response), flag in zip(stated, flags, strict=True):
            table.writerow(["P1", "2", "OVRLRESP", response, reader["RSEVAL"], reader["RSEVALID"], flag])
    return read_sdtm(folder / "tu.csv", folder / "tr.csv", folder / "rs.csv")


@pytest.mark.parametrize(("chosen", "reader"), [("PR", "RADIOLOGIST 1"), ("SD", "RADIOLOGIST 2")])
def test_adjudicator_of_a_trial_chooses_a_reader(tmp_path, chosen, reader):
    judged = judge(trial_with_adjudicator(tmp_path, chosen))
    (point,) = judged.accepted
    assert (point.overall_response, point.evaluator.label) == (chosen, reader)
    assert point.source is Source.ADJUDICATED
    row = dict(zip(ADRS_COLUMNS, adrs_rows([point], [])[0], strict=True))
    assert (row["EVALUATR"], row["EVALTYPE"], row["CAMEFROM"]) == ("ACCEPTED", "ADJUDICATED", reader)
    best = [one for one in judged.best if one.evaluator == "ACCEPTED"]
    assert {(one.source, one.came_from) for one in best} == {(Source.ADJUDICATED, reader)}


@pytest.mark.parametrize(
    ("chosen", "flags", "words"),
    [
        pytest.param("PD", ("", "", "Y"), "chose PD, which no independent reader stated", id="third-opinion"),
        pytest.param("PR", ("", "Y", "Y"), "one response can count", id="a-reader-is-accepted-as-well"),
    ],
)
def test_adjudication_that_cannot_stand_is_refused(tmp_path, chosen, flags, words):
    with pytest.raises(InputError, match=words):
        trial_with_adjudicator(tmp_path, chosen, flags)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(100, 600), min_size=2, max_size=5),
    other=st.integers(100, 600),
    order=st.randoms(use_true_random=False),
)
def test_units_and_order_of_rows_change_no_response(tmp_path_factory, sizes, other, order):
    """The same patient in mm in order, and in cm in any order."""
    folder = tmp_path_factory.mktemp("study")
    named = [tu(), tu("T02", location="LUNG")]
    days = [f"2024-{month:02d}-01" for month in range(1, 6)]
    rows = {"mm": [], "cm": []}
    for unit, scale in (("mm", 10), ("cm", 100)):
        for number, tenths in enumerate(sizes):
            for link, size in (("T01", tenths), ("T02", other)):
                cells = {"TRORRESU": unit, "TRDTC": days[number]}
                rows[unit].append(tr(str(number + 1), str(Decimal(size) / scale), link, **cells))
    order.shuffle(rows["cm"])
    order.shuffle(named)
    found = []
    for unit in ("mm", "cm"):
        write_study(folder, named, rows[unit])
        course = read_sdtm(folder / "tu.csv", folder / "tr.csv")[0]
        found.append([(point.overall_response, point.sum_mm) for point in follow(course.reads)])
    assert found[0] == found[1]


needs_shared = pytest.mark.skipif(
    not SDTM.is_dir(), reason=f"needs the SDTM sample in {SDTM}: set MIPC_SHARED"
)


@pytest.fixture(scope="module")
def sample():
    return read_sdtm(SDTM / "tu.csv", SDTM / "tr.csv", SDTM / "rs.csv")


@needs_shared
def test_sample_of_two_subjects_and_three_readers(sample):
    """pharmaversesdtm; its 18 stated responses, nine a subject, were computed by R."""
    judged = judge(sample)
    assert len(sample) == 6
    assert len(judged.points) == 18
    assert stated_differences(judged.points, read_rs(SDTM / "rs.csv")) == []


@needs_shared
def test_sample_keeps_a_month_without_day_and_calculates_with_its_first(sample):
    point = judge(sample).points[1]
    assert (point.date_text, point.day.isoformat()) == ("2014-02", "2014-02-01")
    row = dict(zip(ADRS_COLUMNS, adrs_rows([point], [])[0], strict=True))
    assert (row["ADT"], row["ADTF"], row["AVALC"]) == ("2014-02-01", "D", "NE")


@needs_shared
def test_sample_accepts_one_reader_a_visit(sample):
    accepted = judge(sample).accepted
    assert [(point.visit, point.evaluator.label) for point in accepted[:3]] == [
        ("WEEK 3", "RADIOLOGIST 2"),
        ("WEEK 6", "RADIOLOGIST 1"),
        ("WEEK 9", "RADIOLOGIST 2"),
    ]
    assert {point.source for point in accepted} == {Source.ACCEPTED}
    assert len(accepted) == 6
