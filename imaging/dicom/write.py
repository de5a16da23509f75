"""Volumes written as CT Image Storage: synthetic studies, inserted nodules, plain copies for benchmarks.

A written series is a new series: every UID is derived from the study's, the
series number and the description, so that the same input gives the same bytes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from imaging.dicom.uids import derive_uid
from records.model import Study, Volume

__all__ = ["write_series"]

IMPLEMENTATION_UID = UID(derive_uid("mipc", "implementation"))
RESCALE_INTERCEPT = -1024  # stored 0 is air, as scanners have it; stored + intercept is HU
SYNTHETIC_NOTE = "Synthetic image, computed by mipc. Not for clinical use."


def write_series(
    volume: Volume,
    folder: Path,
    *,
    study: Study,
    series_number: int,
    description: str,
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    transfer_syntax: str = ExplicitVRLittleEndian,
    manufacturer: str = "mipc",
    scanner: str = "synthetic",
    kernel: str | None = None,
    mas: float | None = None,
    synthetic: bool = True,
) -> list[Path]:
    """Write `volume` as one CT series, a file a plane.

    Parameters
    ----------
    volume : Volume
        HU up to 31743, in any orientation.
    folder : Path
        Made if it is not there.
    study : Study
        `uid` has to be a valid UID (`derive_uid` makes one); `study_date` is ISO 8601 or "".
    transfer_syntax : str
        Little endian, explicit or implicit, or one that pydicom has an encoder for, such as
        `pydicom.uid.JPEGLSLossless`.
    kernel : str, optional
        Convolution Kernel; the volume's own if not given.
    mas : float, optional
        Exposure (0018,1152), mAs.
    synthetic : bool
        Declare the images as computed (Content Qualification, Image Comments).

    Returns
    -------
    list of Path
        One a plane, from the most caudal up; Instance Number counts from the most cranial, as scanners do.

    Raises
    ------
    ValueError
        If a value does not fit 16 bits after the rescale.
    """
    stored = _stored(volume.hu)
    common = _common_header(volume, study, series_number, description)
    common.ImageType = list(image_type)
    common.Manufacturer = manufacturer
    common.ManufacturerModelName = scanner
    common.ConvolutionKernel = volume.kernel if kernel is None else kernel
    common.Exposure = None if mas is None else round(mas)
    if synthetic:
        common.ContentQualification = "RESEARCH"
        common.ImageComments = SYNTHETIC_NOTE

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for plane, pixels in enumerate(stored):
        number = len(stored) - plane
        path = folder / f"{series_number:03d}-{number:04d}.dcm"
        _write_image(common, volume, plane, number, pixels, transfer_syntax, path)
        paths.append(path)
    return paths


def _stored(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the stored values of `hu`: signed 16 bit."""
    highest = np.iinfo(np.int16).max + RESCALE_INTERCEPT
    if hu.max(initial=highest) > highest:
        raise ValueError(f"the highest value that can be stored is {highest} HU, got {hu.max()}")
    return np.asarray(hu - np.int16(RESCALE_INTERCEPT), dtype="<i2")


def _common_header(volume: Volume, study: Study, number: int, description: str) -> Dataset:
    """Return what every image of the series says alike (PS3.3 A.3, CT Image IOD)."""
    series_uid = derive_uid(study.uid, str(number), description)
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = CTImageStorage
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = study.study_date.replace(
        "-", ""
    )
    image.StudyTime = image.SeriesTime = image.ContentTime = "120000"
    image.AccessionNumber = ""
    image.Modality = "CT"
    image.ReferringPhysicianName = ""
    image.StudyDescription = study.description
    image.SeriesDescription = description
    image.PatientName = study.patient_name
    image.PatientID = study.patient_id
    image.PatientBirthDate = image.PatientSex = ""
    image.BodyPartExamined = "CHEST"
    image.SliceThickness = _decimal(volume.slice_thickness_mm or volume.spacing_mm[0])
    image.KVP = 120
    image.PatientPosition = "HFS"
    image.StudyInstanceUID = study.uid
    image.SeriesInstanceUID = series_uid
    image.StudyID = "1"
    image.SeriesNumber = number
    image.AcquisitionNumber = 1
    image.FrameOfReferenceUID = volume.frame_of_reference_uid or derive_uid(study.uid, "frame of reference")
    image.PositionReferenceIndicator = ""
    image.SpacingBetweenSlices = _decimal(volume.spacing_mm[0])
    image.ImageOrientationPatient = [_decimal(value) for axis in (2, 1) for value in volume.axes[axis]]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = volume.hu.shape[1:]
    image.PixelSpacing = [_decimal(volume.spacing_mm[1]), _decimal(volume.spacing_mm[2])]
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.WindowCenter, image.WindowWidth = -600, 1500  # lung
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = RESCALE_INTERCEPT, 1, "HU"
    return image


def _write_image(
    common: Dataset,
    volume: Volume,
    plane: int,
    number: int,
    pixels: NDArray[np.int16],
    transfer_syntax: str,
    path: Path,
) -> None:
    """Write one plane; `common` is used up as its template."""
    origin_mm = np.asarray(volume.origin_mm) + plane * volume.spacing_mm[0] * volume.axes[0]
    image = FileDataset("", common, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    image.SOPInstanceUID = derive_uid(common.SeriesInstanceUID, str(number))
    image.InstanceNumber = number
    image.ImagePositionPatient = [_decimal(value) for value in origin_mm]
    image.SliceLocation = _decimal(origin_mm[2])
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    meta = image.file_meta
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "MIPC"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _encode(image, transfer_syntax)
    image.save_as(path, enforce_file_format=True)


def _encode(image: FileDataset, transfer_syntax: str) -> None:
    """Set the transfer syntax; encapsulated pixels are encoded, native ones are as they are."""
    syntax = UID(transfer_syntax)
    if syntax.is_encapsulated:
        image.compress(syntax, generate_instance_uid=False)
    else:
        image.file_meta.TransferSyntaxUID = syntax


def _decimal(value: float) -> str:
    """Return a Decimal String of at most 16 characters (PS3.5 6.2), to 0.01 micrometres."""
    return f"{value + 0.0:.8f}".rstrip("0").rstrip(".")
