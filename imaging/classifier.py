"""The probability that a candidate is a nodule: boosted trees, then a small network.

A sieve of trees looks at features that cost little, a gate at rays and growth. The judge sees all that
was measured; what it leaves is looked at by a convolutional network, and the log-odds of both are
added, each with its weight. The trees are plain arrays in an npz file, the network is an ONNX graph
beside them: nothing in it can run by itself. How they were grown is in `imaging.training`.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import Candidates, ScaleSpace
from imaging.card import MODEL_FILE, read_card
from imaging.features import FEATURE_NAMES, describe, describe_quickly
from imaging.filters import in_slabs
from imaging.network import Network
from imaging.patches import cut_cubes
from imaging.prior import adapt, log_odds, probability_of

__all__ = ["MODEL_FILE", "Forest", "Model", "Scored", "Stage", "Verdicts", "load_model", "score", "survivors"]


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
class Stage:
    """A forest and the log-odds below which it drops a candidate."""

    forest: Forest
    least_log_odds: float

    def passes(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which of (N, F) features go on."""
        return self.forest.log_odds(features) >= self.least_log_odds


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """How the log-odds of judge and network become one: a logistic regression on lungs neither had seen."""

    constant: float
    judge_weight: float
    network_weight: float
    share: float  # of nodules among the examples it was fitted on

    def log_odds(self, judge: NDArray[np.float64], network: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of N candidates."""
        return self.constant + self.judge_weight * judge + self.network_weight * network


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What `imaging.training` wrote: trees, network, and how they did on lungs they had not seen."""

    sieve: Stage
    gate: Stage
    judge: Stage
    network: Network
    verdicts: Verdicts
    operating_probability: float  # at or above this a candidate is reported
    version: str
    card: dict[str, Any]

    def probabilities(
        self, judge_log_odds: NDArray[np.float64], cubes: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], float]:
        """Return the probability of each candidate the judge let pass, and how common nodules are here.

        The second is what the first is corrected by, of each log-odds.
        """
        odds = self.verdicts.log_odds(judge_log_odds, self.network.log_odds_all_around(cubes))
        return adapt(probability_of(odds), self.verdicts.share)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Candidates that the judge let pass, most probable first, with their features."""

    candidates: Candidates
    features: NDArray[np.float32]  # (N, len(FEATURE_NAMES))
    probability: NDArray[np.float64]  # corrected for how common nodules are in this scan
    commonness: float  # what the correction added to each log-odds

    def __getitem__(self, chosen: NDArray[np.generic]) -> "Scored":
        return replace(
            self,
            candidates=self.candidates[chosen],
            features=self.features[chosen],
            probability=self.probability[chosen],
        )

    @property
    def evidence(self) -> NDArray[np.float64]:
        """The log-odds of each, whatever else is in the scan."""
        return np.asarray(log_odds(self.probability) - self.commonness)

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
    card = read_card(path)
    if tuple(card["features"]) != FEATURE_NAMES:
        raise ValueError(f"model {path.name} was trained on other features than this program measures")
    with np.load(path, allow_pickle=False) as arrays:
        sieve, gate, judge = (
            Stage(
                Forest(*(arrays[f"{name}_{part}"] for part in Forest.__slots__)),
                float(card[f"{name}_log_odds"]),
            )
            for name in ("sieve", "gate", "judge")
        )
        network = Network(arrays["network"].tobytes())
    return Model(
        sieve=sieve,
        gate=gate,
        judge=judge,
        network=network,
        verdicts=Verdicts(**card["verdicts"]),
        operating_probability=float(card.get("operating_probability", 0.5)),
        version=str(card["version"]),
        card=card,
    )


def survivors(
    sieve: Stage, gate: Stage, space: ScaleSpace, candidates: Candidates, noise_hu: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which candidates pass sieve and gate, and their features (N, len(FEATURE_NAMES))."""
    quick = describe_quickly(space, candidates, noise_hu)
    passed = np.flatnonzero(sieve.passes(quick))
    features = describe(space, candidates[passed], noise_hu)
    kept = gate.passes(features)
    return passed[kept], features[kept]


def score(model: Model, space: ScaleSpace, candidates: Candidates, noise_hu: float) -> Scored:
    """Give each candidate that is worth a look the probability of being a nodule.

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
    kept, features = survivors(model.sieve, model.gate, space, candidates, noise_hu)
    odds = model.judge.forest.log_odds(features)
    worth = odds >= model.judge.least_log_odds
    passed, features = candidates[kept[worth]], features[worth]
    probability, commonness = model.probabilities(odds[worth], cut_cubes(space, passed))
    order = np.lexsort((*passed.index.T, -probability))
    return Scored(passed, features, probability, commonness)[order]
