"""Several networks from one set of cubes, without a copy of the cubes for any; each is kept once it is grown.

On processors a process each: forks, which see the cubes of their parent and use PyTorch alone, no thread of
it. What is left over when they come in rounds is grown one after the other by threads. On a graphics card all
are, as a fork can't use a card that its parent used.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import Value, get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from imaging.training.averaging import averaged
from records.files import replace_file

__all__ = ["Schooling", "grow_networks"]

LOOKED_AT_S = 0.5  # how often the progress of forked processes is shown


@dataclass(frozen=True, slots=True)
class Schooling:
    """How networks are taught."""

    device: str  # of PyTorch
    samples: int  # cubes that each is shown
    batch_size: int  # cubes of a step
    ensemble_size: int  # networks whose mean is the answer


_shared: dict[str, NDArray[np.uint8]] = {}  # a forked process sees its parent's cubes
_shown = Value("q", 0)  # cubes that forked processes have shown to networks


def _count(cubes: int) -> None:
    with _shown.get_lock():
        _shown.value += cubes


def _grow(
    label: NDArray[np.int8],
    schooling: Schooling,
    seed: int,
    start: bytes | None,
    threads: int,
    file: Path,
    shown: Callable[[int], object] = _count,
) -> bytes:
    if file.exists():
        shown(schooling.samples)
        return file.read_bytes()
    from imaging.training.convolutions import grow_network

    grown = grow_network(
        _shared["cubes"],
        label,
        schooling.samples,
        batch_size=schooling.batch_size,
        seed=seed,
        threads=threads,
        device=schooling.device,
        start=start,
        shown=shown,
    )
    replace_file(file, grown)
    return grown


def grow_networks(
    cubes: NDArray[np.uint8],
    labels: list[NDArray[np.int8]],
    starts: list[list[bytes]],
    schooling: Schooling,
    workers: int,
    kept: Path,
    console: Console,
) -> list[bytes]:
    """Train an ensemble of networks for each set of labels of the same cubes.

    Parameters
    ----------
    cubes : (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
    labels : list of (N,) int8 ndarray
        A label of -1 is not learnt from.
    starts : list of lists of bytes
        For each set of labels the networks to go on from, which did not learn from what it leaves out; none
        where they are grown from nothing.
    schooling : Schooling
    workers : int
        Processes, on a CPU.
    kept : path
        Folder; networks that were grown of the same by the same code are taken from it.
    console : Console
        Shows progress.

    Returns
    -------
    list of bytes
        An ONNX model for each set of labels, which answers with the mean of its ensemble.
    """
    _shared["cubes"] = cubes
    made_by = f"{_digest_of(cubes)} {schooling}"
    wanted = [
        (label, seed, some[seed - 1] if some else None)
        for label, some in zip(labels, starts, strict=True)
        for seed in range(1, schooling.ensemble_size + 1)
    ]
    full_rounds = len(wanted) - len(wanted) % workers
    in_rounds = (full_rounds or len(wanted)) if schooling.device == "cpu" else 0
    tasks = []
    for n, (label, seed, start) in enumerate(wanted):
        threads = 1 if n < in_rounds else workers
        told = f"{made_by} {seed} {threads}".encode() + label.tobytes() + (start or b"")
        file = kept / f"{hashlib.sha256(told).hexdigest()[:16]}.onnx"
        tasks.append((label, schooling, seed, start, threads, file))
    _shown.value = 0
    try:
        with Progress(console=console) as progress:
            bar = progress.add_task("networks", total=schooling.samples * len(tasks))
            with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
                jobs = [pool.submit(_grow, *task) for task in tasks[:in_rounds]]
                while wait(jobs, LOOKED_AT_S).not_done:
                    progress.update(bar, completed=_shown.value)
                grown = [job.result() for job in jobs]
            progress.update(bar, completed=schooling.samples * in_rounds)
            more = [_grow(*task, lambda cubes: progress.advance(bar, cubes)) for task in tasks[in_rounds:]]
        grown += more
        starts_at = range(0, len(grown), schooling.ensemble_size)
        return [averaged(grown[n : n + schooling.ensemble_size]) for n in starts_at]
    finally:
        _shared.clear()


def _digest_of(cubes: NDArray[np.uint8]) -> str:
    """Return a digest of the code and of the cubes, of each of which a few voxels stand for all."""
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("convolutions", "muon"))
    few = cubes.reshape(len(cubes), -1)[:, :: cubes[0].size // 8]
    return hashlib.sha256(code + few.tobytes()).hexdigest()
