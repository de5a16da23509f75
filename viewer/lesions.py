"""RECIST 1.1 as it is entered: targets and non-targets at baseline, each found again at a follow-up.

Only what was seen and measured is entered here. The response is left to the
engine, after the read is locked, and is never shown to be argued with.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from records.model import VerdictLabel
from records.reads import (
    Certainty,
    Evaluator,
    Lesion,
    LesionKind,
    LesionRole,
    Measurement,
    NewLesionFinding,
    NonTargetFinding,
    NonTargetStatus,
    Read,
    Seen,
)
from viewer.reading import LARGEST_MM, Fault, Form, Problem

__all__ = [
    "MEASURABLE_KINDS",
    "add_lesion",
    "add_new_lesion",
    "follow_up_form",
    "is_on_baseline",
    "on_baseline",
    "parse_axes",
    "problems_of_lesions",
    "recist_read",
    "remove_lesion",
    "with_measurement",
    "with_status",
]

# RECIST 1.1 (Eisenhauer 2009, Eur J Cancer 45:228), 3.1 and 4.1
MOST_TARGETS = 5
MOST_TARGETS_AN_ORGAN = 2
MEASURABLE_MM = Decimal(10)
NODE_TARGET_MM = Decimal(15)  # short axis
THICK_SLICE_MM = Decimal(5)  # beyond it, twice the slice thickness

MEASURABLE_KINDS = (
    LesionKind.SOFT_TISSUE,
    LesionKind.LYMPH_NODE,
    LesionKind.BONE_SOFT_TISSUE,
    LesionKind.CYSTIC_METASTASIS,
)


def add_lesion(form: Form, role: LesionRole, *, organ: str, kind: LesionKind, location: str = "") -> Form:
    """Return a baseline form with one more lesion, named T1, T2 ... or N1, N2 ..."""
    letter = "T" if role is LesionRole.TARGET else "N"
    taken = {lesion.lesion_id for lesion in form.lesions}
    name = next(
        f"{letter}{number}" for number in range(1, len(taken) + 2) if f"{letter}{number}" not in taken
    )
    lesion = Lesion(name, role, organ.strip().lower(), kind, location=location.strip())
    form = replace(form, lesions=(*form.lesions, lesion))
    if role is LesionRole.NON_TARGET:
        return with_status(form, name, NonTargetStatus.PRESENT)
    return form


def remove_lesion(form: Form, lesion_id: str) -> Form:
    """Return the form without a lesion and what was found of it."""
    return replace(
        form,
        lesions=tuple(one for one in form.lesions if one.lesion_id != lesion_id),
        measurements=tuple(one for one in form.measurements if one.lesion_id != lesion_id),
        non_targets=tuple(one for one in form.non_targets if one.lesion_id != lesion_id),
        new_lesions=tuple(one for one in form.new_lesions if one.lesion_id != lesion_id),
        marks=tuple(one for one in form.marks if one.name != lesion_id),
    )


def with_measurement(form: Form, measurement: Measurement) -> Form:
    """Return the form with a target measured, in place of what was said of it before."""
    others = (one for one in form.measurements if one.lesion_id != measurement.lesion_id)
    return replace(form, measurements=(*others, measurement))


def with_status(form: Form, lesion_id: str, status: NonTargetStatus, reason: str = "") -> Form:
    """Return the form with a non-target judged, in place of what was said of it before."""
    others = (one for one in form.non_targets if one.lesion_id != lesion_id)
    return replace(form, non_targets=(*others, NonTargetFinding(lesion_id, status, reason=reason)))


def add_new_lesion(form: Form, certainty: Certainty, *, organ: str, kind: LesionKind) -> Form:
    """Return a follow-up form with one more lesion that was not there at baseline."""
    taken = {lesion.lesion_id for lesion in form.new_lesions}
    name = next(f"NEW{number}" for number in range(1, len(taken) + 2) if f"NEW{number}" not in taken)
    found = NewLesionFinding(name, certainty, kind, organ.strip().lower())
    return replace(form, new_lesions=(*form.new_lesions, found))


def parse_axes(text: str) -> tuple[Decimal | None, Decimal | None] | None:
    """Return the long and the short axis that were typed, or None if it is neither one nor two lengths.

    >>> parse_axes("32.5 x 18")
    (Decimal('32.5'), Decimal('18'))
    >>> parse_axes("32.5X18")
    (Decimal('32.5'), Decimal('18'))
    >>> parse_axes("12,4")
    (Decimal('12.4'), None)
    >>> parse_axes("big") is None
    True
    """
    lengths = re.split(r"\s*[xX×*/ ]\s*", text.strip().replace(",", "."))
    if not 1 <= len(lengths) <= 2 or not all(re.fullmatch(r"\d{1,3}(\.\d+)?", length) for length in lengths):
        return None
    return Decimal(lengths[0]), Decimal(lengths[1]) if len(lengths) == 2 else None


def follow_up_form(baseline: Form, previous: Form) -> Form:
    """Return the empty form of a later time point.

    It has the lesions of the baseline, with nothing said of them, and the lesions that
    were new at the `previous` time point, to be confirmed or taken back.
    """
    return Form(is_baseline=False, lesions=baseline.lesions, new_lesions=previous.new_lesions)


def is_on_baseline(form: Form, baseline: Form) -> bool:
    """Whether a later time point was read with the lesions that its baseline names: that may be amended."""
    return form.lesions == baseline.lesions


def on_baseline(form: Form, baseline: Form) -> Form:
    """Return a later time point with the lesions that its baseline names now, and what was found of those."""
    if is_on_baseline(form, baseline):
        return form
    gone = {one.lesion_id for one in form.lesions if one not in baseline.lesions}
    return replace(
        form,
        lesions=baseline.lesions,
        measurements=tuple(one for one in form.measurements if one.lesion_id not in gone),
        non_targets=tuple(one for one in form.non_targets if one.lesion_id not in gone),
        marks=tuple(one for one in form.marks if one.name not in gone),
    )


def problems_of_lesions(form: Form, slice_thickness_mm: Decimal | None) -> Iterator[Problem]:
    """Yield what is missing or against RECIST among the lesions of a time point."""
    if form.label is VerdictLabel.NOT_EVALUABLE or form.answer("evaluable") == "no":
        return
    found = {one.lesion_id: one for one in form.measurements}
    targets = [lesion for lesion in form.lesions if lesion.role is LesionRole.TARGET]
    for lesion in targets:
        measurement = found.get(lesion.lesion_id)
        yield from _of_target(lesion, measurement, form.is_baseline, slice_thickness_mm)
        if measurement is not None and measurement.seen is Seen.MERGED:
            yield from _of_merger(measurement, targets, found.get(measurement.merged_into))
    judged = {one.lesion_id: one for one in form.non_targets}
    for lesion in form.lesions:
        if lesion.role is LesionRole.NON_TARGET:
            yield from _of_non_target(lesion, judged.get(lesion.lesion_id), form.is_baseline)
    if form.is_baseline:
        yield from _of_the_choice(form, targets)
    for new in form.new_lesions:
        if not new.organ:
            yield Problem(new.lesion_id, Fault.MISSING, "the organ of a new lesion is named")


def _of_the_choice(form: Form, targets: list[Lesion]) -> Iterator[Problem]:
    """Yield what is wrong with the choice of lesions as a whole."""
    if len(targets) > MOST_TARGETS:
        yield Problem(
            "targets", Fault.INVALID, f"{len(targets)} targets, at most {MOST_TARGETS} are followed"
        )
    for organ, count in Counter(_counted_organ(lesion) for lesion in targets).items():
        if count > MOST_TARGETS_AN_ORGAN:
            sentence = f"{count} targets in {organ}, at most {MOST_TARGETS_AN_ORGAN} an organ are followed"
            yield Problem("targets", Fault.INVALID, sentence)
    has_miliary = any(lesion.kind is LesionKind.MILIARY for lesion in form.lesions)
    if form.label is VerdictLabel.MIPC and not has_miliary:
        yield Problem(
            "non_targets", Fault.INCONSISTENT, "MIPC, but miliary disease is not among the non-targets"
        )
    if form.label is VerdictLabel.NOT_MIPC and has_miliary:
        yield Problem("non_targets", Fault.INCONSISTENT, "not MIPC, but miliary disease is a non-target")


def _counted_organ(lesion: Lesion) -> str:
    """Return the organ that the limit counts: all nodes are one, both lungs are one (RECIST 1.1, 4.1)."""
    return "lymph nodes" if lesion.is_node else lesion.organ


def _as_counted(lesion: Lesion) -> Lesion:
    """Return a lesion in the engine's words: the organ that counts, and where a node lies as its place."""
    if not lesion.is_node:
        return lesion
    return replace(lesion, organ=_counted_organ(lesion), location=lesion.location or lesion.organ)


def _of_target(
    lesion: Lesion, found: Measurement | None, is_baseline: bool, slice_thickness_mm: Decimal | None
) -> Iterator[Problem]:
    name = lesion.lesion_id
    if not lesion.organ:
        yield Problem(name, Fault.MISSING, "the organ is named")
    if lesion.kind not in MEASURABLE_KINDS:
        yield Problem(
            name, Fault.INVALID, f"{lesion.kind.replace('_', ' ')} is never a target; make it a non-target"
        )
        return
    if found is None:
        yield Problem(name, Fault.MISSING, "not measured")
        return
    if found.seen is Seen.NOT_ASSESSED and not found.reason:
        yield Problem(name, Fault.MISSING, "why it was not assessed")
    if is_baseline and found.seen is not Seen.MEASURED:
        yield Problem(name, Fault.INVALID, "a target is measured at baseline")
    if found.seen is Seen.MEASURED:
        yield from _of_lengths(lesion, found, is_baseline, slice_thickness_mm)


def _of_merger(found: Measurement, targets: list[Lesion], whole: Measurement | None) -> Iterator[Problem]:
    """Yield what is wrong with the lesion that stands for both: it is another target, and has their size."""
    others = [lesion.lesion_id for lesion in targets if lesion.lesion_id != found.lesion_id]
    if not found.merged_into:
        yield Problem(found.lesion_id, Fault.MISSING, "the lesion it grew together with is named")
    elif found.merged_into not in others:
        sentence = f"{found.merged_into} is no other target; there is {', '.join(others) or 'none'}"
        yield Problem(found.lesion_id, Fault.INVALID, sentence)
    elif whole is not None and whole.seen in (Seen.MERGED, Seen.ABSENT):
        sentence = f"{found.merged_into} is {whole.seen.lower()}: one lesion has the size of both"
        yield Problem(found.lesion_id, Fault.INVALID, sentence)


def _of_lengths(
    lesion: Lesion, found: Measurement, is_baseline: bool, slice_thickness_mm: Decimal | None
) -> Iterator[Problem]:
    name, long_mm, short_mm = lesion.lesion_id, found.long_axis_mm, found.short_axis_mm
    if long_mm is not None and short_mm is not None and short_mm > long_mm:
        yield Problem(name, Fault.INVALID, "the short axis is longer than the long one")
    counted = short_mm if lesion.is_node else long_mm
    if counted is None:
        axis = "short axis of a node" if lesion.is_node else "long axis"
        yield Problem(name, Fault.MISSING, f"the {axis} is measured")
        return
    if not 0 < counted <= LARGEST_MM or (long_mm is not None and long_mm > LARGEST_MM):
        yield Problem(name, Fault.INVALID, f"a length in mm, over 0 and up to {LARGEST_MM}")
        return
    if not is_baseline:
        return
    thick = slice_thickness_mm is not None and slice_thickness_mm > THICK_SLICE_MM
    limit = NODE_TARGET_MM if lesion.is_node else MEASURABLE_MM
    if not lesion.is_node and thick and slice_thickness_mm is not None:
        limit = max(limit, 2 * slice_thickness_mm)
    if counted < limit:
        why = f" at {slice_thickness_mm} mm slices" if thick and not lesion.is_node else ""
        yield Problem(name, Fault.INVALID, f"{counted} mm: a target has at least {limit} mm{why}")


def _of_non_target(lesion: Lesion, found: NonTargetFinding | None, is_baseline: bool) -> Iterator[Problem]:
    name = lesion.lesion_id
    if not lesion.organ:
        yield Problem(name, Fault.MISSING, "the organ is named")
    if found is None:
        yield Problem(name, Fault.MISSING, "not judged")
    elif found.status is NonTargetStatus.NOT_ASSESSED and not found.reason:
        yield Problem(name, Fault.MISSING, "why it was not assessed")
    elif is_baseline and found.status is not NonTargetStatus.PRESENT:
        yield Problem(name, Fault.INVALID, "a lesion that is named at baseline is present")


def recist_read(
    form: Form,
    *,
    subject_id: str,
    evaluator: Evaluator,
    number: int,
    visit: str,
    date: str,
    slice_thickness_mm: Decimal | None,
    source: str = "",
) -> Read:
    """Return what the RECIST engine takes: the lesions of one time point, in its own words."""
    not_evaluable = form.answer("evaluable") == "no"
    why = form.answer("why_not_evaluable")
    measurements, non_targets = form.measurements, form.non_targets
    if not_evaluable and not form.is_baseline:
        targets = (one for one in form.lesions if one.role is LesionRole.TARGET)
        others = (one for one in form.lesions if one.role is LesionRole.NON_TARGET)
        measurements = tuple(Measurement(one.lesion_id, Seen.NOT_ASSESSED, reason=why) for one in targets)
        non_targets = tuple(
            NonTargetFinding(one.lesion_id, NonTargetStatus.NOT_ASSESSED, reason=why) for one in others
        )
    return Read(
        subject_id=subject_id,
        evaluator=evaluator,
        visit_number=Decimal(number),
        visit=visit,
        date=date,
        lesions=tuple(map(_as_counted, form.lesions)) if form.is_baseline else (),
        measurements=measurements,
        non_targets=non_targets,
        new_lesions=() if not_evaluable else form.new_lesions,  # carried on, not seen
        slice_thickness_mm=slice_thickness_mm,
        source=source,
    )
