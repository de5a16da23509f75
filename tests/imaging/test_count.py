import numpy as np
import pytest

from imaging.classifier import load_model
from imaging.count import Recall

CARD = {
    "recall_diameters_mm": [[1.0, 3.0], [3.0, 5.0]],
    "recall": {
        "thin": [
            {"reported": 20, "shares": [0.4, 0.8]},
            {"reported": 800, "shares": [0.6, 1.0]},
        ]
    },
}


def test_a_scan_like_those_measured_has_their_recall():
    recall = Recall.among(CARD, "thin", 20)
    assert recall.at(np.array([2.0, 3.0, 4.0])) == pytest.approx([0.4, 0.6, 0.8])


def test_more_is_found_where_more_is_there():
    half_way = round(np.sqrt(21 * 801) - 1)
    recall = Recall.among(CARD, "thin", half_way)
    assert recall.at(np.array([2.0])) == pytest.approx([0.5], abs=0.005)


@pytest.mark.parametrize(("found", "share"), [(0, 0.4), (5000, 0.6)])
def test_beyond_what_was_measured_the_ends_hold(found, share):
    recall = Recall.among(CARD, "thin", found)
    assert recall.at(np.array([0.1])) == pytest.approx([share])


@pytest.mark.parametrize("there", [10.0, 16.0, 40.0, 400.0])
def test_what_is_reported_adds_up_to_what_is_there(there):
    sizes = np.array([2.0, 2.0, 3.0, 3.5, 4.0])
    told = Recall.among(CARD, "thin", 20).adding_up_to(there, sizes)
    assert np.sum(1.0 / told.at(sizes)) == pytest.approx(there)
    assert told.at(np.array([2.0]))[0] < told.at(np.array([4.0]))[0] < 1.0


@pytest.mark.parametrize(("there", "sizes"), [(3.0, [2.0] * 4), (0.0, []), (7.0, [])])
def test_nothing_is_missed_where_no_more_is_there_and_nothing_told_of_nothing(there, sizes):
    told = Recall.among(CARD, "thin", 20).adding_up_to(there, np.array(sizes))
    assert told.at(np.array([2.0])) == pytest.approx([1.0])


def test_the_shipped_card_has_recall_for_few_and_for_many():
    for slices in ("thin", "thick"):
        few, many = (Recall.among(load_model().card, slices, found) for found in (10, 800))
        assert many.at(np.array([2.5]))[0] > few.at(np.array([2.5]))[0] > 0
