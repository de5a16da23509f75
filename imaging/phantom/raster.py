"""Draw shapes on a scanner's grid with partial volume: each voxel gets the share of it that a shape fills."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL", "blend", "fill_tubes", "paint_tissue"]

FloatArray = NDArray[np.float64]

FULL = 64  # sub-samples a voxel, 4 x 4 x 4: how covers are counted
_SIDE = 4

# Hounsfield units at 120 kVp; Kalender, Computed Tomography, 3rd ed., fig. 1.10, and Hounsfield's own table.
AIR_HU = -1000.0
FAT_HU = -102.0
MUSCLE_HU = 50.0
SKIN_HU = 20.0
SOFT_HU = 42.0
LIVER_HU = 58.0
STOMACH_HU = 18.0
GAS_HU = -950.0
CORTICAL_HU = 850.0
CANCELLOUS_HU = 190.0
OBLIQUE_SHEET_MM = 0.10  # both layers of a fissure
HORIZONTAL_SHEET_MM = 0.05  # often incomplete


@numba.njit(cache=True, inline="always")
def _read(field, k, j, i, fk, fj, fi):  # type: ignore[no-untyped-def]
    low = (field[k, j, i] * (1 - fi) + field[k, j, i + 1] * fi) * (1 - fj) + (
        field[k, j + 1, i] * (1 - fi) + field[k, j + 1, i + 1] * fi
    ) * fj
    high = (field[k + 1, j, i] * (1 - fi) + field[k + 1, j, i + 1] * fi) * (1 - fj) + (
        field[k + 1, j + 1, i] * (1 - fi) + field[k + 1, j + 1, i + 1] * fi
    ) * fj
    return low * (1 - fk) + high * fk


@numba.njit(cache=True, inline="always")
def _cover(distance, width):  # type: ignore[no-untyped-def]
    return min(max(0.5 - distance / width, 0.0), 1.0)


@numba.njit(cache=True, inline="always")
def _sheet(distance, width, thickness):  # type: ignore[no-untyped-def]
    low = max(distance - width / 2, -thickness / 2)
    return max(min(distance + width / 2, thickness / 2) - low, 0.0) / width


@numba.njit(cache=True)
def paint_tissue(  # type: ignore[no-untyped-def]
    hu,
    sides,
    to_patient,
    edge_mm,
    low_mm,
    step_mm,
    body,
    muscle,
    bone,
    lungs,
    oblique,
    horizontal,
    blood,
    soft,
    liver,
    stomach,
    texture,
    parenchyma_hu,
    gravity_hu_per_mm,
    blood_hu,
    cortex_mm,
    gas_level_mm,
):
    """Paint all but the trees and nodules.

    Parameters
    ----------
    hu : (planes, rows, columns) float32 ndarray
        Written where the patient is.
    sides : (planes, rows, columns) uint8 ndarray
        Written: 1 in the right lung, 2 in the left.
    to_patient : (3, 4) ndarray
        From (plane, row, column, 1) to the anatomy's own (x, y, z), mm.
    edge_mm : float
        Width over which a surface is spread: about a voxel.
    low_mm, step_mm
        The anatomy's grid.
    body, ..., texture : (K, J, I) float32 ndarray
        Signed distances, mm; texture is in HU.
    """
    planes, rows, columns = hu.shape
    m = to_patient
    last_k, last_j, last_i = body.shape[0] - 1.001, body.shape[1] - 1.001, body.shape[2] - 1.001
    for plane in range(planes):
        for row in range(rows):
            for column in range(columns):
                x = m[0, 0] * plane + m[0, 1] * row + m[0, 2] * column + m[0, 3]
                y = m[1, 0] * plane + m[1, 1] * row + m[1, 2] * column + m[1, 3]
                z = m[2, 0] * plane + m[2, 1] * row + m[2, 2] * column + m[2, 3]
                gi, gj, gk = (x - low_mm[0]) / step_mm, (y - low_mm[1]) / step_mm, (z - low_mm[2]) / step_mm
                gk = min(max(gk, 0.0), last_k)
                if gi < 0 or gj < 0 or gi > last_i or gj > last_j:
                    continue
                i, j, k = int(gi), int(gj), int(gk)
                fi, fj, fk = gi - i, gj - j, gk - k
                outline = _read(body, k, j, i, fk, fj, fi)
                if outline > edge_mm:
                    continue
                grain = _read(texture, k, j, i, fk, fj, fi)
                lung = _read(lungs, k, j, i, fk, fj, fi)
                inner = _cover(lung, edge_mm)
                value = 0.0
                if inner < 1.0:
                    value = FAT_HU + 0.2 * grain
                    value += (MUSCLE_HU + 0.15 * grain - value) * _cover(
                        _read(muscle, k, j, i, fk, fj, fi), edge_mm
                    )
                    skin = _cover(outline, edge_mm) - _cover(outline + 2.0, edge_mm)
                    value += (SKIN_HU - value) * skin
                    value += (SOFT_HU - value) * _cover(_read(soft, k, j, i, fk, fj, fi), edge_mm)
                    value += (LIVER_HU + 0.1 * grain - value) * _cover(
                        _read(liver, k, j, i, fk, fj, fi), edge_mm
                    )
                    gut = GAS_HU + (STOMACH_HU - GAS_HU) * _cover(gas_level_mm - y, edge_mm)
                    value += (gut - value) * _cover(_read(stomach, k, j, i, fk, fj, fi), edge_mm)
                    value += (blood_hu - value) * _cover(_read(blood, k, j, i, fk, fj, fi), edge_mm)
                    hard = _read(bone, k, j, i, fk, fj, fi)
                    if hard < edge_mm:
                        marrow = _cover(hard + cortex_mm, edge_mm)
                        mineral = CORTICAL_HU + (CANCELLOUS_HU + 2.0 * grain - CORTICAL_HU) * marrow
                        value += (mineral - value) * _cover(hard, edge_mm)
                if inner > 0.0:
                    air = parenchyma_hu + gravity_hu_per_mm * y + grain
                    slit = _read(oblique, k, j, i, fk, fj, fi)
                    air += (SOFT_HU - air) * _sheet(slit, edge_mm, OBLIQUE_SHEET_MM)
                    if x < 0 and slit > 0:
                        slit = _read(horizontal, k, j, i, fk, fj, fi)
                        air += (SOFT_HU - air) * _sheet(slit, edge_mm, HORIZONTAL_SHEET_MM)
                    value += (air - value) * inner
                    if inner >= 0.5:
                        sides[plane, row, column] = 1 if x < 2.0 else 2
                hu[plane, row, column] = AIR_HU + (value - AIR_HU) * _cover(outline, edge_mm)


@numba.njit(cache=True)
def _away(px, py, pz, ax, ay, az, ux, uy, uz, squared, ra, slope):  # type: ignore[no-untyped-def]
    """Return how far a point lies outside a tapering tube, negative inside."""
    dx, dy, dz = px - ax, py - ay, pz - az
    t = 0.0
    if squared > 0:
        t = min(max((dx * ux + dy * uy + dz * uz) / squared, 0.0), 1.0)
    dx, dy, dz = dx - t * ux, dy - t * uy, dz - t * uz
    return np.sqrt(dx * dx + dy * dy + dz * dz) - (ra + t * slope)


@numba.njit(cache=True)
def fill_tubes(cover, pieces, origin_mm, spacing_mm):  # type: ignore[no-untyped-def]
    """Count how much of each voxel lies in a set of tubes.

    Parameters
    ----------
    cover : (planes, rows, columns) uint8 ndarray
        Raised to the largest count of any one piece, out of `FULL`.
    pieces : (N, 8) ndarray
        Start (x, y, z), end (x, y, z), radius at start, radius at end; mm. A ball starts where it ends.
    origin_mm : (3,) ndarray
        (x, y, z) of the first voxel's centre.
    spacing_mm : (3,) ndarray
        Voxel size along plane (z), row (y), column (x).
    """
    planes, rows, columns = cover.shape
    sz, sy, sx = spacing_mm[0], spacing_mm[1], spacing_mm[2]
    half = 0.5 * np.sqrt(sx * sx + sy * sy + sz * sz)
    for n in range(pieces.shape[0]):
        ax, ay, az = pieces[n, 0] - origin_mm[0], pieces[n, 1] - origin_mm[1], pieces[n, 2] - origin_mm[2]
        ux, uy, uz = pieces[n, 3] - pieces[n, 0], pieces[n, 4] - pieces[n, 1], pieces[n, 5] - pieces[n, 2]
        ra, slope = pieces[n, 6], pieces[n, 7] - pieces[n, 6]
        squared = ux * ux + uy * uy + uz * uz
        reach = max(pieces[n, 6], pieces[n, 7])
        k0 = max(int(np.floor((min(az, az + uz) - reach) / sz)), 0)
        k1 = min(int(np.ceil((max(az, az + uz) + reach) / sz)) + 1, planes)
        j0 = max(int(np.floor((min(ay, ay + uy) - reach) / sy)), 0)
        j1 = min(int(np.ceil((max(ay, ay + uy) + reach) / sy)) + 1, rows)
        i0 = max(int(np.floor((min(ax, ax + ux) - reach) / sx)), 0)
        i1 = min(int(np.ceil((max(ax, ax + ux) + reach) / sx)) + 1, columns)
        for k in range(k0, k1):
            for j in range(j0, j1):
                for i in range(i0, i1):
                    if cover[k, j, i] == FULL:
                        continue
                    away = _away(i * sx, j * sy, k * sz, ax, ay, az, ux, uy, uz, squared, ra, slope)
                    if away > half:
                        continue
                    if away < -half:
                        cover[k, j, i] = FULL
                        continue
                    count = 0
                    for c in range(_SIDE):
                        pz = (k - 0.5 + (c + 0.5) / _SIDE) * sz
                        for b in range(_SIDE):
                            py = (j - 0.5 + (b + 0.5) / _SIDE) * sy
                            for a in range(_SIDE):
                                px = (i - 0.5 + (a + 0.5) / _SIDE) * sx
                                if _away(px, py, pz, ax, ay, az, ux, uy, uz, squared, ra, slope) <= 0:
                                    count += 1
                    if count > cover[k, j, i]:
                        cover[k, j, i] = count


@numba.njit(cache=True)
def blend(hu, cover, value_hu):  # type: ignore[no-untyped-def]
    """Replace in `hu` the share of each voxel that `cover` counts (out of `FULL`) by `value_hu`, in place."""
    flat, share = hu.reshape(-1), cover.reshape(-1)
    for n in range(flat.size):
        if share[n] > 0:
            flat[n] += (value_hu - flat[n]) * (share[n] / FULL)
