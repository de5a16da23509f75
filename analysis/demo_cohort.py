"""A synthetic cohort like the one of Wu 2013 (Eur Respir J 41:417): `mipc demo-cohort --seed S`.

85 patients with MIPC and 673 with other stage IV disease. Every one-way count of
the paper's tables holds exactly, for columns are drawn by shuffling fixed numbers
of each value within the mutated, the unmutated and the untested; follow-up is
made to come close to the printed medians by `analysis.demo_survival`. Nobody's
patients; two-way counts the paper does not print are whatever the seed makes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.demo_survival import EXCHANGES, follow_up

__all__ = ["demo_cohort"]

Random = np.random.Generator

# Mutated, wild type, not tested, as Tables 1 and 2 give them (the last is Table 1's difference).
STRATA = {"mutation": 42, "wild_type": 18, "not_tested": 25}
COUNTS: dict[str, dict[str, tuple[int, int, int]]] = {
    "sex": {"female": (21, 14, 9), "male": (21, 4, 16)},
    "smoker": {"no": (31, 16, 16), "yes": (11, 2, 9)},
    "ecog": {"0-1": (33, 15, 15), "2-4": (9, 3, 10)},
    "tumour": {"adenocarcinoma": (41, 17, 23), "nonadenocarcinoma": (1, 1, 2)},
    "bone": {"yes": (28, 9, 17), "no": (14, 9, 8)},
    "brain": {"yes": (17, 5, 9), "no": (25, 13, 16)},
    "liver": {"yes": (12, 5, 6), "no": (30, 13, 19)},
    "adrenal_gland": {"yes": (6, 2, 0), "no": (36, 16, 25)},
    "others": {"yes": (5, 2, 5), "no": (37, 16, 20)},
    "effusion": {"yes": (19, 8, 10), "no": (23, 10, 15)},
}
# Treatment sequences: the totals of Table 5; first lines 35 tested and 8 not (text), users of TKI 38 and 17
# of the mutated and the unmutated (text), four of the five without treatment grade 4 or refusing.
SEQUENCES: dict[str, tuple[int, int, int]] = {
    "best_supportive_care": (2, 0, 3),
    "tki_only": (9, 5, 4),
    "chemotherapy_only": (1, 0, 4),
    "tki_then_chemotherapy": (15, 6, 4),
    "chemotherapy_then_tki": (7, 4, 4),
    "chemotherapy_then_chemotherapy_then_tki": (7, 2, 4),
    "chemotherapy_then_chemotherapy": (1, 1, 2),
}
RESPONSES = {"tki": {"PR": 29, "NPD": 1, "PD": 13}, "chemotherapy": {"PR": 11, "NPD": 4, "PD": 22}}
AGES = {  # (mean, least, greatest) of each stratum; the untested from Table 1's totals
    "mutation": (61.2, 41.3, 87.7),
    "wild_type": (61.7, 39.1, 79.6),
    "not_tested": (55.96, 28.3, 79.9),
}
UNDER_65 = {"mutation": 26, "wild_type": 10, "not_tested": 18}
WITHOUT_SPREAD = 15  # patients with no extrapulmonary metastasis, Table 5
SPECIMENS = {"pleural effusion": 28, "lung tumour": 23, "lymph node": 4, "brain": 3, "bone": 1, "ascites": 1}
SYMPTOMS = {"cough": 56, "dyspnoea": 45, "chest_pain": 20, "haemoptysis": 11, "bone_pain": 24}
WEIGHT_LOSERS = 38
MUTATIONS = {
    "c.2573T>G (p.L858R)": 12,
    "p.E746_A750del": 14,
    "exon 19 deletion": 5,
    "p.L747_P753delinsS": 2,
    "p.G719S": 3,
    "p.L861Q": 2,
    "p.S768I; p.G719C": 1,
    "exon 20 insertion": 3,
}
OTHERS_COUNTS = {
    "sex": {"female": 361, "male": 312},
    "smoker": {"no": 456, "yes": 217},
    "tumour": {"adenocarcinoma": 640, "nonadenocarcinoma": 33},
    "bone": {"yes": 311, "no": 362},
    "brain": {"yes": 157, "no": 516},
    "liver": {"yes": 104, "no": 569},
    "adrenal_gland": {"yes": 74, "no": 599},
    "others": {"yes": 71, "no": 602},
    "effusion": {"yes": 331, "no": 342},
    "ecog": {"0-1": 500, "2-4": 173},
}
OTHERS_MUTATIONS = {"wild type": 296, "p.L858R": 149, "exon 19 deletion": 165, "p.G719A": 30, "p.L861Q": 33}
DRUGS = {
    "tki": ("gefitinib", "erlotinib"),
    "chemotherapy": ("cisplatin + gemcitabine", "carboplatin + paclitaxel"),
}


def demo_cohort(seed: int, *, exchanges: int = EXCHANGES) -> pd.DataFrame:
    """Return the cohort as a table of text and numbers that `read_clinical` reads.

    Parameters
    ----------
    seed : int
        The same seed gives the same table.
    exchanges : int
        Steps on the way to the printed medians; fewer are quicker and less close.
    """
    random = np.random.default_rng(seed)
    cases = _cases(random)
    cases = follow_up(cases, random, exchanges)
    both = pd.concat([cases, _others(random)], ignore_index=True)
    both.insert(0, "patient_id", [f"D{number:04d}" for number in range(1, len(both) + 1)])
    return both


def _cases(random: Random) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for place, (stratum, n) in enumerate(STRATA.items()):
        drawn: dict[str, NDArray[np.object_] | NDArray[np.float64]] = {
            name: _shuffled({value: count[place] for value, count in levels.items()}, random)
            for name, levels in COUNTS.items()
        }
        drawn["sequence"] = _shuffled({name: count[place] for name, count in SEQUENCES.items()}, random)
        drawn["age"] = _ages(*AGES[stratum], n, UNDER_65[stratum], random)
        drawn["stratum"] = np.full(n, stratum, dtype=object)
        parts.append(pd.DataFrame(drawn))
    frame = pd.concat(parts, ignore_index=True)
    frame = _with_spread(frame, random)
    tested = frame["stratum"] != "not_tested"
    specimen = np.full(len(frame), "", dtype=object)
    specimen[tested] = _shuffled(SPECIMENS, random)
    result = np.full(len(frame), "not tested", dtype=object)
    result[frame["stratum"] == "wild_type"] = "wild type"
    result[frame["stratum"] == "mutation"] = _shuffled(MUTATIONS, random)
    frame = frame.assign(specimen=specimen, egfr_result=result, mipc="yes")
    for symptom, count in SYMPTOMS.items():
        frame[f"symptom_{symptom}"] = _shuffled({"yes": count, "no": len(frame) - count}, random)
    frame["weight_loss"] = _shuffled({"yes": WEIGHT_LOSERS, "no": len(frame) - WEIGHT_LOSERS}, random)
    return _plain(_responses(frame, random), random)


def _with_spread(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    """Swap findings within strata until exactly 15 patients have none outside the lungs."""
    sites = ["bone", "brain", "liver", "adrenal_gland", "others"]
    table = (frame[sites] == "yes").to_numpy()
    strata = frame["stratum"].to_numpy()
    while (missing := WITHOUT_SPREAD - int((~table.any(axis=1)).sum())) != 0:
        site = int(random.integers(len(sites)))
        mine = np.flatnonzero(strata == random.choice(list(STRATA)))
        with_it, without = mine[table[mine, site]], mine[~table[mine, site]]
        if len(with_it) == 0 or len(without) == 0:
            continue
        giver, taker = random.choice(with_it), random.choice(without)
        emptied = int(table[giver].sum() == 1)
        filled = int(not table[taker].any())
        if (emptied - filled) * missing > 0 or (emptied == filled and random.random() < 0.3):
            table[giver, site], table[taker, site] = False, True
    return frame.assign(**{name: np.where(table[:, i], "yes", "no") for i, name in enumerate(sites)})


def _responses(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    """Give each arm its responses; of those on a TKI the mutated get the better ones first."""
    response = np.full(len(frame), "", dtype=object)
    first = frame["sequence"].str.split("_").str[0]
    for arm, counts in RESPONSES.items():
        mine = np.flatnonzero((first == arm).to_numpy())
        favoured = (frame["stratum"].iloc[mine] == "mutation").to_numpy() & (arm == "tki")
        ordered = mine[np.argsort(random.random(len(mine)) - 0.45 * favoured)]
        response[ordered] = np.repeat(list(counts), list(counts.values()))
    # Nonprogressive disease is of lesions too small to measure: it has no change of size.
    change = np.where(
        response == "PR", random.uniform(-85, -31, len(frame)), random.uniform(21, 80, len(frame))
    )
    measured = np.isin(response, ["PR", "PD"])
    text = [f"{value:.0f}" if known else "" for value, known in zip(change, measured, strict=True)]
    return frame.assign(best_response=response, best_change_percent=text)


def _others(random: Random) -> pd.DataFrame:
    n = sum(OTHERS_MUTATIONS.values())
    frame = pd.DataFrame({name: _shuffled(levels, random) for name, levels in OTHERS_COUNTS.items()})
    frame["age"] = _ages(63.9, 24.8, 91.4, n, 330, random)
    frame["egfr_result"] = _shuffled(OTHERS_MUTATIONS, random)
    frame["mipc"] = "no"
    diagnosis = _diagnosis_dates(n, "2001-04-01", "2008-11-30", random)
    frame["diagnosis_date"] = diagnosis.strftime("%Y-%m-%d")
    survival = np.ceil(random.exponential(13 * 30.4 / np.log(2), n))
    end = pd.Timestamp("2010-06-30")
    death = diagnosis + pd.to_timedelta(survival, unit="D")
    frame["death_date"] = pd.Series(death.strftime("%Y-%m-%d")).where(death <= end, "")
    frame["last_contact_date"] = death.where(death <= end, end).strftime("%Y-%m-%d")
    return _plain(frame, random)


def _plain(frame: pd.DataFrame, random: Random) -> pd.DataFrame:
    """Say it in the columns of the data dictionary."""
    smoker, n = (frame["smoker"] == "yes").to_numpy(), len(frame)
    other_kinds = ["squamous_cell_carcinoma", "nsclc_nos", "nsclc_nos", "nsclc_nos"]
    histology = frame["tumour"].to_numpy().copy()
    rare = np.flatnonzero(histology == "nonadenocarcinoma")
    histology[rare] = [other_kinds[number % 4] for number in range(len(rare))]
    fitter = random.random(n)
    grade = np.where(frame["ecog"] == "0-1", np.where(fitter < 0.3, 0, 1), np.where(fitter < 0.6, 2, 3))
    renamed = {
        "sex": frame["sex"],
        "age_years": frame["age"].map("{:.1f}".format),
        "smoking": np.where(smoker, np.where(random.random(n) < 0.6, "current", "former"), "nonsmoker"),
        "ecog_ps": grade,
        "histology": histology,
        "stage": "IV",
        **{
            f"metastasis_{name}": frame[name]
            for name in ("bone", "brain", "liver", "adrenal_gland", "others")
        },
        "metastasis_malignant_pleural_effusion": frame["effusion"],
    }
    kept = [
        "sequence",
        "stratum",
        "mipc",
        "specimen",
        "egfr_result",
        "best_response",
        "weight_loss",
        "best_change_percent",
    ]
    kept += ["diagnosis_date", "death_date", "last_contact_date"]
    kept += [str(name) for name in frame.columns if str(name).startswith("symptom_")]
    return pd.DataFrame({**renamed, **{name: frame[name] for name in kept if name in frame}})


def _shuffled(counts: Mapping[str, int], random: Random) -> NDArray[np.object_]:
    values = np.repeat(np.array(list(counts), dtype=object), list(counts.values()))
    return np.asarray(random.permutation(values))


def _ages(
    mean: float, least: float, greatest: float, n: int, under_65: int, random: Random
) -> NDArray[np.float64]:
    """Return ages of the given range and mean (to 0.1), so many of them under 65."""
    young = np.sort(least + 0.5 + (64.4 - least) * random.beta(3.0, 1.6, under_65))
    old = np.sort(65.0 + (greatest - 65.5) * random.beta(1.2, 2.5, n - under_65))
    young[0], old[-1] = least, greatest
    for _ in range(200):
        gap = mean - np.concatenate([young, old]).mean()
        young[1:] = np.clip(young[1:] + gap, least, 64.9)
        old[:-1] = np.clip(old[:-1] + gap, 65.0, greatest)
    return np.asarray(random.permutation(np.round(np.concatenate([young, old]), 1)))


def _diagnosis_dates(n: int, first: str, last: str, random: Random) -> pd.DatetimeIndex:
    days = (pd.Timestamp(last) - pd.Timestamp(first)).days
    return pd.DatetimeIndex(pd.Timestamp(first) + pd.to_timedelta(random.integers(0, days, n), unit="D"))


def drugs_of(sequence: str, random: Random) -> Sequence[str]:
    """Return the drugs of a sequence's lines."""
    if sequence == "best_supportive_care":
        return ["best supportive care"]
    kinds = ["chemotherapy" if part == "chemotherapy" else "tki" for part in sequence.split("_then_")]
    kinds[0] = "tki" if sequence.startswith("tki") else "chemotherapy"
    return [str(random.choice(DRUGS[kind])) for kind in kinds]
