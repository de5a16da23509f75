"""Scans shown otherwise: a kernel and a dose do nothing to the mean, something to edge and noise."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from imaging.training import rescanning
from imaging.training.rescanning import SHARES, Look, draw_look, reconstructed, rescanned
from records.model import Volume

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
PLANES, SIDE = 40, 96
LUNG_HU, TISSUE_HU = -850, 0


@pytest.fixture(scope="module")
def volume() -> Volume:
    """Return a plate of soft tissue in air-filled lung, the same in every plane."""
    hu = np.full((PLANES, SIDE, SIDE), LUNG_HU, np.int16)
    hu[:, :, SIDE // 2 :] = TISSUE_HU
    uids = tuple(str(n) for n in range(PLANES))
    return Volume(hu, (0.0, 0.0, 0.0), AXIAL, (1.25, 0.6, 0.6), 1.25, "", "1.2", "1.3", uids)


def profile(hu):
    return hu.mean(axis=(0, 1))[10:-10]


def noise_hu(hu):
    return float(hu[:, :, 10 : SIDE // 2 - 10].std())


@pytest.mark.parametrize("seed", range(4))
def test_a_lung_kernel_overshoots_and_is_noisy(volume, seed):
    shown = reconstructed(volume, Look.LUNG_KERNEL, np.random.default_rng(seed)).hu
    across = profile(shown)
    assert across.max() > TISSUE_HU + 20
    assert across.min() < LUNG_HU - 20
    assert 8 < noise_hu(shown) < 95  # some are softened
    assert np.median(across[:20]) == pytest.approx(LUNG_HU, abs=5)


@pytest.mark.parametrize("seed", range(4))
def test_a_low_dose_is_noisy_and_its_edges_are_soft(volume, seed):
    shown = reconstructed(volume, Look.LOW_DOSE, np.random.default_rng(seed)).hu
    across = profile(shown)
    assert across.max() < TISSUE_HU + 20
    assert 12 < noise_hu(shown) < 65
    # A Gaussian of 0.4 mm: half a pixel of 0.6 mm off the edge, 0.77 of the step is done.
    done = (shown[:, :, SIDE // 2].mean() - LUNG_HU) / (TISSUE_HU - LUNG_HU)
    assert done == pytest.approx(0.77, abs=0.04)


def test_about_half_of_the_noisy_ones_are_softened_as_screening_does_it(volume, monkeypatch):
    asked = []
    monkeypatch.setattr(rescanning, "softened", lambda shown: asked.append(shown) or shown)
    few = replace(volume, hu=volume.hu[:1])
    for seed in range(100):
        reconstructed(few, Look.LUNG_KERNEL, np.random.default_rng(seed))
    assert 35 <= len(asked) <= 65  # binomial: outside with probability 0.002


@pytest.mark.parametrize("look", [Look.PLAIN, Look.SOFTER, Look.SHARPER])
def test_other_scans_are_not_reconstructed(volume, look):
    assert reconstructed(volume, look, np.random.default_rng(0)) is volume


@pytest.mark.parametrize(("look", "rises"), [(Look.SOFTER, False), (Look.SHARPER, True)])
def test_a_fine_dot_fades_or_shines(volume, look, rises):
    hu = np.full_like(volume.hu, LUNG_HU)
    hu[:, SIDE // 2, SIDE // 2] = -400
    dot = replace(volume, hu=hu)
    for seed in range(4):
        shown = rescanned(dot, 1.0, look, np.random.default_rng(seed)).astype(float)
        assert (shown[:, SIDE // 2, SIDE // 2].mean() > -395) == rises
        assert shown.mean() == pytest.approx(hu.mean(), abs=1.0)


def test_a_shrunk_scan_is_as_soft_and_as_noisy_as_a_scanner_makes_it(volume):
    for seed in range(4):
        shown = rescanned(volume, 0.5, Look.PLAIN, np.random.default_rng(seed)).astype(float)
        assert 2.5 < noise_hu(shown) < 31
        # 0.45 to 0.75 mm once it is shrunk to half, less the 0.6 mm that the scan had: 0.67 to 1.37 mm.
        done = (shown[:, :, SIDE // 2].mean() - LUNG_HU) / (TISSUE_HU - LUNG_HU)
        assert 0.57 < done < 0.69


def test_looks_are_drawn_as_often_as_they_should_be():
    rng = np.random.default_rng(1)
    drawn = Counter(draw_look(rng) for _ in range(4000))
    assert sum(SHARES.values()) == pytest.approx(1.0)
    for look, share in SHARES.items():
        assert drawn[look] / 4000 == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 4000))
