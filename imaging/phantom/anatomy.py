"""The smooth parts of a chest: wall, bones, heart and great vessels, lungs, lobes, upper abdomen.

Places are millimetres in the patient's own frame: x to the left, y to the back, z to the head, the
carina near the origin. Sizes follow an average adult and are varied by patient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.phantom.fields import Grid, capsules, column, ellipsoid, fog, joined, normalised

__all__ = ["Anatomy", "Lobe", "Physique", "build_anatomy", "draw_physique"]

FloatArray = NDArray[np.float64]

GRID_STEP_MM = 2.5
APEX_MM = 98.0
FLOOR_MM = -178.0
RIB_PITCH_MM = 23.0
VERTEBRA_PITCH_MM = 25.0
CORTEX_MM = 1.3
PLEURA_MM = 2.0  # endothoracic fascia, pleura and what little fat lies between lung and rib


@dataclass(frozen=True, slots=True)
class Physique:
    """What differs from one patient to the next."""

    width: float  # of the chest, relative to an average adult
    depth: float
    height: float
    fat_mm: float  # under the skin
    muscle: float  # thickness of the chest wall, relative
    heart: float  # size, relative
    right_dome_mm: float  # top of the diaphragm
    left_dome_mm: float
    breasts_mm: float  # thickness, 0 for a man
    heart_turn_deg: float  # its axis, from the midline to the left
    blood_hu: float  # unenhanced blood is near 40


def draw_physique(rng: np.random.Generator) -> Physique:
    """Draw a patient."""
    is_woman = rng.random() < 0.5
    size = 0.94 if is_woman else 1.02
    return Physique(
        width=size * rng.normal(1.0, 0.025),
        depth=size * rng.normal(1.0, 0.04),
        height=size * rng.normal(1.0, 0.03),
        fat_mm=float(np.clip(rng.normal(11.0, 4.0), 5.0, 24.0)),
        muscle=float(np.clip(rng.normal(0.95, 0.12), 0.75, 1.3)),
        heart=rng.normal(1.0, 0.05),
        right_dome_mm=rng.normal(-92.0, 5.0),
        left_dome_mm=rng.normal(-103.0, 5.0),
        breasts_mm=rng.uniform(10.0, 26.0) if is_woman else 0.0,
        heart_turn_deg=rng.normal(-32.0, 5.0),
        blood_hu=rng.normal(42.0, 3.0),
    )


@dataclass(frozen=True, slots=True)
class Lobe:
    """One of the five lobes: its name, its side of the chest, its signed distance (negative inside)."""

    name: str
    is_right: bool
    field: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """Signed distances (mm, negative inside) on one grid, all (planes, rows, columns).

    `oblique` and `horizontal` are distances to the fissure sheets, positive above; `texture` is the
    parenchyma's own unevenness, HU.
    """

    physique: Physique
    grid: Grid
    body: FloatArray
    muscle: FloatArray
    bone: FloatArray
    lungs: FloatArray
    oblique: FloatArray
    horizontal: FloatArray
    blood: FloatArray
    soft: FloatArray
    liver: FloatArray
    stomach: FloatArray
    texture: FloatArray
    lobes: tuple[Lobe, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """The thoracic cage that everything else is hung on."""

    grid: Grid
    centre_y: FloatArray  # (planes,)
    half_x: FloatArray
    half_y: FloatArray
    cavity: FloatArray  # distance to its inner surface
    turn: FloatArray  # angle round the cage: 0 at the spine, pi at the sternum

    @property
    def spine_y(self) -> FloatArray:
        """(planes,) y of the vertebral bodies' centres."""
        return self.centre_y + self.half_y - 23.0


def _frame() -> _Frame:
    """Return the average adult's cage; a patient's own scale is applied when the chest is drawn."""
    low = (-215.0, -160.0, FLOOR_MM - 25)
    high = (215.0, 150.0, APEX_MM + 35)
    shape = tuple(int(np.ceil((h - a) / GRID_STEP_MM)) + 1 for a, h in zip(low, high, strict=True))[::-1]
    grid = Grid(low, GRID_STEP_MM, (shape[0], shape[1], shape[2]))
    x, y, z = grid.axes_mm
    level = z[:, 0, 0]
    top = np.clip((APEX_MM - level) / 170.0, 0.0, 1.0)
    swell = np.sqrt(np.maximum(1 - (1 - top) ** 2.4, 4e-3))
    half_x = 134.0 * swell
    half_y = 92.0 * np.sqrt(np.maximum(1 - (1 - top) ** 2.1, 4e-3)) ** 0.92
    centre_y = 30.0 * np.clip((level - 10.0) / 90.0, 0, 1) ** 1.3 - 4.0 * np.clip(-level / 150.0, 0, 1)
    # Beside the spine the ribs sweep back before they turn forward.
    across = np.clip(np.abs(x) / half_x[:, None, None], 0, 1) ** 2
    is_behind = np.clip((y - centre_y[:, None, None]) / 40.0, 0, 1)
    sweep = 1 + 0.14 * 4 * across * (1 - across) * is_behind
    u = np.abs(x) / half_x[:, None, None]
    v = np.abs(y - centre_y[:, None, None]) / (half_y[:, None, None] * sweep)
    cavity = normalised((u**2.25 + v**2.25) ** (1 / 2.25) - 1, grid.step_mm)
    cavity = np.maximum(cavity, z - APEX_MM)
    turn = np.arctan2(
        np.abs(x) / half_x[:, None, None], (y - centre_y[:, None, None]) / half_y[:, None, None]
    )
    return _Frame(grid, centre_y, half_x, half_y, cavity, turn)


def _bones(frame: _Frame) -> FloatArray:
    """Return ribs, spine, sternum, clavicles and scapulae."""
    x, y, z = frame.grid.axes_mm
    bone = np.full(frame.grid.shape, 1e3)
    shell = (np.abs(frame.cavity - 7.0) < 16.0) & (z < APEX_MM)
    depth, turn = frame.cavity[shell], frame.turn[shell]
    height = np.broadcast_to(z, shell.shape)[shell]
    ribs = np.full(depth.shape, 1e3)
    ends = (2.2, 2.45, 2.5, 2.5, 2.5, 2.45, 2.4, 2.3, 2.2, 2.1, 1.7, 1.1)
    for number, end in enumerate(ends):
        drop = 50.0 + 13.0 * min(number, 5)
        middle = (
            APEX_MM - 6.0 - RIB_PITCH_MM * number - drop * (0.3 * (1 - np.cos(turn)) + 0.4 * turn / np.pi)
        )
        u, v = (depth - 7.0) / 3.8, 0.86 * (height - middle) / 6.6
        k = np.sqrt(u * u + v * v)
        across = k * (k - 1) / np.maximum(np.sqrt((u / 3.8) ** 2 + (v / 6.6) ** 2), 1e-6)
        ribs = np.minimum(ribs, np.maximum(across, (turn - end) * 90.0))
    bone[shell] = ribs

    spine_y = frame.spine_y[:, None, None]
    phase = np.cos(2 * np.pi * z / VERTEBRA_PITCH_MM)
    waist = 1.0 - 0.08 * phase
    body = (np.sqrt((x / (17.0 * waist)) ** 2 + ((y - spine_y) / (14.5 * waist)) ** 2) - 1) * 14.0
    body = np.maximum(body, (phase - 0.80) * 9.0)  # what is cut away is the disc
    arch = np.abs(np.sqrt((x / 1.15) ** 2 + (y - spine_y - 23.0) ** 2) - 11.5) - 2.6
    arch = np.maximum(arch, -(y - spine_y - 13.0))
    process = np.maximum(np.abs(x) - 3.2, np.abs(y - spine_y - 45.0) - 13.0)
    transverse = np.maximum(
        np.maximum(np.abs(y - spine_y - 24.0 - 0.3 * np.abs(x)) - 4.0, np.abs(x) - 32.0),
        np.abs((z + 6.0 + VERTEBRA_PITCH_MM / 2) % VERTEBRA_PITCH_MM - VERTEBRA_PITCH_MM / 2) - 5.0,
    )
    process = np.maximum(
        process, np.abs((z + 10.0 + VERTEBRA_PITCH_MM / 2) % VERTEBRA_PITCH_MM - VERTEBRA_PITCH_MM / 2) - 8.0
    )
    bone = np.minimum(bone, np.minimum(np.minimum(body, arch), np.minimum(process, transverse)))

    front = (frame.centre_y - frame.half_y)[:, None, None] - 9.0
    width = 16.0 + 14.0 * np.clip((z - 35.0) / 20.0, 0, 1)
    sternum = np.maximum(np.maximum(np.abs(x) - width, np.abs(y - front) - 5.0), np.abs(z + 15.0) - 75.0)
    clavicle = capsules(frame.grid, [(22, -58, 60), (80, -36, 96), (140, 14, 108)], [8.0, 6.0, 6.0])
    clavicle = np.minimum(clavicle, clavicle[:, :, ::-1])
    blade = np.maximum(
        np.abs(frame.cavity - 27.0 - 3.0 * np.sin(2 * frame.turn)) - 2.2, np.abs(z - 30.0) - 62.0
    )
    inner_edge = 0.62 + 0.35 * np.clip((20.0 - z) / 55.0, 0, 1)
    blade = np.maximum(blade, np.maximum((inner_edge - frame.turn) * 120.0, (frame.turn - 1.45) * 120.0))
    bones: FloatArray = np.minimum(np.minimum(bone, sternum), np.minimum(clavicle, blade))
    return bones


def _blood(frame: _Frame, physique: Physique) -> FloatArray:
    """Return the heart and the great vessels as one shape."""
    grid, k = frame.grid, physique.heart
    heart = ellipsoid(
        grid, (26.0, -30.0, -74.0), (58.0 * k, 42.0 * k, 46.0 * k), turn_deg=physique.heart_turn_deg
    )
    heart = joined(heart, ellipsoid(grid, (-20.0, -16.0, -64.0), (26.0 * k, 30.0 * k, 36.0 * k)), 10.0)
    heart = joined(heart, ellipsoid(grid, (4.0, 20.0, -54.0), (30.0, 16.0, 20.0)), 5.0)
    tubes = (
        ([(-2, -20, -48), (-17, -24, -12), (-14, -14, 18), (6, 3, 30), (22, 24, 22)], [15, 16, 15, 13, 12.5]),
        (
            [(22, 24, 22), (26, 40, 0), (22, 50, -60), (8, 54, -130), (4, 54, -200)],
            [12.5, 12, 11.5, 11, 10.5],
        ),
        ([(-22, -12, 44), (-24, -8, 0), (-24, -10, -45)], [9, 9, 10]),
        ([(-22, -12, 44), (-38, -2, 88), (-55, 2, 110)], [8, 7, 6]),
        ([(-20, -14, 44), (20, -20, 56), (42, -4, 92)], [7, 7, 7]),
        ([(-4, -6, 28), (-16, 2, 60), (-24, 8, 120)], [7, 6.5, 6]),
        ([(8, 2, 28), (14, 6, 60), (22, 10, 120)], [4.5, 4, 4]),
        ([(18, 16, 26), (26, 22, 60), (40, 22, 105)], [5.5, 5, 5]),
        ([(12, -40, -48), (20, -20, -18), (36, 6, -10)], [13, 12.5, 9.5]),
        ([(20, -20, -20), (-6, -2, -27), (-34, 4, -30)], [10, 9.5, 8]),
        ([(-20, 2, -85), (-24, 14, -130), (-22, 26, -200)], [12, 12, 11]),
    )
    for points, radii in tubes:
        heart = joined(
            heart, capsules(grid, [(float(a), float(b), float(c)) for a, b, c in points], list(radii)), 3.0
        )
    return heart


def _mediastinum(frame: _Frame, blood: FloatArray) -> FloatArray:
    """Return all between the lungs: heart with its fat, midline septum, spine with its muscles."""
    x, y, z = frame.grid.axes_mm
    centre, half = frame.centre_y[:, None, None], frame.half_y[:, None, None]
    depth = np.clip((y - centre) / half, -1.2, 1.2)
    high = np.clip((z - 5.0) / 40.0, 0, 1)
    halfway = 5.0 + (17.0 + 9.0 * high) * np.exp(-(((depth - 0.1 + 0.1 * high) / (0.38 + 0.1 * high)) ** 2))
    halfway = halfway + 7.0 * np.clip(depth - 0.35, 0, 1) + 26.0 * np.clip(-depth - 0.5, 0, 1)
    halfway = halfway + 12.0 * high * np.clip(0.3 - depth, 0, 1)
    septum = np.abs(x - 2.0) - halfway
    hull = joined(blood - 4.0, septum, 22.0)
    spine_y = frame.spine_y[:, None, None]
    half_width = 25.0 - 0.25 * np.clip(y - spine_y, 0, 30)
    spine = np.sqrt((x / half_width) ** 2 + (np.minimum(y - spine_y, 0.0) / 21.0) ** 2) - 1
    return joined(hull, spine * 21.0, 10.0)


def _abdomen(frame: _Frame, physique: Physique) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what lies under the diaphragm, the liver (with the spleen), and the stomach."""
    grid = frame.grid
    _, _, z = grid.axes_mm
    right_top, left_top = physique.right_dome_mm, physique.left_dome_mm
    right = ellipsoid(grid, (-62.0, -6.0, right_top - 72.0), (73.0, 93.0, 72.0))
    left = ellipsoid(grid, (66.0, -2.0, left_top - 66.0), (70.0, 92.0, 66.0))
    middle = ellipsoid(grid, (4.0, 8.0, -190.0), (70.0, 84.0, 72.0))
    below = joined(joined(right, left, 25.0), middle, 25.0)
    below = np.minimum(below, z - FLOOR_MM)
    liver = (
        np.maximum(joined(right, ellipsoid(grid, (20.0, -42.0, -150.0), (60.0, 34.0, 26.0)), 12.0), below)
        + 2.5
    )
    spleen = np.maximum(ellipsoid(grid, (98.0, 44.0, -148.0), (36.0, 40.0, 42.0)), below + 2.5)
    stomach = np.maximum(ellipsoid(grid, (62.0, -18.0, left_top - 40.0), (40.0, 42.0, 36.0)), below + 4.0)
    return below, np.minimum(liver, spleen), np.maximum(stomach, 1.0 - liver)


def _fissures(frame: _Frame, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return distances, positive above, to the oblique fissures (each on its side) and to the horizontal."""
    grid = frame.grid
    x, y, z = grid.axes_mm
    wave = 4.0 * fog(grid, 60.0, rng)
    slope = np.where(x < 0, 1.12, 1.22)
    lift = np.where(x < 0, -22.0, -16.0)
    bend = -0.0016 * (np.abs(x) - 75.0) ** 2 + 0.0022 * y**2
    # A fissure runs from high in the back to low in front; y grows to the back.
    oblique = normalised(z - (lift + slope * y) - bend - wave, grid.step_mm)
    horizontal = normalised(
        z - (-20.0 + 0.2 * y) + 0.0012 * ((x + 70.0) ** 2 + (y + 40.0) ** 2) - 0.5 * wave, grid.step_mm
    )
    return oblique, horizontal


def _lobes(grid: Grid, lungs: FloatArray, oblique: FloatArray, horizontal: FloatArray) -> tuple[Lobe, ...]:
    """Cut the lungs along their fissures."""
    x, _, _ = grid.axes_mm
    right = np.maximum(lungs, x - 2.0)
    left = np.maximum(lungs, 2.0 - x)
    return (
        Lobe("right upper", True, np.maximum(np.maximum(right, -oblique), -horizontal)),
        Lobe("right middle", True, np.maximum(np.maximum(right, -oblique), horizontal)),
        Lobe("right lower", True, np.maximum(right, oblique)),
        Lobe("left upper", False, np.maximum(left, -oblique)),
        Lobe("left lower", False, np.maximum(left, oblique)),
    )


def _wall(frame: _Frame, physique: Physique, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the body's outline and, within it, the muscles' (all that is not fat)."""
    grid = frame.grid
    level = grid.axes_mm[2][:, 0, 0]
    shoulders = 1 / (1 + np.exp(-(level - 62.0) / 16.0))
    waist = np.clip(-(level + 40.0) / 140.0, 0, 1)
    half_x = 134.0 + 23.0 * physique.muscle + 34.0 * shoulders - 8.0 * waist
    half_y = 92.0 + 24.0 * physique.muscle - 22.0 * shoulders - 2.0 * waist
    centre_y = 5.0 + 17.0 * shoulders
    muscle = column(grid, (0 * level, centre_y), (half_x, half_y), power=2.5)
    fat = physique.fat_mm * (0.7 + 0.6 * np.sin(frame.turn) ** 2)
    body = muscle - fat
    muscle = muscle + 2.5 * fog(grid, 30.0, rng)
    if physique.breasts_mm > 0:
        thick = physique.breasts_mm
        for side in (-1.0, 1.0):
            breast = ellipsoid(
                grid, (side * 82.0, -92.0, -38.0), (66.0, 18.0 + thick, 60.0), turn_deg=side * 24.0
            )
            body = joined(body, breast, 20.0)
    # Fat fills the armpits and the planes between the muscles of the back.
    for side in (-1.0, 1.0):
        armpit = ellipsoid(grid, (side * 150.0, 12.0, 48.0), (22.0, 26.0, 46.0), turn_deg=side * 20.0)
        muscle = np.maximum(muscle, 5.0 * fog(grid, 25.0, rng) - armpit)
    plane = np.abs(frame.cavity - 18.0) - 1.6
    return body, np.maximum(muscle, -np.maximum(plane, np.abs(frame.turn - 1.2) * 60.0 - 36.0))


def build_anatomy(physique: Physique, *, rng: np.random.Generator) -> Anatomy:
    """Describe one patient's chest, trees and nodules apart.

    Parameters
    ----------
    physique : Physique
    rng : Generator
        Draws what is wavy: fissures, texture.

    Returns
    -------
    Anatomy
    """
    frame = _frame()
    grid = frame.grid
    blood = _blood(frame, physique)
    below, liver, stomach = _abdomen(frame, physique)
    mediastinum = _mediastinum(frame, blood)
    lungs = np.maximum(frame.cavity + PLEURA_MM, -joined(mediastinum, below, 6.0))
    oblique, horizontal = _fissures(frame, rng)
    body, muscle = _wall(frame, physique, rng)
    # Within the cage what is no organ is fat, but for the sheet of the diaphragm.
    inside = frame.cavity + 1.0
    diaphragm = np.maximum(np.abs(below + 1.2) - 1.4, inside)
    muscle = np.minimum(np.maximum(muscle, -inside), diaphragm)
    oesophagus = capsules(grid, [(2, 28, 125), (3, 34, -40), (14, 32, -140)], [8.0, 8.0, 9.0])
    x, y, _ = grid.axes_mm
    spine = (np.sqrt((x / 22.0) ** 2 + ((y - frame.spine_y[:, None, None] - 12.0) / 30.0) ** 2) - 1) * 22.0
    texture = 9.0 * fog(grid, 22.0, rng) + 9.0 * fog(grid, 7.0, rng) + 8.0 * fog(grid, 3.5, rng)
    return Anatomy(
        physique=physique,
        grid=grid,
        body=body,
        muscle=muscle,
        bone=np.maximum(_bones(frame), body + 5.0),
        lungs=lungs,
        oblique=oblique,
        horizontal=horizontal,
        blood=blood,
        soft=np.minimum(oesophagus, spine),
        liver=liver,
        stomach=stomach,
        texture=texture,
        lobes=_lobes(grid, lungs, oblique, horizontal),
    )
