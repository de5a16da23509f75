"""The probability that a candidate is a nodule: boosted trees in three stages.

A sieve looks at features that cost little, a gate at rays and growth, and a ball is
fitted to what is left; the judge sees it all. The trees are plain arrays in an npz
file: nothing in it can run. How they were grown is in `imaging.training`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.balls import BALL_FEATURES, describe_balls
from imaging.candidates import TISSUE_HU, Candidates, ScaleSpace
from imaging.card import MODEL_FILE, read_card
from imaging.features import FEATURE_NAMES, describe, describe_quickly
from imaging.filters import in_slabs
from imaging.prior import adapt
from imaging.resolution import Resolution, noise_of
from imaging.sizing import Fits, fit_balls

__all__ = [
    "JUDGE_FEATURES",
    "MODEL_FILE",
    "Forest",
    "Model",
    "Scored",
    "Stage",
    "fit_survivors",
    "load_model",
    "score",
    "survivors",
]

JUDGE_FEATURES = FEATURE_NAMES + BALL_FEATURES
FIT_HU = (-1000.0, 300.0)
START_RADIUS_MM = (0.6, 6.0)


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
class Model:
    """What `imaging.training` wrote: the trees and how they did on lungs they had not seen."""

    sieve: Stage
    gate: Stage
    judge: Forest
    operating_probability: float  # at or above this a candidate is reported
    version: str
    card: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Candidates that passed the gate, most probable first, with their features and fitted balls."""

    candidates: Candidates
    features: NDArray[np.float32]  # (N, F): FEATURE_NAMES, then BALL_FEATURES
    fits: Fits
    probability: NDArray[np.float64]  # corrected for how common nodules are in this scan

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one feature by name."""
        return self.features[:, JUDGE_FEATURES.index(name)].astype(np.float64)


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
    if tuple(card["features"]) != JUDGE_FEATURES:
        raise ValueError(f"model {path.name} was trained on other features than this program measures")
    with np.load(path, allow_pickle=False) as arrays:
        sieve, gate, judge = (
            Forest(*(arrays[f"{name}_{part}"] for part in Forest.__slots__))
            for name in ("sieve", "gate", "judge")
        )
    return Model(
        sieve=Stage(sieve, float(card["sieve_log_odds"])),
        gate=Stage(gate, float(card["gate_log_odds"])),
        judge=judge,
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


def fit_survivors(
    space: ScaleSpace,
    candidates: Candidates,
    features: NDArray[np.float32],
    noise_hu: float,
    resolution: Resolution,
) -> tuple[NDArray[np.float32], Fits]:
    """Fit a ball to each candidate; return the features with what the fits say, and the fits."""
    image = np.clip(space.hu, *FIT_HU).astype(np.float32)
    detail = np.clip(space.hu[::4], *TISSUE_HU) - space.levels[0][::4]
    grain_hu = noise_of(detail, space.inside[::4])
    columns = (FEATURE_NAMES.index("half_radius_q25_mm"), FEATURE_NAMES.index("half_radius_q50_mm"))
    start_mm, half_mm = (features[:, column].astype(np.float64) for column in columns)
    radius_mm = np.clip(start_mm, *START_RADIUS_MM)
    fits = fit_balls(image, candidates.index, radius_mm, space.spacing_mm, resolution, grain_hu)
    said = describe_balls(
        fits, candidates.index, half_mm, space.spacing_mm, resolution.in_plane_sigma_mm, noise_hu
    )
    return np.concatenate([features, said], axis=1), fits


def score(
    model: Model, space: ScaleSpace, candidates: Candidates, noise_hu: float, resolution: Resolution
) -> Scored:
    """Give each candidate that passes the gate the probability of being a nodule.

    Parameters
    ----------
    model : Model
        From `load_model`.
    space, candidates
        The smoothed lungs and the places in them.
    noise_hu : float
        Of the finest level of `space`.
    resolution : Resolution
        Of the scan.

    Returns
    -------
    Scored
        Sorted by probability, ties by place.
    """
    kept, features = survivors(model.sieve, model.gate, space, candidates, noise_hu)
    passed = candidates[kept]
    features, fits = fit_survivors(space, passed, features, noise_hu, resolution)
    probability = 1.0 / (1.0 + np.exp(-model.judge.log_odds(features)))
    order = np.lexsort((*passed.index.T, -probability))
    return Scored(passed[order], features[order], fits[order], adapt(probability[order]))
