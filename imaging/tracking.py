"""Follow-up on the images: two scans of one patient laid over each other."""

from imaging.alignment import Alignment, Quality
from imaging.registration import align

__all__ = ["Alignment", "Quality", "align"]
