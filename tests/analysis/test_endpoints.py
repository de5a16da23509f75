"""Times to events: each rule that can end one, both sides of its boundary."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from analysis.adam import ADTTE_COLUMNS, adtte_rows
from analysis.endpoints import (
    EndRule,
    Follow,
    Schedule,
    duration_of_response,
    follow_up,
    overall_survival,
    progression_free_survival,
    progression_free_survival_ema,
    progression_free_survival_fda,
    time_to_progression,
)
from analysis.errors import AnalysisError
from analysis.rates import (
    NotEvaluable,
    disease_control_rate,
    objective_response_rate,
)
from analysis.recist.checks import InputError, ProblemCode
from analysis.response import courses_of, follow, judge
from analysis.subjects import Subject, read_subjects
from records.reads import Measurement, Response, Seen, millimetres
from tests.analysis.recist_cases import START, read, sums, target


def day(number):
    return START + timedelta(days=number)


def subject(**days):
    """Return a patient who starts treatment on day 0 and was diagnosed 30 days before."""
    dates = {name: day(number) for name, number in days.items()}
    return Subject("P1", **({"diagnosis": day(-30), "treatment_start": START} | dates))


def scans(*adequate, progression=None, baseline=True):
    return Follow(
        baseline,
        tuple(day(n) for n in adequate),
        None if progression is None else day(progression),
        "READER 1",
    )


SIX_WEEKLY = Schedule(((42, None),), window_days=7)


def outcome(time):
    return (time.days, time.is_event, time.rule)


# Overall survival


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        pytest.param({"death": 100}, (130, True, EndRule.DEATH), id="from-diagnosis-to-death"),
        pytest.param({"last_known_alive": 70}, (100, False, EndRule.ALIVE), id="alive-at-last-contact"),
        pytest.param(
            {"death": 100, "last_known_alive": 70}, (130, True, EndRule.DEATH), id="death-beats-last-contact"
        ),
    ],
)
def test_overall_survival(dates, expected):
    assert outcome(overall_survival(subject(**dates))) == expected


def test_overall_survival_may_start_at_treatment():
    assert overall_survival(subject(death=100), start=START).days == 100


def test_overall_survival_is_not_made_up():
    assert overall_survival(Subject("P1", death=START)) is None
    assert overall_survival(subject()) is None


def test_months_are_days_over_30_4375():
    """365.25 days are 12 months."""
    assert overall_survival(subject(death=1431)).months == pytest.approx(1461 / 30.4375)
    assert 1461 / 30.4375 == 48


# Progression-free survival: the paper


@pytest.mark.parametrize(
    ("dates", "found", "expected"),
    [
        pytest.param({}, scans(42, progression=84), (84, True, EndRule.PROGRESSION), id="objective"),
        pytest.param(
            {"clinical_progression": 60},
            scans(42, progression=84),
            (60, True, EndRule.CLINICAL_PROGRESSION),
            id="clinical-sign-first",
        ),
        pytest.param(
            {"clinical_progression": 90},
            scans(42, progression=84),
            (84, True, EndRule.PROGRESSION),
            id="clinical-sign-later",
        ),
        pytest.param({"death": 50}, scans(42), (50, True, EndRule.DEATH), id="death"),
        pytest.param({}, scans(42, 84), (84, False, EndRule.NO_EVENT), id="none-by-the-last-scan"),
        pytest.param({"new_therapy": 50}, scans(42, 84), (84, False, EndRule.NO_EVENT), id="new-therapy"),
        pytest.param({}, scans(), (0, False, EndRule.NEVER_ASSESSED), id="never-assessed"),
    ],
)
def test_progression_free_survival_of_the_paper(dates, found, expected):
    assert outcome(progression_free_survival(subject(**dates), found)) == expected


def test_symptomatic_deterioration_is_no_objective_progression():
    """RECIST 1.1, 4.4.3: a reason to stop, not PD; only the paper's definition counts it."""
    patient = subject(clinical_progression=60)
    assert progression_free_survival(patient, scans(42)).is_event
    assert not progression_free_survival_fda(patient, scans(42), SIX_WEEKLY).is_event
    assert not progression_free_survival_ema(patient, scans(42)).is_event
    assert not time_to_progression(patient, scans(42)).is_event


# FDA primary, EMA sensitivity: the same patients, two answers


@pytest.mark.parametrize(
    ("dates", "found", "fda", "ema"),
    [
        pytest.param(
            {},
            scans(42, progression=84),
            (84, True, EndRule.PROGRESSION),
            (84, True, EndRule.PROGRESSION),
            id="progression",
        ),
        pytest.param(
            {"death": 60}, scans(42), (60, True, EndRule.DEATH), (60, True, EndRule.DEATH), id="death"
        ),
        pytest.param(
            {},
            scans(42, 84),
            (84, False, EndRule.NO_EVENT),
            (84, False, EndRule.NO_EVENT),
            id="no-progression-last-adequate-scan",
        ),
        pytest.param(
            {"last_known_alive": 400},
            scans(42),
            (42, False, EndRule.NO_EVENT),
            (42, False, EndRule.NO_EVENT),
            id="lost-to-follow-up",
        ),
        pytest.param(
            {},
            scans(),
            (0, False, EndRule.NEVER_ASSESSED),
            (0, False, EndRule.NEVER_ASSESSED),
            id="no-scan-after-baseline",
        ),
        pytest.param(
            {},
            scans(baseline=False),
            (0, False, EndRule.NO_BASELINE),
            (0, False, EndRule.NEVER_ASSESSED),
            id="no-baseline",
        ),
        pytest.param(
            {"death": 91},
            scans(),
            (91, True, EndRule.DEATH),
            (91, True, EndRule.DEATH),
            id="death-before-the-second-scan-was-overdue",
        ),
        pytest.param(
            {"death": 92},
            scans(),
            (0, False, EndRule.MISSED_VISITS),
            (92, True, EndRule.DEATH),
            id="death-after-two-missed-and-no-scan",
        ),
        pytest.param(
            {"death": 60},
            scans(baseline=False),
            (60, True, EndRule.DEATH),
            (60, True, EndRule.DEATH),
            id="no-baseline-but-early-death",
        ),
        pytest.param(
            {"new_therapy": 60},
            scans(42, progression=84),
            (42, False, EndRule.NEW_THERAPY),
            (84, True, EndRule.PROGRESSION),
            id="new-therapy-before-progression",
        ),
        pytest.param(
            {"new_therapy": 84},
            scans(42, progression=84),
            (84, True, EndRule.PROGRESSION),
            (84, True, EndRule.PROGRESSION),
            id="new-therapy-on-the-day-of-progression",
        ),
        pytest.param(
            {"new_therapy": 20},
            scans(42, 84),
            (0, False, EndRule.NEW_THERAPY),
            (84, False, EndRule.NO_EVENT),
            id="new-therapy-before-any-scan",
        ),
        pytest.param(
            {},
            scans(42, progression=126),
            (126, True, EndRule.PROGRESSION),
            (126, True, EndRule.PROGRESSION),
            id="progression-after-exactly-one-missed-visit",
        ),
        pytest.param(
            {},
            scans(42, progression=168),
            (42, False, EndRule.MISSED_VISITS),
            (168, True, EndRule.PROGRESSION),
            id="progression-after-two-missed-visits",
        ),
        pytest.param(
            {"death": 134},
            scans(42),
            (42, False, EndRule.MISSED_VISITS),
            (134, True, EndRule.DEATH),
            id="death-after-two-missed-visits",
        ),
        pytest.param(
            {"death": 133},
            scans(42),
            (133, True, EndRule.DEATH),
            (133, True, EndRule.DEATH),
            id="death-within-the-window-of-the-second",
        ),
    ],
)
def test_censoring_rules(dates, found, fda, ema):
    """FDA 2018, table A, and the EMA's intention-to-treat sensitivity; scans due every 42 days, window 7."""
    patient = subject(**dates)
    assert outcome(progression_free_survival_fda(patient, found, SIX_WEEKLY)) == fda
    assert outcome(progression_free_survival_ema(patient, found)) == ema


def test_every_time_says_in_words_what_ended_it():
    time = progression_free_survival_fda(subject(), scans(42, progression=168), SIX_WEEKLY)
    assert time.sentence == (
        f"censored on {day(42)}: progression on {day(168)} after 2 missed visits, "
        f"last adequate scan before it {day(42)}"
    )
    assert time.came_from == "READER 1"


def test_progression_before_the_start_is_said_and_counts_no_time():
    time = progression_free_survival_ema(subject(), scans(progression=-3))
    assert (time.days, time.is_event) == (0, True)
    assert f"on {day(-3)}, before the start" in time.sentence


def test_schedule_with_two_phases():
    schedule = Schedule(((42, 84), (84, None)))
    assert schedule.due_days(400) == [42, 84, 168, 252, 336]


# Time to progression, duration of response


def test_time_to_progression_censors_death():
    assert outcome(time_to_progression(subject(death=60), scans(42))) == (60, False, EndRule.DEATH_CENSORED)
    known = Subject("P1", treatment_start=START, death=day(60), died_of_progression=True)
    assert not time_to_progression(known, scans(42)).is_event
    assert time_to_progression(known, scans(42), death_of_progression_counts=True).is_event


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(scans(42, 84, progression=126), (84, True, EndRule.PROGRESSION), id="until-progression"),
        pytest.param(scans(42, 84), (42, False, EndRule.NO_EVENT), id="still-responding"),
    ],
)
def test_duration_of_response(found, expected):
    patient = subject()
    free = progression_free_survival_fda(patient, found, SIX_WEEKLY)
    assert outcome(duration_of_response(patient, day(42), free)) == expected


def test_duration_of_response_is_for_responders():
    patient = subject()
    free = progression_free_survival_fda(patient, scans(42), SIX_WEEKLY)
    assert duration_of_response(patient, None, free) is None


def test_confirmed_response_counts_from_its_first_day():
    patient = subject(death=300)
    judged = judge(courses_of(sums(100, 90, 60, 60, 100)), {"P1": patient})
    duration = next(time for time in judged.times if time.parameter == "DOR")
    assert (duration.start, duration.end, duration.is_event) == (day(84), day(168), True)


def test_duration_starts_with_the_partial_response_before_the_complete_one():
    judged = judge(courses_of(sums(100, 60, 60, 0, 0, 30)), {"P1": subject(death=300)})
    duration = next(time for time in judged.times if time.parameter == "DOR")
    assert (duration.start, duration.end) == (day(42), day(210))


# Which day of a time point


def test_scan_on_two_days_is_censored_at_its_last_component():
    lung, liver = target("T01"), target("T02")
    late = Measurement("T02", Seen.MEASURED, millimetres(30), date=str(day(50)))
    first = read(0, lesions=[lung, liver], sizes={lung: 30, liver: 30})
    followed = follow_up(follow([first, read(1, sizes={lung: 30, liver: late})]))
    assert followed.adequate_days == (day(50),)


def test_not_evaluable_time_points_are_no_adequate_scans():
    assert follow_up(follow(sums(30, 30, None))).adequate_days == (day(42),)


def test_scans_after_progression_are_left_out():
    followed = follow_up(follow(sums(30, 30, 60, 30)))
    assert (followed.adequate_days, followed.progression) == ((day(42),), day(84))


def test_table_counts_the_start_as_day_one():
    row = dict(zip(ADTTE_COLUMNS, adtte_rows([overall_survival(subject(death=70))])[0], strict=True))
    assert (row["AVAL"], row["CNSR"], row["EVNTDESC"]) == ("101", "0", "death")
    assert row["AVALM"] == "3.2854"


# Rates


@pytest.mark.parametrize(
    ("count", "patients", "low", "high"),
    [  # R: binom.test(count, patients)$conf.int
        pytest.param(30, 43, 0.538746694, 0.828175008, id="papers-tki-30-of-43"),
        pytest.param(15, 37, 0.247542376, 0.579002751, id="papers-chemotherapy-15-of-37"),
        pytest.param(0, 10, 0.0, 0.308497108, id="none-of-10"),
        pytest.param(10, 10, 0.691502892, 1.0, id="all-of-10"),
    ],
)
def test_rates_have_exact_intervals(count, patients, low, high):
    rate = objective_response_rate([Response.PR] * count + [Response.PD] * (patients - count))
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-9)


def test_rates_of_the_paper():
    """29 PR, 1 NPD and 13 PD of 43: disease control 70 %; 11, 4 and 22 of 37: 41 %."""
    groups = {
        "tki": [Response.PR] * 29 + [Response.NON_CR_NON_PD] + [Response.PD] * 13,
        "chemotherapy": [Response.PR] * 11 + [Response.NON_CR_NON_PD] * 4 + [Response.PD] * 22,
    }
    control = {name: disease_control_rate(best) for name, best in groups.items()}
    assert round(control["tki"].value, 2) == 0.70
    assert round(control["chemotherapy"].value, 2) == 0.41
    assert objective_response_rate(groups["tki"]).count == 29


def test_not_evaluable_patients_count_as_the_protocol_says():
    best = [Response.PR, Response.SD, Response.NE, Response.MISSING]
    assert objective_response_rate(best).value == 0.25
    left_out = objective_response_rate(best, not_evaluable=NotEvaluable.LEFT_OUT)
    assert (left_out.count, left_out.patients) == (1, 2)
    assert disease_control_rate(best).value == 0.5


def test_rate_of_nobody_is_refused():
    with pytest.raises(AnalysisError):
        objective_response_rate([])


def test_patient_without_any_read_is_never_assessed_and_no_responder():
    """RECIST 1.1, 4.7: all patients of the study count. FDA 2018, table A: censored at the start."""
    patients = {
        "P1": subject(death=300),
        "P2": replace(subject(last_known_alive=200), subject_id="P2"),
        "P3": replace(subject(death=60), subject_id="P3"),
    }
    judged = judge(courses_of(sums(100, 60, 60, 90)), patients)
    confirmed = {one.subject_id: one.response for one in judged.best if one.confirmed}
    assert confirmed == {"P1": Response.PR, "P2": Response.MISSING, "P3": Response.NE}
    rate = objective_response_rate(confirmed.values())
    assert (rate.count, rate.patients) == (1, 3)
    times = {(time.subject_id, time.parameter.value): outcome(time) for time in judged.times}
    assert times["P2", "OS"] == (230, False, EndRule.ALIVE)
    assert times["P2", "PFSFDA"] == (0, False, EndRule.NO_BASELINE)
    assert times["P3", "PFSFDA"] == (60, True, EndRule.DEATH)


# The table of patients


def test_patients_are_read(tmp_path):
    path = tmp_path / "subjects.csv"
    path.write_text("USUBJID,DIAGDT,TRTSDT,DTHDT,DTHPDFL\nP1,2024-01-01,2024-01-15,,\nP2,,,2024-03-01,Y\n")
    found = read_subjects(path)
    assert found["P1"] == Subject("P1", date(2024, 1, 1), date(2024, 1, 15))
    assert found["P2"] == Subject("P2", death=date(2024, 3, 1), died_of_progression=True)


def test_all_problems_of_the_patients_are_told_at_once(tmp_path):
    path = tmp_path / "subjects.csv"
    path.write_text(
        "USUBJID,DIAGDT,TRTSDT,DTHDT,LSTALVDT,DTHPDFL\n"
        "P1,2024-02-01,2024-01-15,,,\n"
        "P2,2024-02,,,,\n"
        "P2,,,2024-01-01,2024-01-02,MAYBE\n"
        ",,,,,\n"
    )
    with pytest.raises(InputError) as refused:
        read_subjects(path)
    assert [(problem.where.rpartition(" ")[2], problem.code) for problem in refused.value.problems] == [
        ("3", ProblemCode.BAD_DATE),
        ("2", ProblemCode.DATES_OUT_OF_ORDER),
        ("4", ProblemCode.DUPLICATE_ROW),
        ("4", ProblemCode.UNKNOWN_CODE),
        ("4", ProblemCode.DATES_OUT_OF_ORDER),
        ("5", ProblemCode.MISSING_VALUE),
    ]
