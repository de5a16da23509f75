"""Sheets, tubes, balls and haze of known extent in lungs of known shape."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.candidates import build_scale_space
from imaging.texture import Texture, haze_of, measure_texture
from imaging.vessels import vessel_distance_mm
from tests.imaging.chests import SPACING_MM, box_lungs, box_volume

LUNGS = box_lungs()
PLAIN = box_volume(noise_hu=15.0)
P, R, C = np.meshgrid(
    *(np.arange(n) * d for n, d in zip(PLAIN.hu.shape, SPACING_MM, strict=True)), indexing="ij"
)


def measured(body, hu=0) -> Texture:
    volume = replace(PLAIN, hu=np.where(body & (LUNGS.labels > 0), hu, PLAIN.hu).astype(np.int16))
    space = build_scale_space(volume, LUNGS)
    return measure_texture(space, LUNGS, noise_hu=6.0)


def test_plain_lung_has_neither_sheets_nor_haze():
    texture = measured(np.zeros(PLAIN.hu.shape, bool))
    assert texture.septal_index.value == 0.0
    assert texture.haze_fraction.value == 0.0


def test_sheets_are_found_by_their_share():
    # Sheets of one pixel every 14 mm; each is seen over its blur, about 2 to 4 mm.
    texture = measured((C % 13.75) < 1.0)
    assert 0.1 < texture.septal_index.value < 0.35


@pytest.mark.parametrize("axis", [R, C])
def test_tubes_are_no_sheets(axis):
    other = C if axis is R else R
    tubes = (((P % 14) - 7) ** 2 + ((other % 14) - 7) ** 2) < 1.5**2
    assert measured(tubes).septal_index.value < 0.005


def test_balls_are_no_sheets():
    balls = (((P % 10) - 5) ** 2 + ((R % 10) - 5) ** 2 + ((C % 10) - 5) ** 2) < 1.8**2
    assert measured(balls).septal_index.value < 0.005


def test_haze_is_counted_by_its_share_of_the_lung():
    hazy = P > 48.0  # the upper half
    assert measured(hazy, hu=-600).haze_fraction.value == pytest.approx(0.5, abs=0.08)


SPREAD = 35.0 * np.random.default_rng(0).standard_normal(20_000)  # HU between the parts of a lung


def test_a_shallow_breath_is_no_haze():
    assert haze_of(SPREAD - 870, -870.0).value < 0.01
    shallow = haze_of(SPREAD - 790, -790.0)  # a fifth of it lies over -760 HU
    assert 0 < shallow.low < shallow.value < shallow.high < 0.02


@pytest.mark.parametrize("usual_hu", [-710.0, -690.0, -660.0])
def test_lungs_that_are_dense_all_over_may_be_breathed_out_or_hazy(usual_hu):
    both = haze_of(SPREAD + usual_hu, usual_hu)
    assert both.low < 0.01
    assert both.high == pytest.approx((SPREAD + usual_hu > -710).mean())
    assert both.low <= both.value <= both.high


@pytest.mark.parametrize(
    ("surroundings_hu", "least"),
    [
        pytest.param(SPREAD - 560, 0.3, id="denser than any breath"),
        pytest.param(np.where(np.arange(20_000) % 10 < 6, -620, -870) + SPREAD, 0.5, id="dark elsewhere"),
    ],
)
def test_what_no_breath_explains_is_haze(surroundings_hu, least):
    assert haze_of(surroundings_hu, float(np.median(surroundings_hu))).low > least


def test_vessels_are_what_hangs_together():
    tube = ((R - 40) ** 2 + (C - 30) ** 2) < 2.5**2  # 5 mm wide, the height of the lung
    ball = ((P - 48) ** 2 + (R - 40) ** 2 + (C - 100) ** 2) < 2.5**2
    volume = replace(PLAIN, hu=np.where((tube | ball) & (LUNGS.labels > 0), 40, PLAIN.hu).astype(np.int16))
    away = vessel_distance_mm(build_scale_space(volume, LUNGS), LUNGS)
    assert away[24, 16, 12] == 0.0
    assert away[24, 16, 40] > 20.0  # at the ball
    assert away[24, 16, 16] == pytest.approx(10.0, abs=3.0)
