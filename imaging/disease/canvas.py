"""A scan that disease is painted into: what is put there has the blur and the noise of the scanner."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry import index_of, points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, draw_sites, insert_nodules, nodule_share, within
from imaging.lungs import Lungs, segment_lungs
from imaging.resolution import measure_resolution
from records.model import Volume

__all__ = ["Canvas", "Chest", "grown"]

Mask = NDArray[np.bool_]
Share = NDArray[np.float32]

VESSEL_HU = -600.0
LEAST_VESSEL_MM3 = 400.0  # a smaller bright thing is no part of the tree
MOULDS = 150
GRAIN_SIGMA = 0.7  # of the noise's own blur, pixels


@dataclass(frozen=True, eq=False)
class Chest:
    """A scan, its lungs and its scanner, before anything is painted."""

    volume: Volume
    lungs: Lungs
    blur: ScannerBlur
    noise_hu: float

    @classmethod
    def of(cls, volume: Volume) -> "Chest":
        """Find the lungs, the blur and the noise of a scan.

        Raises
        ------
        ScreeningError
            If there are no whole lungs.
        """
        lungs = segment_lungs(volume)
        resolution = measure_resolution(volume)
        slice_mm = max(resolution.slice_thickness_mm, volume.spacing_mm[0])
        grain = volume.hu[::4].astype(np.float32)
        grain -= ndimage.uniform_filter(grain, (0, 3, 3))
        noise_hu = 1.48 * float(np.median(np.abs(grain[lungs.labels[::4] > 0])))
        return cls(volume, lungs, ScannerBlur(resolution.in_plane_sigma_mm, slice_mm), noise_hu)

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Right and left lung on the grid of the scan."""
        return self.lungs.labels

    @cached_property
    def depth_mm(self) -> NDArray[np.float32]:
        """Signed distance to the lungs' surface, positive inside, on the grid of the scan."""
        grid = self.lungs
        centres = [
            (np.arange(size) + 0.5) / block - 0.5 for size, block in zip(grid.shape, grid.block, strict=True)
        ]
        return _spread(grid.depth_mm, centres)

    @cached_property
    def vessels(self) -> Mask:
        """The vessels: what is bright, hangs together and lies inside the lungs."""
        bright = (self.volume.hu > VESSEL_HU) & (self.depth_mm > 3.0)
        parts, count = ndimage.label(bright)
        sizes = np.bincount(parts.ravel(), minlength=count + 1) * float(np.prod(self.volume.spacing_mm))
        sizes[0] = 0.0
        kept: Mask = (sizes >= LEAST_VESSEL_MM3)[parts]
        return kept

    @cached_property
    def heights(self) -> NDArray[np.float32]:
        """How high each plane lies in the lungs: 0 at the base, 1 at the apex."""
        filled = np.flatnonzero((self.labels > 0).any(axis=(1, 2)))
        low, high = int(filled[0]), int(filled[-1])
        return np.clip((np.arange(len(self.labels)) - low) / max(high - low, 1), 0, 1).astype(np.float32)

    def coordinates_mm(self, window: tuple[slice, ...] | None = None) -> list[NDArray[np.float32]]:
        """Return open grids of millimetres along planes, rows and columns."""
        window = window or tuple(slice(0, n) for n in self.volume.hu.shape)
        lines = [
            (np.arange(s.start, s.stop) * d).astype(np.float32)
            for s, d in zip(window, self.volume.spacing_mm, strict=True)
        ]
        return list(np.meshgrid(*lines, indexing="ij", sparse=True))


@dataclass(eq=False)
class Canvas:
    """The picture as it grows ill."""

    chest: Chest
    rng: np.random.Generator
    hu: NDArray[np.int16] = field(init=False)
    nodules: list[InsertedNodule] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.hu = self.chest.volume.hu.copy()

    @property
    def volume(self) -> Volume:
        """The scan as it is now."""
        return replace(self.chest.volume, hu=self.hu)

    def sites(self, inside: Mask, count: int, apart_mm: float) -> NDArray[np.float64]:
        """Draw places (N, 3), LPS mm, in a mask."""
        return draw_sites(self.chest.volume, inside, count, apart_mm=apart_mm, rng=self.rng)

    def put_nodules(self, nodules: Sequence[InsertedNodule]) -> None:
        """Insert solid bodies and remember them."""
        chest = self.chest
        self.hu = insert_nodules(
            self.volume, list(nodules), chest.blur, noise_hu=chest.noise_hu, rng=self.rng
        )
        self.nodules += nodules

    def put_many(self, nodules: Sequence[InsertedNodule]) -> None:
        """Insert thousands: each wears the image of one of `MOULDS` of them, moved by whole voxels.

        Its place is then exact to the fraction of a voxel that its mould had, and so is what is remembered.
        """
        chest = self.chest
        moulds = []
        for nodule in nodules[:MOULDS]:
            at = index_of(chest.volume, np.array([nodule.centre_mm]))[0]
            image, corner = nodule_share(chest.volume, nodule, at, chest.blur)
            moulds.append(
                (nodule, image.astype(np.float32), corner - np.rint(at).astype(int), at - np.rint(at))
            )
        grain = self.grain(self.hu.shape, chest.noise_hu)
        for nodule in nodules:
            mould, share, shift, fraction = moulds[self.rng.integers(len(moulds))]
            home = np.rint(index_of(chest.volume, np.array([nodule.centre_mm]))[0]).astype(int)
            part, window = within(share, home + shift, self.hu.shape)
            if part.size == 0:
                continue
            missing = np.sqrt(1 - (1 - part) ** 2)
            image = (1 - part) * self.hu[window] + part * nodule.hu + missing * grain[window]
            self.hu[window] = np.rint(image).astype(np.int16)
            place = points_mm(chest.volume, (home + fraction)[None])[0].tolist()
            self.nodules.append(replace(mould, centre_mm=(place[0], place[1], place[2]), hu=nodule.hu))

    def forget(self, gone: Mask) -> None:
        """Strike off the nodules whose centres lie where there is no lung any more."""
        places = index_of(self.chest.volume, np.array([n.centre_mm for n in self.nodules]).reshape(-1, 3))
        voxels = np.clip(np.rint(places).astype(int), 0, np.array(gone.shape) - 1)
        lost = gone[tuple(voxels.T)]
        self.nodules = [n for n, is_lost in zip(self.nodules, lost, strict=True) if not is_lost]

    def replace_tissue(self, share: Share, hu: float, window: tuple[slice, ...]) -> None:
        """Let tissue of one attenuation take its share of each voxel of a window."""
        before = self.hu[window].astype(np.float32)
        grain = self.grain(share.shape, self.chest.noise_hu) * np.sqrt(1 - (1 - share) ** 2)
        self.hu[window] = np.rint((1 - share) * before + share * hu + grain).astype(np.int16)

    def add_haze(self, share: Share, hu: float, window: tuple[slice, ...]) -> None:
        """Raise what is darker than `hu` toward it; vessels stay visible, as ground glass lets them."""
        before = self.hu[window].astype(np.float32)
        self.hu[window] = np.rint(before + share * np.maximum(hu - before, 0)).astype(np.int16)

    def grain(self, shape: tuple[int, ...], noise_hu: float) -> Share:
        """Return noise as this scan's own: correlated over neighbouring pixels of a plane."""
        white = self.rng.standard_normal(shape, np.float32)
        grain = ndimage.gaussian_filter(white, (0.0, GRAIN_SIGMA, GRAIN_SIGMA))
        scaled: Share = grain * np.float32(noise_hu / max(float(grain.std()), 1e-6))
        return scaled

    def profile_sigma_mm(self) -> float:
        """Return the standard deviation of the slice-sensitivity profile: of its box and of its ends."""
        blur = self.chest.blur
        return float(np.hypot(blur.slice_thickness_mm / np.sqrt(12), blur.profile_sigma_mm()))

    def blurred(self, body: NDArray[np.generic]) -> Share:
        """Return the image of a large body drawn on the scan's own grid."""
        spacing = self.chest.volume.spacing_mm
        blur = self.chest.blur
        # The grid itself averages over a voxel: in the plane a pixel's width is part of the blur already.
        sigma_mm = (0.5 * blur.slice_thickness_mm, blur.in_plane_sigma_mm, blur.in_plane_sigma_mm)
        sigma = [s / d for s, d in zip(sigma_mm, spacing, strict=True)]
        out: Share = ndimage.gaussian_filter(body.astype(np.float32), sigma)
        return out

    def window_around(self, places: NDArray[np.float64], margin_mm: float) -> tuple[slice, ...]:
        """Return the part of the scan that holds places (index space) and a margin."""
        spacing = np.asarray(self.chest.volume.spacing_mm)
        low = np.floor(places.min(axis=0) - margin_mm / spacing).astype(int)
        high = np.ceil(places.max(axis=0) + margin_mm / spacing).astype(int) + 1
        return tuple(
            slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, self.hu.shape, strict=True)
        )

    def points_of(self, mask: Mask, count: int) -> NDArray[np.float64]:
        """Draw places of a mask without regard to each other, (N, 3) LPS mm."""
        voxels = np.flatnonzero(mask)
        chosen = np.stack(np.unravel_index(self.rng.choice(voxels, size=count), mask.shape), axis=1)
        return points_mm(self.chest.volume, chosen + self.rng.uniform(-0.5, 0.5, chosen.shape))


def grown(canvas: Canvas, mask: Mask, reach_mm: float) -> Mask:
    """Return a mask with what lies within about `reach_mm` of it, by boxes, which is quick."""
    sizes = [2 * round(reach_mm / d) + 1 for d in canvas.chest.volume.spacing_mm]
    near: Mask = ndimage.maximum_filter(mask.view(np.uint8), sizes) > 0
    return near


def _spread(field_: NDArray[np.float32], centres: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Interpolate a coarse field linearly, axis by axis, at the given coarse places."""
    out = field_
    for axis, at in enumerate(centres):
        low = np.clip(np.floor(at).astype(int), 0, out.shape[axis] - 2)
        share = np.clip(at - low, 0, 1).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = len(at)
        share = share.reshape(shape)
        out = np.take(out, low, axis) * (1 - share) + np.take(out, low + 1, axis) * share
    return out
