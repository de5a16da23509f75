"""The state of a form: answers, lesions, where they were measured, and what is missing or at odds.

A form is frozen; every change makes a new one, so undo is keeping the old. The
label is computed from the criteria, never entered, and so cannot contradict them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from records.model import Point, Side, VerdictLabel
from records.reads import Lesion, Measurement, NewLesionFinding, NonTargetFinding
from viewer.questions import (
    BASELINE,
    CHOICE,
    CRITERIA,
    EXCLUSIONS,
    FOLLOW_UP,
    ZONES,
    Answer,
    Kind,
    Question,
    zone_name,
)

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "LARGEST_MM",
    "Fault",
    "Form",
    "Mark",
    "Problem",
    "can_sign",
    "differences",
    "form_from_json",
    "form_to_json",
    "problems_of_answers",
    "spelled_mm",
]

TINY_MM = Decimal(5)  # Wu 2013, criterion 3
LARGEST_MM = Decimal(300)  # longer than a chest is wide: a slip of the hand


SIZES = tuple(question.name for question in BASELINE if question.kind is Kind.MILLIMETRES)


class Fault(StrEnum):
    """What is wrong with a field."""

    MISSING = "missing"
    INVALID = "invalid"
    INCONSISTENT = "inconsistent"  # can be signed with a comment


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to say beside a field."""

    field: str
    fault: Fault
    sentence: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a size was measured.

    Attributes
    ----------
    name : str
        The lesion, or the question that the size answers; "" for a ruler that answers none.
    points_mm : tuple of Point
        The ends of the long axis, then of the short axis; LPS in the pack's own frame.
    slice_uid : str
        SOP Instance UID of the plane in the pack, "" if it was not measured in an image as scanned.
    plane : str
        Across which it was drawn: axial, coronal or sagittal.
    """

    name: str
    points_mm: tuple[Point, ...]
    slice_uid: str = ""
    plane: str = "axial"

    @property
    def middle_mm(self) -> Point:
        """The middle of the long axis."""
        x, y, z = (sum(values) / 2 for values in zip(*self.points_mm[:2], strict=True))
        return x, y, z


@dataclass(frozen=True, slots=True)
class Form:
    """What a reader has said so far of one time point.

    Attributes
    ----------
    answers : mapping of str to str
        By name of the question; empty answers are not kept.
    lesions : tuple of Lesion
        Targets and non-targets, named at baseline.
    is_choice : bool
        An adjudicator's choice between two readers' measurements, and no read of a scan.
    """

    is_baseline: bool = True
    answers: Mapping[str, str] = field(default_factory=dict)
    lesions: tuple[Lesion, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    non_targets: tuple[NonTargetFinding, ...] = ()
    new_lesions: tuple[NewLesionFinding, ...] = ()
    marks: tuple[Mark, ...] = ()
    is_choice: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that are asked, given the answers so far."""
        asked = CHOICE if self.is_choice else BASELINE if self.is_baseline else FOLLOW_UP
        return tuple(
            one for one in asked if not one.asked_if or self.answer(one.asked_if[0]) == one.asked_if[1]
        )

    @property
    def label(self) -> VerdictLabel | None:
        """What the answers say of MIPC; None while a criterion is open, or at a follow-up."""
        if not self.is_baseline:
            return None
        if self.answer("evaluable") == Answer.NO:
            return VerdictLabel.NOT_EVALUABLE
        criteria = [self.answer(one.name) for one in CRITERIA]
        exclusions = [self.answer(one.name) for one in EXCLUSIONS]
        if "" in criteria or "" in exclusions:
            return None
        if Answer.NO in criteria or Answer.YES in exclusions:
            return VerdictLabel.NOT_MIPC
        if Answer.UNSURE in criteria or Answer.UNSURE in exclusions:
            return VerdictLabel.INDETERMINATE
        return VerdictLabel.MIPC

    def answer(self, name: str) -> str:
        """Return the answer to a question, "" if there is none."""
        return self.answers.get(name, "")

    def size_mm(self, name: str) -> Decimal | None:
        """Return the answer to a question on a size; None if there is no such number."""
        try:
            value = Decimal(self.answer(name).replace(",", "."))
        except InvalidOperation:
            return None
        return value if value.is_finite() else None

    @property
    def told(self) -> dict[str, str]:
        """The answers as they are told and compared: a size has one spelling, however it was typed.

        >>> Form(answers={"largest_mm": "4,50", "confidence": "5"}).told
        {'largest_mm': '4.5', 'confidence': '5'}
        """
        sizes = {name: self.size_mm(name) for name in SIZES if name in self.answers}
        spelled = {name: spelled_mm(size) for name, size in sizes.items() if size is not None}
        return {**self.answers, **spelled}

    def with_answer(self, name: str, value: str) -> "Form":
        """Return the form with one answer given, changed, or (by "") taken back."""
        others = {key: old for key, old in self.answers.items() if key != name}
        return replace(self, answers={**others, name: value} if value.strip() else others)

    def mark(self, name: str) -> Mark | None:
        """Return where a size was measured, if it was measured with the ruler."""
        return next((mark for mark in self.marks if name and mark.name == name), None)

    def as_asked(self) -> "Form":
        """Return the form without what was answered before an answer made it no question any more.

        A scan that cannot be judged has no criteria, grades or measurements, whatever was
        entered before the reader said so.
        """
        asked = {question.name for question in self.questions}
        form = replace(self, answers={name: value for name, value in self.answers.items() if name in asked})
        if self.answer("evaluable") != Answer.NO:
            return form
        lesions = () if self.is_baseline else self.lesions
        return replace(form, lesions=lesions, measurements=(), non_targets=(), marks=())


def spelled_mm(length_mm: Decimal) -> str:
    """Return a length without the zeros that say nothing.

    >>> spelled_mm(Decimal("30.0")), spelled_mm(Decimal("32.50"))
    ('30', '32.5')
    """
    return f"{length_mm.normalize():f}"


def differences(one: Form, other: Form) -> Iterator[str]:
    """Yield what two reads of a scan say otherwise: names of questions, then of lesions.

    >>> list(differences(Form(answers={"confidence": "5"}), Form(answers={"confidence": "4"})))
    ['confidence']
    """
    ours, theirs = one.told, other.told
    names = dict.fromkeys((*ours, *theirs))
    yield from (name for name in names if ours.get(name) != theirs.get(name))
    said, others = _said_of_lesions(one), _said_of_lesions(other)
    yield from (name for name in dict.fromkeys((*said, *others)) if said.get(name) != others.get(name))


def _said_of_lesions(form: Form) -> dict[str, list[object]]:
    said: dict[str, list[object]] = {}
    for parts in (form.lesions, form.measurements, form.non_targets, form.new_lesions):
        for found in parts:
            said.setdefault(found.lesion_id, []).append(found)
    return said


def problems_of_answers(form: Form) -> Iterator[Problem]:
    """Yield what is missing, invalid or at odds among the answers."""
    for question in form.questions:
        given = form.answer(question.name)
        if not given:
            if question.is_required:
                yield Problem(question.name, Fault.MISSING, "not answered")
        elif question.kind is Kind.CHOICE and given not in {choice.value for choice in question.choices}:
            yield Problem(question.name, Fault.INVALID, "not one of the answers")
        elif question.kind is Kind.MILLIMETRES:
            size = form.size_mm(question.name)
            if size is None or not 0 < size <= LARGEST_MM:
                yield Problem(question.name, Fault.INVALID, f"a length in mm, up to {LARGEST_MM}")
    if form.answer("evaluable") == Answer.YES and form.is_baseline:
        yield from _at_odds(form)


def _at_odds(form: Form) -> Iterator[Problem]:
    """Yield answers that contradict each other (Wu 2013, criteria and exclusions)."""
    grades = {place: form.answer(zone_name(*place)) for place in ZONES}
    present = {side for (side, _), grade in grades.items() if grade not in ("", "0")}
    all_graded = all(grade.isdecimal() for grade in grades.values())
    if all_graded:
        yield from _grades_at_odds(form, present, max(map(int, grades.values())))
    largest, typical = form.size_mm("largest_mm"), form.size_mm("typical_mm")
    if present and largest is None and not form.answer("largest_mm"):
        yield Problem("largest_mm", Fault.MISSING, "there are nodules, so the largest is measured")
    if present and typical is None and not form.answer("typical_mm"):
        yield Problem("typical_mm", Fault.MISSING, "there are nodules, so a typical one is measured")
    if all_graded and not present and (largest or typical):
        yield Problem("largest_mm", Fault.INCONSISTENT, "a size is given, but no zone holds nodules")
    if largest and typical and typical > largest:
        yield Problem("typical_mm", Fault.INCONSISTENT, "larger than the largest")
    tiny = form.answer("criterion_size")
    if typical and tiny == Answer.YES and typical > TINY_MM:
        yield Problem("criterion_size", Fault.INCONSISTENT, f"yes, but the typical nodule has {typical} mm")
    if largest and tiny == Answer.NO and largest <= TINY_MM:
        yield Problem("criterion_size", Fault.INCONSISTENT, f"no, but the largest nodule has {largest} mm")


def _grades_at_odds(form: Form, present: set[Side], highest: int) -> Iterator[Problem]:
    """Yield what the six grades contradict."""
    pattern, number = form.answer("criterion_pattern"), form.answer("criterion_number")
    if pattern == Answer.YES and len(present) < 2:
        empty = "both lungs are" if not present else f"the {min(set(Side) - present)} lung is"
        yield Problem("criterion_pattern", Fault.INCONSISTENT, f"yes, but {empty} graded 0 throughout")
    if number == Answer.YES and highest < 2:
        yield Problem(
            "criterion_number", Fault.INCONSISTENT, "yes, but no zone has many nodules (grade 2 or 3)"
        )
    if number == Answer.NO and highest == 3:
        yield Problem("criterion_number", Fault.INCONSISTENT, "no, but a zone is graded innumerable (3)")
    if form.answer("exclusion_unilateral") == Answer.YES and len(present) == 2:
        yield Problem("exclusion_unilateral", Fault.INCONSISTENT, "yes, but both lungs hold nodules")


def can_sign(form: Form, problems: Iterable[Problem]) -> bool:
    """Whether a form may be signed: complete, and what is at odds is explained by a comment."""
    faults = {problem.fault for problem in problems}
    if Fault.MISSING in faults or Fault.INVALID in faults:
        return False
    return Fault.INCONSISTENT not in faults or bool(form.answer("comment"))


def form_to_json(form: Form) -> Any:
    """Return a form as JSON values; lengths are strings, so that they stay exact."""
    return _converter().unstructure(form)


def form_from_json(values: Any) -> Form:
    """Return the form that `form_to_json` made.

    Raises
    ------
    ValueError
        If the values are not those of a form.
    """
    import cattrs

    try:
        return _converter().structure(values, Form)
    except (cattrs.BaseValidationError, TypeError, AttributeError) as error:  # no mapping: the last two
        raise ValueError("these are not the values of a form") from error


@cache
def _converter() -> "Converter":
    import cattrs

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(str(value)))
    return converter
