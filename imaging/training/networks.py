"""Several networks from one set of cubes, a process each, without a copy of the cubes for any.

The processes are forks, which see the cubes of their parent; they use PyTorch alone, no thread of it.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from imaging.network import Network

__all__ = ["grow_networks", "log_odds_of"]

_shared: dict[str, NDArray[np.uint8]] = {}  # a forked process sees its parent's cubes


def _grow(label: NDArray[np.int8], epochs: int) -> bytes:
    from imaging.training.convolutions import grow_network

    return grow_network(_shared["cubes"], label, epochs)


def grow_networks(
    cubes: NDArray[np.uint8], labels: list[NDArray[np.int8]], epochs: int, workers: int
) -> list[bytes]:
    """Train a network for each set of labels of the same (N, CUBES, SIDE, SIDE, SIDE) cubes.

    A label of -1 is not learnt from.
    """
    _shared["cubes"] = cubes
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            return list(pool.map(_grow, labels, [epochs] * len(labels)))
    finally:
        _shared.clear()


def log_odds_of(network: bytes, cubes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what a trained network says of cubes."""
    return Network(network).log_odds(cubes)
