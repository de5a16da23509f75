"""Reads: what one reader saw at one time point, in the words of RECIST 1.1.

The viewer writes reads, `analysis.sdtm` makes them from trial data, and
`analysis.response` turns them into responses. A read says only what was seen
and measured; the response is computed, never entered. Lengths are exact
decimals in millimetres, because every limit of RECIST includes its own value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "Certainty",
    "Evaluator",
    "Irradiation",
    "Lesion",
    "LesionKind",
    "LesionRole",
    "Measurement",
    "Method",
    "NewLesionFinding",
    "NonTargetFinding",
    "NonTargetStatus",
    "PetEvidence",
    "Read",
    "Response",
    "Seen",
    "millimetres",
    "reads_from_json",
    "reads_to_json",
]

RESOLUTION_MM = Decimal("0.000001")  # far below a pixel; washes out the tail of a binary fraction


class Response(StrEnum):
    """Response at one time point, or best response (Eisenhauer 2009, Eur J Cancer 45:228)."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    NON_CR_NON_PD = "NON-CR/NON-PD"  # the paper's non-progressive disease, NPD
    PD = "PD"
    NE = "NE"
    NED = "NED"  # no disease at baseline, none now
    EARLY_DEATH = "EARLY DEATH"  # best response only, where the protocol reports it apart
    MISSING = "MISSING"  # best response only: no time point at all

    @property
    def is_response(self) -> bool:
        """Whether this is a complete or partial response."""
        return self is Response.CR or self is Response.PR


class LesionRole(StrEnum):
    """What a lesion is followed as (CDISC codelist TUIDRS)."""

    TARGET = "TARGET"
    NON_TARGET = "NON-TARGET"
    NEW = "NEW"


class LesionKind(StrEnum):
    """What decides whether a lesion can be measured, and along which axis (RECIST 1.1, 3.1)."""

    SOFT_TISSUE = "soft_tissue"
    LYMPH_NODE = "lymph_node"  # followed by its short axis
    BONE_SOFT_TISSUE = "bone_with_soft_tissue"  # lytic or mixed, the soft part measured
    BONE_BLASTIC = "bone_blastic"
    BONE_LYTIC = "bone_lytic"  # without a soft-tissue part
    CYSTIC_METASTASIS = "cystic_metastasis"
    SIMPLE_CYST = "simple_cyst"
    LEPTOMENINGEAL = "leptomeningeal"
    ASCITES = "ascites"
    EFFUSION = "effusion"  # pleural or pericardial
    INFLAMMATORY_BREAST = "inflammatory_breast"
    LYMPHANGITIC = "lymphangitic"
    PALPABLE_ONLY = "palpable_only"  # a mass felt, not imaged
    MILIARY = "miliary"


class Method(StrEnum):
    """How a lesion was examined."""

    CT = "CT SCAN"
    MRI = "MRI"
    CALIPER = "CALIPERS"
    X_RAY = "X-RAY"
    ULTRASOUND = "ULTRASOUND"
    PET = "PET SCAN"
    PET_CT = "PET/CT SCAN"
    OTHER = "OTHER"


class Irradiation(StrEnum):
    """Whether a lesion lies where it was treated locally before."""

    NONE = "none"
    TREATED = "treated"
    PROGRESSED_SINCE = "progressed_since"


class Seen(StrEnum):
    """How a target lesion was found at a time point."""

    MEASURED = "MEASURED"
    TOO_SMALL = "TOO SMALL TO MEASURE"  # there, but too faint to measure
    ABSENT = "ABSENT"
    MERGED = "MERGED"  # grown together with the lesion named
    NOT_ASSESSED = "NOT ASSESSED"


class NonTargetStatus(StrEnum):
    """How a non-target lesion was found at a time point."""

    ABSENT = "ABSENT"
    PRESENT = "PRESENT"
    UNEQUIVOCAL_PROGRESSION = "UNEQUIVOCAL PROGRESSION"
    NOT_ASSESSED = "NOT ASSESSED"


class Certainty(StrEnum):
    """How sure the reader is that a finding is a new malignant lesion."""

    UNEQUIVOCAL = "UNEQUIVOCAL"
    EQUIVOCAL = "EQUIVOCAL"


class PetEvidence(StrEnum):
    """What an FDG-PET finding is worth (RECIST 1.1, 4.3.4 and appendix II)."""

    NEGATIVE_AT_BASELINE = "negative_at_baseline"  # negative then, positive now: progression
    NEW_SITE_ON_CT = "new_site_on_ct"  # no PET at baseline; CT confirms a new site
    NOT_ON_CT = "not_on_ct"  # no PET at baseline; CT does not show it (yet)
    KNOWN_SITE_ON_CT = "known_site_on_ct"  # a site known at baseline that does not progress on CT


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Who read: a role of CDISC codelist EVAL and, where several share it, an identifier."""

    role: str  # INVESTIGATOR, INDEPENDENT ASSESSOR, ADJUDICATOR ...
    identifier: str = ""  # RADIOLOGIST 1 ...

    @property
    def label(self) -> str:
        """The shorter name, for tables."""
        return self.identifier or self.role


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion when it is first named.

    `organ` is what the limit of two targets counts: both lungs are one organ,
    all lymph nodes are one organ. `source` is the row it came from, for messages.
    """

    lesion_id: str
    role: LesionRole
    organ: str
    kind: LesionKind = LesionKind.SOFT_TISSUE
    method: Method = Method.CT
    irradiation: Irradiation = Irradiation.NONE
    location: str = ""
    source: str = ""

    @property
    def is_node(self) -> bool:
        """Whether the short axis is what counts."""
        return self.kind is LesionKind.LYMPH_NODE


@dataclass(frozen=True, slots=True)
class Measurement:
    """A target lesion at one time point.

    `fragments_mm` holds the longest diameters of the pieces of a lesion that
    split; `merged_into` names the lesion that stands for both after two became
    one. `reason` says why a lesion was not assessed.
    """

    lesion_id: str
    seen: Seen
    long_axis_mm: Decimal | None = None
    short_axis_mm: Decimal | None = None
    fragments_mm: tuple[Decimal, ...] = ()
    merged_into: str = ""
    date: str = ""  # ISO 8601, if another day than the read's
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class NonTargetFinding:
    """A non-target lesion, or a group of them, at one time point.

    `grew_since_last` is iRECIST's further growth, which need not be
    unequivocal. `burden_change_percent` is a measured change in volume (of
    micronodules, of an effusion) that stands beside the reader's judgement.
    """

    lesion_id: str
    status: NonTargetStatus
    short_axis_mm: Decimal | None = None  # of a node
    grew_since_last: bool = False
    burden_change_percent: Decimal | None = None
    date: str = ""
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class NewLesionFinding:
    """A finding that was not there at baseline, at one time point."""

    lesion_id: str
    certainty: Certainty
    kind: LesionKind = LesionKind.SOFT_TISSUE
    organ: str = ""
    long_axis_mm: Decimal | None = None
    short_axis_mm: Decimal | None = None
    grew_since_last: bool = False  # iRECIST, for a new lesion that is not measured
    pet: PetEvidence | None = None
    region_scanned_at_baseline: bool = True
    date: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What one reader saw of one patient at one time point.

    The first read of a patient is the baseline: its `lesions` are the targets
    and non-targets that all later reads refer to.
    """

    subject_id: str
    evaluator: Evaluator
    visit_number: Decimal
    visit: str
    date: str  # ISO 8601; the first scan of the time point
    lesions: tuple[Lesion, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    non_targets: tuple[NonTargetFinding, ...] = ()
    new_lesions: tuple[NewLesionFinding, ...] = ()
    markers_normal: bool | None = None  # None: no tumour marker is followed
    slice_thickness_mm: Decimal | None = None
    accepted: bool = False  # this reader's response is the one that counts
    adjudicated: bool = False  # because an adjudicator chose it
    source: str = ""


def millimetres(value: Decimal | float | str) -> Decimal:
    """Return a length as an exact decimal, to a millionth of a millimetre.

    Sums and limits are then compared exactly; 0.1 + 0.2 typed as 0.30000000000000004
    by a spreadsheet is 0.3 here.

    >>> millimetres(0.1 + 0.2)
    Decimal('0.300000')
    """
    return Decimal(str(value)).quantize(RESOLUTION_MM)


def reads_to_json(reads: Iterable[Read]) -> str:
    """Write reads as JSON text; lengths are strings, so that they stay exact."""
    import json

    return json.dumps(_converter().unstructure(list(reads)), indent=1, ensure_ascii=False)


def reads_from_json(text: str) -> tuple[Read, ...]:
    """Read what `reads_to_json` wrote.

    Raises
    ------
    cattrs.errors.ClassValidationError, json.JSONDecodeError
        If the text is not a list of reads.
    """
    import json

    return tuple(_converter().structure(json.loads(text), list[Read]))


def _converter() -> "Converter":
    import cattrs

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(str(value)))
    return converter
