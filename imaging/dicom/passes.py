"""How often a scanner went over the patient, as Instance Numbers tell where nothing else does."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.files import Frame

__all__ = ["passes"]

LEAST_SHARE = 1 / 4  # of the images in a pass; shorter ones are disorder
MOST_PASSES = 4


def passes(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Part images of one acquisition by the passes in which their Instance Numbers go up or down the patient.

    Two scans of one Series Instance UID and one Acquisition Number, breathed in and out, say, are told apart
    by nothing else: numbered one after the other, they go over the same places twice. Numbers in disorder
    say nothing, and the images are one pass.
    """
    placed = [frame for frame in frames if frame.position_mm and frame.orientation]
    if not placed:
        return [list(frames)]
    cosines = np.array(placed[0].orientation)
    across = np.cross(cosines[:3], cosines[3:])
    ordered = sorted(placed, key=lambda one: (one.instance_number, one.sop_instance_uid, one.number))
    heights = np.array([frame.position_mm for frame in ordered]) @ across
    found = _monotone(heights)
    large = [one for one in found if len(one) >= LEAST_SHARE * len(ordered)]
    if not 2 <= len(large) <= len(found) <= MOST_PASSES:
        return [list(frames)]
    return [[ordered[index] for index in one] for one in found]


def _monotone(heights: NDArray[np.float64]) -> list[list[int]]:
    """Return the indices of `heights` parted where they turn or jump back."""
    steps = np.diff(heights)
    found = [[0]]
    for index, step in enumerate(steps, start=1):
        current = found[-1]
        if len(current) == 1 or step * steps[current[0]] > 0:
            current.append(index)
            continue
        # Where it turns, the last one may be the first of the way back: its step is not like those before.
        is_back = len(current) > 2 and not np.isclose(steps[index - 2], steps[current[0]], rtol=0.1)
        found.append([current.pop(), index] if is_back else [index])
    return found
