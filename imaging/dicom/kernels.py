"""What the name of a convolution kernel says about noise and edges."""

import re
from enum import StrEnum

__all__ = ["Sharpness", "sharpness"]


class Sharpness(StrEnum):
    """Class of a reconstruction kernel."""

    SOFT = "soft"  # soft tissue, also any name that is not known
    LUNG = "lung"
    BONE = "bone"


# GE, Philips and Canon name kernels, Siemens numbers them by sharpness: B/I/H/Br/Bf/Bl/Qr 10-90.
LUNG_NAMES = re.compile(r"^(lung\w*|chest|l|yb|yc|fc5[0-9]|fc8[0-9]|ya)$", re.IGNORECASE)
BONE_NAMES = re.compile(r"^(bone\w*|edge|ultra\w*|e|fc3[0-9]|fc[67][0-9]|hd\s?bone)$", re.IGNORECASE)
SIEMENS = re.compile(r"^(?:[bhijqtu]|b[rfl]|q[r]|h[rfc])(\d\d)", re.IGNORECASE)
LUNG_FROM, BONE_FROM = 50, 70  # Siemens: B50-B60 lung, B70 and above bone


def sharpness(kernel: str) -> Sharpness:
    """Return the class of a Convolution Kernel (0018,1210).

    >>> [sharpness(name).value for name in ("STANDARD", "B31f", "Br59d", "LUNG", "B80f", "BONEPLUS")]
    ['soft', 'soft', 'lung', 'lung', 'bone', 'bone']
    """
    numbered = SIEMENS.match(kernel)
    if numbered:
        number = int(numbered[1])
        return (
            Sharpness.BONE
            if number >= BONE_FROM
            else Sharpness.LUNG
            if number >= LUNG_FROM
            else Sharpness.SOFT
        )
    if LUNG_NAMES.match(kernel):
        return Sharpness.LUNG
    return Sharpness.BONE if BONE_NAMES.match(kernel) else Sharpness.SOFT
