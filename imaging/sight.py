"""How far a nodule stands out in a scan: its visibility.

Whether a nodule is found depends on its mass (contrast times volume; at sizes near the blur nothing else can
be seen of it) over the noise that a filter matched to the scanner's blur leaves. The cube root grows like a
diameter: a bright nodule of 2 mm and a faint one of 2.5 mm are found alike, and so they are on coarse and
fine voxels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.resolution import Resolution

__all__ = ["Sight"]

Floats = NDArray[np.float64]

PARENCHYMA_HU = -850.0  # the lungs measured -848 to -876; a contrast is good to 4 %, a visibility to 1 %
LEAST_CONTRAST_HU = 10.0
USUAL_POINT_MM3 = 4.2  # root of voxel times blur, on slices of 2.5 mm


@dataclass(frozen=True, slots=True)
class Sight:
    """What a scan can show.

    Attributes
    ----------
    least_mass_hu_mm3 : float
        Contrast times volume of the point that a filter matched to the blur shows at one standard
        deviation of white noise: noise * sqrt(voxel volume / integral of the squared point-spread function).
    clutter : float
        How much else a scan shows, as against a usual one. The finer a scan, the smaller the forks of vessels
        that stand out in it; with every halving of the mass there are twice as many, since vessels branch
        alike at every size. Noise hides no forks: it makes marks of its own.
    """

    least_mass_hu_mm3: float
    clutter: float = 1.0

    @classmethod
    def of(cls, resolution: Resolution, spacing_mm: tuple[float, float, float], noise_hu: float) -> "Sight":
        """Return what a scan of this blur, grid and noise of single voxels can show."""
        # A box of the slice thickness, its ends smoothed over a quarter of it.
        along_mm = resolution.slice_thickness_mm * np.sqrt(1 / 12 + 1 / 16)
        blur_mm3 = 8 * np.pi**1.5 * resolution.in_plane_sigma_mm**2 * along_mm
        point_mm3 = float(np.sqrt(np.prod(spacing_mm) * blur_mm3))
        return cls(noise_hu * point_mm3, USUAL_POINT_MM3 / point_mm3)

    def visibility(self, diameter_mm: Floats, hu: Floats) -> Floats:
        """Return how far balls stand out: the cube root of their mass over the least mass."""
        contrast = np.maximum(hu - PARENCHYMA_HU, LEAST_CONTRAST_HU)
        mass = contrast * np.pi / 6 * np.asarray(diameter_mm) ** 3
        return np.asarray(np.cbrt(mass / self.least_mass_hu_mm3))
