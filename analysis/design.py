"""From columns of a patient table to a matrix of numbers, named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError, Problem

__all__ = ["Design", "design_matrix", "require_columns", "require_complete"]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Covariates as numbers; `terms` says which columns came from which covariate."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    terms: tuple[tuple[str, tuple[int, ...]], ...]


def design_matrix(frame: pd.DataFrame, covariates: Sequence[str]) -> Design:
    """Return the covariates as columns of numbers.

    Numbers and truths are taken as they are. Text and categories become one
    column a level but the first, named `covariate[level]`.

    Raises
    ------
    AnalysisError
        If nobody is left, or a covariate is absent, has missing values, or does not vary.
    """
    require_complete(frame, covariates)
    if len(frame) == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "nobody is left for a model")
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    terms: list[tuple[str, tuple[int, ...]]] = []
    for covariate in covariates:
        series = frame[covariate]
        before = len(names)
        if pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
            names.append(covariate)
            columns.append(series.to_numpy(dtype=np.float64))
        else:
            category = series.astype("category").cat.remove_unused_categories()
            for level in category.cat.categories[1:]:
                names.append(f"{covariate}[{level}]")
                columns.append((category == level).to_numpy(dtype=np.float64))
        if len(names) == before or np.ptp(columns[-1]) == 0:
            raise AnalysisError(Problem.NOT_ESTIMABLE, f"'{covariate}' is the same for everybody")
        terms.append((covariate, tuple(range(before, len(names)))))
    matrix = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    if not np.isfinite(matrix).all():
        raise AnalysisError(Problem.BAD_INPUT, "covariates must be finite")
    _refuse_collinear(matrix, names)
    return Design(tuple(names), matrix, tuple(terms))


def require_columns(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table without the columns."""
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise AnalysisError(Problem.MISSING_COLUMN, f"the table has no column {', '.join(map(repr, absent))}")


def require_complete(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse missing values: who leaves an analysis is decided before it, and counted."""
    require_columns(frame, columns)
    holes = frame[list(dict.fromkeys(columns))].isna().sum()
    if holes.any():
        found = ", ".join(f"{name} ({count})" for name, count in holes[holes > 0].items())
        raise AnalysisError(Problem.MISSING_VALUES, f"values are missing in {found}")


def _refuse_collinear(matrix: NDArray[np.float64], names: Sequence[str]) -> None:
    centred = matrix - matrix.mean(axis=0)
    scaled = centred / np.linalg.norm(centred, axis=0)
    diagonal = np.abs(np.diag(np.linalg.qr(scaled, mode="r")))
    if len(diagonal) < len(names) or (diagonal < 1e-9).any():
        found = next((name for name, d in zip(names, diagonal, strict=False) if d < 1e-9), names[-1])
        raise AnalysisError(Problem.NOT_ESTIMABLE, f"'{found}' follows exactly from the other covariates")
