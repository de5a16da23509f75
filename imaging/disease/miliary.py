"""Solid nodules: miliary disease from faint to confluent, and other spreads of nodules."""

import numpy as np
from numpy.typing import NDArray

from imaging.disease.canvas import Canvas, Mask
from imaging.insertion import InsertedNodule, random_direction
from records.model import Point

__all__ = ["few", "large_metastases", "mass", "mass_with_satellites", "miliary", "nodules_at", "one_lung"]


def nodules_at(
    canvas: Canvas,
    places_mm: NDArray[np.float64],
    diameter_mm: tuple[float, float],
    hu: tuple[float, float],
    elongation: float = 1.25,
) -> list[InsertedNodule]:
    """Return nodules of drawn size, attenuation and shape at given places."""
    rng = canvas.rng
    return [
        InsertedNodule(
            (x, y, z),
            rng.uniform(*diameter_mm),
            rng.uniform(*hu),
            rng.uniform(1.0, elongation),
            random_direction(rng),
        )
        for x, y, z in places_mm.tolist()
    ]


def miliary(
    canvas: Canvas,
    count: int,
    diameter_mm: tuple[float, float],
    hu: tuple[float, float] = (-150.0, 60.0),
    *,
    base_over_apex: float = 1.0,
    apart_mm: float = 3.5,
) -> None:
    """Put nodules at random through both lungs, denser toward the bases by a factor.

    Blood carries the seeds, so their places do not depend on lobules, pleura or septa (random
    distribution: Fleischner glossary, Bankier 2024).
    """
    inside = canvas.chest.labels > 0
    if base_over_apex > 1.0:
        weight = 1.0 + (1.0 / base_over_apex - 1.0) * canvas.chest.heights
        inside = inside & (canvas.rng.random(inside.shape, np.float32) < weight[:, None, None])
    canvas.put_many(nodules_at(canvas, canvas.sites(inside, count, apart_mm), diameter_mm, hu))


def one_lung(canvas: Canvas, count: int, diameter_mm: tuple[float, float]) -> None:
    """Put nodules into one lung only."""
    inside = canvas.chest.labels == canvas.rng.integers(1, 3)
    canvas.put_many(nodules_at(canvas, canvas.sites(inside, count, 3.5), diameter_mm, (-150.0, 60.0)))


def few(canvas: Canvas, count: int, diameter_mm: tuple[float, float]) -> None:
    """Put a few nodules anywhere."""
    places = canvas.sites(canvas.chest.labels > 0, count, 8.0)
    canvas.put_nodules(nodules_at(canvas, places, diameter_mm, (-150.0, 60.0)))


def large_metastases(canvas: Canvas, count: int) -> None:
    """Put cannon balls: 8 to 20 mm, more of them toward the bases."""
    heights = canvas.chest.heights[:, None, None]
    inside = (canvas.chest.depth_mm > 3.0) & (
        canvas.rng.random(canvas.hu.shape, np.float32) < 1 - 0.6 * heights
    )
    places = canvas.sites(inside, count, 16.0)
    canvas.put_nodules(nodules_at(canvas, places, (8.0, 20.0), (0.0, 60.0), 1.2))


def mass(canvas: Canvas, diameter_mm: float) -> NDArray[np.float64]:
    """Put a lobulated mass, and return where (LPS, mm)."""
    inside = (canvas.chest.depth_mm > 4.0) & (canvas.chest.depth_mm < 25.0)
    centre: NDArray[np.float64] = canvas.sites(inside, 1, 1.0)[0]
    rng = canvas.rng
    lobes = [InsertedNodule(_point(centre), 0.8 * diameter_mm, 35.0, 1.15, random_direction(rng))]
    for _ in range(5):
        step = np.asarray(random_direction(rng)) * 0.3 * diameter_mm
        lobes.append(InsertedNodule(_point(centre + step), rng.uniform(0.35, 0.55) * diameter_mm, 35.0))
    canvas.put_nodules(lobes)
    return centre


def mass_with_satellites(canvas: Canvas, diameter_mm: float, count: int) -> None:
    """Put a dominant mass and nodules in its neighbourhood (T3 or T4 satellites)."""
    centre = mass(canvas, diameter_mm)
    near: Mask = np.zeros(canvas.hu.shape, bool)
    volume = canvas.chest.volume
    offset = (centre - np.asarray(volume.origin_mm)) @ np.linalg.inv(volume.axes)
    p, r, c = canvas.chest.coordinates_mm()
    distance = np.sqrt((p - offset[0]) ** 2 + (r - offset[1]) ** 2 + (c - offset[2]) ** 2)
    near = (distance > diameter_mm / 2 + 3) & (distance < diameter_mm / 2 + 40) & (canvas.chest.labels > 0)
    places = canvas.sites(near, count, 7.0)
    canvas.put_nodules(nodules_at(canvas, places, (3.0, 8.0), (-100.0, 60.0)))


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z
