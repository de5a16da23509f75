"""Coverage of the 95 % intervals of reader agreement: `python -m benchmarks.agreement`.

Two readers label cases of whom some have the disease, each with his sensitivity and
specificity. Every table that can come of it is counted with its probability, so that the coverage of
kappa and AC1 is exact; the large-sample interval, value -/+ 1.96 errors, stands beside ours.
Coverage of the ICC and of the limits of agreement is simulated, from a seed.
"""

from collections.abc import Callable
from math import exp, sqrt

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import multinomial

from analysis.agreement import Coefficient, ac1, bland_altman, cohen_kappa, icc_agreement

CASES = (10, 20, 30, 50)
STUDIES = {  # share with the disease; sensitivity and specificity of either reader
    "few positive": (0.1, 0.90, 0.95, 0.90, 0.95),
    "few, good readers": (0.1, 0.95, 0.99, 0.95, 0.99),
    "a third positive": (0.3, 0.90, 0.95, 0.90, 0.95),
    "flagged cases": (0.6, 0.90, 0.90, 0.90, 0.90),
    "flagged, one stricter": (0.6, 0.95, 0.80, 0.80, 0.95),
    "poor readers": (0.5, 0.75, 0.75, 0.75, 0.75),
}
DRAWS = 2000
SKEW = 0.5  # standard deviation of the logarithm of sizes
BIAS_MM, ERROR_MM = 2.0, 3.0  # between readers; of one measurement
LEVEL_LIMIT = 1.96


def cells(disease: float, *readers: float) -> NDArray[np.float64]:
    """Return the probability of each cell: both positive, first alone, second alone, neither."""
    first, first_right, second, second_right = readers
    of_first = [(first, 1 - first_right), (1 - first, first_right)]
    of_second = [(second, 1 - second_right), (1 - second, second_right)]
    return np.array([disease * a * c + (1 - disease) * b * d for a, b in of_first for c, d in of_second])


def tables(cases: int) -> NDArray[np.int64]:
    """Return every 2 x 2 table of so many cases, a row each."""
    grid = np.stack(np.meshgrid(*[np.arange(cases + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    rest = cases - grid.sum(axis=1)
    return np.column_stack([grid, rest])[rest >= 0]


def coverage(
    found: list[Coefficient], chance: NDArray[np.float64], truth: float
) -> tuple[float, float, float]:
    """Return the coverage of our interval, of the large-sample one, and how often there is one."""
    value, error, low, high = (
        np.array([getattr(one, part) for one in found]) for part in ("value", "standard_error", "low", "high")
    )
    here, large = np.isfinite(low), np.isfinite(error)
    held = here & (low <= truth) & (truth <= high)
    held_large = large & (np.abs(value - truth) <= LEVEL_LIMIT * error)
    return (
        float(chance[held].sum() / chance[here].sum()),
        float(chance[held_large].sum() / chance[large].sum()),
        float(chance[large].sum() / chance[np.isfinite(value)].sum()),
    )


def of_labels(cases: int) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the coverage of kappa and AC1 in every study, by its name and the coefficient's."""
    every = tables(cases)
    coefficients: dict[str, Callable[..., Coefficient]] = {"kappa": cohen_kappa, "AC1": ac1}
    covered = {}
    for name, coefficient in coefficients.items():
        found = [coefficient(row.reshape(2, 2)) for row in every]
        for study, (disease, *readers) in STUDIES.items():
            shares = cells(disease, *readers)
            truth = coefficient(shares.reshape(2, 2) * 1e9).value
            covered[study, name] = coverage(found, multinomial.pmf(every, cases, shares), truth)
    return covered


def of_classes(cases: int, draws: int, *, seed: int) -> tuple[float, float]:
    """Return the coverage of kappa and AC1 of best responses: nine classes, of which four are used.

    Either reader says what is true in 85 of 100 cases, and else mostly a neighbouring class.
    """
    true = np.zeros(9)
    true[:4] = (0.05, 0.35, 0.35, 0.25)
    said = np.zeros((9, 9))
    for one in range(4):
        others = np.array([0.0 if other == one else 0.3 ** abs(other - one) for other in range(4)])
        said[one, :4] = 0.15 * others / others.sum()
        said[one, one] = 0.85
    shares = np.einsum("k,ki,kj->ij", true, said, said)
    generator = np.random.default_rng(seed)
    held = np.zeros(2)
    truths = [coefficient(shares * 1e9).value for coefficient in (cohen_kappa, ac1)]
    for table in generator.multinomial(cases, shares.ravel(), size=draws).reshape(-1, 9, 9):
        found = (cohen_kappa(table), ac1(table))
        held += [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    of_kappa, of_ac1 = held / draws
    return float(of_kappa), float(of_ac1)


def of_sizes(cases: int, draws: int, *, skew: float, seed: int) -> tuple[float, float]:
    """Return the coverage of the ICC's interval and of the upper limit of agreement's.

    Sizes around 20 mm with a standard deviation of 10 mm are normal, or skewed (`skew` above 0).
    """
    generator = np.random.default_rng(seed)
    variance = (exp(skew**2) - 1) * exp(skew**2) * 400 if skew else 100.0
    truth = variance / (variance + BIAS_MM**2 / 2 + ERROR_MM**2)
    limit = BIAS_MM + LEVEL_LIMIT * sqrt(2) * ERROR_MM
    held = np.zeros(2)
    for _ in range(draws):
        drawn = generator.standard_normal(cases)
        true_mm = 20 * np.exp(skew * drawn) if skew else 20 + 10 * drawn
        sizes_mm = true_mm[:, None] + ERROR_MM * generator.standard_normal((cases, 2)) + [0.0, BIAS_MM]
        icc, limits = icc_agreement(sizes_mm), bland_altman(*sizes_mm.T)
        held += (icc.low <= truth <= icc.high, limits.high_interval[0] <= limit <= limits.high_interval[1])
    of_icc, of_limit = held / draws
    return float(of_icc), float(of_limit)


def main() -> None:
    """Print what the intervals hold."""
    print("cases  study                  coefficient  interval  large-sample  which exists in")
    for cases in CASES:
        for (study, name), (ours, large, share) in of_labels(cases).items():
            print(f"{cases:5}  {study:21}  {name:11}  {ours:8.1%}  {large:12.1%}  {share:.0%} of samples")
    print("cases  nine classes: kappa  AC1")
    for cases in CASES:
        of_kappa, of_ac1 = of_classes(cases, DRAWS, seed=2)
        print(f"{cases:5}  {of_kappa:19.1%}  {of_ac1:.1%}")
    print("cases  sizes    ICC(2,1)  limit of agreement")
    for cases in CASES:
        for name, skew in (("normal", 0.0), ("skewed", SKEW)):
            icc, limit = of_sizes(cases, DRAWS, skew=skew, seed=1)
            print(f"{cases:5}  {name:7}  {icc:8.1%}  {limit:8.1%}")


if __name__ == "__main__":
    typer.run(main)
