import numpy as np
import pytest

from imaging.classifier import load_model
from imaging.count import Recall

CARD = {
    "false_marks_a_scan": 2.0,
    "recall_diameters_mm": [[1.0, 3.0], [3.0, 5.0]],
    "recall": {
        "thin": [
            {"reported": 20, "false_marks": 3.0, "shares": [0.4, 0.8]},
            {"reported": 800, "false_marks": 40.0, "shares": [0.6, 1.0]},
        ]
    },
}


def test_a_scan_like_those_measured_has_their_recall_and_false_marks():
    recall = Recall.among(CARD, "thin", 20)
    assert recall.at(np.array([2.0, 3.0, 4.0])) == pytest.approx([0.4, 0.6, 0.8])
    assert recall.false_marks == pytest.approx(3.0)


def test_more_is_found_where_more_is_there():
    half_way = round(np.sqrt(21 * 801) - 1)
    recall = Recall.among(CARD, "thin", half_way)
    assert recall.at(np.array([2.0])) == pytest.approx([0.5], abs=0.005)
    assert recall.false_marks == pytest.approx(21.5, abs=0.2)


@pytest.mark.parametrize(("found", "share", "false"), [(0, 0.4, 2.0), (5000, 0.6, 40.0)])
def test_beyond_what_was_measured_the_ends_hold(found, share, false):
    recall = Recall.among(CARD, "thin", found)
    assert recall.at(np.array([0.1])) == pytest.approx([share])
    assert recall.false_marks == pytest.approx(false)


def test_the_shipped_card_has_recall_for_few_and_for_many():
    for slices in ("thin", "thick"):
        few, many = (Recall.among(load_model().card, slices, found) for found in (10, 800))
        assert many.at(np.array([2.5]))[0] > few.at(np.array([2.5]))[0] > 0
