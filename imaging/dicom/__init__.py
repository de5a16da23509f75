"""The border with DICOM: intake, choice of series, volumes in Hounsfield units."""

from imaging.dicom.files import Frame, Intake, Problem, ProblemCode, SeriesFiles, StudyFiles
from imaging.dicom.intake import find_studies
from imaging.dicom.series import Choice, choose_series
from imaging.dicom.uids import derive_uid
from imaging.dicom.volume import read_volume

__all__ = [
    "Choice",
    "Frame",
    "Intake",
    "Problem",
    "ProblemCode",
    "SeriesFiles",
    "StudyFiles",
    "choose_series",
    "derive_uid",
    "find_studies",
    "read_volume",
]
