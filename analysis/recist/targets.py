"""The target lesions at one time point: their sum, and what it says (RECIST 1.1, 4.3.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from analysis.recist.protocol import ResponseProtocol, StayingResponse
from analysis.recist.words import mm, percent
from records.reads import Lesion, Measurement, Response, Seen

__all__ = ["Reference", "TargetState", "judge_targets", "lesion_size_mm", "measure_targets"]

PARTIAL_SHARE = Decimal("0.7")  # of the baseline sum, and less; 4.3.1
PROGRESSIVE_SHARE = Decimal("1.2")  # of the nadir, and more
PROGRESSIVE_GROWTH_MM = Decimal(5)  # above the nadir, at least
TOO_SMALL_MM = Decimal(5)  # stands for a lesion too faint to measure; 4.2
NORMAL_NODE_MM = Decimal(10)  # a node under this is normal


@dataclass(frozen=True, slots=True)
class TargetState:
    """The targets as measured at one time point.

    Attributes
    ----------
    sizes_mm : dict of str to Decimal
        The targets that were assessed, by lesion.
    missing : tuple of str
        Those that were not, each with the reason.
    measured_mm : Decimal
        Sum over the targets that were assessed.
    diseased : tuple of str
        Those that show disease: a node of 10 mm or more, anything else above 0 mm.
    """

    sizes_mm: Mapping[str, Decimal]
    missing: tuple[str, ...]
    measured_mm: Decimal
    diseased: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every target was assessed."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class Reference:
    """What a sum is compared with, as far as the patient has come.

    `partial_since` is the first of an unbroken run of time points at 70 % of baseline or less;
    `partial_stays` says that the run lasted long enough for the PR to go on.
    """

    baseline_mm: Decimal
    nadir_mm: Decimal
    nadir_visit: str
    partial_since: date | None = None
    partial_stays: bool = False

    def after(
        self, sum_mm: Decimal, visit: str, day: date, judged: Response, protocol: ResponseProtocol
    ) -> "Reference":
        """Return the reference for the next time point, after one with all targets measured."""
        lower = sum_mm < self.nadir_mm
        since = self.partial_since
        stays = self.partial_stays
        if judged is Response.PD:
            since, stays = None, False
        elif sum_mm <= PARTIAL_SHARE * self.baseline_mm or judged is Response.CR:
            since = since or day
            confirmed = day - since >= timedelta(days=protocol.confirmation_days)
            if protocol.staying_response is StayingResponse.ONCE_CONFIRMED:
                stays = stays or confirmed
            elif protocol.staying_response is StayingResponse.AT_ONCE:
                stays = True
        elif not stays:
            since = None
        return Reference(
            baseline_mm=self.baseline_mm,
            nadir_mm=sum_mm if lower else self.nadir_mm,
            nadir_visit=visit if lower else self.nadir_visit,
            partial_since=since,
            partial_stays=stays,
        )


def lesion_size_mm(lesion: Lesion, measurement: Measurement) -> Decimal | None:
    """Return what a target adds to the sum, mm; None if it was not assessed.

    A node counts by its short axis, anything else by its longest diameter, a
    lesion in pieces by the sum of theirs, one that merged into another nothing,
    one too faint to measure 5 mm (RECIST 1.1, 4.2 and appendix II).
    """
    if measurement.seen is Seen.NOT_ASSESSED:
        return None
    if measurement.seen in (Seen.ABSENT, Seen.MERGED):
        return Decimal(0)
    if measurement.seen is Seen.TOO_SMALL:
        return TOO_SMALL_MM
    if measurement.fragments_mm:
        return sum(measurement.fragments_mm, Decimal(0))
    return measurement.short_axis_mm if lesion.is_node else measurement.long_axis_mm


def measure_targets(targets: Sequence[Lesion], measurements: Sequence[Measurement]) -> TargetState:
    """Gather the sizes of all targets at one time point."""
    by_lesion = {measurement.lesion_id: measurement for measurement in measurements}
    sizes_mm: dict[str, Decimal] = {}
    missing: list[str] = []
    diseased: list[str] = []
    for lesion in targets:
        measurement = by_lesion.get(lesion.lesion_id)
        size_mm = None if measurement is None else lesion_size_mm(lesion, measurement)
        if size_mm is None:
            reason = measurement.reason if measurement and measurement.reason else "not measured"
            missing.append(f"{lesion.lesion_id} ({reason})")
            continue
        sizes_mm[lesion.lesion_id] = size_mm
        largest_mm = max(measurement.fragments_mm, default=size_mm) if measurement else size_mm
        if largest_mm >= NORMAL_NODE_MM or (size_mm > 0 and not lesion.is_node):
            diseased.append(lesion.lesion_id)
    return TargetState(sizes_mm, tuple(missing), sum(sizes_mm.values(), Decimal(0)), tuple(diseased))


def judge_targets(state: TargetState, reference: Reference) -> tuple[Response, str]:
    """Judge the targets of one time point.

    Every limit includes its own value, and the arithmetic is exact. CR goes
    before PD: a node of 9 mm that was 6 mm is still normal. PD goes before PR:
    growth from the nadir counts even where the sum is small against baseline.

    Parameters
    ----------
    state : TargetState
    reference : Reference
        Baseline and nadir before this time point.

    Returns
    -------
    Response
        CR, PR, SD, PD or NE.
    str
        The numbers that decided.
    """
    sum_mm, nadir_mm, baseline_mm = state.measured_mm, reference.nadir_mm, reference.baseline_mm
    growth_mm = sum_mm - nadir_mm
    is_progressive = sum_mm >= PROGRESSIVE_SHARE * nadir_mm and growth_mm >= PROGRESSIVE_GROWTH_MM
    nadir = f"the nadir of {mm(nadir_mm)} ({reference.nadir_visit})"
    if not state.is_complete:
        absent = "not assessed: " + ", ".join(state.missing)
        if is_progressive:
            return Response.PD, (
                f"targets PD: the measured part alone is {mm(sum_mm)}, {_change(growth_mm, nadir_mm)} above "
                f"{nadir}; {absent}"
            )
        return Response.NE, f"targets NE: {absent}; the measured part is {mm(sum_mm)}, against {nadir}"
    if not state.diseased:
        remark = f" (nodes under 10 mm make up {mm(sum_mm)})" if sum_mm else ""
        return Response.CR, f"targets CR: all gone or normal{remark}"
    if is_progressive:
        return Response.PD, f"targets PD: sum {mm(sum_mm)}, {_change(growth_mm, nadir_mm)} above {nadir}"
    fall_mm = baseline_mm - sum_mm
    against_baseline = f"{percent(abs(fall_mm), baseline_mm)} {'below' if fall_mm >= 0 else 'above'} baseline"
    if sum_mm <= PARTIAL_SHARE * baseline_mm:
        return Response.PR, f"targets PR: sum {mm(sum_mm)}, {against_baseline} of {mm(baseline_mm)}"
    from_nadir = _from_nadir(growth_mm, nadir_mm, nadir)
    if reference.partial_stays:
        return Response.PR, (
            f"targets PR that goes on: sum {mm(sum_mm)}, {against_baseline} of {mm(baseline_mm)}, and "
            f"{from_nadir}, short of progression"
        )
    return Response.SD, (
        f"targets SD: sum {mm(sum_mm)}, {against_baseline} of {mm(baseline_mm)} (PR from 30 %), "
        f"and {from_nadir} (PD from 20 % and 5 mm)"
    )


def _from_nadir(growth_mm: Decimal, nadir_mm: Decimal, nadir: str) -> str:
    if growth_mm < 0:
        return f"{mm(-growth_mm)} below {nadir}"
    return f"{_change(growth_mm, nadir_mm)} above {nadir}"


def _change(growth_mm: Decimal, nadir_mm: Decimal) -> str:
    if nadir_mm == 0:
        return mm(growth_mm)
    return f"{percent(growth_mm, nadir_mm)} and {mm(growth_mm)}"
