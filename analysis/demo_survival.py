"""Give the synthetic cohort follow-up whose medians come close to the paper's.

Times are drawn within each treatment sequence around its printed median; then
pairs of patients of one sequence exchange their times, by simulated annealing,
until the medians of the other factors and the adjusted hazard ratios are near print.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.cox import maximise
from analysis.errors import AnalysisError
from analysis.risk_sets import Ties, arrange

__all__ = ["EXCHANGES", "follow_up"]

Random = np.random.Generator
FloatArray = NDArray[np.float64]

DAYS_PER_MONTH = 365.25 / 12
END_OF_FOLLOW_UP = pd.Timestamp("2010-06-30")
MEDIANS = {  # months, Table 5
    "best_supportive_care": 0.3,
    "tki_only": 6.9,
    "chemotherapy_only": 6.3,
    "tki_then_chemotherapy": 20.9,
    "chemotherapy_then_tki": 16.2,
    "chemotherapy_then_chemotherapy": 19.7,
    "chemotherapy_then_chemotherapy_then_tki": 19.7,
}
FACTORS = {
    ("sex", "female"): 12.3,
    ("sex", "male"): 12.4,
    ("old", "no"): 11.5,
    ("old", "yes"): 13.4,
    ("smoker", "no"): 14.6,
    ("smoker", "yes"): 8.3,
    ("frail", "no"): 14.1,
    ("frail", "yes"): 6.8,
    ("adenocarcinoma", "no"): 3.5,
    ("adenocarcinoma", "yes"): 13.1,
    ("spread", "yes"): 10.4,
    ("spread", "no"): 23.5,
    ("stratum", "wild_type"): 10.6,
    ("stratum", "mutation"): 17.8,
}
HAZARD_RATIOS = {
    "adenocarcinoma": 0.16,
    "no_spread": 0.45,
    "mutated": 0.19,
    "supportive": 106.19,
    "tki_only": 4.46,
}
PFS = {"tki": 5.8, "chemotherapy": 2.9}  # months, Figure 2
EXCHANGES = 3000
WARMEST, COLDEST = 0.05, 0.001  # of the annealing, in units of the misfit
INFINITE = 4.0
RATIO_SHARE = 0.15  # what a squared log hazard ratio weighs beside a squared log median


def follow_up(cases: pd.DataFrame, random: Random, exchanges: int) -> pd.DataFrame:
    """Return the cases with dates of diagnosis, treatment, progression, death and last contact."""
    n = len(cases)
    span = (pd.Timestamp("2008-12-31") - pd.Timestamp("2004-06-01")).days
    diagnosis = pd.Series(pd.Timestamp("2004-06-01") + pd.to_timedelta(random.integers(0, span, n), unit="D"))
    groups = _groups(cases)
    months = _drawn(cases, random)
    longest = ((END_OF_FOLLOW_UP - diagnosis).dt.days / DAYS_PER_MONTH).to_numpy()
    months = _exchange(cases, groups, months, random, exchanges)
    days = np.maximum(2, np.round(months * DAYS_PER_MONTH)).astype(int)
    died = days / DAYS_PER_MONTH <= longest
    days = np.where(died, days, np.floor(longest * DAYS_PER_MONTH).astype(int))
    end = diagnosis + pd.to_timedelta(days, unit="D")
    frame = cases.assign(
        diagnosis_date=diagnosis.dt.strftime("%Y-%m-%d"),
        death_date=end.dt.strftime("%Y-%m-%d").where(died, ""),
        last_contact_date=end.dt.strftime("%Y-%m-%d"),
    )
    return _treatment(frame, diagnosis, days, random)


def _groups(cases: pd.DataFrame) -> pd.DataFrame:
    sites = [f"metastasis_{s}" for s in ("bone", "brain", "liver", "adrenal_gland", "others")]
    yes_no = {True: "yes", False: "no"}
    return pd.DataFrame(
        {
            "sex": cases["sex"],
            "old": (cases["age_years"].astype(float) >= 65).map(yes_no),
            "smoker": (cases["smoking"] != "nonsmoker").map(yes_no),
            "frail": (cases["ecog_ps"] >= 2).map(yes_no),
            "adenocarcinoma": (cases["histology"] == "adenocarcinoma").map(yes_no),
            "spread": (cases[sites] == "yes").any(axis=1).map(yes_no),
            "stratum": cases["stratum"],
        }
    )


def _drawn(cases: pd.DataFrame, random: Random) -> FloatArray:
    """Draw months by sequence: evenly spread quantiles around the printed median, so that it holds."""
    months = np.zeros(len(cases))
    keys = cases["sequence"].replace(
        "chemotherapy_then_chemotherapy_then_tki", "chemotherapy_then_chemotherapy"
    )
    for sequence in keys.unique():
        mine = np.flatnonzero((keys == sequence).to_numpy())
        shares = (np.arange(len(mine)) + 0.5) / len(mine)
        shares = shares + random.uniform(-0.3, 0.3, len(mine)) / len(mine) * (np.abs(shares - 0.5) > 0.02)
        # Weibull of shape 1.4, its median the printed one.
        times = MEDIANS[sequence] * (-np.log(1 - shares) / np.log(2)) ** (1 / 1.4)
        if sequence == "best_supportive_care":
            # Wide enough that some outlive patients on treatment: else the hazard ratio has no finite value.
            times = np.array([0.1, 0.2, 0.3, 1.6, 2.9])
        months[mine] = random.permutation(times)
    return months


def _exchange(
    cases: pd.DataFrame, groups: pd.DataFrame, months: FloatArray, random: Random, exchanges: int
) -> FloatArray:
    """Exchange times within sequences, annealing the misfit of medians and adjusted hazard ratios."""
    masks = [(groups[factor] == level).to_numpy() for factor, level in FACTORS]
    goals = np.log(list(FACTORS.values()))
    sequences = cases["sequence"].to_numpy()
    covariates = _covariates(cases, groups)

    def misfit(times: FloatArray) -> float:
        medians = np.array([np.median(times[mask]) for mask in masks])
        return float(((np.log(medians) - goals) ** 2).sum())

    partners = {name: np.flatnonzero(sequences == name) for name in np.unique(sequences)}
    current = misfit(months) + RATIO_SHARE * _ratio_misfit(covariates, months)
    best, kept = current, months
    for number in range(exchanges):
        warmth = WARMEST * (COLDEST / WARMEST) ** (number / exchanges)
        i = int(random.integers(len(months)))
        j = int(random.choice(partners[sequences[i]]))
        allowed = current - warmth * np.log(random.random())
        trial = months.copy()
        trial[i], trial[j] = months[j], months[i]
        total = misfit(trial)
        if total >= allowed:
            continue
        total += RATIO_SHARE * _ratio_misfit(covariates, trial)
        if total < allowed:
            months, current = trial, total
            if current < best:
                best, kept = current, months
    return kept


def _covariates(cases: pd.DataFrame, groups: pd.DataFrame) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the model's covariates of the tested, and who they are."""
    table = pd.DataFrame(
        {
            "adenocarcinoma": (groups["adenocarcinoma"] == "yes").astype(int),
            "no_spread": (groups["spread"] == "no").astype(int),
            "mutated": (groups["stratum"] == "mutation").astype(int),
            "supportive": (cases["sequence"] == "best_supportive_care").astype(int),
            "tki_only": (cases["sequence"] == "tki_only").astype(int),
        }
    )
    tested = (groups["stratum"] != "not_tested").to_numpy()
    values = table[list(HAZARD_RATIOS)].to_numpy(dtype=np.float64)[tested]
    return values - values.mean(axis=0), tested


def _ratio_misfit(covariates: tuple[FloatArray, NDArray[np.bool_]], months: FloatArray) -> float:
    """Return the squared misfit of the log hazard ratios; one without a finite value costs `INFINITE`."""
    x, tested = covariates
    n = len(x)
    goals = np.log(list(HAZARD_RATIOS.values()))
    always, one, nothing = np.full(n, -np.inf), np.ones(n), np.zeros(n, dtype=np.int64)
    extra = 0.0
    for used in ([0, 1, 2, 3, 4], [0, 1, 2, 4], [1, 2, 4]):
        sets = arrange(x[:, used], months[tested], np.ones(n, dtype=bool), always, one, nothing, Ties.EFRON)
        try:
            # The printed ratios are where the search is heading: a few steps from there are enough.
            beta = maximise(sets, [str(number) for number in used], goals[used])[0]
        except AnalysisError:
            extra += INFINITE
            continue
        return extra + float(((beta - goals[used]) ** 2).sum())
    return 5 * INFINITE


def _treatment(
    frame: pd.DataFrame, diagnosis: "pd.Series[pd.Timestamp]", days: NDArray[np.int64], random: Random
) -> pd.DataFrame:
    """Date the lines between diagnosis and the end, and progression around the printed median."""
    from analysis.demo_cohort import drugs_of

    n = len(frame)
    arm = frame["sequence"].str.split("_").str[0]
    start = np.minimum(random.integers(5, 25, n), np.maximum(1, days // 3))
    progressed = np.full(n, np.nan)
    for name, goal in PFS.items():
        mine = np.flatnonzero((arm == name).to_numpy())
        quick = frame["best_response"].iloc[mine].map({"PD": 0.35}).fillna(1.6).to_numpy()
        drawn = quick * random.weibull(1.6, len(mine))
        room = (days - start)[mine] / DAYS_PER_MONTH
        low, high = 0.01, 200.0
        for _ in range(60):
            middle = np.sqrt(low * high)
            low, high = (
                (middle, high) if np.median(np.minimum(drawn * middle, room)) < goal else (low, middle)
            )
        progressed[mine] = np.minimum(drawn * low, room * 0.98)
    columns: dict[str, list[str]] = {f"line{k}{part}": [] for k in (1, 2, 3) for part in ("", "_start")}
    dates: list[str] = []
    for row in range(n):
        lines = list(drugs_of(str(frame["sequence"].iloc[row]), random))
        after = start[row] + max(1, round(float(np.nan_to_num(progressed[row])) * DAYS_PER_MONTH))
        second = min(int(after) + 7, int(0.85 * days[row]))
        begins = [int(start[row]), second, (second + int(days[row])) // 2]
        for k in (1, 2, 3):
            given = k <= len(lines)
            columns[f"line{k}"].append(lines[k - 1] if given else "")
            when = diagnosis.iloc[row] + pd.Timedelta(days=max(1, begins[k - 1])) if given else None
            columns[f"line{k}_start"].append("" if when is None else when.strftime("%Y-%m-%d"))
        late = np.isnan(progressed[row]) or after >= days[row] or days[row] <= start[row]
        when = None if late else diagnosis.iloc[row] + pd.Timedelta(days=int(after))
        dates.append("" if when is None else when.strftime("%Y-%m-%d"))
    return frame.assign(**columns, progression_date=dates).drop(columns=["sequence", "stratum"])
