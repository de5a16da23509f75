"""The scanner model against closed formulas: shares, blur, profile, noise."""

import numpy as np
import pytest
from scipy.special import erf

from imaging.phantom.drawing import DrawnGrid, draw_ball
from imaging.phantom.nodules import NoduleTruth
from imaging.phantom.scanner import FWHM, Kernel, add_noise, blur, noise_shape, slice_weights
from records.model import Side

BACKGROUND_HU = -850.0


def grid(step_mm, shape=(41, 41, 41)) -> DrawnGrid:
    corner = tuple(-(n - 1) / 2 * s for n, s in zip(shape, step_mm, strict=True))[::-1]
    return DrawnGrid(corner, step_mm, shape, 1)


def drawn_ball(*, diameter_mm, step_mm, centre_mm=(0.0, 0.0, 0.0), hu=50.0):
    place = grid(step_mm)
    drawn = np.full(place.shape, BACKGROUND_HU, np.float32)
    draw_ball(drawn, NoduleTruth(centre_mm, diameter_mm, hu, Side.RIGHT), place)
    return drawn


def imaged(drawn, *, step_mm, thickness_mm, psf_sigma_mm):
    return blur(
        drawn, planes_per_slice=1, step_mm=step_mm, thickness_mm=thickness_mm, psf_sigma_mm=psf_sigma_mm
    )


@pytest.mark.parametrize("diameter_mm", [1.5, 3.0, 5.0, 8.0])
@pytest.mark.parametrize("step_mm", [(1.25, 0.75, 0.75), (0.6, 0.6, 0.6)])
def test_a_ball_fills_its_volume_whatever_its_place_between_voxels(diameter_mm, step_mm):
    places = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    volumes = [
        (drawn_ball(diameter_mm=diameter_mm, step_mm=step_mm, centre_mm=tuple(p)) - BACKGROUND_HU).sum()
        * np.prod(step_mm)
        / (50.0 - BACKGROUND_HU)
        for p in places
    ]
    # 64 points a voxel: the smallest ball errs by up to 6 % at one place, by less than 2 % on average.
    assert volumes == pytest.approx([np.pi / 6 * diameter_mm**3] * 5, rel=0.06)
    assert np.mean(volumes) == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.02)


def test_blur_moves_no_mass():
    drawn = drawn_ball(diameter_mm=5.0, step_mm=(1.0, 0.7, 0.7), centre_mm=(0.2, 0.1, -0.3))
    shown = imaged(drawn, step_mm=(1.0, 0.7, 0.7), thickness_mm=1.5, psf_sigma_mm=0.6)
    assert (shown - BACKGROUND_HU).sum() == pytest.approx((drawn - BACKGROUND_HU).sum(), rel=1e-4)


@pytest.mark.parametrize("diameter_mm", [1.5, 2.5, 4.0, 6.0])
def test_the_peak_of_a_blurred_ball_follows_the_formula(diameter_mm):
    # A ball of radius r and contrast C under an isotropic Gaussian of width s peaks at
    # C (erf(u) - 2 u exp(-u^2) / sqrt(pi)), u = r / (s sqrt 2).
    sigma, step = 0.6, (0.4, 0.4, 0.4)
    shown = imaged(
        drawn_ball(diameter_mm=diameter_mm, step_mm=step),
        step_mm=step,
        thickness_mm=sigma * FWHM,
        psf_sigma_mm=sigma,
    )
    u = diameter_mm / 2 / sigma / np.sqrt(2)
    peak = (50.0 - BACKGROUND_HU) * (erf(u) - 2 * u * np.exp(-(u**2)) / np.sqrt(np.pi))
    # The drawn voxels are boxes, not points: a Gaussian of the same variance differs by a percent.
    assert shown.max() - BACKGROUND_HU == pytest.approx(peak, rel=0.02)


def edge_sigma_mm(profile, step_mm) -> float:
    """Return the width of the line spread of an edge between two voxels, their averaging included."""
    line = np.diff(profile.astype(float))
    line /= line.sum()
    at = np.arange(len(line)) * step_mm
    return float(np.sqrt(np.sum(line * at**2) - np.sum(line * at) ** 2 + step_mm**2 / 12))


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("pixel_mm", [0.6, 0.75, 0.98])
def test_an_edge_in_the_plane_is_as_wide_as_the_kernel_says(kernel, pixel_mm):
    drawn = np.zeros((3, 41, 41), np.float32)
    drawn[:, :, 20:] = 1000.0
    step = (1.25, pixel_mm, pixel_mm)
    shown = imaged(drawn, step_mm=step, thickness_mm=1.25, psf_sigma_mm=kernel.psf_sigma_mm)
    assert edge_sigma_mm(shown[1, 20], pixel_mm) == pytest.approx(kernel.psf_sigma_mm, rel=0.01)


@pytest.mark.parametrize(("thickness_mm", "step_mm"), [(1.25, 1.25), (2.0, 1.0), (2.5, 1.25), (5.0, 1.25)])
def test_an_edge_along_the_table_is_as_wide_as_the_slice(thickness_mm, step_mm):
    drawn = np.zeros((61, 5, 5), np.float32)
    drawn[30:] = 1000.0
    shown = imaged(drawn, step_mm=(step_mm, 0.7, 0.7), thickness_mm=thickness_mm, psf_sigma_mm=0.5)
    assert edge_sigma_mm(shown[:, 2, 2], step_mm) == pytest.approx(thickness_mm / FWHM, rel=0.01)


def test_thick_slices_are_centred_on_every_nth_drawn_plane():
    drawn = np.repeat(np.arange(41, dtype=np.float32)[:, None, None], 4, axis=1).repeat(4, axis=2)
    shown = blur(drawn, planes_per_slice=4, step_mm=(1.25, 0.7, 0.7), thickness_mm=5.0, psf_sigma_mm=0.5)
    # A symmetric profile leaves a ramp as it is, away from the ends.
    np.testing.assert_allclose(shown[2:-2, 2, 2], np.arange(0, 41, 4)[2:-2], atol=1e-3)


def test_slice_weights_are_a_mean():
    weights = slice_weights(2.5, 1.25)
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(weights, weights[::-1])


def noise(*, slices=24, overlap=1.0, level=10.0, psf_sigma_mm=0.5, seed=0):
    field = np.zeros((slices, 128, 128), np.float32)
    rim = np.ones((128, 128), np.float32)
    add_noise(
        field,
        np.full(slices, level, np.float32),
        rim,
        pixel_mm=(0.75, 0.75),
        psf_sigma_mm=psf_sigma_mm,
        slice_overlap=overlap,
        rng=np.random.default_rng(seed),
    )
    return field


@pytest.mark.parametrize("overlap", [1.0, 2.0])
@pytest.mark.parametrize("kernel", list(Kernel))
def test_noise_has_the_standard_deviation_asked_for(overlap, kernel):
    field = noise(overlap=overlap, psf_sigma_mm=kernel.psf_sigma_mm)
    # 400,000 voxels, correlated over a few: the estimate is good to half a percent.
    assert field.std() == pytest.approx(10.0, rel=0.02)
    assert abs(field.mean()) < 0.1


def test_the_noise_power_spectrum_is_a_ramp_cut_by_the_kernel():
    """Kijewski and Judy 1987: power grows with frequency from near nothing; the kernel takes it down."""
    field = noise(slices=64)
    power = np.mean(np.abs(np.fft.rfft2(field)) ** 2, axis=0) / field[0].size / 10.0**2
    expected = noise_shape(128, 128, (0.75, 0.75), 0.5) ** 2
    fy, fx = np.fft.fftfreq(128, 0.75)[:, None], np.fft.rfftfreq(128, 0.75)[None, :]
    band = np.digitize(np.hypot(fy, fx), np.arange(0.02, 0.66, 0.08))
    measured = np.array([power[band == b].mean() for b in range(1, 8)])
    wanted = np.array([expected[band == b].mean() for b in range(1, 8)])
    np.testing.assert_allclose(measured, wanted, rtol=0.06)
    peak = int(np.argmax(measured))
    assert 0 < peak < 6
    assert measured[0] < 0.5 * measured[peak]
    assert measured[-1] < 0.8 * measured[peak]


def test_a_sharper_kernel_has_finer_grain():
    def neighbours(kernel):
        field = noise(psf_sigma_mm=kernel.psf_sigma_mm)
        return np.corrcoef(field[..., 1:].ravel(), field[..., :-1].ravel())[0, 1]

    assert neighbours(Kernel.SMOOTH) > neighbours(Kernel.STANDARD) > neighbours(Kernel.SHARP)


def test_overlapping_slices_share_noise():
    def neighbours(overlap):
        field = noise(overlap=overlap)
        return np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1]

    assert neighbours(1.0) < 0.25
    assert neighbours(2.0) > neighbours(1.0) + 0.1
