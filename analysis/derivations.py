"""Derive what the analysis needs from what the table holds, as the paper defines it.

Each derivation is a function from a frame to a new frame; a value the table
gives is kept, and one that contradicts what can be worked out is reported.
"""

from collections.abc import Callable
from functools import reduce

import numpy as np
import pandas as pd

from analysis.clinical import Clinical, TableProblem
from analysis.dictionary import METASTASES
from analysis.egfr import EgfrResult, EgfrStatus, parse_egfr
from analysis.treatment import NOT_KNOWN, Treatment, classify, sequence_of

__all__ = ["DAYS_PER_MONTH", "SAME_DAYS", "derive"]

DAYS_PER_MONTH = 365.25 / 12
DAYS_PER_YEAR = 365.25
FEWEST_CIGARETTES = 100  # a smoker's lifetime; Wu 2013, "clinical data"
WEIGHT_LOST = 0.10  # of the weight 6 months before; more than this is weight loss
SAME_DAYS = 3  # two accounts of a time this far apart do not contradict each other

Report = Callable[[int, str, object, str], None]

EGFR_COLUMNS = ("egfr_status", "egfr_type", "egfr_mutations", "egfr_tested")  # worked out, never given


def derive(clinical: Clinical) -> Clinical:
    """Return the table with every derived column, and the contradictions found on the way."""
    problems: list[TableProblem] = []

    def report(row: int, column: str, value: object, sentence: str) -> None:
        patient = str(clinical.frame["patient_id"].iloc[row])
        place = int(clinical.frame["table_row"].iloc[row])
        problems.append(TableProblem(place, patient, column, str(value), sentence))

    steps = (_age, _smoking, _weight, _groups, _spread, _egfr, _lines, _overall_survival, _progression)
    frame = reduce(lambda table, step: step(table, report), steps, clinical.frame.copy())
    return Clinical(frame, (*clinical.problems, *problems), clinical.n_read)


def _column(frame: pd.DataFrame, name: str, kind: str = "object") -> pd.Series:
    """Return a column, all missing if the table has none."""
    if name in frame:
        return frame[name]
    return pd.Series(pd.NaT if kind == "datetime64[ns]" else pd.NA, index=frame.index, dtype=kind)


def _rows(chosen: "pd.Series[bool]") -> list[int]:
    """Return where a truth holds; unknown is not true."""
    return np.flatnonzero(chosen.fillna(False).to_numpy(dtype=bool)).tolist()


def _dates(frame: pd.DataFrame, name: str) -> pd.Series:
    return pd.to_datetime(_column(frame, name, "datetime64[ns]"))


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series:
    return _column(frame, name, "float64" if name in frame else "Float64").astype("Float64").astype(float)


def _truths(frame: pd.DataFrame, name: str) -> pd.Series:
    return _column(frame, name, "boolean").astype("boolean")


def _age(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    worked_out = (_dates(frame, "diagnosis_date") - _dates(frame, "birth_date")).dt.days / DAYS_PER_YEAR
    given = _numbers(frame, "age_years")
    for row in _rows((worked_out - given).abs() > 1.01):
        report(row, "age_years", given.iloc[row], f"dates give {worked_out.iloc[row]:.1f} years")
    age = given.fillna(worked_out)
    group = pd.Series(np.where(age < 65, "under_65", "65_or_over"), index=frame.index).where(age.notna())
    return frame.assign(age_years=age, age_group=group)


def _smoking(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Nonsmoker below 100 cigarettes; current within a year of diagnosis; else former."""
    smoked = _numbers(frame, "cigarettes_lifetime")
    since_days = (_dates(frame, "diagnosis_date") - _dates(frame, "last_smoked_date")).dt.days
    still = _truths(frame, "is_smoking").fillna(False).astype(bool)
    worked_out = pd.Series(pd.NA, index=frame.index, dtype=object)
    ever = smoked >= FEWEST_CIGARETTES
    worked_out[ever & (since_days > DAYS_PER_YEAR)] = "former"
    worked_out[ever & ((since_days <= DAYS_PER_YEAR) | still)] = "current"
    worked_out[smoked < FEWEST_CIGARETTES] = "nonsmoker"
    given = _column(frame, "smoking")
    differ = worked_out.notna() & given.notna() & (worked_out != given)
    for row in _rows(differ):
        report(row, "smoking", given.iloc[row], f"cigarettes and dates say {worked_out.iloc[row]}")
    smoking = given.fillna(worked_out)
    group = smoking.map(
        {"nonsmoker": "nonsmoker", "former": "former_or_current", "current": "former_or_current"}
    )
    return frame.assign(smoking=smoking, smoking_group=group)


def _weight(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    before = _numbers(frame, "weight_before_kg")
    lost = (before - _numbers(frame, "weight_kg")) / before
    # A tenth of a milligram of slack: 63 kg of 70 kg is 10 % and not more, in floats too.
    worked_out = (lost > WEIGHT_LOST + 1e-9).astype("boolean").where(lost.notna())
    return frame.assign(weight_loss=_truths(frame, "weight_loss").fillna(worked_out))


def _groups(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    status = _numbers(frame, "ecog_ps")
    ecog = pd.Series(np.where(status <= 1, "0-1", "2-4"), index=frame.index).where(status.notna())
    histology = _column(frame, "histology")
    tumour = pd.Series(
        np.where(histology == "adenocarcinoma", "adenocarcinoma", "nonadenocarcinoma"), index=frame.index
    ).where(histology.notna())
    return frame.assign(ecog_group=ecog, tumour_type=tumour)


def _spread(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Any site outside lungs and pleura; unknown only if none is known and some are unknown."""
    sites = [f"metastasis_{site}" for site in METASTASES if f"metastasis_{site}" in frame]
    if not sites:
        return frame.assign(extrapulmonary_metastasis=_truths(frame, "extrapulmonary_metastasis"))
    table = frame[sites].astype("boolean")
    any_site = table.any(axis=1)
    worked_out = any_site.astype("boolean").mask(~any_site & table.isna().any(axis=1))
    given = _truths(frame, "extrapulmonary_metastasis")
    for row in _rows(given.notna() & worked_out.notna() & (given != worked_out)):
        report(row, "extrapulmonary_metastasis", given.iloc[row], "the sites say otherwise")
    return frame.assign(extrapulmonary_metastasis=given.fillna(worked_out))


def _egfr(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    if "egfr_result" not in frame:
        given = [name for name in EGFR_COLUMNS if name in frame]
        for name in given:
            for row in _rows(frame[name].notna()):
                report(row, name, frame[name].iloc[row], "worked out from egfr_result, which the table lacks")
        return frame.drop(columns=given)
    texts = frame["egfr_result"].fillna("").astype(str)
    results = {text: parse_egfr(text) for text in texts.unique()}
    for row in _rows(texts.map(lambda text: results[text] is None)):
        sentence = "the result cannot be understood: taken as not tested"
        report(row, "egfr_result", texts.iloc[row], sentence)
    read = {text: result or EgfrResult(EgfrStatus.NOT_TESTED, ()) for text, result in results.items()}
    return frame.assign(
        egfr_status=texts.map({text: result.status.value for text, result in read.items()}),
        egfr_type=texts.map({text: result.type.value for text, result in read.items()}),
        egfr_mutations=texts.map(
            {text: "; ".join(m.name for m in result.mutations) for text, result in read.items()}
        ),
        egfr_tested=texts.map(
            {text: result.status is not EgfrStatus.NOT_TESTED for text, result in read.items()}
        ),
    )


def _lines(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Classify lines; put them in the order of their dates where these say otherwise."""
    if "line1" not in frame:
        if "line1_start" not in frame:
            return frame
        return frame.assign(first_line_start_date=_dates(frame, "line1_start"))
    numbers = [n for n in (1, 2, 3, 4) if f"line{n}" in frame]
    texts = [frame[f"line{n}"].fillna("").astype(str).tolist() for n in numbers]
    dates = [list(_dates(frame, f"line{n}_start")) for n in numbers]
    known = {text: classify(text) for column in texts for text in set(column)}
    for n, column in zip(numbers, texts, strict=True):
        for row in _rows(pd.Series(column).str.lower().isin(NOT_KNOWN)):
            report(row, f"line{n}", column[row], "what was given is not known: counted as another treatment")
    kinds: list[list[Treatment]] = []
    starts: list[list[pd.Timestamp]] = []
    for row in range(len(frame)):
        lines = [(known[text[row]], date[row]) for text, date in zip(texts, dates, strict=True)]
        given = [(kind, start) for kind, start in lines if kind is not None]
        if all(pd.notna(start) for _, start in given):
            ordered = sorted(given, key=lambda line: line[1])
            if ordered != given:
                report(row, "line1_start", given[0][1].date(), "lines are not in the order of their dates")
            given = ordered
        kinds.append([kind for kind, _ in given])
        starts.append([start for _, start in given])
    treated = [[k for k in kind if k is not Treatment.SUPPORTIVE] for kind in kinds]
    first_tki = [
        next((s for k, s in zip(kind, start, strict=True) if k is Treatment.TKI), pd.NaT)
        for kind, start in zip(kinds, starts, strict=True)
    ]
    first_line = [  # of the line that `first_line` names; without any treatment, as it is given
        next((s for k, s in zip(kind, start, strict=True) if k is not Treatment.SUPPORTIVE), given)
        for kind, start, given in zip(kinds, starts, _dates(frame, "line1_start"), strict=True)
    ]
    return frame.assign(
        first_line=[kind[0].value if kind else Treatment.SUPPORTIVE.value for kind in treated],
        treatment_sequence=[sequence_of(*([*kind, None, None][:2])).value for kind in treated],
        tki_use=[Treatment.TKI in kind for kind in kinds],
        systemic_treatment=[bool(kind) for kind in treated],
        first_line_start_date=pd.to_datetime(pd.Series(first_line, index=frame.index)),
        tki_start_date=pd.to_datetime(pd.Series(first_tki, index=frame.index)),
        tki_months=(
            pd.to_datetime(pd.Series(first_tki, index=frame.index)) - _dates(frame, "diagnosis_date")
        ).dt.days
        / DAYS_PER_MONTH,
    )


def _overall_survival(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    start, death = _dates(frame, "diagnosis_date"), _dates(frame, "death_date")
    last = _dates(frame, "last_contact_date")
    died = _died(frame)
    for column, values, wrong, sentence in (
        ("death_date", death, death.notna() & (died == False), "the patient is said to be alive"),  # noqa: E712
        ("last_contact_date", last, death < last, "is after the death"),
        ("death_date", death, death < start, "is before the diagnosis"),
        ("last_contact_date", last, last < start, "is before the diagnosis"),
    ):
        for row in _rows(wrong):
            report(row, column, values.iloc[row].date(), sentence)
    worked_out = (_last_day(frame) - start).dt.days / DAYS_PER_MONTH
    given = _numbers(frame, "os_months")
    for row in _apart(given, worked_out):
        sentence = f"dates give {worked_out.iloc[row]:.2f} months; the given time is used"
        report(row, "os_months", f"{given.iloc[row]:.2f}", sentence)
    months = given.fillna(worked_out)
    for row in _rows(months < 0):
        report(row, "os_months", f"{months.iloc[row]:.2f}", "ends before it begins: taken as missing")
    for row in _rows(months.isna()):
        report(row, "os_months", "", "no follow-up can be worked out")
    said = _truths(frame, "os_event")
    for row in _rows((said != died) & (death.notna() | _truths(frame, "died").notna())):
        word = "dead" if died.iloc[row] else "alive"
        sentence = f"the patient is said to be {word}; what is given here is used"
        report(row, "os_event", said.iloc[row], sentence)
    return frame.assign(os_months=months.where(months >= 0), os_event=said.fillna(died))


def _died(frame: pd.DataFrame) -> pd.Series:
    """Return who died, by what the table says or by a date of death."""
    death = _dates(frame, "death_date")
    died = _truths(frame, "died").fillna(death.notna().astype("boolean").where(death.notna()))
    return died.fillna(False) if "died" not in frame else died


def _last_day(frame: pd.DataFrame) -> pd.Series:
    """Return the day follow-up ended: of death where that is known, else of the last contact."""
    death = _dates(frame, "death_date").where(_died(frame).fillna(False).astype(bool))
    return death.fillna(_dates(frame, "last_contact_date"))


def _apart(given: pd.Series, worked_out: pd.Series) -> list[int]:
    """Return where two accounts of a time, in months, contradict each other."""
    return _rows((worked_out - given).abs() * DAYS_PER_MONTH > SAME_DAYS)


def _progression(frame: pd.DataFrame, report: Report) -> pd.DataFrame:
    """First line to progression or death, whichever is first; else to last contact."""
    given, said = _numbers(frame, "pfs_months"), _truths(frame, "pfs_event")
    if "pfs_months" not in frame and "line1_start" not in frame:
        return frame
    start, progressed = _dates(frame, "first_line_start_date"), _dates(frame, "progression_date")
    for row in _rows(progressed < start):
        report(row, "progression_date", progressed.iloc[row].date(), "is before the first line")
    # Who died and when, overall survival alone tells: by its dates, or the given time that it used instead.
    lived = pd.to_timedelta((frame["os_months"] * DAYS_PER_MONTH).round(), unit="D")
    last, used = _last_day(frame), _dates(frame, "diagnosis_date") + lived
    last = last.mask((last - used).abs() > pd.Timedelta(days=SAME_DAYS)).fillna(used)
    death = last.where(frame["os_event"].fillna(False).astype(bool))
    happened = pd.concat([progressed, death], axis=1).min(axis=1)
    months = (happened.fillna(last) - start).dt.days / DAYS_PER_MONTH
    months = months.where(months >= 0)
    event = happened.notna().astype("boolean").where(start.notna())
    dated = progressed.notna() & (progressed == happened)  # without a day nothing contradicts what is given
    for row in _apart(given.where(dated), months):
        sentence = f"dates give {months.iloc[row]:.2f} months; the given time is used"
        report(row, "pfs_months", f"{given.iloc[row]:.2f}", sentence)
    for row in _rows(dated & (said == False)):  # noqa: E712
        sentence = "there is a day of progression; what is given here is used"
        report(row, "pfs_event", said.iloc[row], sentence)
    for row in _rows(given.notna() & said.isna()):
        report(row, "pfs_event", "", "no word of whether pfs_months ended with an event: not counted")
    return frame.assign(
        pfs_months=given.fillna(months), pfs_event=said.where(given.notna(), said.fillna(event))
    )
