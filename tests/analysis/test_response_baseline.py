"""What can be a target (RECIST 1.1, 3), and reads that are refused or remarked on."""

from datetime import date
from decimal import Decimal

import pytest

from analysis.response import (
    InputError,
    ProblemCode,
    ResponseProtocol,
    courses_of,
    find_departures,
    find_problems,
    judge_measurability,
)
from records.reads import (
    Certainty,
    Irradiation,
    Lesion,
    LesionKind,
    LesionRole,
    Measurement,
    Method,
    NewLesionFinding,
    NonTargetStatus,
    Seen,
)
from tests.analysis.recist_cases import non_target, read, status, sums, target

SLICE_5, SLICE_8 = {"slice_thickness_mm": Decimal(5)}, {"slice_thickness_mm": Decimal(8)}
MASS, NODE = LesionKind.SOFT_TISSUE, LesionKind.LYMPH_NODE


@pytest.mark.parametrize(
    ("kind", "long_mm", "short_mm", "options", "measurable"),
    [
        pytest.param(MASS, 10, None, {}, True, id="ct-10-mm"),
        pytest.param(MASS, "9.9", None, {}, False, id="ct-9.9-mm"),
        pytest.param(MASS, 10, None, SLICE_5, True, id="10-mm-on-5-mm-slices"),
        pytest.param(MASS, 16, None, SLICE_8, True, id="16-mm-on-8-mm-slices"),
        pytest.param(MASS, "15.9", None, SLICE_8, False, id="15.9-mm-on-8-mm-slices"),
        pytest.param(MASS, 10, None, {"method": Method.MRI}, True, id="mri-10-mm"),
        pytest.param(MASS, 10, None, {"method": Method.CALIPER}, True, id="caliper-10-mm"),
        pytest.param(MASS, "9.9", None, {"method": Method.CALIPER}, False, id="caliper-9.9-mm"),
        pytest.param(
            MASS,
            30,
            None,
            {"method": Method.CALIPER, "caliper_is_accurate": False},
            False,
            id="not-measurable-by-caliper",
        ),
        pytest.param(MASS, 20, None, {"method": Method.X_RAY}, True, id="x-ray-20-mm"),
        pytest.param(MASS, "19.9", None, {"method": Method.X_RAY}, False, id="x-ray-19.9-mm"),
        pytest.param(MASS, 60, None, {"method": Method.ULTRASOUND}, False, id="ultrasound-never"),
        pytest.param(MASS, 30, None, {"irradiation": Irradiation.TREATED}, False, id="irradiated"),
        pytest.param(
            MASS,
            30,
            None,
            {"irradiation": Irradiation.PROGRESSED_SINCE},
            True,
            id="irradiated-then-progressed",
        ),
        pytest.param(NODE, 40, 15, {}, True, id="node-15-mm"),
        pytest.param(NODE, 40, "14.9", {}, False, id="node-14.9-mm"),
        pytest.param(NODE, 40, 15, SLICE_8, True, id="node-15-mm-on-8-mm-slices"),
        pytest.param(
            NODE,
            40,
            15,
            {"slice_thickness_mm": Decimal(8), "double_slice_for_nodes": True},
            False,
            id="node-15-mm-on-8-mm-slices-doubled",
        ),
        pytest.param(LesionKind.BONE_SOFT_TISSUE, 12, None, {}, True, id="bone-with-soft-tissue"),
        pytest.param(LesionKind.BONE_BLASTIC, 40, None, {}, False, id="bone-blastic"),
        pytest.param(LesionKind.BONE_LYTIC, 40, None, {}, False, id="bone-lytic-without-soft-tissue"),
        pytest.param(LesionKind.CYSTIC_METASTASIS, 20, None, {}, True, id="cystic-metastasis"),
        pytest.param(LesionKind.LEPTOMENINGEAL, 20, None, {}, False, id="leptomeningeal"),
        pytest.param(LesionKind.ASCITES, 200, None, {}, False, id="ascites"),
        pytest.param(LesionKind.EFFUSION, 200, None, {}, False, id="effusion"),
        pytest.param(LesionKind.INFLAMMATORY_BREAST, 90, None, {}, False, id="inflammatory-breast"),
        pytest.param(LesionKind.LYMPHANGITIC, 90, None, {}, False, id="lymphangitic"),
        pytest.param(LesionKind.PALPABLE_ONLY, 90, None, {}, False, id="felt-only"),
        pytest.param(LesionKind.MILIARY, 5, None, {}, False, id="miliary"),
    ],
)
def test_measurability(kind, long_mm, short_mm, options, measurable):
    judged = judge_measurability(
        kind,
        long_axis_mm=Decimal(long_mm),
        short_axis_mm=None if short_mm is None else Decimal(short_mm),
        **options,
    )
    assert judged.is_measurable is measurable
    assert judged.is_disease


def test_what_was_not_measured_or_not_by_size_is_not_measurable():
    for judged in (
        judge_measurability(MASS),
        judge_measurability(NODE, long_axis_mm=Decimal(40)),
        judge_measurability(MASS, long_axis_mm=Decimal(40), method=Method.PET),
    ):
        assert not judged.is_measurable


@pytest.mark.parametrize(
    ("kind", "short_mm", "disease"),
    [
        pytest.param(NODE, "10", True, id="node-10-mm-is-pathological"),
        pytest.param(NODE, "9.9", False, id="node-9.9-mm-is-normal"),
        pytest.param(LesionKind.SIMPLE_CYST, "30", False, id="simple-cyst"),
    ],
)
def test_what_is_disease(kind, short_mm, disease):
    judged = judge_measurability(kind, long_axis_mm=Decimal(40), short_axis_mm=Decimal(short_mm))
    assert judged.is_disease is disease


# Departures: said, and judged all the same


@pytest.mark.parametrize(
    ("baseline_day", "codes"),
    [
        pytest.param("2023-12-04", [], id="28-days-before-treatment"),
        pytest.param("2023-12-03", [ProblemCode.BASELINE_TOO_EARLY], id="29-days-before-treatment"),
        pytest.param("2024-01-02", [ProblemCode.BASELINE_AFTER_START], id="a-day-after-treatment-began"),
    ],
)
def test_age_of_baseline(baseline_day, codes):
    lesion = target("T01")
    baseline = read(0, lesions=[lesion], sizes={lesion: 20}, day=baseline_day)
    assert [found.code for found in find_departures(baseline, date(2024, 1, 1))] == codes


@pytest.mark.parametrize(
    ("node", "size", "codes"),
    [
        pytest.param(False, 10, [], id="mass-of-10-mm"),
        pytest.param(False, "9.9", [ProblemCode.NOT_MEASURABLE], id="mass-of-9.9-mm"),
        pytest.param(True, 15, [], id="node-of-15-mm"),
        pytest.param(True, "14.9", [ProblemCode.NOT_MEASURABLE], id="node-of-14.9-mm"),
    ],
)
def test_target_that_is_not_measurable_is_remarked_on(node, size, codes):
    assert [found.code for found in find_departures(sums(size, node=node)[0])] == codes


def test_miliary_disease_is_no_target():
    lesion = Lesion("T01", LesionRole.TARGET, "LUNG", LesionKind.MILIARY)
    found = find_departures(read(0, lesions=[lesion], sizes={lesion: 5}))
    assert [problem.code for problem in found] == [ProblemCode.NOT_MEASURABLE]
    assert "miliary" in found[0].sentence


def test_thick_slices_are_held_against_targets_and_nodes_only_if_asked():
    lesion = target("T01", node=True)
    baseline = read(0, lesions=[lesion], sizes={lesion: 15}, slice_thickness_mm=Decimal(8))
    assert not find_departures(baseline)
    assert find_departures(baseline, protocol=ResponseProtocol(double_slice_for_nodes=True))


def test_normal_node_as_non_target_is_remarked_on():
    node = non_target("NT01", NODE, "LYMPH NODE")
    finding = status("NT01", NonTargetStatus.PRESENT, short_axis_mm=Decimal("9.9"))
    found = find_departures(read(0, lesions=[node], non_targets=[finding]))
    assert [problem.code for problem in found] == [ProblemCode.NODE_IS_NORMAL]


# Refusals


def codes(reads):
    return [problem.code for problem in find_problems(reads)]


def many(count, **rest):
    lesions = [target(f"T{index:02d}", **rest) for index in range(count)]
    return [read(0, lesions=lesions, sizes=dict.fromkeys(lesions, 20))]


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        pytest.param(many(5), [], id="five-targets"),
        pytest.param(many(6), [ProblemCode.TOO_MANY_TARGETS], id="six-targets"),
        pytest.param(many(2, organ="LIVER"), [], id="two-in-an-organ"),
        pytest.param(many(3, organ="LIVER"), [ProblemCode.TOO_MANY_IN_ORGAN], id="three-in-an-organ"),
        pytest.param(many(3, node=True), [ProblemCode.TOO_MANY_IN_ORGAN], id="three-nodes-are-one-organ"),
        pytest.param(sums(20, -1), [ProblemCode.NEGATIVE_SIZE], id="negative-size"),
        pytest.param(sums(20, 0), [], id="zero-size"),
        pytest.param(sums(None, 20), [ProblemCode.BASELINE_NOT_MEASURED], id="baseline-not-measured"),
        pytest.param(sums(0, 20), [ProblemCode.BASELINE_NOT_MEASURED], id="baseline-of-zero"),
    ],
)
def test_refusals(reads, expected):
    assert codes(reads) == expected


def test_target_after_baseline_is_refused():
    late = target("T02")
    reads = [*sums(20), read(1, lesions=[late], sizes={late: 12})]
    assert codes(reads) == [ProblemCode.TARGET_AFTER_BASELINE, ProblemCode.UNKNOWN_LESION]
    assert "new lesion" in find_problems(reads)[0].sentence


def test_duplicate_measurement_is_refused():
    twice = read(1, sizes={target("T01"): 20})
    doubled = twice.measurements * 2
    again = read(1)
    again = type(again)(**{**_fields(again), "measurements": doubled})
    assert codes([*sums(20), again]) == [ProblemCode.DUPLICATE_MEASUREMENT]


def _fields(one):
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        pytest.param("2024-02-12", "2024-02-11", [ProblemCode.DATES_OUT_OF_ORDER], id="a-day-before"),
        pytest.param("2024-02-12", "2024-02-12", [], id="the-same-day"),
        pytest.param("2024-02-12", "2024-02", [], id="a-month-that-may-be-later"),
        pytest.param("2024-02-12", "2024-01", [ProblemCode.DATES_OUT_OF_ORDER], id="a-month-that-cannot"),
        pytest.param("2024-02-12", "2024", [], id="a-year-that-may-be-later"),
        pytest.param("2024-02-12", "2023", [ProblemCode.DATES_OUT_OF_ORDER], id="a-year-that-cannot"),
        pytest.param("2024-02-12", "2024-02-12T09:30", [], id="a-time-of-day-is-left-out"),
        pytest.param("2024-02-12", "12 MAR 2024", [ProblemCode.BAD_DATE], id="not-iso"),
        pytest.param("2024-02-12", "2024-02-30", [ProblemCode.BAD_DATE], id="no-such-day"),
    ],
)
def test_dates(second, third, expected):
    lesion = target("T01")
    reads = [
        read(0, lesions=[lesion], sizes={lesion: 20}),
        read(1, sizes={lesion: 20}, day=second),
        read(2, sizes={lesion: 20}, day=third),
    ]
    assert codes(reads) == expected


@pytest.mark.parametrize(
    ("measurement", "expected"),
    [
        pytest.param(
            Measurement("T01", Seen.MEASURED, Decimal(10), Decimal(11)),
            ProblemCode.SHORT_AXIS_LONGER,
            id="short-axis-longer-than-long",
        ),
        pytest.param(
            Measurement("T01", Seen.ABSENT, Decimal(3)), ProblemCode.CONTRADICTION, id="absent-3-mm"
        ),
        pytest.param(
            Measurement("T01", Seen.MERGED, merged_into="T07"),
            ProblemCode.UNKNOWN_LESION,
            id="merged-with-none",
        ),
        pytest.param(
            Measurement("T09", Seen.MEASURED, Decimal(10)), ProblemCode.UNKNOWN_LESION, id="unknown-target"
        ),
        pytest.param(
            Measurement("T01", Seen.ABSENT, fragments_mm=(Decimal(3),)),
            ProblemCode.CONTRADICTION,
            id="absent-with-a-piece-of-3-mm",
        ),
        pytest.param(
            Measurement("T01", Seen.TOO_SMALL, Decimal("5.1")),
            ProblemCode.CONTRADICTION,
            id="too-small-at-5.1-mm",
        ),
        pytest.param(
            Measurement("T01", Seen.MEASURED, Decimal("NaN")), ProblemCode.NOT_A_NUMBER, id="not-a-number"
        ),
        pytest.param(
            Measurement("T01", Seen.MEASURED, Decimal("Infinity")), ProblemCode.NOT_A_NUMBER, id="infinite"
        ),
        pytest.param(
            Measurement("T01", Seen.MEASURED, Decimal("1000.1")),
            ProblemCode.IMPLAUSIBLE_SIZE,
            id="over-a-metre",
        ),
        pytest.param(
            Measurement("T01", Seen.MEASURED, Decimal(20), date="soon"),
            ProblemCode.BAD_DATE,
            id="date-of-its-own-is-none",
        ),
    ],
)
def test_measurements_that_contradict(measurement, expected):
    lesion = target(measurement.lesion_id)
    assert codes([*sums(20), read(1, sizes={lesion: measurement})]) == [expected]


def test_too_small_may_be_recorded_as_its_5_mm():
    lesion = target("T01")
    assert codes([*sums(20), read(1, sizes={lesion: Measurement("T01", Seen.TOO_SMALL, Decimal(5))})]) == []


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        pytest.param(20, ("T02", Seen.MERGED), [], id="one-into-the-other"),
        pytest.param(
            ("T03", Seen.MERGED), ("T02", Seen.MERGED), [ProblemCode.CONTRADICTION] * 2, id="circle"
        ),
        pytest.param(Seen.ABSENT, ("T02", Seen.MERGED), [ProblemCode.CONTRADICTION], id="into-what-is-gone"),
    ],
)
def test_merged_lesions_need_one_that_stands_for_both(second, third, expected):
    """Two lesions merged into each other would both count 0: a complete response out of nothing."""
    one, other = target("T02"), target("T03")

    def found(lesion, size):
        return (
            Measurement(lesion.lesion_id, size[1], merged_into=size[0]) if isinstance(size, tuple) else size
        )

    first = read(0, lesions=[one, other], sizes={one: 20, other: 20})
    later = read(1, sizes={one: found(one, second), other: found(other, third)})
    assert codes([first, later]) == expected


def test_new_lesion_at_the_first_visit_is_refused():
    lesion = target("T01")
    new = NewLesionFinding("N1", Certainty.UNEQUIVOCAL)
    first = read(0, lesions=[lesion], sizes={lesion: 20}, new=[new])
    assert codes([first, read(1, sizes={lesion: 20})]) == [ProblemCode.CONTRADICTION]


def test_visit_without_a_number_is_refused():
    first, second = sums(20, 20)
    nameless = type(second)(**{**_fields(second), "visit_number": Decimal("NaN")})
    assert codes([first, nameless]) == [ProblemCode.NOT_A_NUMBER]


def test_visits_and_lesions_that_contradict():
    lesion = target("T01")
    other_role = Lesion("T01", LesionRole.NON_TARGET, "LIVER")
    assert codes([*sums(20, 18), read(1, sizes={lesion: 18})]) == [ProblemCode.DUPLICATE_VISIT]
    assert codes([*sums(20), read(1, lesions=[other_role])]) == [ProblemCode.CONTRADICTION]
    twice = read(0, lesions=[lesion, lesion], sizes={lesion: 20})
    assert codes([twice]) == [ProblemCode.DUPLICATE_ROW]
    assert codes([]) == []


def test_findings_that_contradict():
    node = non_target("NT01", NODE, "LYMPH NODE")
    first = read(0, lesions=[node])
    absent = status("NT01", NonTargetStatus.ABSENT, short_axis_mm=Decimal(12))
    known = NewLesionFinding("NT01", Certainty.UNEQUIVOCAL)
    stranger = status("NT09", NonTargetStatus.PRESENT)
    assert codes([first, read(1, non_targets=[absent])]) == [ProblemCode.CONTRADICTION]
    assert codes([first, read(1, new=[known])]) == [ProblemCode.CONTRADICTION]
    assert codes([first, read(1, non_targets=[stranger])]) == [ProblemCode.UNKNOWN_LESION]
    there = status("NT01", NonTargetStatus.PRESENT)
    assert codes([first, read(1, non_targets=[there, there])]) == [ProblemCode.DUPLICATE_MEASUREMENT]
    shrunk = status("NT01", NonTargetStatus.PRESENT, short_axis_mm=Decimal(-1))
    assert codes([first, read(1, non_targets=[shrunk])]) == [ProblemCode.NEGATIVE_SIZE]
    new = NewLesionFinding("N1", Certainty.UNEQUIVOCAL, long_axis_mm=Decimal(-1))
    assert codes([first, read(1, new=[new])]) == [ProblemCode.NEGATIVE_SIZE]
    twice = [NewLesionFinding("N1", word) for word in Certainty]
    assert codes([first, read(1, new=twice)]) == [ProblemCode.DUPLICATE_MEASUREMENT]


def test_all_problems_are_told_at_once():
    lesions = [target(f"T{index:02d}", organ="LIVER") for index in range(6)]
    reads = [
        read(0, lesions=lesions, sizes=dict.fromkeys(lesions, 20)),
        read(1, sizes={lesions[0]: -3}, day="2020-01-01"),
    ]
    with pytest.raises(InputError) as refused:
        courses_of(reads)
    found = {problem.code for problem in refused.value.problems}
    assert found == {
        ProblemCode.TOO_MANY_TARGETS,
        ProblemCode.TOO_MANY_IN_ORGAN,
        ProblemCode.NEGATIVE_SIZE,
        ProblemCode.DATES_OUT_OF_ORDER,
    }
    assert "4 problems" in str(refused.value)
    assert "-3 mm" in str(refused.value)
