"""Print the largest relative difference from R for each quantity: `python -m tests.reference.differences`.

Needs R with survival; the tests hold each to its tolerance, this says how near it comes.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparisons import chi_squared
from analysis.competing import aalen_johansen, fine_gray
from analysis.fisher import fisher_exact
from analysis.survival import concordance, gronnesby_borgan, kaplan_meier, log_rank, restricted_mean, zph
from analysis.weighting import missingness_weights, weighted_cox
from tests.analysis.survival_cases import (
    CURVES,
    R_DATA_FITS,
    SYNTHETIC_FITS,
    curve_of,
    fit_months,
    fit_r_data,
)
from tests.reference import r

Found = Iterator[tuple[str, Any, Any]]
R_DATA = (
    ("lung", "time", "death", "ph.ecog", 500),
    ("veteran", "time", "status", "celltype", 300),
    ("mgus2", "futime", "death", "sex", 200),
)


def cox_models(folder: Path) -> Found:
    kept, months = r.kept("survival"), r.data("months")
    for case in (*SYNTHETIC_FITS, *R_DATA_FITS):
        fit = fit_months(case, months) if case in SYNTHETIC_FITS else fit_r_data(case, folder)
        for quantity in ("coefficients", "se_model", "se_robust"):
            found = getattr(fit, quantity)
            yield f"cox {quantity}", list(found.values()), [kept[case, quantity, name] for name in found]
        likelihoods = [fit.log_likelihood, fit.log_likelihood_null]
        yield "cox log-likelihood", likelihoods, r.column(kept, case, "log_likelihood")
        yield "cox score test", fit.score.statistic, kept[case, "score", "1"]
        for transform in ("km", "rank", "identity", "log"):
            test = zph(fit, transform)
            found = [*(term.statistic for term in test.terms.values()), test.overall.statistic]
            yield "zph", found, r.column(kept, case, f"zph_{transform}")
    fit = fit_months("plain-efron", months)
    c = concordance(fit)
    yield "concordance and its error", [c.value, c.se], r.column(kept, "plain-efron", "concordance")
    expected = kept["plain-efron", "gronnesby_borgan", "1"]
    yield "Gronnesby-Borgan test", gronnesby_borgan(fit, 4).statistic, expected


def curves(folder: Path) -> Found:
    kept, months = r.kept("survival"), r.data("months")
    made = [(case, curve_of(case, months), 24) for case in CURVES]
    for name, time, event, group, horizon in R_DATA:
        frame = pd.read_csv(folder / f"{name}.csv")
        made.append((name, kaplan_meier(frame[time], frame[event]), horizon))
        test = log_rank(frame[time], frame[event], frame[group])
        yield "log-rank", test.chi_squared, kept[name, "log_rank", "1"]
    for case, curve, horizon in made:
        where = np.searchsorted(curve.time, r.column(kept, case, "time"))
        for quantity in ("survival", "se", "low", "high"):
            yield f"Kaplan-Meier {quantity}", getattr(curve, quantity)[where], r.column(kept, case, quantity)
        median = curve.median
        yield (
            "median and its interval",
            [median.value, median.low, median.high],
            r.column(kept, case, "median"),
        )
        mean = restricted_mean(curve, horizon)
        yield "restricted mean", [mean.mean, mean.se], r.column(kept, case, "restricted_mean")
    for rho in (0, 1):
        test = log_rank(months["stop"], months["event"], months["stratum"], rho=rho)
        expected = r.column(kept, "groups", f"log_rank_rho_{rho}")
        yield "log-rank", [test.chi_squared, *test.observed, *test.expected], expected


def counts() -> Found:
    kept = r.kept("counts")
    for number, cells in r.data("counts").groupby("table"):
        table = cells.pivot(index="row", columns="column", values="count").to_numpy()
        yield "chi-squared p", chi_squared(table)[1], kept[str(number), "chi_squared_p", "1"]
        yield "Fisher p", fisher_exact(table), kept[str(number), "fisher_p", "1"]


def weighted_and_competing() -> Found:
    kept, cohort, months = r.kept("weighting"), r.data("missing"), r.data("months")
    weights = missingness_weights(cohort, "tested", ["male", "frail"])
    for ties in ("efron", "breslow"):
        fit = weighted_cox(cohort, "months", "died", ["egfr", "age", "frail"], weights=weights, ties=ties)
        for kind, errors in fit.errors.items():
            yield f"weighted cox {kind.value}", list(errors.values()), r.column(kept, ties, kind.value)
    kept = r.kept("competing")
    curve = aalen_johansen(months["stop"], months["cause"])
    where = np.searchsorted(curve.time, [1, 3, 6, 12, 20, 30])
    for cause in (1, 2):
        yield "Aalen-Johansen", curve.incidence[cause][where], r.column(kept, f"curve-{cause}", "incidence")
        yield "Aalen-Johansen error", curve.se[cause][where], r.column(kept, f"curve-{cause}", "se")
        for ties in ("efron", "breslow"):
            model = fine_gray(months, "stop", "cause", ["age", "sex", "dose"], of_interest=cause, ties=ties)
            case = f"{ties}-{cause}"
            expected = r.column(kept, case, "coefficients")
            yield "Fine-Gray coefficients", list(model.coefficients.values()), expected
            yield "Fine-Gray robust errors", list(model.se_robust.values()), r.column(kept, case, "se_robust")


def main() -> None:
    worst: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp())
    r.run("survival.R", r.HERE, folder / "out.csv", folder)
    for part in (counts(), curves(folder), cox_models(folder), weighted_and_competing()):
        for name, found, expected in part:
            a, b = np.atleast_1d(np.asarray(found, float)), np.atleast_1d(np.asarray(expected, float))
            counted = np.abs(b) > 1e-12
            gap = float((np.abs(a - b)[counted] / np.abs(b)[counted]).max(initial=0.0))
            worst[name] = max(worst.get(name, 0.0), gap)
    for name, gap in worst.items():
        print(f"| {name} | {gap:.1e} |")


if __name__ == "__main__":
    main()
