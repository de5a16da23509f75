"""Boosted trees grown by LightGBM, kept as plain arrays."""

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from imaging.classifier import Forest

__all__ = ["grow"]

SETTINGS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.06,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "verbose": -1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
}


def grow(features: NDArray[np.float32], label: NDArray[np.int8], rounds: int, **changed: Any) -> Forest:
    """Grow trees that tell label 1 from label 0.

    Parameters
    ----------
    features : (N, F) float32 ndarray
    label : (N,) int8 ndarray
    rounds : int
        Number of trees.
    **changed
        LightGBM settings other than `SETTINGS`.
    """
    data = lightgbm.Dataset(features, label.astype(np.float32))
    booster = lightgbm.train({**SETTINGS, **changed}, data, rounds)
    nodes: dict[str, list[float]] = {key: [] for key in ("feature", "threshold", "left", "right", "value")}
    roots = [_flatten(tree["tree_structure"], nodes) for tree in booster.dump_model()["tree_info"]]
    return Forest(
        np.array(roots, np.int32),
        np.array(nodes["feature"], np.int32),
        np.array(nodes["threshold"], np.float64),
        np.array(nodes["left"], np.int32),
        np.array(nodes["right"], np.int32),
        np.array(nodes["value"], np.float64),
    )


def _flatten(node: dict[str, Any], nodes: dict[str, list[float]]) -> int:
    """Append a node and what hangs below it; return its number."""
    here = len(nodes["value"])
    leaf = "leaf_value" in node
    nodes["feature"].append(-1 if leaf else node["split_feature"])
    nodes["threshold"].append(0.0 if leaf else node["threshold"])
    nodes["value"].append(node["leaf_value"] if leaf else 0.0)
    nodes["left"].append(-1)
    nodes["right"].append(-1)
    if not leaf:
        nodes["left"][here] = _flatten(node["left_child"], nodes)
        nodes["right"][here] = _flatten(node["right_child"], nodes)
    return here
