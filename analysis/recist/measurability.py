"""Which lesions can be targets: RECIST 1.1, section 3.1 and appendix II."""

from dataclasses import dataclass
from decimal import Decimal

from analysis.recist.words import mm
from records.reads import Irradiation, LesionKind, Method

__all__ = ["Measurability", "judge_measurability"]

LONGEST_CT_MM = Decimal(10)  # RECIST 1.1, 3.1.1
LONGEST_CALIPER_MM = Decimal(10)
LONGEST_X_RAY_MM = Decimal(20)
NODE_TARGET_MM = Decimal(15)  # short axis
NODE_PATHOLOGICAL_MM = Decimal(10)  # short axis
THIN_SLICE_MM = Decimal(5)

NEVER_MEASURABLE = {
    LesionKind.BONE_BLASTIC: "a blastic bone lesion",
    LesionKind.BONE_LYTIC: "a bone lesion without a soft-tissue part",
    LesionKind.LEPTOMENINGEAL: "leptomeningeal disease",
    LesionKind.ASCITES: "ascites",
    LesionKind.EFFUSION: "a pleural or pericardial effusion",
    LesionKind.INFLAMMATORY_BREAST: "inflammatory breast disease",
    LesionKind.LYMPHANGITIC: "lymphangitic spread",
    LesionKind.PALPABLE_ONLY: "a mass found only by examination",
    LesionKind.MILIARY: "miliary disease, of nodules under 10 mm,",
}


@dataclass(frozen=True, slots=True)
class Measurability:
    """Whether a lesion is disease, whether it can be a target, and why."""

    is_disease: bool
    is_measurable: bool
    sentence: str


def judge_measurability(
    kind: LesionKind,
    *,
    long_axis_mm: Decimal | None = None,
    short_axis_mm: Decimal | None = None,
    method: Method = Method.CT,
    slice_thickness_mm: Decimal | None = None,
    irradiation: Irradiation = Irradiation.NONE,
    caliper_is_accurate: bool = True,
    double_slice_for_nodes: bool = False,
) -> Measurability:
    """Judge a lesion at baseline.

    Parameters
    ----------
    kind : LesionKind
    long_axis_mm, short_axis_mm : Decimal or None
        In the plane of the scan, mm.
    slice_thickness_mm : Decimal or None
        mm; None counts as 5 mm or thinner.
    caliper_is_accurate : bool
        Whether calipers could take it accurately.
    double_slice_for_nodes : bool
        Ask of nodes, too, twice the thickness of a slice over 5 mm.

    Returns
    -------
    Measurability
    """
    if kind is LesionKind.SIMPLE_CYST:
        return Measurability(False, False, "a simple cyst is not malignant and not recorded")
    if kind in NEVER_MEASURABLE:
        return Measurability(True, False, f"{NEVER_MEASURABLE[kind]} is never measurable")
    if method is Method.ULTRASOUND:
        return Measurability(True, False, "ultrasound is not used to measure")
    if method in (Method.PET, Method.OTHER):
        return Measurability(True, False, f"{method} does not measure size")
    if irradiation is Irradiation.TREATED:
        return Measurability(True, False, "treated locally before, and has not progressed since")
    if kind is LesionKind.LYMPH_NODE:
        return _judge_node(short_axis_mm, slice_thickness_mm if double_slice_for_nodes else None)
    return _judge_length(long_axis_mm, method, slice_thickness_mm, caliper_is_accurate)


def _judge_node(short_axis_mm: Decimal | None, slice_thickness_mm: Decimal | None) -> Measurability:
    if short_axis_mm is None:
        return Measurability(True, False, "the short axis of the node was not measured")
    limit_mm = max(NODE_TARGET_MM, _twice_a_thick_slice(slice_thickness_mm))
    found = f"a node with a short axis of {mm(short_axis_mm)}"
    if short_axis_mm < NODE_PATHOLOGICAL_MM:
        return Measurability(False, False, f"{found} is normal (under 10 mm)")
    if short_axis_mm < limit_mm:
        return Measurability(True, False, f"{found} is pathological, but a target has {mm(limit_mm)} or more")
    return Measurability(True, True, f"{found} is measurable (at least {mm(limit_mm)})")


def _judge_length(
    long_axis_mm: Decimal | None,
    method: Method,
    slice_thickness_mm: Decimal | None,
    caliper_is_accurate: bool,
) -> Measurability:
    if long_axis_mm is None:
        return Measurability(True, False, "the longest diameter was not measured")
    if method is Method.CALIPER and not caliper_is_accurate:
        return Measurability(True, False, "calipers cannot measure it accurately")
    limit_mm = max(LONGEST_CT_MM, _twice_a_thick_slice(slice_thickness_mm))
    if method is Method.X_RAY:
        limit_mm = LONGEST_X_RAY_MM
    if method is Method.CALIPER:
        limit_mm = LONGEST_CALIPER_MM
    sentence = f"a longest diameter of {mm(long_axis_mm)}; measurable from {mm(limit_mm)} ({method})"
    return Measurability(True, long_axis_mm >= limit_mm, sentence)


def _twice_a_thick_slice(slice_thickness_mm: Decimal | None) -> Decimal:
    if slice_thickness_mm is None or slice_thickness_mm <= THIN_SLICE_MM:
        return Decimal(0)
    return 2 * slice_thickness_mm
