"""A scan of a sharp, noisy kernel as a soft-tissue kernel would show it.

Lung kernels (B60 to B70) show every detail at several times its contrast, and the noise with it; edges
overshoot. The model has learnt from such scans too, but on one of two scanners it finds more once they are
softened (docs/model.md). So where single voxels are noisier than those of soft-tissue kernels, a Gaussian in
the plane takes noise away until they are not, but no more than makes the scan as soft as such a kernel: a low
dose stays what it is, and a sharp kernel without noise as well.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imaging.filters import gaussian
from imaging.resolution import measure_resolution, voxel_noise_hu
from records.model import Volume

__all__ = ["softened"]

USUAL_NOISE_HU = 25.0  # of single voxels; five scans of soft-tissue kernels had 7 to 15
SOFT_MM = 0.55  # blur of a soft-tissue kernel; those scans had 0.42 to 0.68
STEPS = 4
PLANES = 10  # looked at for noise, without the eighth at either end
FLAT_MM = 1e6  # between planes, so that nothing is blurred across them


def softened(volume: Volume) -> Volume:
    """Return the scan without noise finer than a soft-tissue kernel shows; most come back as they are."""
    some = _some_planes(volume.hu)
    if voxel_noise_hu(some) <= USUAL_NOISE_HU:
        return volume
    sigma_mm = measure_resolution(volume).in_plane_sigma_mm
    if sigma_mm >= SOFT_MM:
        return volume
    spacing_mm = (FLAT_MM, *volume.spacing_mm[1:])
    most_mm = float(np.sqrt(SOFT_MM**2 - sigma_mm**2))
    for step in range(1, STEPS + 1):
        blur_mm = most_mm * step / STEPS
        if voxel_noise_hu(gaussian(some, blur_mm, spacing_mm)) <= USUAL_NOISE_HU:
            break
    return replace(volume, hu=np.rint(gaussian(volume.hu, blur_mm, spacing_mm)).astype(np.int16))


def _some_planes(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    edge = len(hu) // 8
    return hu[edge : len(hu) - edge : max(1, len(hu) // PLANES)]
