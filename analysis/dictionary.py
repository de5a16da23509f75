"""The data dictionary: every column of the patient table, its unit, levels and meaning."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["COLUMNS", "LINES", "METASTASES", "RESPONSES", "Column", "Kind", "dictionary_markdown"]


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    CHOICE = "choice"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the patient table; `low` and `high` are the limits of what is possible."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    is_required: bool = False
    is_derived: bool = False  # worked out where the table does not give it


METASTASES = ("bone", "brain", "liver", "adrenal_gland", "others")  # outside the lungs and the pleura
LINES = ("line1", "line2", "line3", "line4")
RESPONSES = ("CR", "PR", "SD", "NPD", "NED", "PD", "EARLY DEATH", "NE")

COLUMNS: tuple[Column, ...] = (
    Column("patient_id", Kind.TEXT, "Identifies the patient; one row each", is_required=True),
    Column("mipc", Kind.TRUTH, "Miliary intrapulmonary carcinomatosis at diagnosis: the imaging label"),
    Column("sex", Kind.CHOICE, "Sex", levels=("female", "male")),
    Column("birth_date", Kind.DATE, "Date of birth"),
    Column(
        "diagnosis_date", Kind.DATE, "Date of the diagnosis of lung cancer: time zero of overall survival"
    ),
    Column("age_years", Kind.NUMBER, "Age at diagnosis", "years", low=18, high=110, is_derived=True),
    Column(
        "cigarettes_lifetime", Kind.NUMBER, "Cigarettes smoked in a lifetime", "cigarettes", low=0, high=5e6
    ),
    Column("last_smoked_date", Kind.DATE, "Date of the last cigarette; empty if still smoking"),
    Column("is_smoking", Kind.TRUTH, "Smoking at diagnosis"),
    Column(
        "smoking",
        Kind.CHOICE,
        "Nonsmoker (fewer than 100 cigarettes), current (within a year of diagnosis) or former",
        levels=("nonsmoker", "former", "current"),
        is_derived=True,
    ),
    Column("weight_kg", Kind.NUMBER, "Weight at diagnosis", "kg", low=25, high=300),
    Column("weight_before_kg", Kind.NUMBER, "Weight 6 months before", "kg", low=25, high=300),
    Column(
        "weight_loss",
        Kind.TRUTH,
        "More than 10 % of weight lost in the 6 months before diagnosis",
        is_derived=True,
    ),
    Column("ecog_ps", Kind.NUMBER, "ECOG performance status", "grade", low=0, high=4),
    Column(
        "histology",
        Kind.CHOICE,
        "WHO histology",
        levels=("adenocarcinoma", "squamous_cell_carcinoma", "large_cell_carcinoma", "nsclc_nos", "other"),
    ),
    Column("stage", Kind.TEXT, "TNM stage at diagnosis"),
    *(Column(f"metastasis_{site}", Kind.TRUTH, f"Metastasis at diagnosis: {site}") for site in METASTASES),
    Column("metastasis_malignant_pleural_effusion", Kind.TRUTH, "Malignant pleural effusion at diagnosis"),
    Column(
        "extrapulmonary_metastasis",
        Kind.TRUTH,
        "Metastasis outside lungs and pleura: any of bone, brain, liver, adrenal gland, others",
        is_derived=True,
    ),
    Column("specimen", Kind.TEXT, "What was sequenced"),
    Column("egfr_result", Kind.TEXT, "EGFR result as the laboratory wrote it: HGVS or free text"),
    *(
        column
        for line in (1, 2, 3, 4)
        for column in (
            Column(f"line{line}", Kind.TEXT, f"Drugs of treatment line {line}"),
            Column(f"line{line}_start", Kind.DATE, f"First day of treatment line {line}"),
        )
    ),
    Column("best_response", Kind.CHOICE, "Best response to the first line, RECIST 1.1", levels=RESPONSES),
    Column(
        "best_change_percent", Kind.NUMBER, "Best change of the sum of diameters", "%", low=-100, high=1000
    ),
    Column("progression_date", Kind.DATE, "First progression on the first line"),
    Column("death_date", Kind.DATE, "Date of death"),
    Column("last_contact_date", Kind.DATE, "Date the patient was last known to be alive"),
    Column("died", Kind.TRUTH, "Whether the patient has died"),
    Column("os_months", Kind.NUMBER, "Diagnosis to death or last contact", "months", low=0, is_derived=True),
    Column("os_event", Kind.TRUTH, "Whether overall survival ended with death", is_derived=True),
    Column(
        "pfs_months",
        Kind.NUMBER,
        "First line to progression, death or last contact",
        "months",
        low=0,
        is_derived=True,
    ),
    Column("pfs_event", Kind.TRUTH, "Whether it ended with progression or death", is_derived=True),
)


def dictionary_markdown() -> str:
    """Return the dictionary as a table."""
    lines = ["| column | holds | unit or levels | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        marks = [column.kind.value] + ["required"] * column.is_required + ["derived"] * column.is_derived
        holds = ", ".join(marks)
        lines.append(
            f"| `{column.name}` | {holds} | {column.unit or ', '.join(column.levels)} | {column.meaning} |"
        )
    lines.append("")
    lines.append(
        "Columns named `symptom_*` hold truths and make up Table S1; other columns are kept as they are."
    )
    return "\n".join(lines) + "\n"
