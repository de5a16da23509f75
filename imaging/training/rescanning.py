"""A scan as another scanner would show it: softer, sharper, by a lung kernel, or at low dose.

What a kernel does in general is done before nodules are inserted. A lung kernel and a low dose come after:
their overshoot and their noise are on the nodules as on all else, and tell nothing about which is which.
"""

from dataclasses import replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.phantom.scanner import add_noise
from imaging.softening import softened
from records.model import Volume

__all__ = ["Look", "add_dose_noise", "blurred", "draw_look", "reconstructed", "rescanned", "sharpened"]

Grey = NDArray[np.float32]

SMALLEST_PATIENT = 0.8  # a zoom below this is no patient: the scanner's blur has to be put back
SOFT_KERNEL_MM = 0.6  # blur of the scans that are shrunk
SCANNER_MM = (0.45, 0.75)  # and of scanners
SOFTER_MM, SHARPER = (0.2, 0.6), (0.1, 0.6)
DETAIL_MM = 0.7  # what is finer is sharpened
GRAIN_HU, GRAIN_VOXELS = (3.0, 30.0), (0.4, 0.9)  # of every other scan
LUNG_KERNEL, LUNG_KERNEL_HU = (0.6, 1.6), (20.0, 90.0)  # share of the detail that is added, noise
LUNG_KERNEL_GRAIN_MM = 0.33  # the kernel's blur as noise is cut by it (imaging.phantom.scanner)
LOW_DOSE_MM, LOW_DOSE_HU, LOW_DOSE_GRAIN_MM = 0.4, (15.0, 60.0), 0.65  # blur, noise, as above


class Look(StrEnum):
    """How a scan is changed."""

    PLAIN = "as it is"
    SOFTER = "softer"
    SHARPER = "sharper"
    LUNG_KERNEL = "lung kernel"
    LOW_DOSE = "low dose"


SHARES = {
    Look.PLAIN: 0.3,
    Look.SOFTER: 0.25,
    Look.SHARPER: 0.2,
    Look.LUNG_KERNEL: 0.15,
    Look.LOW_DOSE: 0.1,
}


def draw_look(rng: np.random.Generator) -> Look:
    """Draw one by its share."""
    return list(SHARES)[int(rng.choice(len(SHARES), p=list(SHARES.values())))]


def rescanned(volume: Volume, zoom: float, look: Look, rng: np.random.Generator) -> NDArray[np.int16]:
    """Change blur and grain of a scan at random, before nodules are inserted.

    Parameters
    ----------
    volume : Volume
        Before it is zoomed.
    zoom : float
        What its millimetres will be multiplied by; below `SMALLEST_PATIENT` blur and noise are put back.
    look : Look
    rng : Generator
    """
    hu = volume.hu.astype(np.float32)
    pixel_mm = volume.spacing_mm[1]
    is_shrunk = zoom < SMALLEST_PATIENT
    if is_shrunk:
        wanted_mm = rng.uniform(*SCANNER_MM) / zoom
        hu = blurred(hu, float(np.sqrt(wanted_mm**2 - SOFT_KERNEL_MM**2)), pixel_mm)
    elif look is Look.SOFTER:
        hu = blurred(hu, rng.uniform(*SOFTER_MM), pixel_mm)
    if look is Look.SHARPER:
        hu = sharpened(hu, rng.uniform(*SHARPER), DETAIL_MM / min(1.0, zoom), pixel_mm)
    if look not in (Look.LUNG_KERNEL, Look.LOW_DOSE) and (is_shrunk or rng.random() < 0.5):
        coarseness = rng.uniform(*GRAIN_VOXELS) / (zoom if is_shrunk else 1.0)
        grain = blurred(rng.standard_normal(hu.shape, np.float32), coarseness, 1.0)
        hu += grain * (rng.uniform(*GRAIN_HU) / float(grain.std()))
    return _as_hu(hu)


def reconstructed(volume: Volume, look: Look, rng: np.random.Generator) -> Volume:
    """Return a scan with its nodules as a lung kernel or a low dose shows it; others come back as they are.

    A lung kernel is imitated by unsharp masking, whose edges overshoot, and noise that reaches as far up as
    the kernel does; a low dose by the coarse grain that a soft kernel leaves. Half of what screening would
    soften is softened.
    """
    pixel_mm = volume.spacing_mm[1]
    if look is Look.LUNG_KERNEL:
        hu = sharpened(volume.hu.astype(np.float32), rng.uniform(*LUNG_KERNEL), DETAIL_MM, pixel_mm)
        add_dose_noise(hu, rng.uniform(*LUNG_KERNEL_HU), LUNG_KERNEL_GRAIN_MM, pixel_mm, rng)
    elif look is Look.LOW_DOSE:
        hu = blurred(volume.hu.astype(np.float32), LOW_DOSE_MM, pixel_mm)
        add_dose_noise(hu, rng.uniform(*LOW_DOSE_HU), LOW_DOSE_GRAIN_MM, pixel_mm, rng)
    else:
        return volume
    shown = replace(volume, hu=_as_hu(hu))
    return softened(shown) if rng.random() < 0.5 else shown


def _as_hu(hu: Grey) -> NDArray[np.int16]:
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def blurred(hu: Grey, sigma_mm: float, pixel_mm: float) -> Grey:
    """Return (planes, rows, columns) HU blurred by a Gaussian in the plane."""
    return np.stack([ndimage.gaussian_filter(plane, sigma_mm / pixel_mm) for plane in hu])


def sharpened(hu: Grey, share: float, detail_mm: float, pixel_mm: float) -> Grey:
    """Return HU with a share of what is finer than `detail_mm` added once more: unsharp masking."""
    return hu + share * (hu - blurred(hu, detail_mm, pixel_mm))


def add_dose_noise(
    hu: Grey, noise_hu: float, grain_mm: float, pixel_mm: float, rng: np.random.Generator
) -> None:
    """Add noise that has the spectrum of filtered back-projection, in place, alike everywhere.

    Parameters
    ----------
    hu : (planes, rows, columns) float32 ndarray
    noise_hu : float
        Standard deviation of a voxel.
    grain_mm : float
        The kernel's blur as noise is cut by it (`imaging.phantom.scanner.add_noise`).
    pixel_mm : float
    rng : Generator
    """
    level_hu, rim = np.full(len(hu), noise_hu, np.float32), np.ones(hu.shape[1:], np.float32)
    pixels_mm = (pixel_mm, pixel_mm)
    add_noise(hu, level_hu, rim, pixel_mm=pixels_mm, psf_sigma_mm=grain_mm, slice_overlap=0.0, rng=rng)
