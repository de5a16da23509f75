"""The non-target lesions at one time point (RECIST 1.1, 4.3.3 and 4.3.4)."""

from collections.abc import Sequence
from decimal import Decimal

from analysis.recist.targets import NORMAL_NODE_MM
from analysis.recist.words import number
from records.reads import Lesion, NonTargetFinding, NonTargetStatus, Response

__all__ = ["is_still_diseased", "judge_nontargets"]

COMPARABLE_VOLUME_PERCENT = Decimal(73)  # a fifth more in diameter; RECIST 1.1, 4.3.4


def is_still_diseased(lesion: Lesion, finding: NonTargetFinding) -> bool:
    """Whether a non-target lesion still shows disease; a node under 10 mm does not."""
    if finding.status is NonTargetStatus.UNEQUIVOCAL_PROGRESSION:
        return True
    if finding.status is not NonTargetStatus.PRESENT:
        return False
    return not (
        lesion.is_node and finding.short_axis_mm is not None and finding.short_axis_mm < NORMAL_NODE_MM
    )


def judge_nontargets(
    lesions: Sequence[Lesion], findings: Sequence[NonTargetFinding], markers_normal: bool | None
) -> tuple[Response | None, str]:
    """Judge the non-target lesions of one time point.

    Parameters
    ----------
    lesions : sequence of Lesion
        The non-target lesions of the baseline.
    findings : sequence of NonTargetFinding
    markers_normal : bool or None
        None where no tumour marker is followed.

    Returns
    -------
    Response or None
        CR, non-CR/non-PD, PD or NE; None if the baseline had no non-target lesion and no raised marker.
    str
        What decided.
    """
    if not lesions:
        if markers_normal is False:
            return Response.NON_CR_NON_PD, "tumour markers above normal"
        return None, "no non-target lesions"
    by_lesion = {finding.lesion_id: finding for finding in findings}
    progressive, present, missing = [], [], []
    for lesion in lesions:
        finding = by_lesion.get(lesion.lesion_id)
        if finding is None or finding.status is NonTargetStatus.NOT_ASSESSED:
            reason = finding.reason if finding and finding.reason else "not assessed"
            missing.append(f"{lesion.lesion_id} ({reason})")
        elif finding.status is NonTargetStatus.UNEQUIVOCAL_PROGRESSION:
            progressive.append(lesion.lesion_id + _burden_remark(finding))
        elif is_still_diseased(lesion, finding):
            present.append(lesion.lesion_id)
    if progressive:
        return Response.PD, "non-targets PD: unequivocal progression of " + ", ".join(progressive)
    if missing:
        return Response.NE, "non-targets NE: " + ", ".join(missing)
    if present:
        return Response.NON_CR_NON_PD, (
            f"non-targets non-CR/non-PD: {', '.join(present)} still there, no unequivocal progression"
        )
    if markers_normal is False:
        return Response.NON_CR_NON_PD, "non-targets non-CR/non-PD: gone, but tumour markers above normal"
    return Response.CR, "non-targets CR: all gone or normal"


def _burden_remark(finding: NonTargetFinding) -> str:
    change = finding.burden_change_percent
    if change is None:
        return ""
    measured = f" (measured burden {'+' if change >= 0 else ''}{number(change)} %"
    if change < COMPARABLE_VOLUME_PERCENT:
        return f"{measured}, less than the 73 % that equals a fifth in diameter: look again)"
    return measured + ")"
