"""One series read into a volume of Hounsfield units."""

from imaging.dicom.files import SeriesFiles
from imaging.dicom.hounsfield import check_hounsfield, rescale_fault, to_hounsfield
from imaging.dicom.pixels import read_stored
from imaging.dicom.stack import build_stack
from records.errors import Reason, ScreeningError, SeriesError
from records.model import Volume

__all__ = ["read_volume"]

MAX_VOXELS = 2**31  # 4 GiB of memory; 8,000 slices of 512 x 512


def read_volume(series: SeriesFiles, *, threads: int = 2) -> Volume:
    """Read the pixels of `series`.

    Parameters
    ----------
    series : SeriesFiles
        CT, as `choose_series` picks it.
    threads : int
        Files read at the same time.

    Returns
    -------
    Volume
        Plane 0 the most caudal, `axes` as the images lie; `notes` say what was set aside.

    Raises
    ------
    GeometryError
        If the images make no regular stack; says why.
    SeriesError
        `unreadable_pixels` or `not_hu`, naming the file where there is one.
    """
    try:
        return _read(series, threads)
    except ScreeningError as error:
        error.add_note(f"{series.label}, {series.uid}")
        raise


def _read(series: SeriesFiles, threads: int) -> Volume:
    if series.damaged:
        raise SeriesError(Reason.UNREADABLE_PIXELS, series.damaged[0].sentence)
    stack = build_stack(series.frames)
    first = stack.frames[0]
    voxels = len(stack.frames) * first.format.rows * first.format.columns
    if voxels > MAX_VOXELS:
        raise SeriesError(
            Reason.UNREADABLE_PIXELS, f"{voxels:,} voxels are more than one scan has (at most {MAX_VOXELS:,})"
        )
    if any(frame.format.bits_allocated != 16 or frame.format.samples != 1 for frame in stack.frames):
        raise SeriesError(Reason.UNREADABLE_PIXELS, "a CT pixel is one value of 16 bits, these are not")
    fault = rescale_fault(stack.frames)
    if fault:
        raise SeriesError(Reason.NOT_HU, fault)
    stored = read_stored(stack.frames, threads=threads)
    hu = to_hounsfield(stored, stack.frames, threads=threads)
    check_hounsfield(hu)
    return Volume(
        hu=hu,
        origin_mm=stack.origin_mm,
        axes=stack.axes,
        spacing_mm=stack.spacing_mm,
        slice_thickness_mm=stack.slice_thickness_mm,
        kernel=first.reconstruction.kernel,
        series_uid=series.uid,
        frame_of_reference_uid=stack.frame_of_reference_uid or series.frame_of_reference_uid,
        sop_instance_uids=tuple(frame.sop_instance_uid for frame in stack.frames),
        notes=(*filter(None, (series.copies_in_words,)), *stack.notes),
    )
