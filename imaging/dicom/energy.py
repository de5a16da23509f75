"""At what energy a virtual monoenergetic image shows the patient, and which of several to read."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["LIKE_120_KVP_KEV", "described_kev", "kev_from_usual", "stated_kev"]

# At 70 keV liver and metastases have the contrast of the same scan at 120 kVp (Sudarski 2014, Acad Radiol
# 21, issue 4), which is how lungs are mostly scanned. For nodules in lungs we know of no such comparison.
LIKE_120_KVP_KEV = 70.0
KEV = re.compile(r"(?<![\d.,])(\d{2,3}(?:[.,]\d+)?)[ _]?kev(?![a-z])", re.IGNORECASE)


def stated_kev(image: "Dataset") -> float | None:
    """Return Monoenergetic Energy Equivalent (0018,937C) of an image or functional group, None if not given.

    It stands in the Multi-energy CT Characteristics Sequence, and has to where Image Type says VMI
    (DICOM PS3.3 C.8.15.2.1.1.5, Supplement 188).
    """
    items = image.get("MultienergyCTCharacteristicsSequence")
    value = items[0].get("MonoenergeticEnergyEquivalent") if items else None
    return float(value) if isinstance(value, int | float) and 0 < value < 1e3 else None


def described_kev(description: str) -> float | None:
    """Return the energy that a description names: older scanners say it nowhere else that is public.

    >>> described_kev("MonoE 70 keV"), described_kev("Mono+_40keV"), described_kev("Lung 120 kV")
    (70.0, 40.0, None)
    """
    found = KEV.search(description)
    return float(found[1].replace(",", ".")) if found else None


def kev_from_usual(energy_kev: float | None) -> float:
    """Return how far an image is from what 120 kVp show; one of the whole spectrum (None) is not."""
    return 0.0 if energy_kev is None else round(abs(energy_kev - LIKE_120_KVP_KEV), 1)
