"""Several networks from one set of cubes, without a copy of the cubes for any; each is kept once it is grown.

On processors a process each: forks, which see the cubes of their parent and use PyTorch alone, no thread of
it. On a graphics card one after the other, as a fork can't use a card that its parent used.
"""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from records.files import replace_file

__all__ = ["grow_networks"]

_shared: dict[str, NDArray[np.uint8]] = {}  # a forked process sees its parent's cubes


def _grow(label: NDArray[np.int8], samples: int, device: str, file: Path) -> bytes:
    if file.exists():
        return file.read_bytes()
    from imaging.training.convolutions import grow_network

    grown = grow_network(_shared["cubes"], label, samples, device=device)
    replace_file(file, grown)
    return grown


def grow_networks(
    cubes: NDArray[np.uint8],
    labels: list[NDArray[np.int8]],
    samples: int,
    workers: int,
    device: str,
    kept: Path,
    console: Console,
) -> list[bytes]:
    """Train a network for each set of labels of the same cubes.

    Parameters
    ----------
    cubes : (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
    labels : list of (N,) int8 ndarray
        A label of -1 is not learnt from.
    samples, device
        As for `convolutions.grow_network`.
    workers : int
        Processes, on a CPU.
    kept : path
        Folder; networks that were grown of the same by the same code are taken from it.
    console : Console
        Shows progress.
    """
    _shared["cubes"] = cubes
    made_by = f"{_digest_of(cubes)} {samples} {device}"
    names = [hashlib.sha256(made_by.encode() + label.tobytes()).hexdigest()[:16] for label in labels]
    files = [kept / f"{name}.onnx" for name in names]
    try:
        if device != "cpu":
            turns = track(list(zip(labels, files, strict=True)), "networks", console=console)
            return [_grow(label, samples, device, file) for label, file in turns]
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            pairs = zip(labels, files, strict=True)
            jobs = [pool.submit(_grow, label, samples, device, file) for label, file in pairs]
            return [job.result() for job in track(jobs, "networks", console=console)]
    finally:
        _shared.clear()


def _digest_of(cubes: NDArray[np.uint8]) -> str:
    """Return a digest of the code and of the cubes, of each of which a few voxels stand for all."""
    code = Path(__file__).with_name("convolutions.py").read_bytes()
    few = cubes.reshape(len(cubes), -1)[:, :: cubes[0].size // 8]
    return hashlib.sha256(code + few.tobytes()).hexdigest()
