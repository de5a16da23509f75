"""What kind of treatment a line was, and in what order lines came."""

import re
from enum import StrEnum

__all__ = ["NOT_KNOWN", "Sequence", "Treatment", "classify", "sequence_of"]


class Treatment(StrEnum):
    """The kind of one line."""

    TKI = "egfr_tki"
    CHEMOTHERAPY = "chemotherapy"
    SUPPORTIVE = "best_supportive_care"
    OTHER = "other"


class Sequence(StrEnum):
    """First and second line in order, as the paper's Table 5 groups them."""

    SUPPORTIVE = "best_supportive_care"
    TKI_ONLY = "tki_only"
    CHEMOTHERAPY_ONLY = "chemotherapy_only"
    TKI_THEN_CHEMOTHERAPY = "tki_then_chemotherapy"
    CHEMOTHERAPY_THEN_TKI = "chemotherapy_then_tki"
    CHEMOTHERAPY_THEN_CHEMOTHERAPY = "chemotherapy_then_chemotherapy"
    TKI_THEN_TKI = "tki_then_tki"
    OTHER = "other"


TKI = re.compile(
    r"gefitinib|iressa|erlotinib|tarceva|afatinib|gilotrif|giotrif|dacomitinib|vizimpro|icotinib|osimertinib"
    r"|tagrisso|almonertinib|aumolertinib|furmonertinib|lazertinib|\btki\b"
)
CHEMOTHERAPY = re.compile(
    r"platin|gemcitabine|gemzar|vinorelbine|navelbine|taxel|taxol|taxotere|pemetrexed|alimta|etoposide"
    r"|irinotecan|tegafur|\bu(ft|fur)\b|\bs-?1\b|mitomycin|ifosfamide|chemo"
)
SUPPORTIVE = re.compile(r"support|\bbsc\b|palliative care|hospice")
NONE_GIVEN = re.compile(
    r"^(no|none|nil|-|untreated|not treated|refused|declined)$"
    r"|^(no|without|refused|declined) (\w+ )?(chemo\w*|treatment|therapy|tki)$"
    r"|^(chemo\w*|treatment|therapy|tki) (was )?(refused|declined|not given|not done)$"
)
OTHER_TKI = re.compile(r"\b(alk|ros-?1|met|ret|ntrk)[\s-]*(tki|inhibitor)")
NOT_KNOWN = ("unknown", "not known", "not recorded", "not available", "not collected", "missing")


def classify(text: str | None) -> Treatment | None:
    """Return the kind of a line of treatment, None where there was none.

    A TKI given together with chemotherapy counts as chemotherapy, a line of which
    nobody knows what it was (`NOT_KNOWN`) as another.

    Examples
    --------
    >>> classify("Gefitinib 250 mg").value
    'egfr_tki'
    """
    lowered = (text or "").strip().lower()
    if not lowered:
        return None
    if NONE_GIVEN.search(lowered):
        return Treatment.SUPPORTIVE
    if CHEMOTHERAPY.search(lowered):
        return Treatment.CHEMOTHERAPY
    if OTHER_TKI.search(lowered):
        return Treatment.OTHER
    if TKI.search(lowered):
        return Treatment.TKI
    if SUPPORTIVE.search(lowered):
        return Treatment.SUPPORTIVE
    return Treatment.OTHER


def sequence_of(first: Treatment | None, second: Treatment | None) -> Sequence:
    """Return the group of a patient's first two lines."""
    if first in (None, Treatment.SUPPORTIVE):
        return Sequence.SUPPORTIVE
    known = {
        (Treatment.TKI, None): Sequence.TKI_ONLY,
        (Treatment.CHEMOTHERAPY, None): Sequence.CHEMOTHERAPY_ONLY,
        (Treatment.TKI, Treatment.CHEMOTHERAPY): Sequence.TKI_THEN_CHEMOTHERAPY,
        (Treatment.CHEMOTHERAPY, Treatment.TKI): Sequence.CHEMOTHERAPY_THEN_TKI,
        (Treatment.CHEMOTHERAPY, Treatment.CHEMOTHERAPY): Sequence.CHEMOTHERAPY_THEN_CHEMOTHERAPY,
        (Treatment.TKI, Treatment.TKI): Sequence.TKI_THEN_TKI,
    }
    after = None if second is Treatment.SUPPORTIVE else second
    return known.get((first, after), Sequence.OTHER) if first else Sequence.SUPPORTIVE
