"""The trees against LightGBM's own predictions, and the model file against what it may hold."""

import json
import zipfile

import lightgbm
import numpy as np
import pytest

from imaging.classifier import MODEL_FILE, load_model
from imaging.features import FEATURE_NAMES
from imaging.training.forests import SETTINGS, grow

MAX_BYTES = 5_000_000


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(3000, 6)).astype(np.float32)
    odds = 2 * features[:, 0] - features[:, 1] * features[:, 2]
    return features, (odds + rng.normal(size=3000) > 1).astype(np.int8)


def test_our_trees_answer_as_lightgbm_does(examples):
    features, label = examples
    forest = grow(features, label, 30)
    booster = lightgbm.train(SETTINGS, lightgbm.Dataset(features, label.astype(np.float32)), 30)
    theirs = booster.predict(features, raw_score=True)
    # The same thresholds, summed in the same order.
    assert forest.log_odds(features) == pytest.approx(theirs, abs=1e-9)


def test_training_twice_grows_the_same_trees(examples):
    first, again = (grow(*examples, 10) for _ in range(2))
    assert first.threshold.tobytes() == again.threshold.tobytes()
    assert first.value.tobytes() == again.value.tobytes()


def test_threads_change_nothing(examples, monkeypatch):
    features, label = examples
    forest = grow(features, label, 10)
    answers = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MIPC_THREADS", threads)
        answers.append(forest.log_odds(features).tobytes())
    assert answers[0] == answers[1]


def test_no_candidates_no_answers(examples):
    assert grow(*examples, 3).log_odds(np.zeros((0, 6), np.float32)).size == 0


def test_the_shipped_model_is_small_and_holds_only_arrays():
    assert MODEL_FILE.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(MODEL_FILE) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype.kind for name in arrays.files}
    assert kinds <= {"i", "u", "f", "U"}


def test_the_card_says_what_was_learnt_from_and_how_well():
    card = load_model().card
    assert not any("ricord" in scan for scan in card["training_scans"])
    for row in (row for rows in card["recall"].values() for row in rows):
        assert len(row["shares"]) == len(card["recall_diameters_mm"])
        assert all(0 <= share <= 1 for share in row["shares"])
    assert 0 < load_model().operating_probability < 1


def test_a_model_for_other_features_is_refused(tmp_path):
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    card = json.loads(str(parts["card"]))
    assert tuple(card["features"]) == FEATURE_NAMES
    card["features"] = card["features"][::-1]
    other = tmp_path / "other.npz"
    np.savez(other, **{**parts, "card": json.dumps(card)})
    with pytest.raises(ValueError, match=r"other\.npz was trained on other features"):
        load_model(other)
