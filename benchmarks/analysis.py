"""What the outcome analysis costs, and whether its intervals hold: `python -m benchmarks.analysis`.

Prints the coverage of 95 % intervals of a weighted hazard ratio under each
standard error, and the time and memory of a cohort of 100 000 patients.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.cox import cox
from analysis.demo_cohort import demo_cohort
from analysis.errors import AnalysisError
from analysis.front import run_analysis
from analysis.survival import concordance, kaplan_meier, log_rank, zph
from analysis.weighting import missingness_weights, weighted_cox


def cohort(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Draw patients whose mutation helps the fit more than the frail, and is known more often in the fit."""
    male, frail = random.integers(0, 2, n), (random.random(n) < 0.4).astype(int)
    egfr = (random.random(n) < 1 / (1 + np.exp(-(0.5 - 0.6 * male)))).astype(float)
    rate = np.exp(-3.0 - 1.2 * egfr * (1 - frail) + 0.6 * frail)
    alive = random.exponential(1 / rate)
    censored = random.uniform(6, 48, n)
    tested = random.random(n) < 1 / (1 + np.exp(-(1.7 - 0.5 * male - 1.8 * frail)))
    return pd.DataFrame(
        {
            "months": np.ceil(np.minimum(alive, censored) * 4) / 4,
            "died": (alive <= censored).astype(int),
            "male": male,
            "frail": frail,
            "tested": tested.astype(int),
            "egfr": egfr,
        }
    )


def truth(seed: int = 7, n: int = 400_000) -> float:
    """Return the log hazard ratio of a very large cohort in which everybody is tested."""
    return cox(cohort(n, np.random.default_rng(seed)), "months", "died", ["egfr"]).coefficients["egfr"]


def coverage(replicates: int, n: int, *, bootstrap: int = 0, seed: int = 11) -> dict[str, float]:
    """Return how often each 95 % interval holds the truth; `unweighted` uses the tested alone."""
    random, goal = np.random.default_rng(seed), truth()
    hits: dict[str, list[bool]] = {}
    for number in range(replicates):
        frame = cohort(n, random)
        known = frame[frame["tested"] == 1]
        try:
            weights = missingness_weights(frame, "tested", ["male", "frail"])
            fit = weighted_cox(
                frame, "months", "died", ["egfr"], weights=weights, bootstrap=bootstrap, seed=number
            )
            plain = cox(known, "months", "died", ["egfr"])
        except AnalysisError:
            continue
        for kind, errors in fit.errors.items():
            near = abs(fit.coefficients["egfr"] - goal) < 1.959964 * errors["egfr"]
            hits.setdefault(kind.value, []).append(near)
        near = abs(plain.coefficients["egfr"] - goal) < 1.959964 * plain.se_model["egfr"]
        hits.setdefault("unweighted", []).append(near)
    return {kind: float(np.mean(found)) for kind, found in hits.items()}


def large_cohort(n: int = 100_000) -> None:
    """Print seconds of each step on n patients with ten covariates."""
    random = np.random.default_rng(0)
    names = [f"x{number}" for number in range(10)]
    x = random.normal(size=(n, 10))
    months = np.ceil(random.exponential(20, n) * np.exp(-x @ np.linspace(-0.3, 0.3, 10)))
    frame = pd.DataFrame(x, columns=names).assign(
        months=np.minimum(months, 60), died=(months < 60).astype(int), weight=random.uniform(1, 2, n)
    )
    steps = {
        "cox, weighted, robust": lambda: cox(frame, "months", "died", names, weights="weight"),
        "zph": lambda: zph(cox(frame, "months", "died", names)),
        "concordance": lambda: concordance(cox(frame, "months", "died", names)),
        "kaplan-meier": lambda: kaplan_meier(frame["months"], frame["died"]),
        "log-rank": lambda: log_rank(frame["months"], frame["died"], frame["x0"] > 0),
    }
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        print(f"{n} patients, {name}: {time.perf_counter() - start:.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def whole_analysis(n: int = 100_000) -> None:
    """Print what `mipc analyse` takes on n patients, half with MIPC, drawn from the synthetic cohort."""
    random = np.random.default_rng(1)
    seed_cohort = demo_cohort(1, exchanges=10)
    is_case = (seed_cohort["mipc"] == "yes").to_numpy()
    halves = [np.flatnonzero(is_case), np.flatnonzero(~is_case)]
    rows = np.concatenate([random.choice(half, n // 2) for half in halves])
    table = seed_cohort.iloc[rows].assign(patient_id=[f"P{number}" for number in range(len(rows))])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clinical.csv"
        table.to_csv(path, index=False)
        start = time.perf_counter()
        run_analysis(path, None, None, None, None, Path(folder) / "out")
        print(f"{n} patients, mipc analyse: {time.perf_counter() - start:.1f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("coverage, 1000 patients:", coverage(replicates, 1000))
    print("coverage, 200 patients, with bootstrap:", coverage(replicates // 4, 200, bootstrap=100))
    large_cohort()
    whole_analysis()
