"""From stored values to Hounsfield units, and the check that they are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.files import Frame, PixelFormat, Rescale
from records.errors import Reason, SeriesError

__all__ = ["AIR_HU", "check_hounsfield", "rescale_fault", "to_hounsfield"]

Hounsfield = NDArray[np.int16]

AIR_HU = -1024  # the floor: outside the field of view, and what noise takes below it

# Every chest holds lung and soft tissue. In ../shared/ct the shares are 36-60 % and 22-36 %; a rescale
# that is off by 1024 or by a factor of two leaves one of them below 0.2 %.
LEAST_SHARE = 0.01
GAS_BELOW_HU = -500
SOFT_TISSUE_HU = (-200, 200)

# From one slice to the next these shares hardly change: in ../shared/ct and sample_dicoms the smaller of two
# neighbours is 0.91 of the larger or more. A rescale that is off by 400 in one of them halves a share.
LEAST_OF_NEIGHBOUR = 0.5
TELLING_SHARE = 0.1  # below this a share may end from one slice to the next, as the lungs do

# A padding value between these could also be a tissue's, and is padding only outside the circle of
# reconstruction; below or above it can be nothing else.
TISSUE_HU = (-1000, 3071)


def rescale_fault(frames: Sequence[Frame]) -> str:
    """Return why stored values of `frames` cannot become Hounsfield units, "" if they can."""
    for frame in frames:
        if frame.rescale is None:
            return (
                "Rescale Slope or Intercept is absent or no number: the pixel values are not Hounsfield units"
            )
        # Absent means HU for a CT image (PS3.3 C.8.2.1.1.4).
        if frame.rescale.type not in {"", "HU"}:
            return f"Rescale Type is '{frame.rescale.type[:16]}', HU is expected"
    return ""


def to_hounsfield(stored: NDArray[np.uint16], frames: Sequence[Frame], *, threads: int = 2) -> Hounsfield:
    """Rescale in place and return the same memory as Hounsfield units.

    Parameters
    ----------
    stored : (frames, rows, columns) uint16 ndarray
        Bit patterns, as `read_stored` gives them; overwritten.
    frames : sequence of Frame
        One a plane, each with its own rescale, format and padding.

    Returns
    -------
    (frames, rows, columns) int16 ndarray
        HU, rounded, from -1024 up; padding is -1024.

    Notes
    -----
    A CT pixel has 16 bits, so signedness, unused high bits, rescale, padding and
    limits make one table of 65,536 entries, whatever the scanner wrote.
    """
    hu: Hounsfield = stored.view(np.int16)
    tables: dict[tuple[PixelFormat, Rescale | None], Hounsfield] = {}

    def rescale_plane(plane: int) -> None:
        frame = frames[plane]
        padded = _tissue_like_padding(stored[plane], frame)
        hu[plane] = tables[frame.format, frame.rescale].take(stored[plane], mode="wrap")
        if padded is not None:
            hu[plane][padded] = AIR_HU

    for frame in frames:
        if (frame.format, frame.rescale) not in tables:
            tables[frame.format, frame.rescale] = _table(frame)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(rescale_plane, range(len(frames))):
            pass
    return hu


def check_hounsfield(hu: Hounsfield) -> None:
    """Raise unless gas and soft tissue lie where Hounsfield units have them, all through the scan.

    Raises
    ------
    SeriesError
        `not_hu` if the scan, or a slice beside its neighbour, has other values than a chest;
        `slices_missing` if slices amid the others are blank.
    """
    sample = hu[:, ::8, ::8]
    shares = (
        ("gas (below -500 HU)", np.mean(sample < GAS_BELOW_HU, axis=(1, 2))),
        (
            "soft tissue (-200 to 200 HU)",
            np.mean((sample > SOFT_TISSUE_HU[0]) & (sample < SOFT_TISSUE_HU[1]), axis=(1, 2)),
        ),
    )
    for what, share in shares:
        if share.mean() < LEAST_SHARE:
            raise SeriesError(
                Reason.NOT_HU,
                f"the values are not Hounsfield units of a chest: {share.mean():.1%} of voxels are {what}, "
                f"at least {LEAST_SHARE:.0%} expected",
            )
    shown = _shown_planes(sample)
    for what, share in shares:
        _check_neighbours(what, share, shown)


def _shown_planes(sample: Hounsfield) -> NDArray[np.intp]:
    """Return the planes that show anything; those before the first and after the last may be blank."""
    shown = np.flatnonzero(sample.min(axis=(1, 2)) < sample.max(axis=(1, 2)))
    blank = int(shown[-1] - shown[0] + 1 - len(shown))
    if blank:
        raise SeriesError(Reason.SLICES_MISSING, f"slices that are blank, amid others that are not: {blank}")
    return shown


def _check_neighbours(what: str, share: NDArray[np.float64], shown: NDArray[np.intp]) -> None:
    """Refuse a slice whose values are not on the scale of the next one's."""
    pairs = np.stack([share[shown[:-1]], share[shown[1:]]])
    jumps = (pairs.max(axis=0) > TELLING_SHARE) & (pairs.min(axis=0) < LEAST_OF_NEIGHBOUR * pairs.max(axis=0))
    if jumps.any():
        first = int(np.argmax(jumps))
        one, next_one = pairs[:, first]
        raise SeriesError(
            Reason.NOT_HU,
            f"the slices are not on one scale of Hounsfield units: of slice {shown[first] + 1} "
            f"(the lowest is 1) {one:.0%} are {what}, of the next one {next_one:.0%}",
        )


def _values(image: PixelFormat) -> NDArray[np.int64]:
    """Return the number that each 16-bit pattern stands for; bits above Bits Stored are not the pixel's."""
    values: NDArray[np.int64] = np.arange(2**16, dtype=np.int64) & (2**image.bits_stored - 1)
    if image.is_signed:
        values[values >= 2 ** (image.bits_stored - 1)] -= 2**image.bits_stored
    return values


def _rescaled(frame: Frame) -> NDArray[np.float64]:
    assert frame.rescale is not None  # rescale_fault has been asked
    values = _values(frame.format).astype(np.float64)
    return values * frame.rescale.slope + frame.rescale.intercept


def _padding_patterns(image: PixelFormat) -> NDArray[np.bool_]:
    """Return which patterns are declared as padding (PS3.3 C.7.5.1.1.2)."""
    if image.padding is None:
        return np.zeros(2**16, dtype=bool)
    values = _values(image)
    # The VR of the padding value is often the wrong one (US for a signed image): compare bit patterns.
    low, high = sorted(values[list(image.padding)])
    declared: NDArray[np.bool_] = (values >= low) & (values <= high)
    return declared


def _table(frame: Frame) -> Hounsfield:
    exact = _rescaled(frame)
    limit = np.iinfo(np.int16).max
    table: Hounsfield = np.clip(np.rint(exact), AIR_HU, limit).astype(np.int16)
    unmistakable = (exact <= TISSUE_HU[0]) | (exact > TISSUE_HU[1])
    table[_padding_patterns(frame.format) & unmistakable] = AIR_HU
    return table


def _tissue_like_padding(stored: NDArray[np.uint16], frame: Frame) -> NDArray[np.bool_] | None:
    """Return where padding with the value of a tissue lies: outside the circle of reconstruction."""
    if frame.format.padding is None:
        return None
    exact = _rescaled(frame)[frame.format.padding[0]]
    if exact <= TISSUE_HU[0] or exact > TISSUE_HU[1]:
        return None
    rows, columns = np.ogrid[-1 : 1 : stored.shape[0] * 1j, -1 : 1 : stored.shape[1] * 1j]
    outside: NDArray[np.bool_] = rows**2 + columns**2 > 1
    return outside & _padding_patterns(frame.format)[stored]
