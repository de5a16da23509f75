"""Several networks from one set of cubes, without a copy of the cubes for any.

On processors a process each: forks, which see the cubes of their parent and use PyTorch alone, no thread of
it. On a graphics card one after the other, as a fork can't use a card that its parent used.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from imaging.network import Network

__all__ = ["grow_networks", "log_odds_of"]

_shared: dict[str, NDArray[np.uint8]] = {}  # a forked process sees its parent's cubes


def _grow(label: NDArray[np.int8], samples: int, device: str) -> bytes:
    from imaging.training.convolutions import grow_network

    return grow_network(_shared["cubes"], label, samples, device=device)


def grow_networks(
    cubes: NDArray[np.uint8],
    labels: list[NDArray[np.int8]],
    samples: int,
    workers: int,
    device: str,
    console: Console,
) -> list[bytes]:
    """Train a network for each set of labels of the same (N, CUBES, SIDE, SIDE, SIDE) cubes.

    A label of -1 is not learnt from; `samples` and `device` are those of `convolutions.grow_network`.
    """
    _shared["cubes"] = cubes
    try:
        if device != "cpu":
            turns = track(labels, "networks", console=console)
            return [_grow(label, samples, device) for label in turns]
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            jobs = [pool.submit(_grow, label, samples, device) for label in labels]
            return [job.result() for job in track(jobs, "networks", console=console)]
    finally:
        _shared.clear()


def log_odds_of(network: bytes, cubes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what a trained network says of cubes."""
    return Network(network).log_odds(cubes)
