"""Enhanced and legacy converted CT: many frames in one file, their geometry in functional groups."""

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from imaging.dicom.energy import stated_kev
from imaging.dicom.files import Frame, PixelFormat, Reconstruction, Rescale
from imaging.dicom.sources import Source
from imaging.dicom.uids import derive_uid, is_uid
from imaging.dicom.values import pixel_spacing_of, point_of

__all__ = ["read_frames"]


def read_frames(
    source: Source,
    dataset: Dataset,
    sop_class: str,
    image: PixelFormat,
    pixels_at: int,
    pixels_length: int | None,
) -> tuple[Frame, ...]:
    """Return the frames of a multi-frame CT file.

    What a frame does not say itself is taken from the shared functional groups
    (PS3.3 C.7.6.16). Frames without a place keep None there.
    """
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    uid = str(dataset.get("SOPInstanceUID", ""))
    reference = str(dataset.get("FrameOfReferenceUID", ""))
    file_type = _texts(dataset, "ImageType")
    made: dict[Reconstruction, Reconstruction] = {}
    frames = []
    for number in range(image.frames):
        own = groups[number] if number < len(groups) else Dataset()
        reconstruction = _reconstruction(own, shared, sop_class, file_type)
        measures = _group(own, shared, "PixelMeasuresSequence")
        frames.append(
            Frame(
                source=source,
                number=number,
                sop_instance_uid=_regular(uid),
                instance_number=number + 1,
                position_mm=point_of(
                    _floats(_group(own, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
                ),
                orientation=_floats(
                    _group(own, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6
                ),
                pixel_spacing_mm=pixel_spacing_of(_floats(measures, "PixelSpacing", 2)),
                rescale=_rescale(_group(own, shared, "PixelValueTransformationSequence")),
                reconstruction=made.setdefault(reconstruction, reconstruction),
                format=image,
                pixels_at=pixels_at,
                pixels_length=pixels_length,
                frame_of_reference_uid=_regular(reference) if reference else "",
            )
        )
    return tuple(frames)


def _regular(uid: str) -> str:
    return uid if is_uid(uid) else derive_uid("irregular", uid)


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def _group(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    return _first(own, keyword) or _first(shared, keyword)


def _floats(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    value = dataset.get(keyword)
    values = list(value) if isinstance(value, MultiValue) else [value]
    if len(values) != count or any(part is None for part in values):
        return None
    numbers = tuple(float(part) for part in values)
    return numbers if all(abs(number) < 1e9 for number in numbers) else None  # false for nan and inf


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = dataset.get(keyword) or ()
    return tuple(str(part) for part in ([value] if isinstance(value, str) else value))


def _rescale(group: Dataset) -> Rescale | None:
    slope, intercept = _floats(group, "RescaleSlope", 1), _floats(group, "RescaleIntercept", 1)
    if not slope or not intercept or slope[0] == 0:
        return None
    return Rescale(slope[0], intercept[0], str(group.get("RescaleType", "")))


def _reconstruction(
    own: Dataset, shared: Dataset, sop_class: str, file_type: tuple[str, ...]
) -> Reconstruction:
    content = _first(own, "FrameContentSequence")
    thickness = _floats(_group(own, shared, "PixelMeasuresSequence"), "SliceThickness", 1)
    # Legacy converted files keep what has no macro of its own in these two.
    leftover = _group(own, shared, "UnassignedPerFrameConvertedAttributesSequence") or _first(
        shared, "UnassignedSharedConvertedAttributesSequence"
    )
    kernels = _texts(_group(own, shared, "CTReconstructionSequence") or leftover, "ConvolutionKernel")
    types = _texts(_group(own, shared, "CTImageFrameTypeSequence"), "FrameType") or file_type
    acquisition = content.get("FrameAcquisitionNumber") or content.get("TemporalPositionIndex") or 0
    return Reconstruction(
        sop_class_uid=sop_class,
        image_type=tuple(part.upper() for part in types),
        kernel=kernels[0][:64] if kernels else "",
        slice_thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        acquisition=int(acquisition),
        energy_kev=stated_kev(own) or stated_kev(shared),
    )
