"""Short hands for RECIST tests: a patient from a few numbers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from analysis.response import ResponseProtocol, TimePoint, follow
from records.reads import (
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
    millimetres,
)

START = date(2024, 1, 1)
READER = Evaluator("INDEPENDENT ASSESSOR", "READER 1")
INTERVAL_DAYS = 42

Size = float | str | Seen | Measurement | None  # None: not measured


def target(lesion_id: str, *, node: bool = False, organ: str = "", **rest: object) -> Lesion:
    """Return a target lesion, by default in an organ of its own."""
    kind = LesionKind.LYMPH_NODE if node else LesionKind.SOFT_TISSUE
    home = organ or ("LYMPH NODE" if node else f"ORGAN {lesion_id}")
    return Lesion(lesion_id, LesionRole.TARGET, home, kind, **rest)  # type: ignore[arg-type]


def non_target(lesion_id: str, kind: LesionKind = LesionKind.MILIARY, organ: str = "LUNG") -> Lesion:
    """Return a non-target lesion, by default miliary disease."""
    return Lesion(lesion_id, LesionRole.NON_TARGET, organ, kind)


def measured(lesion: Lesion, size: Size, **rest: object) -> Measurement:
    """Return a measurement along the axis that counts."""
    if isinstance(size, Measurement):
        return size
    if size is None:
        return Measurement(lesion.lesion_id, Seen.NOT_ASSESSED)
    if isinstance(size, Seen):
        return Measurement(lesion.lesion_id, size)
    axis = "short_axis_mm" if lesion.is_node else "long_axis_mm"
    return Measurement(lesion.lesion_id, Seen.MEASURED, **{axis: millimetres(size)}, **rest)  # type: ignore[arg-type]


def read(
    visit: int,
    *,
    lesions: Sequence[Lesion] = (),
    sizes: Mapping[Lesion, Size] | None = None,
    non_targets: Sequence[NonTargetFinding] = (),
    new: Sequence[NewLesionFinding] = (),
    day: date | str | None = None,
    **rest: object,
) -> Read:
    """One read; visit 0 is the baseline, the others come every six weeks."""
    when = day or START + timedelta(days=INTERVAL_DAYS * visit)
    return Read(
        subject_id=rest.pop("subject_id", "P1"),  # type: ignore[arg-type]
        evaluator=rest.pop("evaluator", READER),  # type: ignore[arg-type]
        visit_number=Decimal(visit),
        visit=f"WEEK {6 * visit}" if visit else "BASELINE",
        date=str(when),
        lesions=tuple(lesions),
        measurements=tuple(measured(lesion, size) for lesion, size in (sizes or {}).items()),
        non_targets=tuple(non_targets),
        new_lesions=tuple(new),
        **rest,  # type: ignore[arg-type]
    )


def sums(baseline: Size, *later: Size, node: bool = False) -> tuple[Read, ...]:
    """Return a patient with one target and nothing else, of these sizes."""
    lesion = target("T01", node=node)
    reads = [read(0, lesions=[lesion], sizes={lesion: baseline})]
    reads += [read(visit, sizes={lesion: size}) for visit, size in enumerate(later, start=1)]
    return tuple(reads)


def status(lesion_id: str, word: NonTargetStatus, **rest: object) -> NonTargetFinding:
    """Return a non-target lesion at one visit."""
    return NonTargetFinding(lesion_id, word, **rest)  # type: ignore[arg-type]


def last(reads: Sequence[Read], protocol: ResponseProtocol | None = None) -> TimePoint:
    """Return the last time point."""
    return follow(reads, protocol)[-1]
