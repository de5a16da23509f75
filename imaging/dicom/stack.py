"""From the places of single images to one regular stack, or a refusal that says what is wrong.

Image Position and Image Orientation (Patient) alone decide. Slice Thickness says
how much tissue an image averages, Slice Location and Instance Number are labels,
and files come in any order (DICOM PS3.3 C.7.6.2.1.1).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.energy import kev_from_usual
from imaging.dicom.files import Frame
from imaging.dicom.passes import passes
from imaging.dicom.plain import why_no_slice
from imaging.dicom.scans import scans_of
from records.errors import GeometryError, Reason
from records.model import Point

__all__ = ["Stack", "build_stack"]

FloatArray = NDArray[np.float64]

SAME_PLACE_MM = 0.05  # closer than any two slices of a CT, wider than a rounded position
OFF_GRID = 0.1  # of the spacing; positions rounded to 0.1 mm at 0.6 mm slices are 0.05 mm off
TILT_DEGREES = 1.0  # a stack of 300 mm sheared by 1 degree is 5 mm off at its end
ALIGNED_DEGREES = 0.01  # below this the stack is taken as square
COSINE_STEP = 1e-3  # of a direction: 0.06 degrees
PIXEL_STEP_MM = 1e-4
SIDEWAYS_MM = 1.0  # how far a slice may lie beside the line through the others


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Images that make one regular volume.

    Attributes
    ----------
    frames : tuple of Frame
        From the most caudal up (for an upright stack: by Image Position along the normal).
    origin_mm : Point
        Centre of the first pixel of the first frame, LPS.
    axes : (3, 3) ndarray
        Unit vectors, LPS: across the planes, down a column, along a row.
    spacing_mm : Point
        Between planes, rows, columns.
    notes : tuple of str
        What was set aside to get there.
    """

    frames: tuple[Frame, ...]
    origin_mm: Point
    axes: FloatArray
    spacing_mm: Point
    notes: tuple[str, ...]

    @property
    def frame_of_reference_uid(self) -> str:
        """In which the images lie, "" if they do not say it."""
        return self.frames[0].frame_of_reference_uid

    @property
    def extent_mm(self) -> float:
        """From the first plane's outer face to the last one's."""
        return len(self.frames) * self.spacing_mm[0]

    @property
    def slice_thickness_mm(self) -> float | None:
        """The greatest Slice Thickness (0018,0050) of its images, None if none says it."""
        return max(frame.reconstruction.slice_thickness_mm or 0.0 for frame in self.frames) or None

    @property
    def tilt_from_axial_degrees(self) -> float:
        """Angle between the image plane and the axial plane."""
        normal = np.cross(self.axes[2], self.axes[1])
        return float(np.degrees(np.arccos(min(1.0, abs(normal[2])))))


def build_stack(frames: Sequence[Frame]) -> Stack:
    """Return the one regular stack that `frames` make.

    Images that do not fit the rest are set aside where the rest is complete
    without them: what is no slice, a few of another matrix, pixel spacing or
    orientation, and second images of the same place. Where one series holds
    several acquisitions or reconstructions that make no volume together, or one
    of images that lie in between each other's or on the same places, the largest
    that makes one alone is taken, and so it is where images name several frames of
    reference. Each is noted.

    Raises
    ------
    GeometryError
        `too_few_slices`, `mixed_geometry` (no common grid or frame of reference, or uneven
        gaps), `slices_missing`, `gantry_tilt`.
    """
    slices = [frame for frame in frames if not why_no_slice(frame)] or list(frames)
    scans = scans_of(slices)
    stack = _largest_scan(scans, len(slices)) if len(scans) > 1 else _stack_of_slices(slices)
    pictures = len(frames) - len(slices)
    note = f"images left out since they are no plain slices of a CT: {pictures}"
    return replace(stack, notes=(note, *stack.notes)) if pictures else stack


def _largest_scan(scans: Sequence[Sequence[Frame]], images: int) -> Stack:
    """Return the stack of the largest of several scans that makes one."""
    what = "scans that share no coordinates (Frame of Reference UID)"
    if largest := _largest(scans, images, _stack_of_slices, what):
        return largest
    raise GeometryError(
        Reason.MIXED_GEOMETRY,
        f"{images} images name {len(scans)} frames of reference, so that nothing says how they lie to each "
        "other, and none holds a third of them in one regular stack",
    )


def _stack_of_slices(frames: Sequence[Frame]) -> Stack:
    by_reconstruction: dict[object, list[Frame]] = {}
    for frame in frames:
        by_reconstruction.setdefault(frame.reconstruction, []).append(frame)
    parts = [run for part in by_reconstruction.values() for run in passes(part)]
    try:
        whole = _stack_of(frames)
    except GeometryError:
        alone = _largest_alone(parts, len(frames)) if len(parts) > 1 else None
        if alone is None:
            raise
        return alone
    if len(parts) > 1:
        alone = _largest_alone(parts, len(frames))
        if alone and (_lie_between(whole, alone) or _lie_upon(whole, alone, parts)):
            return alone
    return whole


def _largest_alone(parts: Sequence[Sequence[Frame]], images: int) -> Stack | None:
    """Return the stack of the largest acquisition or reconstruction that makes one, None if none does."""
    return _largest(parts, images, _stack_of, "acquisitions or reconstructions")


def _largest(
    parts: Sequence[Sequence[Frame]], images: int, build: Callable[[Sequence[Frame]], Stack], what: str
) -> Stack | None:
    """Return what is built of the largest part that makes a stack, with a note; None if none does."""
    for part in sorted(parts, key=lambda part: (-len(part), min(map(_preference, part)))):
        if len(part) * 3 < images:  # a fragment is not what the series is
            break
        try:
            stack = build(part)
        except GeometryError:
            continue
        note = f"the series holds {len(parts)} {what}; one with {len(part)} of {images} images was taken"
        return replace(stack, notes=(note, *stack.notes))
    return None


def _lie_between(whole: Stack, alone: Stack) -> bool:
    """Whether the others lie between the planes of one that is as long: another breath, or another kernel."""
    is_wider = alone.spacing_mm[0] > 1.5 * whole.spacing_mm[0]
    return is_wider and alone.extent_mm >= whole.extent_mm - alone.spacing_mm[0]


def _lie_upon(whole: Stack, alone: Stack, parts: Sequence[Sequence[Frame]]) -> bool:
    """Whether another large part lies mostly where `alone` does and goes on beyond: another breath."""
    if len(whole.frames) == len(alone.frames):
        return False
    across = np.cross(alone.axes[2], alone.axes[1])
    taken = {id(frame) for frame in alone.frames}
    low, high = sorted(_height_mm(alone.frames[end], across) for end in (0, -1))
    images = sum(map(len, parts))
    for part in parts:
        heights = [
            _height_mm(frame, across) for frame in part if frame.position_mm and id(frame) not in taken
        ]
        upon = sum(low - SAME_PLACE_MM < height < high + SAME_PLACE_MM for height in heights)
        if len(heights) * 3 >= images and upon * 2 > len(heights):
            return True
    return False


def _height_mm(frame: Frame, across: NDArray[np.float64]) -> float:
    """Return how high an image lies along the normal of its plane."""
    return float(np.dot(frame.position_mm or (0, 0, 0), across))


def _stack_of(frames: Sequence[Frame]) -> Stack:
    grid, others, notes = _largest_grid(frames)
    across, down, along = _axes(grid[0])
    grid, doubles = _one_per_place(grid, across)
    if doubles:
        notes.append(f"images that lie where another one lies: {doubles}; one of each place was kept")
    if len(grid) < 2:
        raise GeometryError(
            Reason.TOO_FEW_SLICES, f"a volume needs slices at 2 places or more, got {len(grid)}"
        )
    positions = np.array([frame.position_mm for frame in grid])
    heights_mm = positions @ across
    steps = _steps(heights_mm)
    _check_complete(steps, heights_mm, [frame.position_mm for frame in others], across)
    spacing_mm = float((heights_mm[-1] - heights_mm[0]) / steps.sum())
    _check_even(heights_mm, spacing_mm)
    lean = _lean(positions, heights_mm, across)
    stacking = across + lean
    degrees = float(np.degrees(np.arctan(np.linalg.norm(lean))))
    if degrees > TILT_DEGREES:
        raise GeometryError(
            Reason.GANTRY_TILT,
            f"the slices are sheared by {degrees:.1f} degrees (gantry tilt); up to {TILT_DEGREES:g} is read",
        )
    if degrees < ALIGNED_DEGREES:
        stacking = across
    length = float(np.linalg.norm(stacking))
    spacing = grid[0].pixel_spacing_mm
    assert spacing is not None  # _largest_grid kept only frames that have it
    return Stack(
        frames=tuple(grid),
        origin_mm=(float(positions[0][0]), float(positions[0][1]), float(positions[0][2])),
        axes=np.stack([stacking / length, down, along]),
        spacing_mm=(spacing_mm * length, spacing[0], spacing[1]),
        notes=tuple(notes),
    )


def _largest_grid(frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame], list[str]]:
    """Return the frames of the commonest matrix, pixel spacing and orientation; the rest; notes."""
    placed = [frame for frame in frames if frame.position_mm and frame.orientation and frame.pixel_spacing_mm]
    if not placed:
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"none of {len(frames)} images says both where in the patient it lies and how far its pixels are "
            "apart (Image Position, Image Orientation, Pixel Spacing)",
        )
    keys = [_grid_key(frame) for frame in placed]
    counts = Counter(keys)
    best = min(counts, key=lambda key: (-counts[key], key))
    grid = [frame for frame, key in zip(placed, keys, strict=True) if _is_one_grid(key, best)]
    others = [frame for frame, key in zip(placed, keys, strict=True) if not _is_one_grid(key, best)]
    notes = []
    if len(placed) < len(frames):
        unplaced = len(frames) - len(placed)
        notes.append(
            f"images left out since they do not say where they lie, or how far their pixels are apart: "
            f"{unplaced}"
        )
    if others:
        rows, columns = grid[0].format.rows, grid[0].format.columns
        notes.append(
            f"images left out since their matrix, pixel spacing or orientation is not that of the "
            f"{rows} x {columns} others: {len(others)}"
        )
    return grid, others, notes


def _grid_key(frame: Frame) -> tuple[int, ...]:
    """Return matrix, pixel spacing and orientation in whole steps."""
    assert frame.orientation is not None  # placed frames have both
    assert frame.pixel_spacing_mm is not None
    spacing = (round(mm / PIXEL_STEP_MM) for mm in frame.pixel_spacing_mm)
    cosines = (round(cosine / COSINE_STEP) for cosine in frame.orientation)
    return (frame.format.rows, frame.format.columns, *spacing, *cosines)


def _is_one_grid(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two keys are of one matrix and at most a step apart, as values on the verge of a step are."""
    return one[:2] == other[:2] and all(abs(a - b) <= 1 for a, b in zip(one[2:], other[2:], strict=True))


def _axes(frame: Frame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return unit vectors across (towards the head), down a column and along a row."""
    cosines = np.array(frame.orientation, dtype=np.float64)
    along, down = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if abs(lengths[0] - 1) > 0.01 or abs(lengths[1] - 1) > 0.01 or abs(along @ down) > 0.01:
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"Image Orientation (Patient) {tuple(cosines.tolist())} is not two perpendicular unit vectors",
        )
    along, down = along / lengths[0], down / lengths[1]
    across = np.cross(along, down)
    across /= np.linalg.norm(across)
    # Towards the head; where the planes stand upright, towards the left or the back.
    leading = across[np.argmax(np.abs(across))] if abs(across[2]) < 1e-3 else across[2]
    return (across if leading > 0 else -across), down, along


def _preference(frame: Frame) -> tuple[object, ...]:
    """Order images of one place by what they say, never by how they came."""
    return (
        frame.reconstruction.acquisition,
        frame.reconstruction.kernel,
        kev_from_usual(frame.reconstruction.energy_kev),
        frame.reconstruction.slice_thickness_mm or 0.0,
        frame.instance_number,
        frame.sop_instance_uid,
        frame.number,
        frame.source,
    )


def _one_per_place(frames: Iterable[Frame], across: FloatArray) -> tuple[list[Frame], int]:
    """Sort along `across` and keep one image of each place: of the reconstruction most images are of."""
    frames = list(frames)
    counts = Counter(frame.reconstruction for frame in frames)
    by_choice = sorted(frames, key=lambda frame: (-counts[frame.reconstruction], _preference(frame)))
    heights = {id(frame): _height_mm(frame, across) for frame in frames}
    by_height = sorted(by_choice, key=lambda frame: heights[id(frame)])
    groups: list[list[Frame]] = []
    for frame in by_height:
        if groups and heights[id(frame)] - heights[id(groups[-1][0])] < SAME_PLACE_MM:
            groups[-1].append(frame)
        else:
            groups.append([frame])
    rank = {id(frame): position for position, frame in enumerate(by_choice)}
    for group in groups:
        group.sort(key=lambda frame: rank[id(frame)])
    _check_belonging(groups)
    return [group[0] for group in groups], len(frames) - len(groups)


def _check_belonging(groups: Sequence[Sequence[Frame]]) -> None:
    """Refuse two scans in one that nothing tells apart: an image of each, by turns, is no scan."""
    in_file = Counter(frame.sop_instance_uid for group in groups for frame in group)
    alike = sum(
        len(group) > 1
        and in_file[group[0].sop_instance_uid] == 1  # of a multi-frame file all frames are taken, or none
        and group[0].reconstruction == group[1].reconstruction
        and group[0].instance_number == group[1].instance_number
        for group in groups
    )
    if alike * 3 > len(groups):
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"at {alike} of {len(groups)} places lie two images of one acquisition and Instance Number: "
            "these are two scans, and nothing says which images belong together",
        )


def _steps(heights_mm: FloatArray) -> NDArray[np.int64]:
    """Return how many spacings each gap is: 1 where no slice is missing."""
    gaps = np.diff(heights_mm)
    usual = np.sort(gaps)[(len(gaps) - 1) // 2]
    steps: NDArray[np.int64] = np.rint(gaps / usual).astype(np.int64)
    return np.maximum(steps, 1)


def _check_complete(
    steps: NDArray[np.int64], heights_mm: FloatArray, others: Sequence[Point | None], across: FloatArray
) -> None:
    missing = int(steps.sum()) - len(steps)
    if not missing:
        return
    first = int(np.argmax(steps > 1))
    below, above = heights_mm[first], heights_mm[first + 1]
    if any(below < np.dot(place or (0, 0, 0), across) < above for place in others):
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"images amid the others of another matrix, pixel spacing or orientation: {len(others)}; "
            f"without them slices are missing between {below:.1f} and {above:.1f} mm",
        )
    raise GeometryError(
        Reason.SLICES_MISSING,
        f"slices missing: {missing} of {len(steps) + 1 + missing}, "
        f"the first between {below:.1f} and {above:.1f} mm",
    )


def _check_even(heights_mm: FloatArray, spacing_mm: float) -> None:
    off = heights_mm - (heights_mm[0] + spacing_mm * np.arange(len(heights_mm)))
    off -= (off.max() + off.min()) / 2  # the grid that fits best
    if np.abs(off).max() > OFF_GRID * spacing_mm:
        gaps = np.diff(heights_mm)
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"slices are unevenly spaced: gaps of {gaps.min():.2f} to {gaps.max():.2f} mm "
            f"where {spacing_mm:.2f} mm is expected",
        )


def _lean(positions: FloatArray, heights_mm: FloatArray, across: FloatArray) -> FloatArray:
    """Return the sideways step per millimetre of height: zero unless the gantry was tilted."""
    sideways = positions - np.outer(heights_mm, across)
    lean: FloatArray = (sideways[-1] - sideways[0]) / (heights_mm[-1] - heights_mm[0])
    off = sideways - sideways[0] - np.outer(heights_mm - heights_mm[0], lean)
    furthest_mm = float(np.linalg.norm(off, axis=1).max())
    if furthest_mm > SIDEWAYS_MM:
        raise GeometryError(
            Reason.MIXED_GEOMETRY,
            f"the images do not lie above each other: one is {furthest_mm:.1f} mm beside the others' line",
        )
    return lean
