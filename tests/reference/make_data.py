"""Make the synthetic data that R and mipc both read: `python -m tests.reference.make_data`.

Nobody's patients: drawn from a seeded generator, so that the files may be kept
here. `counts.csv` holds tables of counts; `months.csv` survival in whole months
(many ties) with weights, delayed entry, strata, clusters, two causes of failure.
"""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SHAPES = [(2, 2)] * 14 + [(2, 3), (2, 4), (3, 3), (3, 4), (2, 6), (4, 3)]


def counts() -> pd.DataFrame:
    """Return tables of counts, a row a cell."""
    random = np.random.default_rng(2013)
    rows = []
    for number, (height, width) in enumerate(SHAPES):
        mean = 3 + 2 * (number % 7)
        table = random.poisson(mean, (height, width)) + np.eye(height, width, dtype=int)
        rows += [(number, r, c, table[r, c]) for r in range(height) for c in range(width)]
    rows += [(90, 0, 0, 18), (90, 0, 1, 12), (90, 0, 2, 21), (90, 0, 3, 9)]
    rows += [(90, 1, 0, 296), (90, 1, 1, 149), (90, 1, 2, 165), (90, 1, 3, 63)]
    return pd.DataFrame(rows, columns=["table", "row", "column", "count"])


def months(n: int = 240) -> pd.DataFrame:
    """Return survival in whole months; `cause` is 0 censored, 1 and 2 the competing events."""
    random = np.random.default_rng(404)
    age = random.normal(60, 10, n).round(1)
    sex = random.integers(0, 2, n)
    dose = random.gamma(2.0, 1.0, n).round(2)
    stratum = random.integers(1, 4, n)
    risk = 0.03 * (age - 60) + 0.6 * sex - 0.25 * dose
    time = random.weibull(1.2, n) * 14 * np.exp(-risk / 1.2)
    censored = random.uniform(4, 40, n)
    stop = np.maximum(1, np.ceil(np.minimum(time, censored))).astype(int)
    event = (time <= censored).astype(int)
    entry = np.where(random.random(n) < 0.4, np.floor(stop * random.random(n) * 0.6), 0).astype(int)
    cause = np.where(event == 1, np.where(random.random(n) < 0.7, 1, 2), 0)
    weight = np.round(1 / random.uniform(0.35, 1, n), 4)
    center = random.integers(1, 41, n)
    return pd.DataFrame(
        {
            "entry": entry,
            "stop": stop,
            "event": event,
            "cause": cause,
            "age": age,
            "sex": sex,
            "dose": dose,
            "stratum": stratum,
            "center": center,
            "weight": weight,
        }
    )


def missing(n: int = 200, seed: int = 85) -> pd.DataFrame:
    """Return a cohort whose mutation status is missing more often in men and in the frail."""
    random = np.random.default_rng(seed)
    male, frail = random.integers(0, 2, n), (random.random(n) < 0.3).astype(int)
    age = random.normal(60, 10, n).round(1)
    mutated = (random.random(n) < 1 / (1 + np.exp(-(0.6 - 0.7 * male)))).astype(float)
    time = random.exponential(16, n) * np.exp(0.9 * mutated - 0.5 * frail - 0.3 * male)
    censored = random.uniform(6, 48, n)
    tested = random.random(n) < 1 / (1 + np.exp(-(1.8 - 0.9 * male - 1.0 * frail)))
    return pd.DataFrame(
        {
            "months": np.maximum(1, np.ceil(np.minimum(time, censored))),
            "died": (time <= censored).astype(int),
            "male": male,
            "frail": frail,
            "age": age,
            "tested": tested.astype(int),
            "egfr": np.where(tested, mutated, np.nan),
        }
    )


if __name__ == "__main__":
    counts().to_csv(HERE / "counts.csv", index=False)
    months().to_csv(HERE / "months.csv", index=False)
    missing().to_csv(HERE / "missing.csv", index=False)
