import numpy as np
import pytest
from scipy import ndimage

from imaging.filters import block_mean, gaussian, white_noise_passed

SPACING_MM = (1.25, 0.7, 0.8)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(5).normal(-800, 60, (20, 40, 44)).astype(np.int16)


def test_smoothing_agrees_with_scipy_where_the_kernel_is_wide(noise):
    ours = gaussian(noise, 3.0, SPACING_MM)
    # A Gaussian integrated over voxels is wider by a twelfth of a voxel squared than one sampled at them.
    sigma = [np.sqrt((3.0 / step) ** 2 + 1 / 12) for step in SPACING_MM]
    theirs = ndimage.gaussian_filter(noise.astype(np.float64), sigma, mode="nearest", truncate=6)
    assert np.abs(ours - theirs).max() < 0.5  # HU, of noise of 60 HU


def test_a_constant_stays_what_it_is():
    flat = np.full((6, 7, 8), -850, np.int16)
    assert gaussian(flat, 2.0, SPACING_MM) == pytest.approx(-850, abs=1e-3)


def test_a_kernel_far_narrower_than_a_voxel_changes_nothing(noise):
    assert np.array_equal(gaussian(noise, 1e-5, SPACING_MM), noise.astype(np.float32))


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_number_of_threads_does_not_change_a_bit(noise, monkeypatch, threads):
    monkeypatch.setenv("MIPC_THREADS", "2")
    expected = gaussian(noise, 1.2, SPACING_MM)
    monkeypatch.setenv("MIPC_THREADS", threads)
    assert np.array_equal(gaussian(noise, 1.2, SPACING_MM), expected)


def test_block_mean_is_the_mean_of_its_block(noise):
    shrunk = block_mean(noise, (2, 4, 4))
    assert shrunk.shape == (10, 10, 11)
    assert shrunk[3, 2, 5] == pytest.approx(noise[6:8, 8:12, 20:24].mean(), rel=1e-6)


def test_means_of_whole_numbers_and_of_floats_are_the_same_bits(noise):
    assert np.array_equal(block_mean(noise, (2, 3, 3)), block_mean(noise.astype(np.float32), (2, 3, 3)))


def test_what_does_not_fill_a_block_is_cut():
    assert block_mean(np.ones((3, 9, 9), np.int16), (2, 4, 4)).shape == (1, 2, 2)


def test_white_noise_passed_is_what_a_difference_of_levels_leaves():
    white = np.random.default_rng(3).standard_normal((60, 80, 80)).astype(np.float32)
    fine = gaussian(white, 0.6, SPACING_MM)
    left = (fine - gaussian(fine, float(np.sqrt(0.9**2 - 0.6**2)), SPACING_MM))[6:-6, 6:-6, 6:-6]
    # The spread of a quarter of a million voxels, a few of them alike, is known to a percent.
    assert white_noise_passed(0.6, 0.9, SPACING_MM) == pytest.approx(float(left.std()), rel=0.02)
