"""Read a clinical table: every problem at once, nothing dropped in silence.

A table in other words than ours is read through a *mapping* (TOML): which column
is which, what stands for missing, how dates are written, what a value means. The
mapping of the TCIA NSCLC Radiogenomics table ships as `nsclc_radiogenomics.toml`.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.csvtable import DECIMAL_COMMA, commas_are_decimal, separator_of
from analysis.dictionary import COLUMNS, LINES, Column, Kind
from analysis.errors import AnalysisError, Problem
from analysis.treatment import NOT_KNOWN
from records.cells import unguarded

__all__ = ["Clinical", "ClinicalMapping", "TableProblem", "read_clinical", "read_mapping", "read_table"]

MISSING = (
    "",
    "na",
    "n/a",
    "nan",
    "none",
    "unknown",
    "not collected",
    "not recorded",
    "not available",
    "missing",
)
TRUE = ("1", "1.0", "yes", "y", "true", "checked", "present", "positive", "dead")
FALSE = ("0", "0.0", "no", "n", "false", "unchecked", "absent", "negative", "alive")
DATE_FORMAT = "%Y-%m-%d"


@dataclass(frozen=True, slots=True)
class TableProblem:
    """One thing wrong with a table, and where: rows as a spreadsheet counts them."""

    row: int
    patient_id: str
    column: str
    value: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ClinicalMapping:
    """How another table says what ours does.

    Attributes
    ----------
    columns : dict
        Our column to theirs.
    values : dict
        Our column to {their value, lower case: ours}.
    plus_days : dict
        Our date column to their column of days added to it.
    factors : dict
        Our column to what their numbers are multiplied by (0.45359237 for pounds).
    constants : dict
        Our column to a value for everybody.
    """

    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    plus_days: dict[str, str] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = MISSING
    date_format: str = DATE_FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Clinical:
    """A checked patient table and what was wrong with it.

    Values that cannot be are missing in `frame`, with a problem each; rows that
    cannot be (no or a second use of an identifier) are left out, with one too.
    Column `table_row` says where a patient stood in the table.
    """

    frame: pd.DataFrame
    problems: tuple[TableProblem, ...]
    n_read: int

    @property
    def n_excluded(self) -> int:
        """Rows left out."""
        return self.n_read - len(self.frame)


def read_table(path: Path) -> pd.DataFrame:
    """Read CSV (comma, semicolon or tab) or the first sheet of Excel as text, a cell a string.

    Rows without anything in them are left out; the index counts them, so that
    row `i` is row `i + 2` of a spreadsheet.
    """
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            cells = pd.read_excel(path, header=None, dtype=object, keep_default_na=False).map(_excel_text)
        else:
            with path.open(encoding="utf-8-sig") as file:
                separator = separator_of(file.readline())
            # The first line is read as a row: as a header it would let pandas take a column for an index.
            cells = pd.read_csv(
                path,
                header=None,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
            ).fillna("")
    except UnicodeDecodeError as error:
        sentence = f"{path.name} is not text in UTF-8: save it as CSV UTF-8 ({error})"
        raise AnalysisError(Problem.BAD_INPUT, sentence) from error
    except (ValueError, OSError) as error:
        raise AnalysisError(Problem.BAD_INPUT, f"{path.name} cannot be read as a table: {error}") from error
    cells = cells.map(unguarded)
    table = cells.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index([str(name).strip() for name in cells.iloc[0]] if len(cells) else [])
    table = table.loc[(table != "").any(axis=1), (table.columns != "") | (table != "").any(axis=0)]
    if table.empty:
        raise AnalysisError(Problem.BAD_INPUT, f"{path.name} holds no rows")
    return table


def _excel_text(value: object) -> str:
    """Return a cell of Excel as CSV has it: a day without a time, a whole number without a point."""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def read_mapping(text: str) -> ClinicalMapping:
    """Read a mapping from TOML."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AnalysisError(Problem.BAD_PLAN, f"the mapping cannot be read: {error}") from error
    unknown = set(content) - {name for name in ClinicalMapping.__dataclass_fields__}
    if unknown:
        raise AnalysisError(Problem.BAD_PLAN, f"the mapping has unknown parts: {', '.join(sorted(unknown))}")
    _check_mapping(content)
    content["missing"] = tuple(value.lower() for value in content.get("missing", MISSING))
    content["values"] = {
        column: {str(theirs).lower(): str(ours) for theirs, ours in pairs.items()}
        for column, pairs in content.get("values", {}).items()
    }
    return ClinicalMapping(**content)


def _check_mapping(content: dict[str, Any]) -> None:
    """Refuse parts of a mapping that are not of the kind they should be."""
    wrong = []
    for part in ("columns", "values", "plus_days", "factors", "constants"):
        if not isinstance(content.get(part, {}), dict):
            wrong.append(f"[{part}] is a table")
    if wrong:
        raise AnalysisError(Problem.BAD_PLAN, f"the mapping: {'; '.join(wrong)}")
    dates = [column.name for column in COLUMNS if column.kind is Kind.DATE]
    kinds: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
        ("columns", str, "the name of a column"),
        ("plus_days", str, "the name of a column"),
        ("values", dict, "a table"),
        ("factors", (int, float), "a number"),
    )
    for part, kind, expected in kinds:
        for name, value in content.get(part, {}).items():
            if not isinstance(value, kind) or isinstance(value, bool):
                wrong.append(f"[{part}] {name} is {expected}, not {value!r}")
    wrong += [f"[plus_days] {name} is no date" for name in content.get("plus_days", {}) if name not in dates]
    missing = content.get("missing", [])
    if not isinstance(missing, list) or not all(isinstance(value, str) for value in missing):
        wrong.append(f"missing is a list of texts, not {missing!r}")
    written = content.get("date_format", DATE_FORMAT)
    try:
        pd.to_datetime(pd.Series(["2000-01-01"]), format=written, errors="coerce")
    except (TypeError, ValueError):
        wrong.append(f"date_format is a format as {DATE_FORMAT}, not {written!r}")
    if wrong:
        raise AnalysisError(Problem.BAD_PLAN, f"the mapping: {'; '.join(wrong)}")


def read_clinical(table: pd.DataFrame, mapping: ClinicalMapping | None = None) -> Clinical:
    """Turn a table of text into a checked patient table.

    Parameters
    ----------
    table : DataFrame
        Strings, from `read_table`.
    mapping : ClinicalMapping, optional
        Without one the columns carry our names.

    Raises
    ------
    AnalysisError
        If a required column is absent or no row is left.
    """
    wanted = mapping or ClinicalMapping()
    rows = table.index.to_numpy() + 2
    table = table.reset_index(drop=True)
    renamed, absent = _rename(table, wanted)
    required = [c.name for c in COLUMNS if c.is_required and c.name not in renamed]
    if required or absent:
        lost, have = ", ".join(map(repr, required + absent)), ", ".join(map(str, table.columns[:12]))
        more = ", ..." if len(table.columns) > 12 else ""
        raise AnalysisError(Problem.MISSING_COLUMN, f"the table has no column {lost}; it has {have}{more}")
    problems: list[TableProblem] = []
    columns: dict[str, pd.Series] = {}
    known = {column.name: column for column in COLUMNS}
    identifiers = renamed["patient_id"].str.strip()
    for name in renamed.columns:
        column = known.get(name)
        if column is None and name.startswith("symptom_"):
            column = Column(name, Kind.TRUTH, "Symptom")
        if column is None:
            columns[name] = renamed[name].where(~_is_missing(renamed[name], wanted))
            continue
        # Columns hold few distinct texts: each is read once.
        place, distinct = pd.factorize(renamed[name])
        read, complaints = _convert(pd.Series(distinct, dtype=object), column, wanted)
        columns[name] = read.iloc[place].reset_index(drop=True)
        sentences = dict(complaints)
        wrong = [(row, sentences[place[row]]) for row in np.flatnonzero(np.isin(place, list(sentences)))]
        problems += [
            TableProblem(int(rows[row]), str(identifiers.iloc[row]), name, renamed[name].iloc[row], sentence)
            for row, sentence in wrong
        ]
        problems += _decimal_commas(renamed[name], columns[name]) if column.kind is Kind.NUMBER else []
    frame = pd.DataFrame({**columns, "table_row": rows})
    for name, days in wanted.plus_days.items():
        shift = pd.to_timedelta(pd.to_numeric(table[days], errors="coerce"), unit="D", errors="coerce")
        for row in _rows(frame[name].notna() & shift.isna()):
            sentence = f"expected a number of days, to be added to {name}"
            value = str(table[days].iloc[row])
            problems.append(TableProblem(int(rows[row]), str(identifiers.iloc[row]), days, value, sentence))
        frame[name] = frame[name] + shift
    problems += _schema_problems(frame, renamed, wanted)
    frame, left_out = _one_row_each(frame)
    problems += left_out
    if frame.empty:
        raise AnalysisError(Problem.BAD_INPUT, "no row of the table can be used")
    ordered = sorted(problems, key=lambda problem: (problem.row, problem.column))
    return Clinical(frame, tuple(dict.fromkeys(ordered)), len(table))


def _rename(table: pd.DataFrame, mapping: ClinicalMapping) -> tuple[pd.DataFrame, list[str]]:
    stripped = table.rename(columns=lambda name: str(name).strip())
    theirs = {name.strip(): ours for ours, name in mapping.columns.items()}
    absent = [name for name in theirs if name not in stripped.columns]
    absent += [name for name in mapping.plus_days.values() if name not in table.columns]
    renamed = stripped.rename(columns=theirs)
    for name, value in mapping.constants.items():
        renamed[name] = str(value)
    absent += [name for name in mapping.plus_days if name not in renamed.columns]
    ours = {column.name for column in COLUMNS}
    seen: dict[str, int] = {}
    names = []
    for name in renamed.columns:
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1 and (name in ours or name.startswith("symptom_")):
            raise AnalysisError(Problem.BAD_INPUT, f"the table has two columns {name!r}")
        names.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")  # of others' columns, as pandas
    return renamed.set_axis(names, axis=1), absent


def _is_missing(values: pd.Series, mapping: ClinicalMapping) -> pd.Series:
    return values.str.strip().str.lower().isin([*mapping.missing, ""])


def _convert(
    values: pd.Series, column: Column, mapping: ClinicalMapping
) -> tuple[pd.Series, list[tuple[int, str]]]:
    """Return the texts in the column's own type, and (place, sentence) of what could not be."""
    text = values.str.strip()
    translation = mapping.values.get(column.name, {})
    if translation:
        text = text.str.lower().map(translation).fillna(text)
    if column.name == "egfr_result":
        return text, []  # what stands for no result is part of the result
    empty = _is_missing(text, mapping)
    if column.name in LINES:
        empty &= ~text.str.lower().isin(NOT_KNOWN)  # not to know a treatment is not to have had none
    if column.kind is Kind.NUMBER:
        numbers = pd.to_numeric(_with_points(text.where(~empty)), errors="coerce")
        found = numbers.where(np.isfinite(numbers)) * mapping.factors.get(column.name, 1.0)
        expected = "a number"
    elif column.kind is Kind.DATE:
        given = text.where(~empty)
        found = pd.to_datetime(given, format=mapping.date_format, errors="coerce")
        # Cells that Excel knows as dates arrive in our own format, whatever the texts beside them are in.
        found = found.fillna(pd.to_datetime(given, format=DATE_FORMAT, errors="coerce"))
        expected = f"a date as {mapping.date_format}"
    elif column.kind is Kind.TRUTH:
        lowered = text.str.lower()
        found = pd.Series(np.nan, index=text.index, dtype=object)
        found[lowered.isin(TRUE)], found[lowered.isin(FALSE)] = True, False
        found = found.astype("boolean")
        expected = "yes or no"
    elif column.kind is Kind.CHOICE:
        lowered = text.str.lower() if column.levels[0].islower() else text.str.upper()
        found = lowered.where(lowered.isin(column.levels) & ~empty)
        expected = f"one of {', '.join(column.levels)}"
    else:
        found, expected = text.where(~empty), "text"
    wrong = np.flatnonzero((found.isna() & ~empty).to_numpy())
    return found, [(int(row), _complaint(str(text.iloc[row]), column, expected)) for row in wrong]


def _with_points(texts: pd.Series) -> pd.Series:
    """Return numbers with their decimal commas as points, where the whole column leaves no other reading."""
    if not commas_are_decimal(texts.dropna()):
        return texts
    return texts.mask(texts.str.contains(",", regex=False).eq(True), texts.str.replace(",", ".", regex=False))


def _complaint(text: str, column: Column, expected: str) -> str:
    if column.kind is Kind.NUMBER and re.fullmatch(DECIMAL_COMMA, text):
        return f"expected {expected}; the column does not tell whether the comma is a decimal one"
    return f"expected {expected}"


def _decimal_commas(texts: pd.Series, numbers: pd.Series) -> list[TableProblem]:
    """Say that decimal commas were read as such."""
    read = texts[texts.str.contains(",", regex=False) & numbers.notna()]
    if read.empty:
        return []
    sentence = f"its commas were read as decimal points, in rows: {len(read)}"
    return [TableProblem(0, "", str(texts.name), str(read.iloc[0]), sentence)]


def _schema_problems(frame: pd.DataFrame, raw: pd.DataFrame, mapping: ClinicalMapping) -> list[TableProblem]:
    """Check ranges with pandera; what is out of range becomes missing."""
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

    checks = {}
    for column in COLUMNS:
        if column.name in frame and column.kind is Kind.NUMBER:
            limits = []
            if column.low is not None:
                limits.append(pa.Check.ge(column.low, error=f"expected {column.low:g} or more"))
            if column.high is not None:
                limits.append(pa.Check.le(column.high, error=f"expected {column.high:g} or less"))
            if column.name == "ecog_ps":
                limits.append(pa.Check.isin([0, 1, 2, 3, 4], error="expected 0, 1, 2, 3 or 4"))
            checks[column.name] = pa.Column(float, limits, nullable=True)
    try:
        pa.DataFrameSchema(checks).validate(frame.astype(dict.fromkeys(checks, float)), lazy=True)
    except SchemaErrors as found:
        failures = found.failure_cases
    else:
        return []
    problems = []
    for name, check, row in zip(failures["column"], failures["check"], failures["index"], strict=True):
        place = int(row)
        patient, at = str(raw["patient_id"].iloc[place]), int(frame["table_row"].iloc[place])
        sentence = str(check)
        if name in mapping.factors:
            sentence += f", found {frame[name].iloc[place]:.4g} in our unit"
        problems.append(TableProblem(at, patient, name, str(raw[name].iloc[place]), sentence))
        frame.loc[place, name] = np.nan
    return problems


def _one_row_each(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[TableProblem]]:
    """Keep the first row of each patient."""
    nameless = frame["patient_id"].isna()
    repeated = frame["patient_id"].duplicated() & ~nameless
    problems = [_row_problem(frame, row, "the row names no patient: left out") for row in _rows(nameless)]
    problems += [
        _row_problem(frame, row, "the patient has a row already: this one is left out")
        for row in _rows(repeated)
    ]
    return frame[~nameless & ~repeated].reset_index(drop=True), problems


def _row_problem(frame: pd.DataFrame, row: int, sentence: str) -> TableProblem:
    patient = frame["patient_id"].iloc[row]
    value = "" if pd.isna(patient) else str(patient)
    return TableProblem(int(frame["table_row"].iloc[row]), value, "patient_id", value, sentence)


def _rows(chosen: pd.Series) -> Iterator[int]:
    yield from np.flatnonzero(chosen.to_numpy()).tolist()
