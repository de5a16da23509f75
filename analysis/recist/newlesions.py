"""New lesions at one time point (RECIST 1.1, 4.3.5; EORTC clarifications on nodes)."""

from collections.abc import Sequence

from analysis.recist.results import NewLesion
from analysis.recist.targets import NORMAL_NODE_MM
from analysis.recist.words import mm
from records.reads import Certainty, LesionKind, NewLesionFinding, PetEvidence

__all__ = ["judge_new_lesion", "judge_new_lesions"]

CAUTIOUS_NODE_MM = 15  # under this, EORTC advises to look again at the next time point


def judge_new_lesion(finding: NewLesionFinding) -> tuple[NewLesion, str]:
    """Judge one finding.

    A node is a lesion from 10 mm of short axis. A lesion where nothing was
    scanned at baseline is new. An FDG-PET finding counts if the baseline PET
    was negative or CT shows a new site; where CT does not show it (yet), it is
    equivocal; on a known site that does not progress it is none.

    Returns
    -------
    NewLesion
    str
        The finding in words, with what speaks for or against it.
    """
    name = finding.lesion_id + (f" ({finding.organ})" if finding.organ else "")
    if finding.pet is PetEvidence.KNOWN_SITE_ON_CT:
        return NewLesion.NO, f"{name} lies on a known site that does not progress on CT"
    if finding.kind is LesionKind.LYMPH_NODE and finding.short_axis_mm is not None:
        if finding.short_axis_mm < NORMAL_NODE_MM:
            return NewLesion.NO, f"node {name} of {mm(finding.short_axis_mm)} is normal (under 10 mm)"
        name += f", a node of {mm(finding.short_axis_mm)}"
        if finding.short_axis_mm < CAUTIOUS_NODE_MM:
            name += " (under 15 mm: look again at the next time point)"
    if finding.pet is PetEvidence.NOT_ON_CT:
        return NewLesion.EQUIVOCAL, f"{name} on FDG-PET, not seen on CT so far"
    if finding.pet is PetEvidence.NEGATIVE_AT_BASELINE:
        return NewLesion.YES, f"{name} on FDG-PET, negative at baseline"
    if finding.certainty is Certainty.EQUIVOCAL:
        return NewLesion.EQUIVOCAL, f"{name}, equivocal"
    if finding.pet is PetEvidence.NEW_SITE_ON_CT:
        name += " on FDG-PET, confirmed on CT"
    if not finding.region_scanned_at_baseline:
        name += " in a region not scanned at baseline"
    return NewLesion.YES, name


def judge_new_lesions(
    findings: Sequence[NewLesionFinding],
) -> tuple[NewLesion, str, tuple[NewLesionFinding, ...]]:
    """Judge all findings of one time point.

    Returns
    -------
    NewLesion
        The strongest of them.
    str
        In words.
    tuple of NewLesionFinding
        Those that are unequivocal.
    """
    if not findings:
        return NewLesion.NO, "no new lesion", ()
    judged = [(finding, *judge_new_lesion(finding)) for finding in findings]
    for answer, opening in (
        (NewLesion.YES, "new lesion: "),
        (NewLesion.EQUIVOCAL, "equivocal new lesion, to be followed: "),
    ):
        named = [(finding, words) for finding, its_answer, words in judged if its_answer is answer]
        if named:
            proven = tuple(finding for finding, _ in named) if answer is NewLesion.YES else ()
            return answer, opening + "; ".join(words for _, words in named), proven
    return NewLesion.NO, "no new lesion: " + "; ".join(words for _, _, words in judged), ()
