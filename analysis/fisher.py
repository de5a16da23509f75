"""Fisher's exact test on tables of any shape, summed exactly.

A table's probability given its margins is a product over columns of
multinomial coefficients. Columns are laid one after another; what is left of
the row totals is the state, and every way of reaching a state is kept with the
probability it has gathered (Mehta and Patel 1983, J Am Stat Assoc 78:427).
A path is settled early once all its completions, or none, are as improbable
as the observed table.
"""

from functools import lru_cache
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from analysis.errors import AnalysisError, Problem

__all__ = ["fisher_exact", "fisher_simulated"]

CountArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

AS_IMPROBABLE = 1e-7  # two tables within this relative distance are a tie, as in R's fisher.test
MOST_STEPS = 300_000  # about four seconds
TOO_LARGE = "the table is too large for an exact test; simulate it"
PROBABILITY_DIGITS = 12  # paths into a state whose log probabilities agree to this are one path


def fisher_exact(table: CountArray) -> float:
    """Return the two-sided p-value of Fisher's exact test.

    Parameters
    ----------
    table : (R, C) int ndarray
        Counts with no empty row or column.

    Returns
    -------
    float
        Probability, given the margins, of all tables no more probable than this one.

    Raises
    ------
    AnalysisError
        If the table is too large to be summed exactly (see `fisher_simulated`).
    """
    if table.shape == (2, 2):
        return _two_by_two(table)
    if table.shape[0] > table.shape[1]:
        table = table.T
    # Few rows make few states; large columns first make few paths.
    rows = tuple(sorted(int(n) for n in table.sum(axis=1)))
    columns = tuple(sorted((int(n) for n in table.sum(axis=0)), reverse=True))
    return _sum_over_paths(rows, columns, _log_weight(table))


def fisher_simulated(table: CountArray, *, draws: int = 100_000, seed: int = 1) -> float:
    """Return the p-value of Fisher's test from tables drawn with the same margins.

    The estimate is (1 + number as improbable) / (1 + draws), so it is never
    zero (Phipson and Smyth 2010, Stat Appl Genet Mol Biol 9:39).
    """
    from scipy.stats import random_table

    generator = random_table(table.sum(axis=1), table.sum(axis=0))
    random = np.random.default_rng(seed)
    observed = -gammaln(table + 1.0).sum()
    as_improbable = 0
    for start in range(0, draws, 10_000):
        drawn = generator.rvs(min(10_000, draws - start), random_state=random)
        logs = -gammaln(drawn + 1.0).sum(axis=(1, 2))
        as_improbable += int(np.count_nonzero(logs <= observed + AS_IMPROBABLE))
    return (1 + as_improbable) / (1 + draws)


def _two_by_two(table: CountArray) -> float:
    (a, b), (c, d) = table.tolist()
    drawn, good, total = a + b, a + c, a + b + c + d
    x = np.arange(max(0, drawn + good - total), min(drawn, good) + 1, dtype=float)
    logs = -(gammaln(x + 1) + gammaln(drawn - x + 1) + gammaln(good - x + 1))
    logs -= gammaln(total - drawn - good + x + 1)
    weights = np.exp(logs - logs.max())
    observed = weights[a - int(x[0])]
    return float(min(1.0, weights[weights <= observed * (1 + AS_IMPROBABLE)].sum() / weights.sum()))


def _log_weight(table: CountArray) -> float:
    return -float(sum(lgamma(n + 1.0) for n in table.ravel().tolist()))


def _sum_over_paths(rows: tuple[int, ...], columns: tuple[int, ...], observed: float) -> float:
    """Sum exp(log weight) over tables whose log weight is at most `observed`, normalised."""
    bounds = _Bounds(columns)
    log_all = bounds.log_total(0, rows)
    limit = observed + log(1 + AS_IMPROBABLE)
    settled, work = 0.0, 0
    paths = {rows: (np.zeros(1), np.ones(1))}
    for stage, column in enumerate(columns):
        arriving: dict[tuple[int, ...], list[tuple[FloatArray, FloatArray]]] = {}
        for left, (gathered, ways) in paths.items():
            for step, after in _placements(left, column):
                low, high = bounds.extremes(stage + 1, after)
                here = gathered + step
                all_count, some_count = here + high <= limit, here + low <= limit
                log_rest = bounds.log_total(stage + 1, after) - log_all
                settled += float((ways * np.exp(here + log_rest))[all_count].sum())
                open_paths = some_count & ~all_count
                if open_paths.any():
                    arriving.setdefault(after, []).append((here[open_paths], ways[open_paths]))
                work += 1 + len(gathered) // 100
            if work > MOST_STEPS:
                raise AnalysisError(Problem.TOO_LARGE, TOO_LARGE)
        paths = {state: _merge(parts) for state, parts in arriving.items()}
    return min(1.0, settled)


def _merge(parts: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Join paths of equal log weight, adding up how many there are."""
    keys = np.concatenate([here for here, _ in parts])
    ways = np.concatenate([number for _, number in parts])
    distinct, which = np.unique(np.round(keys, PROBABILITY_DIGITS), return_inverse=True)
    return distinct, np.bincount(which, weights=ways).astype(np.float64)


@lru_cache(maxsize=200_000)
def _placements(left: tuple[int, ...], column: int) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Return each way to fill a column: its log weight and what is left of the rows, sorted."""
    found: list[tuple[float, tuple[int, ...]]] = []

    def fill(row: int, needed: int, weight: float, after: tuple[int, ...]) -> None:
        if row == len(left) - 1:
            found.append((weight - lgamma(needed + 1.0), tuple(sorted((*after, left[row] - needed)))))
            return
        room_below = sum(left[row + 1 :])
        for placed in range(max(0, needed - room_below), min(left[row], needed) + 1):
            step = weight - lgamma(placed + 1.0)
            fill(row + 1, needed - placed, step, (*after, left[row] - placed))

    fill(0, column, 0.0, ())
    return tuple(found)


class _Bounds:
    """The most and least probable completion of a state, and the sum of all of them."""

    def __init__(self, columns: tuple[int, ...]) -> None:
        self._columns = columns
        self._known: dict[tuple[int, tuple[int, ...]], tuple[float, float]] = {}
        self._steps = 0

    def log_total(self, stage: int, left: tuple[int, ...]) -> float:
        rest = self._columns[stage:]
        return (
            lgamma(sum(left) + 1.0) - sum(lgamma(n + 1.0) for n in left) - sum(lgamma(n + 1.0) for n in rest)
        )

    def extremes(self, stage: int, left: tuple[int, ...]) -> tuple[float, float]:
        if stage == len(self._columns):
            return 0.0, 0.0
        key = (stage, left)
        if key not in self._known:
            lows, highs = [], []
            for step, after in _placements(left, self._columns[stage]):
                low, high = self.extremes(stage + 1, after)
                lows.append(step + low)
                highs.append(step + high)
            self._steps += len(lows)
            if self._steps > MOST_STEPS:
                raise AnalysisError(Problem.TOO_LARGE, TOO_LARGE)
            self._known[key] = (min(lows), max(highs))
        return self._known[key]
