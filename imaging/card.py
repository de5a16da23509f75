"""The model's card: what it is called and how it did, read without loading what runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MODEL_FILE", "model_version", "read_card"]

MODEL_FILE = Path(__file__).parent / "model" / "micronodules.npz"


def read_card(path: Path = MODEL_FILE) -> dict[str, Any]:
    """Return the card of a model file: features, thresholds, recall, training scans, version."""
    with np.load(path, allow_pickle=False) as arrays:
        card: dict[str, Any] = json.loads(str(arrays["card"]))
    return card


def model_version(path: Path = MODEL_FILE) -> str:
    """Return what every result of this model is signed with."""
    return str(read_card(path)["version"])
