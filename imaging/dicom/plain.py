"""Which images of a series are slices of a CT, and which are pictures that came along with them."""

import re
from functools import lru_cache

from imaging.dicom.classes import CT_CLASSES
from imaging.dicom.files import Frame, PixelFormat, Reconstruction, SeriesFiles

__all__ = ["NOT_ANATOMY", "is_ct", "may_be_ct", "why_no_slice"]

# What an Image Type says of images that show no anatomy as it is, in plain Hounsfield units.
NOT_ANATOMY = frozenset(
    "LOCALIZER MIP MINIP MPR CPR MAX_IP MIN_IP MAXIMUM_IP MINIMUM_IP REFORMATTED PROJECTION RENDERED VOLREN "
    "VRT SSD SCREEN DOSE_INFO DOSE VOLUME_RENDER SURFACE_RENDER FUSION "
    "MAXIMUM MINIMUM SUBTRACTION DIVISION MULTIPLICATION STD_DEVIATION "  # PS3.3 C.8.16.2.1.4
    # Of several energies: all but the energies themselves (PS3.3 C.8.15.2.1.1.5, Supplement 188).
    "MAT_SPECIFIC MAT_REMOVED MAT_FRACTIONAL MAT_MODIFIED MAT_VALUE_BASED EFF_ATOMIC_NUM ELECTRON_DENSITY "
    "IODINE VNC PERFUSION".split()
)


def is_ct(frame: Frame) -> bool:
    """Whether an image is one of a CT, whatever it shows."""
    return frame.reconstruction.sop_class_uid in CT_CLASSES


def may_be_ct(series: SeriesFiles) -> bool:
    """Whether a series holds an image of a CT, or files that were to be some."""
    return any(map(is_ct, series.frames)) or bool(series.damaged and series.modality == "CT")


def why_no_slice(frame: Frame) -> str:
    """Return why an image is no plain slice of a CT, as its series will be told; "" if it is one."""
    return _why(frame.reconstruction, frame.format)


@lru_cache(maxsize=1024)
def _why(made: Reconstruction, image: PixelFormat) -> str:
    if made.sop_class_uid not in CT_CLASSES:
        return "holds no CT image"
    if image.samples != 1 or image.bits_allocated != 16 or not image.photometric.startswith("MONOCHROME"):
        kind = image.photometric or "without Photometric Interpretation"
        return f"holds pixels of {image.bits_allocated} bits {kind}, 16 bits MONOCHROME are expected"
    types = set(made.image_type)
    words = {word for part in types for word in (*re.split(r"[ _\\/]+", part), *part.split())}
    shown = sorted((words | types) & NOT_ANATOMY)
    if shown:
        return f"is no plain reconstruction: Image Type says {shown[0]}"
    if {"DERIVED", "SECONDARY"} <= types:
        return "is derived from other images: Image Type says DERIVED, SECONDARY"
    return ""
