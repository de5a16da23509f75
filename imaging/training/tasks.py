"""Which examples are made of which lungs, and how many at a time. Those that were made are kept."""

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

import imaging
from imaging.classifier import Forest, Stage
from imaging.lungs import Lungs
from imaging.training.examples import Example, Recipe, chest_of, make_example, read_marks, thicken
from records.files import replace_file
from records.model import Volume

__all__ = [
    "KINDS",
    "PHANTOMS",
    "SCANS_AND_PATIENTS",
    "SHRUNK",
    "THICK_PHANTOMS",
    "THIN_SCANS",
    "Made",
    "Stages",
    "Task",
    "make_all",
    "use_one_thread",
]

SCANS_AND_PATIENTS = {  # CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX
    "lidc_0001": "LIDC-IDRI-0001",
    "lidc_0003": "LIDC-IDRI-0003",
    "lidc_0004": "LIDC-IDRI-0004",
    "lidc_0006": "LIDC-IDRI-0006",
}
THIN_SCANS = ("lidc_0004",)
SHRUNK = Recipe(nodules=100, zoom=(0.45, 0.65))  # slices become thin ones, of 0.6 to 1.6 mm: see `examples`
KINDS = (*((scan, 1) for scan in SCANS_AND_PATIENTS), *((scan, 2) for scan in THIN_SCANS))
PHANTOMS = {f"phantom_{seed}": seed for seed in (*range(201, 209), *range(211, 215))}  # our own
THICK_PHANTOMS = tuple(f"phantom_{seed}" for seed in range(211, 215))  # the others' slices are 0.8 to 2 mm
THICK_MM = 2.5
Stages = tuple[Stage, Stage]
PARTS = ("features", "cubes", "label")  # of an example, a file each


@dataclass(frozen=True, slots=True)
class Task:
    """One example to make."""

    scan: str
    slices: int  # averaged into one
    seed: int
    recipe: Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A task and its example, whose cubes are read from the file as they are asked for."""

    task: Task
    example: Example


@lru_cache(maxsize=3)
def _chest(scan: str, slices: int, scans: Path) -> tuple[Volume, Lungs]:
    if scan in PHANTOMS:
        return chest_of(_phantom(PHANTOMS[scan], THICK_MM if scan in THICK_PHANTOMS else None))
    from imaging import dicom

    study = dicom.find_studies([scans / scan]).studies[0]
    volume = dicom.read_volume(dicom.choose_series(study).series)
    return chest_of(thicken(volume, slices) if slices > 1 else volume)


def make(task: Task, scans: Path, stages: Stages | None, file: Path) -> None:
    """Make one example and keep it in `file`; with `stages` only of the candidates that pass them."""
    marks = np.zeros((0, 4))
    if task.scan not in PHANTOMS:
        marks = read_marks(scans / "lidc_marks.csv", SCANS_AND_PATIENTS[task.scan])
    example = make_example(*_chest(task.scan, task.slices, scans), marks, task.recipe, task.seed, stages)
    for part in PARTS:  # the last one stands for all
        content = BytesIO()
        np.save(content, getattr(example, part), allow_pickle=False)
        replace_file(_part(file, part), content.getvalue())


def use_one_thread() -> None:
    """Have the filters of this process use one thread, unless told otherwise: each core has its process."""
    os.environ.setdefault("MIPC_THREADS", "1")


def make_all(
    tasks: list[Task], scans: Path, stages: Stages | None, kept: Path, workers: int, console: Console
) -> list[Made]:
    """Make examples in `workers` processes, in the order of the tasks; those in the folder `kept` are taken.

    The processes are new ones: a fork would inherit the filters' pool of threads without its threads.
    """
    made_by = _digest_of_code() + _digest_of(stages)
    files = [kept / hashlib.sha256(f"{made_by} {task}".encode()).hexdigest()[:16] for task in tasks]
    missing = [(t, file) for t, file in zip(tasks, files, strict=True) if not _part(file, PARTS[-1]).exists()]
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=use_one_thread) as pool:
        jobs = [pool.submit(make, task, scans, stages, file) for task, file in missing]
        for job in track(jobs, "examples", console=console):
            job.result()
    return [Made(task, _load(file)) for task, file in zip(tasks, files, strict=True)]


def _part(file: Path, part: str) -> Path:
    return file.with_name(f"{file.name}.{part}.npy")


def _load(file: Path) -> Example:
    return Example(**{part: np.load(_part(file, part), mmap_mode="r") for part in PARTS})


def _digest_of_code() -> str:
    """Return a digest of what an example depends on."""
    root = Path(imaging.__file__).parent
    makers = [root / "training" / f"{name}.py" for name in ("examples", "rescanning", "tasks", "turning")]
    painters = [file for room in ("disease", "phantom") for file in (root / room).glob("*.py")]
    digest = hashlib.sha256()
    for file in sorted([*root.glob("*.py"), *painters, *makers]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest_of(stages: Stages | None) -> str:
    digest = hashlib.sha256()
    for stage in stages or ():
        digest.update(str(stage.least_log_odds).encode())
        for part in Forest.__slots__:
            digest.update(getattr(stage.forest, part).tobytes())
    return digest.hexdigest()


def _phantom(seed: int, slice_mm: float | None) -> Volume:
    """Return a synthetic chest; its slices, unless told, its kernel and its dose differ with the seed."""
    from imaging.phantom import ChestSpec, Kernel, chest

    rng = np.random.default_rng(seed)
    drawn_mm = float(rng.choice([0.8, 1.0, 1.25, 1.25, 2.0]))
    spec = ChestSpec(
        spacing_mm=(slice_mm or drawn_mm, 0.75, 0.75),
        kernel=list(Kernel)[int(rng.integers(len(Kernel)))],
        noise_hu=float(rng.uniform(8.0, 25.0)),
    )
    return chest(spec, seed=seed).volume
