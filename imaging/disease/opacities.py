"""What fills, hides or empties the lung: haze, consolidation, fluid, emphysema; noise and motion."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.disease.canvas import Canvas, Mask, grown
from imaging.geometry import index_of
from imaging.lungs import LEFT, RIGHT

__all__ = ["add_noise", "consolidation", "effusion", "emphysema", "ground_glass", "move"]

SOFT_EDGE_MM = 1.2  # of ground glass: it fades over a few millimetres
FLUID_HU = 8.0
EMPTY_HU = -975.0  # of a hole of emphysema
LEAST_HU, MOST_HU = -1024, 3071  # that a scan holds
ATELECTASIS_MM = 8.0  # of lung pressed airless beside the fluid


def ground_glass(
    canvas: Canvas, count: int, diameter_mm: tuple[float, float], hu: tuple[float, float] = (-680.0, -450.0)
) -> None:
    """Put round hazes with soft edges, through which vessels stay visible."""
    chest = canvas.chest
    spacing = np.asarray(chest.volume.spacing_mm)
    sites = canvas.sites(chest.depth_mm > 2.0, count, 0.7 * diameter_mm[1])
    for place in index_of(chest.volume, sites):
        radius = canvas.rng.uniform(*diameter_mm) / 2
        window = canvas.window_around(place[None], radius + 6.0)
        grids = chest.coordinates_mm(window)
        stretch = canvas.rng.uniform(0.85, 1.2, 3)
        squared = sum(
            ((g - c * d) * s) ** 2 for g, c, d, s in zip(grids, place, spacing, stretch, strict=True)
        )
        wobble = canvas.blurred(canvas.rng.standard_normal(np.broadcast_shapes(*(g.shape for g in grids))))
        edge = (radius - np.sqrt(squared) + 2.0 * wobble) / SOFT_EDGE_MM
        share = canvas.blurred(1 / (1 + np.exp(-np.clip(edge, -20, 20))))
        canvas.add_haze(share, float(canvas.rng.uniform(*hu)), window)


def consolidation(canvas: Canvas, radius_mm: tuple[float, float]) -> None:
    """Fill a part of a lower lobe at the pleura, bronchi left open in it, haze around it."""
    chest = canvas.chest
    low = np.broadcast_to(chest.heights[:, None, None] < 0.55, canvas.hu.shape)
    place = index_of(chest.volume, canvas.sites((chest.depth_mm > 0) & (chest.depth_mm < 12) & low, 1, 1.0))
    radius = canvas.rng.uniform(*radius_mm)
    window = canvas.window_around(place, 1.5 * radius)
    grids = chest.coordinates_mm(window)
    spacing = np.asarray(chest.volume.spacing_mm)
    distance = np.sqrt(sum((g - c * d) ** 2 for g, c, d in zip(grids, place[0], spacing, strict=True)))
    wobble = _smooth_noise(canvas, distance.shape, 8.0)
    lung = chest.labels[window] > 0
    filled = (distance < radius + 7.0 * wobble) & lung
    bronchi = _smooth_noise(canvas, distance.shape, 1.6)
    open_ = (np.abs(bronchi) < 0.04) & (np.abs(_smooth_noise(canvas, distance.shape, 3.0)) < 0.08)
    halo = (distance < radius + 7.0 * wobble + 9.0) & lung
    spacing = np.asarray(chest.volume.spacing_mm)
    fading = ndimage.gaussian_filter(halo.astype(np.float32), 3.0 / spacing) * lung
    canvas.add_haze(fading, -480.0, window)
    canvas.replace_tissue(canvas.blurred(filled & ~open_), 30.0, window)


def effusion(canvas: Canvas, share_of_lung: float) -> None:
    """Let fluid fill the lowest part of one lung's space, the patient on the back, and press on the lung."""
    chest = canvas.chest
    lung = chest.labels == (RIGHT if canvas.rng.random() < 0.5 else LEFT)
    # Fluid lies behind and below: a plane leaning so is raised until it has cut the share off.
    back = chest.volume.axes @ np.array([0.0, 1.0, 0.0])
    head = chest.volume.axes @ np.array([0.0, 0.0, 1.0])
    p, r, c = chest.coordinates_mm()
    level = sum((0.8 * b - 0.6 * h) * g for b, h, g in zip(back, head, (p, r, c), strict=True)).astype(
        np.float32
    )
    level = np.broadcast_to(level, lung.shape)
    cut = float(np.quantile(level[lung], 1 - share_of_lung))
    fluid: Mask = lung & (level > cut)
    airless: Mask = lung & (level > cut - ATELECTASIS_MM)
    window = canvas.window_around(np.argwhere(airless[:, ::4, ::4]) * [1, 4, 4], 8.0)
    # The mask of the lung ends a little short of the pleura: what is dark around it fills up as well.
    canvas.add_haze(canvas.blurred(grown(canvas, airless[window], 4.0)), 20.0, window)
    canvas.replace_tissue(canvas.blurred(airless[window]), 35.0, window)
    canvas.replace_tissue(canvas.blurred(fluid[window]), FLUID_HU, window)
    canvas.forget(fluid)  # nodules of airless lung are hidden, but there; fluid holds none


def emphysema(
    canvas: Canvas, count: int, radius_mm: tuple[float, float] = (2.0, 7.0), emptied: float = 0.9
) -> None:
    """Punch centrilobular holes, more of them toward the apices; vessels stay, and so does the grain.

    Parameters
    ----------
    canvas : Canvas
    count : int
        Holes.
    radius_mm : (float, float)
    emptied : float
        Share of the way down to air that the lung goes in a hole.
    """
    chest = canvas.chest
    inside = (chest.depth_mm > 1.5) & (
        canvas.rng.random(canvas.hu.shape, np.float32) < chest.heights[:, None, None] ** 1.5
    )
    spacing = np.asarray(chest.volume.spacing_mm)
    for place in index_of(chest.volume, canvas.sites(inside, count, 5.0)):
        radius = canvas.rng.uniform(*radius_mm)
        window = canvas.window_around(place[None], radius + 5.0)
        grids = chest.coordinates_mm(window)
        stretch = canvas.rng.uniform(0.8, 1.3, 3)
        squared = sum(
            ((g - c * d) * s) ** 2 for g, c, d, s in zip(grids, place, spacing, stretch, strict=True)
        )
        share = canvas.blurred(np.sqrt(squared) < radius)
        before = canvas.hu[window].astype(np.float32)
        airy = np.clip((-700.0 - before) / 100.0, 0, 1)  # tissue of vessels and walls is left
        gone = share * airy * emptied
        grain = canvas.grain(gone.shape, chest.noise_hu) * np.sqrt(1 - (1 - gone) ** 2)
        after = before + gone * np.minimum(EMPTY_HU - before, 0) + grain
        canvas.hu[window] = np.rint(np.maximum(after, LEAST_HU)).astype(np.int16)


def add_noise(canvas: Canvas, noise_hu: float) -> None:
    """Add the grain of a low dose, worse where shoulders and abdomen take more of the beam."""
    heights = canvas.chest.heights
    worse = 1.0 + 0.6 * np.abs(2 * heights - 1) ** 2
    grain = canvas.grain(canvas.hu.shape, noise_hu) * worse[:, None, None]
    canvas.hu = np.rint(np.clip(canvas.hu + grain, LEAST_HU, MOST_HU)).astype(np.int16)


def move(canvas: Canvas, amplitude_mm: float) -> None:
    """Let the chest move while it is read: half of the views see it elsewhere, more near the diaphragm."""
    chest = canvas.chest
    spacing = np.asarray(chest.volume.spacing_mm)
    phase = np.sin(np.arange(len(canvas.hu)) * spacing[0] / 9.0 + canvas.rng.uniform(0, 6))
    size = amplitude_mm * (1.2 - chest.heights) * phase
    moved = np.empty_like(canvas.hu)
    for plane, shift_mm in enumerate(size):
        image = canvas.hu[plane].astype(np.float32)
        other = ndimage.shift(
            image, (shift_mm / spacing[1], 0.5 * shift_mm / spacing[2]), order=1, mode="nearest"
        )
        moved[plane] = np.rint(0.5 * (image + other)).astype(np.int16)
    canvas.hu = moved


def _smooth_noise(canvas: Canvas, shape: tuple[int, ...], scale_mm: float) -> NDArray[np.float32]:
    """Return a smooth random field of standard deviation 1."""
    spacing = np.asarray(canvas.chest.volume.spacing_mm)
    white = canvas.rng.standard_normal(shape, np.float32)
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(white, scale_mm / spacing)
    return smooth / np.float32(max(float(smooth.std()), 1e-6))
