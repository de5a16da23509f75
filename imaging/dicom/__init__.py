"""The border with DICOM: intake, choice of series, volumes in Hounsfield units."""

from imaging.dicom.uids import derive_uid
from imaging.dicom.write import write_series

__all__ = ["derive_uid", "write_series"]
