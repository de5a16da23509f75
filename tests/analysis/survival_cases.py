"""The fits and curves of tests/reference/survival.R, asked of mipc."""

import numpy as np
import pandas as pd

from analysis.cox import CoxFit, cox
from analysis.kaplan_meier import SurvivalCurve, kaplan_meier

COVARIATES = ["age", "sex", "dose"]
SYNTHETIC_FITS = [
    f"{kind}-{ties}" for ties in ("efron", "breslow") for kind in ("plain", "weighted", "everything")
]
R_DATA_FITS = [
    f"{name}-{ties}" for ties in ("efron", "breslow") for name in ("lung", "veteran", "mgus2", "heart")
]
CURVES = {
    "curve-log": {"interval": "log"},
    "curve-log-log": {"interval": "log-log"},
    "curve-plain": {"interval": "plain"},
    "curve-logit": {"interval": "logit"},
    "curve-arcsin": {"interval": "arcsin"},
    "curve-entry": {"entry": "entry"},
    "curve-weighted": {"weights": "weight"},
    "curve-weighted-entry": {"weights": "weight", "entry": "entry"},
}


def fit_months(case: str, months: pd.DataFrame) -> CoxFit:
    kind, ties = case.split("-")
    if kind == "plain":
        return cox(months, "stop", "event", COVARIATES, ties=ties)
    if kind == "weighted":
        return cox(months, "stop", "event", COVARIATES, weights="weight", ties=ties)
    return cox(
        months,
        "stop",
        "event",
        COVARIATES,
        entry="entry",
        strata="stratum",
        weights="weight",
        cluster="center",
        ties=ties,
    )


def fit_r_data(case: str, folder) -> CoxFit:
    name, ties = case.split("-")
    frame = pd.read_csv(folder / f"{name}.csv")
    if name == "lung":
        covariates = ["age", "sex", "ph.ecog", "wt.loss"]
        return cox(frame, "time", "death", covariates, cluster="inst", ties=ties)
    if name == "veteran":
        return cox(frame, "time", "status", ["karno", "age", "small"], strata="trt", ties=ties)
    if name == "mgus2":
        return cox(frame, "futime", "death", ["age", "man", "hgb", "creat"], ties=ties)
    frame["transplanted"] = (frame["transplant"] == 1).astype(float)
    covariates = ["age", "year", "surgery", "transplanted"]
    return cox(frame, "stop", "event", covariates, entry="start", cluster="id", ties=ties)


def curve_of(case: str, months: pd.DataFrame) -> SurvivalCurve:
    options = {
        key: months[value] if key in ("entry", "weights") else value for key, value in CURVES[case].items()
    }
    return kaplan_meier(months["stop"], months["event"], **options)


def assert_close(found, expected, rel, floor=0.0):
    np.testing.assert_allclose(np.asarray(found, dtype=float), expected, rtol=rel, atol=floor)
