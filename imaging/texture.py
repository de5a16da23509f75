"""What the lung between the nodules looks like: sheets and haze.

A random but seeded sample of places is looked at. A thickened septum is a sheet: bright against both sides,
and it goes on in every direction of its own plane, where a vessel goes on in two and a nodule in none. Ground
glass is where even the darkest surroundings of a place are too bright for air: lungs that breathe in less are
denser as a whole, so they are compared with what these lungs mostly are. Lungs that are dense all over may be
breathed out or hazy: the interval then holds both.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import ScaleSpace
from imaging.count import share_of
from imaging.filters import in_slabs
from imaging.geometry import directions
from imaging.lungs import Lungs
from imaging.probes import at
from records.model import Estimate

__all__ = ["Texture", "haze_of", "measure_texture"]

SAMPLES = 20_000
DEPTH_MM = 6.0  # from the pleura and the hilum, which are sheets themselves
BAND = 1  # of the scales: a septum with its blur is about 2 mm thick
SIDE_MM = 3.0  # a sheet is compared with what lies so far on both sides of it
REACH_MM = (2.5, 4.5)  # and has to go on so far
AROUND = 8  # directions in its plane
LEAST_AROUND = 7
LEAST_CONTRAST_HU = 45.0
LEAST_NOISES = 2.0
GOES_ON = 0.4  # of the contrast
SHELL_MM = 4.0
SHELL_RAYS = 26
HAZE_QUANTILE = 0.2
# Ground glass is usually counted from -750 or -700 HU; in lungs breathed in less (-790 HU at the median) the
# plain lung of the bases lies above -760. It stands out from its own lungs by so much, within these limits.
HAZE_OVER_HU, HAZE_FROM_HU, HAZE_TO_HU = 100.0, (-760.0, -700.0), -300.0
HAZE_OFF_HU = 10.0  # how far calibration and the depth of a breath move the attenuation of lung
# Lungs that are breathed out are as dense all over as lungs full of ground glass, and attenuation alone does
# not tell which. We take it that no breath brings them above -660 HU on the whole, nor the darkest twentieth
# of them within 200 HU of haze: in plain lungs haze begins 153 to 184 HU above that (five patients). What is
# published is means of -860 to -700 HU in the bases of 17 patients, breathed in and at rest (Robinson 1979,
# J Comput Assist Tomogr 3:740; EMI units doubled), and -895 to -730 HU of one volunteer at all depths of a
# breath (Kalender 1990, Radiology 175:265): the 40 HU beyond are ours.
BREATHED_OUT_TO_HU, DARKEST_SHARE, HAZE_OVER_DARKEST_HU = -560.0, 0.05, 200.0


@dataclass(frozen=True, slots=True)
class Texture:
    """Shares of the inner lung."""

    septal_index: Estimate
    haze_fraction: Estimate


def measure_texture(space: ScaleSpace, lungs: Lungs, noise_hu: float) -> Texture:
    """Measure the texture on 20,000 places, which give a share of 5 % to a tenth of itself.

    Parameters
    ----------
    space : ScaleSpace
    lungs : Lungs
    noise_hu : float
        Of the finest level.
    """
    inside = np.argwhere(lungs.depth_mm > DEPTH_MM)
    if len(inside) == 0:
        return Texture(Estimate(0.0, 0.0, 0.0), Estimate(0.0, 0.0, 0.0))
    rng = np.random.default_rng(0)
    coarse = inside[rng.integers(len(inside), size=SAMPLES)]
    places = (coarse + rng.uniform(0, 1, (SAMPLES, 3))) * np.asarray(lungs.block) - 0.5 - space.start
    out = np.empty((SAMPLES, 3))
    spacing = np.asarray(space.spacing_mm)
    least_hu = max(LEAST_CONTRAST_HU, LEAST_NOISES * noise_hu)
    sharp = space.levels[BAND]
    rays = directions(SHELL_RAYS)
    in_slabs(lambda a, b: _look(sharp, places, spacing, rays, least_hu, out, a, b), SAMPLES)
    sheets = share_of(int(np.count_nonzero(out[:, 0] > 0.5)), SAMPLES)
    return Texture(sheets, haze_of(out[:, 1], float(np.median(out[:, 2]))))


def haze_of(surroundings_hu: NDArray[np.float64], usual_hu: float) -> Estimate:
    """Return the share of places whose darkest surroundings are too bright for lungs like these.

    Its interval is that of the attenuation, `HAZE_OFF_HU` to both sides. Of lungs that are dense all over its
    lower end is the share if they are breathed out, its upper end if they are hazy, and its value the
    geometric mean.
    """
    usual_from_hu = usual_hu + HAZE_OVER_HU
    hazy_from_hu = float(np.clip(usual_from_hu, *HAZE_FROM_HU))
    darkest_hu = float(np.quantile(surroundings_hu, DARKEST_SHARE))
    breathed_out_to_hu = min(BREATHED_OUT_TO_HU, darkest_hu + HAZE_OVER_DARKEST_HU)
    breathed_out_from_hu = max(hazy_from_hu, min(usual_from_hu, breathed_out_to_hu))
    low, least, most, high = (
        float(((surroundings_hu > from_hu) & (surroundings_hu < HAZE_TO_HU)).mean())
        for from_hu in (
            breathed_out_from_hu + HAZE_OFF_HU,
            breathed_out_from_hu,
            hazy_from_hu,
            hazy_from_hu - HAZE_OFF_HU,
        )
    )
    return Estimate(float(np.sqrt(least * most)), low, high)


@njit(nogil=True, cache=True)
def _look(sharp, places, spacing_mm, rays, least_hu, out, start, stop):  # type: ignore[no-untyped-def]
    """Write for each place: 1 if it lies in a sheet, how dark its surroundings are, and how bright it is."""
    shell = np.empty(rays.shape[0])
    for n in range(start, stop):
        p, r, c = places[n, 0], places[n, 1], places[n, 2]
        for ray in range(rays.shape[0]):
            shell[ray] = at(
                sharp,
                p + SHELL_MM * rays[ray, 0] / spacing_mm[0],
                r + SHELL_MM * rays[ray, 1] / spacing_mm[1],
                c + SHELL_MM * rays[ray, 2] / spacing_mm[2],
            )
        shell.sort()
        here = at(sharp, p, r, c)
        out[n, 0] = 1.0 if _in_sheet(sharp, p, r, c, here, spacing_mm, rays, least_hu) else 0.0
        out[n, 1] = shell[int(HAZE_QUANTILE * shell.size)]
        out[n, 2] = here


@njit(nogil=True, cache=True)
def _in_sheet(image, p, r, c, here, spacing_mm, rays, least_hu):  # type: ignore[no-untyped-def]
    """Return whether a place lies in a sheet: the direction it is darkest along is the sheet's normal."""
    contrast = -1e9
    normal = np.zeros(3)
    for ray in range(rays.shape[0]):
        dp = SIDE_MM * rays[ray, 0] / spacing_mm[0]
        dr = SIDE_MM * rays[ray, 1] / spacing_mm[1]
        dc = SIDE_MM * rays[ray, 2] / spacing_mm[2]
        sides = max(at(image, p + dp, r + dr, c + dc), at(image, p - dp, r - dr, c - dc))
        if here - sides > contrast:
            contrast = here - sides
            normal[:] = rays[ray]
    if contrast < least_hu:
        return False
    first = np.zeros(3)
    first[np.argmin(np.abs(normal))] = 1.0
    first -= (first @ normal) * normal
    first /= np.sqrt(first @ first)
    second = np.array(
        [
            normal[1] * first[2] - normal[2] * first[1],
            normal[2] * first[0] - normal[0] * first[2],
            normal[0] * first[1] - normal[1] * first[0],
        ]
    )
    goes_on = 0
    for turn in range(AROUND):
        angle = 2 * np.pi * turn / AROUND
        along = np.cos(angle) * first + np.sin(angle) * second
        whole = True
        for reach in REACH_MM:
            bright = -1e9
            # A septum bends: it may lie a little off the plane.
            for off in (-0.8, 0.0, 0.8):
                way = reach * along + off * normal
                bright = max(
                    bright,
                    at(
                        image,
                        p + way[0] / spacing_mm[0],
                        r + way[1] / spacing_mm[1],
                        c + way[2] / spacing_mm[2],
                    ),
                )
            if bright - (here - contrast) < GOES_ON * contrast:
                whole = False
        if whole:
            goes_on += 1
    return goes_on >= LEAST_AROUND
