"""What a reader is asked: the form as a table, from which the window draws its fields.

The criteria and exclusions are those of Wu 2013 (Eur Respir J 41:417, "MIPC
image-based criteria"). A question has a key for each answer, so that a form is
filled in without a mouse.
"""

from dataclasses import dataclass
from enum import StrEnum

from records.model import Side, Zone

__all__ = [
    "BASELINE",
    "CHOICE",
    "CRITERIA",
    "EXCLUSIONS",
    "FOLLOW_UP",
    "ZONES",
    "Answer",
    "Choice",
    "Kind",
    "Question",
    "zone_name",
]


class Answer(StrEnum):
    """What can be said of a criterion."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


class Kind(StrEnum):
    """How a question is answered."""

    CHOICE = "choice"
    MILLIMETRES = "millimetres"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from, and the key that gives it."""

    value: str
    label: str
    key: str


@dataclass(frozen=True, slots=True)
class Question:
    """One field of the form.

    Attributes
    ----------
    name : str
        The key of the answer in a read.
    asked_if : tuple of str
        (another question, its answer): asked only then; empty if always asked.
    """

    name: str
    group: str
    text: str
    kind: Kind
    choices: tuple[Choice, ...] = ()
    is_required: bool = True
    asked_if: tuple[str, str] | tuple[()] = ()


YES_NO = (Choice(Answer.YES, "Yes", "Y"), Choice(Answer.NO, "No", "N"))
YES_NO_UNSURE = (*YES_NO, Choice(Answer.UNSURE, "Unsure", "U"))
GRADES = tuple(
    Choice(str(grade), f"{grade} {word}", str(grade))
    for grade, word in enumerate(("none", "few", "many", "innumerable"))
)
LEVELS = tuple(Choice(str(level), str(level), str(level)) for level in range(1, 6))

IF_EVALUABLE = ("evaluable", Answer.YES.value)
ZONES = tuple((side, zone) for side in Side for zone in Zone)


def zone_name(side: Side, zone: Zone) -> str:
    """Return the name of the question on one zone.

    >>> zone_name(Side.RIGHT, Zone.UPPER)
    'profusion_right_upper'
    """
    return f"profusion_{side}_{zone}"


def _choice(name: str, group: str, text: str, choices: tuple[Choice, ...]) -> Question:
    return Question(name, group, text, Kind.CHOICE, choices, asked_if=IF_EVALUABLE)


EVALUABLE = (
    Question("evaluable", "Scan", "Can this scan be judged?", Kind.CHOICE, YES_NO),
    Question("why_not_evaluable", "Scan", "Why not", Kind.TEXT, asked_if=("evaluable", Answer.NO.value)),
)
CRITERIA = (
    _choice(
        "criterion_pattern", "MIPC criteria",
        "Profuse, tiny, discrete, round nodules, generally uniform in size, throughout both lungs",
        YES_NO_UNSURE,
    ),
    _choice("criterion_number", "MIPC criteria", "Too many nodules to be counted easily", YES_NO_UNSURE),
    _choice("criterion_size", "MIPC criteria", "Most of the nodules are 5 mm or less", YES_NO_UNSURE),
)  # fmt: skip
EXCLUSIONS = (
    _choice("exclusion_unilateral", "Exclusions", "Unilateral carcinomatosis", YES_NO_UNSURE),
    _choice("exclusion_ground_glass", "Exclusions", "Multifocal ground-glass opacities", YES_NO_UNSURE),
    _choice("exclusion_lymphangitic", "Exclusions", "Lymphangitic carcinomatosis", YES_NO_UNSURE),
)
PROFUSION = tuple(
    _choice(zone_name(side, zone), "Profusion", f"{side.capitalize()} {zone}", GRADES) for side, zone in ZONES
)
SIZES = tuple(
    Question(name, "Nodule size", text, Kind.MILLIMETRES, is_required=False, asked_if=IF_EVALUABLE)
    for name, text in (("largest_mm", "Largest, mm"), ("typical_mm", "Typical, mm"))
)
CLOSING = (
    _choice("confidence", "Closing", "Confidence: 1 guess to 5 certain", LEVELS),
    Question("comment", "Closing", "Comment", Kind.TEXT, is_required=False),
)

BASELINE = (*EVALUABLE, *CRITERIA, *EXCLUSIONS, *PROFUSION, *SIZES, *CLOSING)
CHOICE = (
    Question(
        "accepted_reads", "Adjudication", "Whose measurements stand, at all scans of this case?", Kind.CHOICE,
        (Choice("1", "Reader 1", "1"), Choice("2", "Reader 2", "2")),
    ),
    Question("reason", "Adjudication", "Why", Kind.TEXT),
)  # fmt: skip
FOLLOW_UP = (*EVALUABLE, *PROFUSION, *CLOSING)
