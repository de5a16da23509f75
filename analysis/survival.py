"""Survival analysis, by the names other modules call it by."""

from analysis.cox import CoxFit, cox
from analysis.cox_checks import (
    Concordance,
    baseline_hazard,
    concordance,
    deviance_residuals,
    dfbeta,
    gronnesby_borgan,
    martingale_residuals,
    schoenfeld_residuals,
    score_contributions,
)
from analysis.firth import FirthFit, firth_cox
from analysis.kaplan_meier import (
    IntervalKind,
    RestrictedMean,
    SurvivalCurve,
    kaplan_meier,
    restricted_mean,
)
from analysis.log_rank import LogRank, log_rank
from analysis.risk_sets import Ties
from analysis.zph import Transform, Zph, zph

__all__ = [
    "Concordance",
    "CoxFit",
    "FirthFit",
    "IntervalKind",
    "LogRank",
    "RestrictedMean",
    "SurvivalCurve",
    "Ties",
    "Transform",
    "Zph",
    "baseline_hazard",
    "concordance",
    "cox",
    "deviance_residuals",
    "dfbeta",
    "firth_cox",
    "gronnesby_borgan",
    "kaplan_meier",
    "log_rank",
    "martingale_residuals",
    "restricted_mean",
    "schoenfeld_residuals",
    "score_contributions",
    "zph",
]
