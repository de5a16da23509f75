"""From the rows of one patient and evaluator to his reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date as date_type
from decimal import Decimal

from analysis.recist.checks import ProblemCode
from analysis.recist.dates import parse_date
from analysis.recist.targets import NORMAL_NODE_MM, TOO_SMALL_MM
from analysis.sdtm_drafts import Files, Key, LesionDraft, VisitDraft, parts_of
from analysis.sdtm_words import NEW_LESION_STATES, NODE_STATES, NON_TARGET_STATES, TOO_SMALL_WORDS, any_of
from records.reads import (
    Certainty,
    Evaluator,
    Lesion,
    LesionRole,
    Measurement,
    NewLesionFinding,
    NonTargetFinding,
    NonTargetStatus,
    Read,
    Seen,
)

__all__ = ["Course", "make_course"]


@dataclass(frozen=True, slots=True)
class Course:
    """The reads of one patient by one evaluator, in order of the visits."""

    subject_id: str
    evaluator: Evaluator
    reads: tuple[Read, ...]


def make_course(files: Files, key: Key) -> Course:
    """Turn the drafts of one patient and evaluator into reads."""
    subject, role, identifier = key
    evaluator = Evaluator(role, identifier)
    lesions = files.lesions.get(key, {})
    reads = []
    for number in sorted(files.visits[key]):
        draft = files.visits[key][number]
        if not draft.dates:
            if not (draft.lesions or draft.named):
                continue  # a visit that did not take place
            sentence = f"{subject}, {draft.name or number} has no date"
            files.refuse(draft.source, ProblemCode.MISSING_VALUE, sentence)
            draft.dates.add(_stand_in_date(files.visits[key]))
        reads.append(_read(files, subject, evaluator, draft, lesions))
    return Course(subject, evaluator, tuple(reads))


def _stand_in_date(visits: dict[Decimal, VisitDraft]) -> str:
    """Return a date for a visit refused for want of one, so that its other problems are found, too."""
    return next((min(visits[number].dates) for number in sorted(visits) if visits[number].dates), "1900")


def _read(
    files: Files, subject: str, evaluator: Evaluator, draft: VisitDraft, lesions: dict[str, Lesion]
) -> Read:
    (date,) = draft.dates if len(draft.dates) == 1 else sorted(draft.dates, key=_first_day)[:1]
    measurements: list[Measurement] = []
    non_targets: list[NonTargetFinding] = []
    new_lesions: list[NewLesionFinding] = []
    pieces: dict[str, list[LesionDraft]] = {}
    for link, rows in draft.lesions.items():
        rows.date = "" if rows.date == date else rows.date
        lesion = lesions.get(link)
        if lesion is not None and lesion.role is LesionRole.TARGET:
            measurements.append(_measurement(lesion, rows))
        elif lesion is not None and lesion.role is LesionRole.NON_TARGET:
            non_targets.append(_non_target(files, lesion, rows))
        elif lesion is not None:
            new_lesions += _new_lesion(files, lesion, rows)
        elif parts := parts_of(link, lesions):
            if len(parts) == 1:
                pieces.setdefault(parts[0], []).append(rows)
            else:
                measurements += _merged(parts, lesions, rows)
        else:
            files.refuse(
                rows.source,
                ProblemCode.UNKNOWN_LESION,
                f"{subject}, {evaluator.label}: {link} is measured, but not named in TU for this reader",
            )
    measurements += [_split(lesions[link], rows) for link, rows in pieces.items()]
    assessed = {finding.lesion_id for finding in new_lesions} | draft.lesions.keys()
    new_lesions += [
        NewLesionFinding(
            lesion_id=lesion.lesion_id,
            certainty=Certainty.UNEQUIVOCAL,
            kind=lesion.kind,
            organ=lesion.organ,
            source=lesion.source,
        )
        for lesion in draft.named
        if lesion.role is LesionRole.NEW and lesion.lesion_id not in assessed
    ]
    return Read(
        subject_id=subject,
        evaluator=evaluator,
        visit_number=draft.number,
        visit=draft.name,
        date=date,
        lesions=tuple(draft.named),
        measurements=tuple(measurements),
        non_targets=tuple(non_targets),
        new_lesions=tuple(new_lesions),
        accepted=draft.accepted,
        adjudicated=draft.adjudicated,
        source=draft.source,
    )


def _first_day(text: str) -> date_type:
    return parse_date(text).first


def _measurement(lesion: Lesion, rows: LesionDraft) -> Measurement:
    """Return a target's measurement; how it was seen follows the axis that counts."""
    counts = rows.short_axis if lesion.is_node else rows.long_axis
    return Measurement(
        lesion_id=lesion.lesion_id,
        seen=Seen.MEASURED if isinstance(counts, Decimal) else counts or Seen.NOT_ASSESSED,
        long_axis_mm=_length(rows.long_axis),
        short_axis_mm=_length(rows.short_axis),
        date=rows.date,
        reason=rows.reason,
        source=rows.source,
    )


def _split(lesion: Lesion, pieces: list[LesionDraft]) -> Measurement:
    """Join the pieces of a lesion; if one of them was not measured, the lesion was not."""
    found = {Seen.TOO_SMALL: TOO_SMALL_MM, Seen.ABSENT: Decimal(0)}
    axes = [piece.short_axis if lesion.is_node else piece.long_axis for piece in pieces]
    sizes = [axis if isinstance(axis, Decimal) else found.get(axis or Seen.MERGED) for axis in axes]
    known = tuple(size for size in sizes if size is not None)
    complete = len(known) == len(pieces)
    return Measurement(
        lesion_id=lesion.lesion_id,
        seen=Seen.MEASURED if complete else Seen.NOT_ASSESSED,
        fragments_mm=known if complete else (),
        date=pieces[0].date,
        reason="" if complete else "a piece of it was not measured",
        source=pieces[0].source,
    )


def _merged(parts: tuple[str, ...], lesions: dict[str, Lesion], rows: LesionDraft) -> Iterator[Measurement]:
    """Give the size of the whole to the first of the merged lesions, nothing to the others."""
    first, *others = parts
    yield _measurement(lesions[first], rows)
    for other in others:
        yield Measurement(
            lesion_id=other,
            seen=Seen.MERGED,
            merged_into=first,
            date=rows.date,
            reason=f"merged into {first}",
            source=rows.source,
        )


def _length(axis: Decimal | Seen | None) -> Decimal | None:
    return axis if isinstance(axis, Decimal) else None


def _non_target(files: Files, lesion: Lesion, rows: LesionDraft) -> NonTargetFinding:
    state = rows.state
    counts = rows.short_axis if lesion.is_node else rows.long_axis
    faint = lesion.is_node and (counts is Seen.TOO_SMALL or state in TOO_SMALL_WORDS)
    status: NonTargetStatus | None = None
    if state:
        status = NON_TARGET_STATES.get(state) or NODE_STATES.get(state)
        if status is None:
            expected = any_of((*NON_TARGET_STATES, *NODE_STATES))
            files.refuse(
                rows.source,
                ProblemCode.UNKNOWN_CODE,
                f"the state {state!r} of non-target {lesion.lesion_id}, expected {expected}",
            )
    elif counts in (Seen.ABSENT, Seen.NOT_ASSESSED):
        status = NonTargetStatus(str(counts))
    else:
        limit_mm = NORMAL_NODE_MM if lesion.is_node else Decimal(0)
        gone = isinstance(counts, Decimal) and (counts < limit_mm or counts == 0)
        status = NonTargetStatus.ABSENT if gone else NonTargetStatus.PRESENT
    return NonTargetFinding(
        lesion_id=lesion.lesion_id,
        status=status or NonTargetStatus.NOT_ASSESSED,
        short_axis_mm=TOO_SMALL_MM if faint else _length(rows.short_axis) if lesion.is_node else None,
        grew_since_last=state == "INCREASED",
        date=rows.date,
        reason=rows.reason,
        source=rows.source,
    )


def _new_lesion(files: Files, lesion: Lesion, rows: LesionDraft) -> list[NewLesionFinding]:
    certainty: Certainty | None = Certainty.UNEQUIVOCAL
    if rows.state:
        if rows.state not in NEW_LESION_STATES:
            files.refuse(
                rows.source,
                ProblemCode.UNKNOWN_CODE,
                f"the state {rows.state!r} of new lesion {lesion.lesion_id}, expected "
                f"{any_of(tuple(NEW_LESION_STATES))}",
            )
        certainty = NEW_LESION_STATES.get(rows.state)
    counts = rows.short_axis if lesion.is_node else rows.long_axis
    if certainty is None or counts in (Seen.ABSENT, Seen.NOT_ASSESSED, 0):
        return []
    return [
        NewLesionFinding(
            lesion_id=lesion.lesion_id,
            certainty=certainty,
            kind=lesion.kind,
            organ=lesion.organ,
            long_axis_mm=_length(rows.long_axis),
            short_axis_mm=_length(rows.short_axis),
            grew_since_last=rows.state == "INCREASED",
            date=rows.date,
            source=rows.source,
        )
    ]
