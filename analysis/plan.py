"""The analysis plan: a TOML file saying who is compared, how, and by which conventions.

What the plan does not say follows the defaults below, which are those of Wu 2013
(Eur Respir J 41:417) but for two: covariates known only after time zero are not
entered as fixed, and errors count the weights as estimated.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from analysis.comparisons import CountRule
from analysis.csvtable import text_of
from analysis.errors import AnalysisError, Problem
from analysis.kaplan_meier import IntervalKind
from analysis.risk_sets import Ties
from analysis.weighted_cox import ErrorKind
from analysis.weighting import WeightKind

__all__ = ["Factor", "Plan", "Term", "in_words", "read_plan"]


@dataclass(frozen=True, slots=True)
class Factor:
    """A variable shown in tables: its column, what it is called, its levels in order.

    Without levels it is a number; with `findings` each level is a column of its own.
    """

    name: str
    label: str
    column: str
    levels: tuple[tuple[str, str], ...] = ()
    findings: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """A covariate of the Cox model: a number, or whether a column has a level."""

    name: str
    label: str
    column: str
    level: str = ""
    factor: str = ""  # the row of the table of prognostic factors it belongs to


SITES = (
    ("bone", "Bone"),
    ("brain", "Brain"),
    ("liver", "Liver"),
    ("malignant_pleural_effusion", "Malignant pleural effusion"),
    ("adrenal_gland", "Adrenal gland"),
    ("others", "Others"),
)
FACTORS = (
    Factor("age_years", "Age, years", "age_years"),
    Factor("sex", "Sex", "sex", (("female", "Female"), ("male", "Male"))),
    Factor(
        "smoking",
        "Smoking",
        "smoking_group",
        (("nonsmoker", "Nonsmokers"), ("former_or_current", "Former/current smokers")),
    ),
    Factor("ecog_ps", "ECOG PS", "ecog_group", (("0-1", "0–1"), ("2-4", "2–4"))),
    Factor(
        "tumour_type",
        "Tumour type",
        "tumour_type",
        (("nonadenocarcinoma", "Nonadenocarcinoma"), ("adenocarcinoma", "Adenocarcinoma")),
    ),
    Factor("metastasis", "Distant metastasis", "metastasis_", SITES, findings=True),
)
PROGNOSTIC = (
    *FACTORS[1:2],
    Factor("age_years", "Age, years", "age_group", (("under_65", "<65"), ("65_or_over", "≥65"))),
    *FACTORS[2:5],
    Factor(
        "extrapulmonary_metastasis",
        "Extrapulmonary metastasis",
        "extrapulmonary_metastasis",
        (("yes", "Yes"), ("no", "No")),
    ),
    Factor("egfr", "EGFR", "egfr_status", (("wild_type", "Wild type"), ("mutation", "Mutation"))),
    Factor("tki_use", "TKI use", "tki_use", (("no", "No"), ("yes", "Yes"))),
    Factor(
        "treatment_sequence",
        "Treatment sequence",
        "treatment_sequence",
        (
            ("best_supportive_care", "Best supportive care"),
            ("tki_only", "TKI only"),
            ("chemotherapy_only", "Chemotherapy only"),
            ("tki_then_chemotherapy", "TKI then chemotherapy"),
            ("chemotherapy_then_tki", "Chemotherapy then TKI"),
            ("chemotherapy_then_chemotherapy", "Chemotherapy then chemotherapy"),
        ),
    ),
)
TERMS = (
    Term("adenocarcinoma", "Adenocarcinoma", "tumour_type", "adenocarcinoma", "tumour_type"),
    Term("no_extrapulmonary_metastasis", "No extrapulmonary metastasis", "extrapulmonary_metastasis", "no",
         "extrapulmonary_metastasis"),
    Term("egfr_mutation", "EGFR mutation", "egfr_status", "mutation", "egfr"),
)  # fmt: skip


LINE_WORDS = {"egfr_tki": "EGFR-TKI", "chemotherapy": "Chemotherapy"}  # of columns that no factor shows
COLUMN_WORDS = {"first_line": "First line", "mipc": "MIPC"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an analysis depends on beside its data.

    Attributes
    ----------
    cohort : str
        Truth column of the patients of interest; where the table has none, everybody is.
    missing_predictors : tuple of str
        What being tested for EGFR may depend on.
    error : ErrorKind
        The error printed; the others stand beside it in a table of their own.
    force_later_known : bool
        Enter covariates as fixed though only the future fills them.
    landmarks_months : tuple of float
    largest_bootstrap : int
        Cohorts larger than this are not bootstrapped.
    """

    name: str = "default"
    cohort: str = "mipc"
    counts: CountRule = CountRule.EXPECTED_BELOW_5
    equal_variances: bool = True
    interval: IntervalKind = IntervalKind.LOG
    level: float = 0.95
    ties: Ties = Ties.EFRON
    factors: tuple[Factor, ...] = FACTORS
    prognostic: tuple[Factor, ...] = PROGNOSTIC
    terms: tuple[Term, ...] = TERMS
    missing_predictors: tuple[str, ...] = ("sex", "ecog_group", "first_line")
    weight_kind: WeightKind = WeightKind.PLAIN
    truncate: tuple[float, float] | None = None
    error: ErrorKind = ErrorKind.M_ESTIMATION
    bootstrap: int = 200
    largest_bootstrap: int = 2000
    imputations: int = 20
    force_later_known: bool = False
    landmarks_months: tuple[float, ...] = (3.0, 6.0)
    horizon_months: float = 24.0
    formats: tuple[str, ...] = ("svg", "pdf", "png")
    seed: int = 1
    source: str = field(default="", compare=False)

    @property
    def interval_name(self) -> str:
        """What the headings of tables call an interval."""
        return f"{100 * self.level:g}% CI"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_limits(value: Any) -> bool:
    """Whether it is two percentiles, the lower first."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_number, value))
        and 0 <= value[0] < value[1] <= 100
    )


def _are_formats(value: Any) -> bool:
    from matplotlib.backend_bases import FigureCanvasBase

    return _are_texts(value) and set(value) <= set(FigureCanvasBase.get_supported_filetypes())


def _are_times(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(item) and item > 0 for item in value)


TEXT = (lambda value: isinstance(value, str), "a text")
TRUTH = (lambda value: isinstance(value, bool), "true or false")
COUNT = (_is_whole, "a whole number from 0")
EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": TEXT,
    "cohort": TEXT,
    "equal_variances": TRUTH,
    "force_later_known": TRUTH,
    "bootstrap": COUNT,
    "largest_bootstrap": COUNT,
    "imputations": COUNT,
    "seed": COUNT,
    "level": (lambda value: _is_number(value) and 0 < value < 1, "a number between 0 and 1"),
    "horizon_months": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "landmarks_months": (_are_times, "a list of numbers above 0"),
    "truncate": (_are_limits, "two percentiles such as [1, 99]"),
    "missing_predictors": (_are_texts, "a list of columns"),
    "formats": (_are_formats, "a list of formats such as svg, pdf and png"),
}


def read_plan(where: str | None) -> Plan:
    """Return the plan of a TOML file, of a shipped name (`wu2013`), or the default.

    Raises
    ------
    AnalysisError
        `BAD_PLAN`, naming what is unknown or wrong.
    """
    if where is None:
        return Plan()
    if where == "wu2013":
        text = resources.files("analysis").joinpath("wu2013_plan.toml").read_text(encoding="utf-8")
    else:
        path = Path(where)
        if not path.is_file():
            raise AnalysisError(Problem.BAD_PLAN, f"there is no plan {where!r}")
        text = text_of(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AnalysisError(Problem.BAD_PLAN, f"the plan cannot be read: {error}") from error
    return parse_plan(content, where)


def parse_plan(content: dict[str, Any], source: str = "") -> Plan:
    """Turn the parts of a plan into a Plan, refusing what it does not know."""
    known = {item.name for item in fields(Plan)} - {"source"}
    unknown = sorted(set(content) - known)
    if unknown:
        raise AnalysisError(Problem.BAD_PLAN, f"the plan has unknown parts: {', '.join(unknown)}")
    choices = {
        "counts": CountRule,
        "interval": IntervalKind,
        "ties": Ties,
        "weight_kind": WeightKind,
        "error": ErrorKind,
    }
    values: dict[str, Any] = {}
    for name, value in content.items():
        try:
            if name in choices:
                values[name] = choices[name](value)
            elif name in EXPECTED:
                is_right, expected = EXPECTED[name]
                if not is_right(value):
                    raise ValueError(f"expected {expected}, not {value!r}")
                values[name] = tuple(value) if isinstance(value, list) else value
            elif name == "terms":
                values[name] = tuple(Term(**item) for item in value)
            else:
                values[name] = tuple(_factor(item) for item in value)
        except (TypeError, ValueError, KeyError) as error:
            raise AnalysisError(Problem.BAD_PLAN, f"{name}: {error}") from error
    return Plan(**values, source=source)


def _factor(item: dict[str, Any]) -> Factor:
    levels = tuple((str(key), str(label)) for key, label in item.get("levels", {}).items())
    return Factor(item["name"], item["label"], item["column"], levels, bool(item.get("findings", False)))


def in_words(plan: Plan, column: str, level: str = "") -> str:
    """Return what tables call a column, or a level of it; one that no factor shows stands as it is spelled.

    >>> in_words(Plan(), "smoking_group"), in_words(Plan(), "smoking_group", "nonsmoker")
    ('Smoking', 'Nonsmokers')
    >>> in_words(Plan(), "first_line", "egfr_tki"), in_words(Plan(), "weight_loss", "yes")
    ('EGFR-TKI', 'Yes')
    """
    shown = [factor for factor in (*plan.factors, *plan.prognostic) if factor.column == column]
    if level:
        levels = dict(pair for factor in shown for pair in factor.levels)
        return levels.get(level) or LINE_WORDS.get(level) or _spelled(level)
    return shown[0].label if shown else COLUMN_WORDS.get(column) or _spelled(column)


def _spelled(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")
