"""The words of CDISC controlled terminology that the tumour domains use."""

from decimal import Decimal

from records.reads import Certainty, LesionKind, Method, NonTargetStatus

__all__ = [
    "FLAGS",
    "IGNORED_TR_TESTS",
    "NEW_LESION_STATES",
    "NODE_STATES",
    "NON_TARGET_STATES",
    "NOT_ASSESSED_WORDS",
    "RS_TESTS",
    "SIZE_TESTS",
    "STATE_TESTS",
    "TOO_SMALL_WORDS",
    "TU_TESTS",
    "UNITS_MM",
    "WHOLE_VISIT_TEST",
    "any_of",
    "kind_of",
    "method_of",
    "organ_of",
]

FLAGS = ("", "Y", "N")
TU_TESTS = ("TUMIDENT", "TUSPLIT", "TUMERGE", "LESIDENT", "LESSPLIT", "LESMERGE")
SIZE_TESTS = ("LDIAM", "LPERP", "DIAMETER")
STATE_TESTS = ("TUMSTATE", "LNSTATE", "LESSTATE")
WHOLE_VISIT_TEST = "TRALL"  # with TRSTAT "NOT DONE": nothing was assessed at the visit
IGNORED_TR_TESTS = frozenset(  # sums and areas that the engine computes itself or does not need
    "SUMDIAM SUMLDIAM SUMLPERP SUMNLNLD SUMPDIAM SUMAREA AREA VOLUME PRODUCT PCBSD PCNSD ACBSD ACNSD".split()
)
RS_TESTS = tuple("OVRLRESP TRGRESP NTRGRESP NEWLPROG NEWLIND BESTRESP SYMPTDTR CLINRESP PDIND".split())
TOO_SMALL_WORDS = ("TOO SMALL TO MEASURE", "TSTM", "BELOW MEASURABLE LIMIT")
NOT_ASSESSED_WORDS = ("NOT EVALUABLE", "NOT ASSESSED", "NOT ASSESSABLE", "NE", "NOT DONE")
UNITS_MM = {"mm": Decimal(1), "cm": Decimal(10)}

NON_TARGET_STATES = {
    "ABSENT": NonTargetStatus.ABSENT,
    "PRESENT": NonTargetStatus.PRESENT,
    "TOO SMALL TO MEASURE": NonTargetStatus.PRESENT,
    "INCREASED": NonTargetStatus.PRESENT,  # grew, not unequivocally
    "UNEQUIVOCAL PROGRESSION": NonTargetStatus.UNEQUIVOCAL_PROGRESSION,
    "NOT EVALUABLE": NonTargetStatus.NOT_ASSESSED,
    "NOT ASSESSED": NonTargetStatus.NOT_ASSESSED,
    "NE": NonTargetStatus.NOT_ASSESSED,
}
NODE_STATES = {
    "PATHOLOGICAL": NonTargetStatus.PRESENT,
    "NON-PATHOLOGICAL": NonTargetStatus.ABSENT,
    "NONPATHOLOGICAL": NonTargetStatus.ABSENT,
}
NEW_LESION_STATES: dict[str, Certainty | None] = {
    "UNEQUIVOCAL": Certainty.UNEQUIVOCAL,
    "PRESENT": Certainty.UNEQUIVOCAL,
    "INCREASED": Certainty.UNEQUIVOCAL,
    "UNEQUIVOCAL PROGRESSION": Certainty.UNEQUIVOCAL,
    "EQUIVOCAL": Certainty.EQUIVOCAL,
    "ABSENT": None,
    "NOT EVALUABLE": None,
    "NOT ASSESSED": None,
    "NE": None,
}

ORGANS = (  # what is one organ wherever in it a lesion lies (EORTC clarification)
    ("NODE", "LYMPH NODE"),
    ("LUNG", "LUNG"),
    ("KIDNEY", "KIDNEY"),
    ("ADRENAL", "ADRENAL GLAND"),
    ("BREAST", "BREAST"),
    ("OVAR", "OVARY"),
    ("LIVER", "LIVER"),
    ("BRAIN", "BRAIN"),
    ("BONE", "BONE"),
    ("PLEURA", "PLEURA"),
)
KINDS = (
    ("NODE", LesionKind.LYMPH_NODE),
    ("EFFUSION", LesionKind.EFFUSION),
    ("ASCITES", LesionKind.ASCITES),
    ("LEPTOMENING", LesionKind.LEPTOMENINGEAL),
    ("LYMPHANGI", LesionKind.LYMPHANGITIC),
    ("MILIARY", LesionKind.MILIARY),
    ("BLASTIC", LesionKind.BONE_BLASTIC),
    ("BONE", LesionKind.BONE_SOFT_TISSUE),  # a reader who measures in bone measures soft tissue
)
METHODS = (
    ("PET/CT", Method.PET_CT),
    ("PET", Method.PET),
    ("CT", Method.CT),
    ("MRI", Method.MRI),
    ("MAGNETIC", Method.MRI),
    ("CALIPER", Method.CALIPER),
    ("X-RAY", Method.X_RAY),
    ("ULTRASOUND", Method.ULTRASOUND),
)


def organ_of(location: str) -> str:
    """Return the organ that the limit of two targets counts.

    >>> organ_of("LUNG, LEFT UPPER LOBE"), organ_of("LYMPH NODE, AXILLARY"), organ_of("SPLEEN")
    ('LUNG', 'LYMPH NODE', 'SPLEEN')
    """
    text = location.upper()
    for part, organ in ORGANS:
        if part in text:
            return organ
    return text.partition(",")[0].strip() or "NOT GIVEN"


def kind_of(location: str) -> LesionKind:
    """Return the kind of lesion that a location tells of; soft tissue if it tells of none."""
    text = location.upper()
    return next((kind for part, kind in KINDS if part in text), LesionKind.SOFT_TISSUE)


def method_of(word: str) -> Method:
    """Return the method; CT where none is given."""
    text = word.upper()
    if not text:
        return Method.CT
    return next((method for part, method in METHODS if part in text), Method.OTHER)


def any_of(words: tuple[str, ...] | frozenset[str]) -> str:
    """List words for a message."""
    return ", ".join(sorted(words))
