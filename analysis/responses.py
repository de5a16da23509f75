"""Enter what `mipc respond` found into the patient table: best response, change of size, endpoints."""

from pathlib import Path

import pandas as pd

from analysis.clinical import Clinical, TableProblem
from analysis.csvtable import read_table, text_of
from analysis.derivations import DAYS_PER_MONTH
from analysis.errors import AnalysisError, Problem
from analysis.recist.protocol import NotEvaluable, read_response_protocol
from records.reads import Response
from records.wording import counted

__all__ = ["with_responses"]

COLUMNS = {  # that are read of each file
    "best_response": ("USUBJID", "evaluator", "confirmation", "best_response"),
    "responses": ("USUBJID", "evaluator", "VISITNUM", "overall_response", "sum_mm", "baseline_mm"),
    "adtte": ("USUBJID", "PARAMCD", "ADT", "AVALM", "CNSR", "EVALUATR", "EVNTDESC"),
    "adrs": ("USUBJID", "PARAMCD", "AVISITN", "EVALUATR", "CAMEFROM"),
}
OPTIONAL = {"responses": ("date", "new_therapy"), "adtte": ("AVAL", "AVALU")}
ACCEPTED = "ACCEPTED"
CONFIRMATION = {False: "not required", True: "required"}
NONPROGRESSIVE = ("NON-CR/NON-PD", "NON-PD")  # only lesions that cannot be measured: the paper's NPD
MISSING, NOT_EVALUABLE = Response.MISSING.value, Response.NE.value
NEVER_ASSESSED = ("no adequate scan after the start", "no baseline scan")  # a time of 0 that says nothing
PROGRESSED = ("progression", "clinical progression")
ENDPOINTS = {"PFS": ("pfs_months", "pfs_event"), "OS": ("os_months", "os_event")}


def with_responses(
    clinical: Clinical, folder: Path, *, evaluator: str | None = None, confirmed: bool = False
) -> Clinical:
    """Return the patient table with the responses of one evaluator.

    Parameters
    ----------
    clinical : Clinical
        Derived.
    folder : Path
        What `mipc respond` wrote: best_response.csv, responses.csv, adtte.csv, protocol.toml.
    evaluator : str, optional
        Default: the accepted reads, or the only evaluator there is.
    confirmed : bool
        Whether responses need confirmation.

    Raises
    ------
    AnalysisError
        If a file is missing or not as `mipc respond` wrote it, or several evaluators leave a choice.
    """
    tables = {name: _read(folder, name) for name in ("best_response", "responses", "adtte")}
    best = tables["best_response"]
    reader = _evaluator(best, evaluator)
    mine = best[(best["evaluator"] == reader) & (best["confirmation"] == CONFIRMATION[confirmed])]
    judged = set(mine["USUBJID"])
    unread = set(mine.loc[mine["best_response"] == MISSING, "USUBJID"])  # what the table knows of them stays
    mine = mine[mine["best_response"] != MISSING]
    said = mine.set_index("USUBJID")["best_response"].replace(dict.fromkeys(NONPROGRESSIVE, "NPD"))
    frame = clinical.frame.copy()
    had_changes = "best_change_percent" in frame
    patients = frame["patient_id"].astype(str)
    given = frame["best_response"] if "best_response" in frame else pd.Series(pd.NA, index=frame.index)
    never = patients.isin(unread) & given.isna()
    leaves_out = _leaves_out(folder)
    answers = patients.map(said).fillna(given).mask(never, NOT_EVALUABLE)
    uncounted = patients.isin(judged) & (answers == NOT_EVALUABLE) & leaves_out
    frame["best_response"] = answers.mask(uncounted, pd.NA)
    points = tables["responses"]
    mine = points[points["evaluator"] == reader] if reader != ACCEPTED else _accepted(points, folder)
    changes = patients.map(_best_changes(mine))
    frame["best_change_percent"] = changes.fillna(frame["best_change_percent"]) if had_changes else changes
    for code, (months, event) in ENDPOINTS.items():
        frame = _endpoint(frame, tables["adtte"], code, reader, months, event)
    problems = [
        TableProblem(0, name, "patient_id", name, "has responses, but is not in the table")
        for name in sorted(judged - set(patients))
    ]
    stands = given.notna() & ~patients.isin(said.index)
    problems += [
        TableProblem(int(row), name, "best_response", str(response), "not read: the table's response stands")
        for row, name, response in zip(
            frame["table_row"][stands], patients[stands], given[stands], strict=True
        )
    ]
    sentence = f"never read: {'not counted' if leaves_out else 'counted as not evaluable (NE)'}"
    problems += [
        TableProblem(int(row), name, "best_response", "", sentence)
        for row, name in zip(frame["table_row"][never], patients[never], strict=True)
    ]
    return Clinical(frame, (*clinical.problems, *problems), clinical.n_read)


def _leaves_out(folder: Path) -> bool:
    """Return whether `mipc respond` was told to leave out of its rates who could not be judged."""
    file = folder / "protocol.toml"
    if not file.is_file():
        return False
    return read_response_protocol(text_of(file)).not_evaluable is NotEvaluable.LEFT_OUT


def _read(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise AnalysisError(Problem.BAD_INPUT, f"{folder} has no {name}.csv: give the folder of mipc respond")
    table = read_table(path, [column.upper() for column in COLUMNS[name]])
    if table.problems:
        rest = len(table.problems) - 1
        more = f"; and {counted(rest, 'more problem')}" if rest else ""
        raise AnalysisError(Problem.BAD_INPUT, f"{table.problems[0]}{more}")
    optional = [column for column in OPTIONAL.get(name, ()) if column.upper() in table.columns]
    return pd.DataFrame(
        {column: list(table.column(column.upper())) for column in (*COLUMNS[name], *optional)}, dtype=object
    )


def _numbers(texts: pd.Series, file: str) -> pd.Series:
    """Return a column of numbers, empty cells missing; what is no number is refused."""
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
    _refuse_changed(texts, numbers, file, "number")
    return numbers


def _days(texts: pd.Series, file: str) -> pd.Series:
    """Return a column of days, empty cells missing; what is no day is refused."""
    days = pd.to_datetime(texts.where(texts != ""), format="%Y-%m-%d", errors="coerce")
    _refuse_changed(texts, days, file, "day as YYYY-MM-DD")
    return days


def _refuse_changed(texts: pd.Series, read: pd.Series, file: str, what: str) -> None:
    """Refuse cells that a spreadsheet wrote in its own way: half of them would be missing without a word."""
    changed = texts[(texts != "") & read.isna()]
    if len(changed):
        sentence = (
            f"{file}, {texts.name}: {changed.iloc[0]!r} is no {what}; give the file as mipc respond wrote it"
        )
        raise AnalysisError(Problem.BAD_INPUT, sentence)


def _evaluator(best: pd.DataFrame, wanted: str | None) -> str:
    names = sorted(set(best["evaluator"]))
    if not names:
        raise AnalysisError(Problem.BAD_INPUT, "the responses of nobody: best_response.csv holds no rows")
    if wanted is not None:
        if wanted not in names:
            raise AnalysisError(Problem.BAD_INPUT, f"no evaluator {wanted!r} among {', '.join(names)}")
        return wanted
    if ACCEPTED in names:
        return ACCEPTED
    if len(names) != 1:
        raise AnalysisError(Problem.BAD_INPUT, f"several evaluators, choose one: {', '.join(names)}")
    return str(names[0])


def _accepted(points: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the time points of the accepted readers, each measured against that reader's own baseline."""
    series = _read(folder, "adrs")
    series = series[(series["PARAMCD"] == "OVR") & (series["EVALUATR"] == ACCEPTED)]
    visits = series[["USUBJID", "AVISITN", "CAMEFROM"]]
    visits = visits.rename(columns={"AVISITN": "VISITNUM", "CAMEFROM": "evaluator"})
    return visits.merge(points, on=["USUBJID", "VISITNUM", "evaluator"])


def _best_changes(mine: pd.DataFrame) -> "pd.Series[float]":
    """Return the lowest sum of diameters of each patient against baseline, in per cent.

    It is the lowest up to progression and up to a new therapy, as in the best response.
    """
    if "new_therapy" in mine:
        mine = mine[(mine["new_therapy"] == "") | (mine["date"].str[:10] <= mine["new_therapy"])]
    progressed = mine["overall_response"].eq("PD").astype(int)
    mine = mine[progressed.groupby(mine["USUBJID"]).cumsum() - progressed == 0]
    total, baseline = (_numbers(mine[name], "responses.csv") for name in ("sum_mm", "baseline_mm"))
    change = 100 * (total - baseline) / baseline.where(baseline > 0)
    return change.groupby(mine["USUBJID"]).min()


def _months(times: pd.DataFrame) -> pd.Series:
    """Return times in months: from whole days where they stand, for AVALM is rounded and would part ties."""
    months = _numbers(times["AVALM"], "adtte.csv")
    if not {"AVAL", "AVALU"} <= set(times):
        return months
    days = _numbers(times["AVAL"], "adtte.csv").where(times["AVALU"] == "DAYS") - 1  # the start is day 1
    return (days / DAYS_PER_MONTH).fillna(months)


def _endpoint(
    frame: pd.DataFrame, times: pd.DataFrame, code: str, reader: str, months: str, event: str
) -> pd.DataFrame:
    """Take an endpoint over where it was worked out; other patients keep what they had."""
    mine = times[
        (times["PARAMCD"] == code)
        & times["EVALUATR"].isin([reader, ""])
        & ~times["EVNTDESC"].isin(NEVER_ASSESSED)
    ].set_index("USUBJID")
    if mine.empty:
        return frame
    if not mine.index.is_unique:
        raise AnalysisError(Problem.BAD_INPUT, f"adtte.csv has {code} twice for a patient")
    patients = frame["patient_id"].astype(str)
    length = patients.map(_months(mine))
    ended = patients.map(mine["CNSR"] == "0").astype("boolean")
    if code == "PFS":  # the day of progression goes with it: none where death or a last scan ended the time
        day = _days(mine["ADT"], "adtte.csv").where(mine["EVNTDESC"].isin(PROGRESSED))
        known = frame["progression_date"] if "progression_date" in frame else pd.Series(pd.NaT, frame.index)
        frame = frame.assign(progression_date=patients.map(day).where(length.notna(), known))
    before_length = frame[months] if months in frame else pd.Series(float("nan"), index=frame.index)
    before_event = frame[event] if event in frame else pd.Series(pd.NA, index=frame.index, dtype="boolean")
    return frame.assign(
        **{
            months: length.fillna(before_length),
            event: ended.where(length.notna(), before_event.astype("boolean")),
        }
    )
