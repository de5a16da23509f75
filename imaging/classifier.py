"""The probability that a candidate is a nodule: two ensembles of boosted trees.

A sieve looks at features that cost little and drops what is plainly a vessel; the
judge looks at all features of the rest. The trees are plain arrays in an npz
file: nothing in it can run. How they were grown is in `imaging.training`.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import Candidates, ScaleSpace
from imaging.features import FEATURE_NAMES, QUICK_FEATURES, describe, describe_quickly
from imaging.filters import in_slabs

__all__ = ["MODEL_FILE", "Forest", "Model", "Scored", "load_model", "score"]

MODEL_FILE = Path(__file__).parent / "model" / "micronodules.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Boosted trees whose leaves add up to a log-odds.

    Attributes
    ----------
    roots : (T,) int32 ndarray
        First node of each tree.
    feature : (M,) int32 ndarray
        Column a node looks at; -1 at a leaf.
    threshold : (M,) float64 ndarray
        A value up to and including this goes left.
    left, right : (M,) int32 ndarray
        Children.
    value : (M,) float64 ndarray
        What a leaf adds.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log-odds of (N, F) features."""
        out = np.zeros(len(features))
        trees = (self.roots, self.feature, self.threshold, self.left, self.right, self.value)
        if len(features):
            in_slabs(lambda a, b: _add_leaves(features, *trees, out, a, b), len(features))
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What `imaging.training` wrote: the trees and how they did on lungs they had not seen."""

    sieve: Forest
    judge: Forest
    sieve_log_odds: float  # below this the sieve drops a candidate
    operating_probability: float  # at or above this a candidate is reported
    version: str
    card: dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Candidates that passed the sieve, with features and probability, most probable first."""

    candidates: Candidates
    features: NDArray[np.float32]
    probability: NDArray[np.float64]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one feature by name."""
        return self.features[:, FEATURE_NAMES.index(name)].astype(np.float64)


@njit(nogil=True, cache=True)
def _add_leaves(features, roots, feature, threshold, left, right, value, out, start, stop):  # type: ignore[no-untyped-def]
    for n in range(start, stop):
        total = 0.0
        for root in roots:
            node = root
            while feature[node] >= 0:
                node = left[node] if features[n, feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[n] = total


@cache
def load_model(path: Path = MODEL_FILE) -> Model:
    """Read the shipped model, or one that `imaging.training` made.

    Raises
    ------
    ValueError
        If the model was trained on other features than this program measures.
    """
    with np.load(path, allow_pickle=False) as arrays:
        card = json.loads(str(arrays["card"]))
        if tuple(card["features"]) != FEATURE_NAMES:
            raise ValueError(f"model {path.name} was trained on other features than this program measures")
        forests = [
            Forest(
                *(
                    arrays[f"{name}_{part}"]
                    for part in ("roots", "feature", "threshold", "left", "right", "value")
                )
            )
            for name in ("sieve", "judge")
        ]
    return Model(
        sieve=forests[0],
        judge=forests[1],
        sieve_log_odds=float(card["sieve_log_odds"]),
        operating_probability=float(card["operating_probability"]),
        version=str(card["version"]),
        card=card,
    )


def score(model: Model, space: ScaleSpace, candidates: Candidates, noise_hu: float) -> Scored:
    """Give each candidate the probability of being a nodule.

    Parameters
    ----------
    model : Model
        From `load_model`.
    space, candidates
        The smoothed lungs and the places in them.
    noise_hu : float
        Of the finest level of `space`.

    Returns
    -------
    Scored
        Sorted by probability, ties by place.
    """
    quick = describe_quickly(space, candidates, noise_hu)
    passed = candidates[model.sieve.log_odds(quick[:, :QUICK_FEATURES]) >= model.sieve_log_odds]
    features = describe(space, passed, noise_hu)
    probability = 1.0 / (1.0 + np.exp(-model.judge.log_odds(features)))
    order = np.lexsort((*passed.index.T, -probability))
    return Scored(passed[order], features[order], probability[order])
