"""What a census is read by, measured on crowds whose law of being found is known."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.background import CLASSES, EVEN, USUAL
from imaging.census import Marks
from imaging.insertion import InsertedNodule
from imaging.response import VISIBILITIES, Response
from imaging.sight import Sight
from imaging.training.hits import are_false, own_marks
from imaging.training.response import FALSE_MARKS, Condition, Trial, measure_response, measure_speckles
from tests.imaging.test_pattern import nodule


def found_share(visibility):
    return 1 / (1 + (np.asarray(visibility) / 4.0) ** -6)


def scan(
    count,
    *,
    false=0,
    clutter=1.0,
    seed=0,
    told=-9.0,
    speckle_hu2=np.nan,
    hidden=0.0,
    patient="a",
    condition=Condition.PLAIN,
) -> Trial:
    """Return a scan whose marks of nodules have evidence 5 and whose false ones have any.

    Half of the nodules lie before the densest lung, and are found there as if they were less visible.
    """
    rng = np.random.default_rng(seed)
    visibility = np.exp(rng.uniform(np.log(2), np.log(15), count))
    behind = np.where(rng.random(count) < 0.5, CLASSES - 1, USUAL)
    seen_as = visibility * np.exp(np.where(behind == USUAL, 0.0, -hidden))
    seen = rng.random(count) < found_share(seen_as)
    marked = visibility[seen] * np.exp(0.05 + 0.08 * rng.standard_normal(seen.sum()))
    own = np.full(count, -1)
    own[seen] = np.arange(seen.sum())
    marks = Marks(
        np.concatenate([np.full(seen.sum(), 5.0), rng.exponential(1.0, false)]),
        np.concatenate([marked, np.full(false, 5.0)]),
        told,
    )
    is_false = np.arange(len(marks.evidence)) >= seen.sum()
    return Trial(
        patient=patient,
        slices="thick",
        nodules=count,
        condition=condition,
        diameter_mm=np.full(count, np.nan),
        hu=np.full(count, np.nan),
        visibility=visibility,
        behind=behind,
        lung=0.5 * EVEN + 0.5 * np.eye(CLASSES)[-1],
        sight=Sight(60.0, clutter),
        own=own,
        marks=marks,
        probability=np.zeros(len(is_false)),
        is_false=is_false,
        speckle_hu2=speckle_hu2,
    )


CLEAN = [scan(0, false=100, seed=n, patient=name) for n, name in enumerate("abcab")]


def test_the_share_found_and_the_error_of_visibility_come_back():
    told = Response.of({"response": measure_response([*CLEAN, scan(6000, seed=9)])})
    middle = (VISIBILITIES > 2.5) & (VISIBILITIES < 12)
    found = told.share_found(VISIBILITIES)
    assert found[middle] == pytest.approx(found_share(VISIBILITIES[middle]), abs=0.05)
    assert told.bias[middle, -1] == pytest.approx(0.05, abs=0.03)
    assert told.spread[middle, -1] == pytest.approx(0.08, abs=0.02)


def test_what_lies_behind_nodules_is_told_apart_from_how_visible_they_are():
    told = Response.of({"response": measure_response([*CLEAN, scan(6000, seed=9, hidden=0.5)])})
    assert told.behind[-1] == pytest.approx(-0.5, abs=0.06)
    assert told.behind[USUAL] == 0.0
    middle = (VISIBILITIES > 2.5) & (VISIBILITIES < 9)
    found = told.within(EVEN).share_found(VISIBILITIES)
    assert found[middle] == pytest.approx(found_share(VISIBILITIES[middle]), abs=0.06)


def test_what_tables_of_other_patients_leave_unexplained_is_measured_on_crowds():
    crowds = [scan(400, seed=20 + n, patient=name, condition=Condition.CROWD) for n, name in enumerate("abc")]
    alike = measure_response(
        [*CLEAN, *crowds, *(scan(2000, seed=30 + n, patient="abc"[n]) for n in range(3))]
    )
    # A census of a crowd of which a third was never marked at all comes out a third low.
    half = [replace(one, own=np.concatenate([one.own, np.full(200, -1)])) for one in crowds]
    off = [*CLEAN, *half, *(scan(2000, seed=30 + n, patient="abc"[n]) for n in range(3))]
    assert measure_response([replace(one, **_padded(one)) for one in off])["unexplained"] > (
        alike["unexplained"] + 0.1
    )


def _padded(one: Trial) -> dict:
    """Return the nodules' columns as long as the list of their marks."""
    more = len(one.own) - len(one.visibility)
    return {
        "visibility": np.concatenate([one.visibility, np.full(more, 1.6)]),
        "behind": np.concatenate([one.behind, np.full(more, USUAL)]),
    }


def test_bands_begin_where_clean_scans_have_so_many_false_marks():
    told = Response.of({"response": measure_response([*CLEAN, scan(500, seed=9)])})
    bands = told.false_marks.sum(axis=1)
    above = np.cumsum(bands[::-1])[::-1]
    assert above == pytest.approx(np.array(FALSE_MARKS), rel=0.05, abs=0.35)  # one mark of five scans


def test_twice_the_clutter_explains_twice_the_false_marks():
    usual = measure_response([*CLEAN, scan(500, seed=9)])
    finer = [replace(one, sight=Sight(60.0, 2.0)) for one in CLEAN]
    told = Response.of({"response": measure_response([*finer, scan(500, seed=9)])})
    assert told.false_marks.sum() == pytest.approx(np.sum(usual["false_marks"]) / 2, rel=0.02)


def test_no_band_reaches_below_what_every_clean_scan_tells():
    cut = [*CLEAN[:4], replace(CLEAN[4], marks=replace(CLEAN[4].marks, told=1.5))]
    told = Response.of({"response": measure_response([*cut, scan(500, seed=9)])})
    assert told.edges[0] == pytest.approx(1.5)


def test_normal_texture_is_that_of_the_clean_scans():
    noisy = scan(0, false=3, speckle_hu2=900.0, condition=Condition.NOISE)
    tested = [scan(0, false=3, speckle_hu2=v) for v in (240.0, 250.0, 260.0)] + [scan(50), noisy]
    assert measure_speckles(tested) == {"mean_hu2": 250.0, "spread_hu2": 10.0}


def test_a_nodule_owns_its_likeliest_mark_and_what_lies_at_none_is_false():
    truth = [InsertedNodule((0.0, 0.0, 0.0), 4.0, 0.0), InsertedNodule((50.0, 0.0, 0.0), 2.0, 0.0)]
    places = [(1.0, 0.0, 0.0), (0.0, 1.5, 0.0), (3.5, 0.0, 0.0), (20.0, 0.0, 0.0), (90.0, 0.0, 6.0)]
    sure = [0.3, 0.8, 0.9, 0.9, 0.9]
    marks = [nodule(centre_mm=at, probability=p) for at, p in zip(places, sure, strict=True)]
    read = np.array([[90.0, 0.0, 0.0, 3.0]])  # mm, and a diameter: the last mark lies within 5 mm of its edge
    assert own_marks(truth, marks).tolist() == [1, -1]
    assert are_false(truth, marks, read).tolist() == [False, False, False, True, False]
