import json
import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.console import REASONS, Stock, Tally, print_problems, print_summary
from imaging.dicom import Intake, Problem, ProblemCode
from imaging.journal import Journal, without_patient
from imaging.legible import legible
from records.errors import Reason
from records.model import Study, VerdictLabel
from tests.records.examples import PROVENANCE, miliary_screening, not_evaluable_screening


def test_progress_tells_what_is_done_and_what_is_left():
    tally = Tally(total=40, started=time.monotonic() - 60)
    tally.labels.update([VerdictLabel.MIPC, VerdictLabel.NOT_EVALUABLE] + [VerdictLabel.NOT_MIPC] * 8)
    # 10 studies in 60 s are 600 an hour, and the other 30 take 180 s.
    assert tally.line() == "10/40 studies · 1 flagged · 1 not evaluable · 600 an hour · 3:00 left"


def test_progress_makes_no_promise_before_the_first_study():
    assert Tally(total=40).line() == "0/40 studies · 0 flagged · 0 not evaluable"


def test_the_summary_counts_verdicts_and_reasons(capsys, tmp_path):
    stock = Stock()
    for number in range(20):
        stock.add(not_evaluable_screening(f"1.{number}"))
    stock.add(miliary_screening())
    print_summary(stock, Intake((), 0, ()), tmp_path / "report.html", PROVENANCE)
    output = capsys.readouterr().out
    words = [" ".join(line.split()) for line in output.splitlines()]
    assert "MIPC 1" in words
    assert "not evaluable 20" in words
    assert "20 slices too thick" in words
    assert "mipc 0.1.0 · model none · protocol default (abababababab)" in words
    assert output.replace("\n", "").endswith(f"Report: {tmp_path / 'report.html'}")


def test_the_summary_names_the_likeliest_study_first_and_no_probability_as_none(capsys, tmp_path):
    stock = Stock()
    unlikely = replace(miliary_screening().verdict, label=VerdictLabel.NOT_MIPC, probability=2e-6)
    stock.add(replace(miliary_screening("1.1", patient_id="P-NOT"), verdict=unlikely))
    stock.add(not_evaluable_screening("1.2", patient_id="P-BAD"))
    stock.add(miliary_screening("1.3", patient_id="P-MIPC"))
    print_summary(stock, Intake((), 1, ()), tmp_path / "report.html", PROVENANCE)
    output = capsys.readouterr().out
    assert output.index("P-MIPC") < output.index("P-NOT") < output.index("P-BAD")
    assert "< 0.01" in output
    assert "\n1 file that is no DICOM was passed over.\n" in output


def test_a_hostile_name_is_only_printed(capsys, tmp_path):
    stock = Stock()
    stock.add(miliary_screening(patient_id="[red]x[/red]\x1b[2J"))
    print_summary(stock, Intake((), 0, ()), tmp_path / "report.html", PROVENANCE)
    output = capsys.readouterr().out
    assert "[red]x[/red]" in output
    assert "\x1b[2J" not in output


def test_what_could_not_be_used_is_named(capsys):
    problems = tuple(
        Problem(f"{number}.dcm", ProblemCode.EMPTY, f"{number}.dcm is empty") for number in range(30)
    )
    print_problems(Intake((), 4, problems))
    errors = capsys.readouterr().err
    assert "4 other files" in errors
    assert "0.dcm is empty" in errors
    assert "and 18 more" in errors


def test_a_line_of_the_log_that_was_cut_off_spoils_no_other(tmp_path):
    path = tmp_path / "log.jsonl"
    for event in ("start", "stopped"):
        with Journal(path) as journal:
            journal.write(event)
    path.write_text(path.read_text() + '{"time": "2026-01-0')  # the power went
    with Journal(path) as journal:
        journal.write("start", studies=3)
    first, second, torn, last = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in (first, second, last)] == ["start", "stopped", "start"]
    assert torn == '{"time": "2026-01-0'


def test_every_reason_has_words():
    assert set(REASONS) == set(Reason)


@settings(deadline=None)  # a busy machine is not a fault
@given(st.text(st.characters(codec=None)), st.integers(1, 50))
def test_legible_text_is_one_line_that_any_file_takes(text, limit):
    shown = legible(text, limit)
    assert len(shown) <= limit
    assert shown.translate({0x200C: None, 0x200D: None}).isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert legible(shown, limit) == shown


@settings(deadline=None)  # a busy machine is not a fault
@given(
    st.lists(st.text("ABCDEFGHabcdefgh'-", min_size=2, max_size=8), min_size=1, max_size=3),
    st.from_regex(r"[A-Z]{1,2}[0-9]{3,6}", fullmatch=True),
    st.text("abcdefgh /:", max_size=10),
)
def test_no_word_of_the_patient_stays_in_a_log(names, patient_id, before):
    study = Study("1.2", patient_id, "^".join(names), "", "")
    text = f"{before}/{names[0].upper()}_{'_'.join(names[1:])}/{patient_id}.dcm"
    cleaned = without_patient(text, study).replace("[patient]", "").lower()
    assert patient_id.lower() not in cleaned
    for name in names:
        for word in name.lower().replace("'", " ").replace("-", " ").split():
            if len(word) >= 4:
                assert word not in cleaned
