"""Train the micronodule model: `python -m imaging.training SCANS --out FILE`.

SCANS is a folder with the CC BY scans named in `SCANS_AND_PATIENTS` and the
readers' marks beside them. Beside them only our own phantoms are learnt from.
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.spatial import cKDTree

from imaging.classifier import JUDGE_FEATURES, Forest, Stage
from imaging.features import QUICK_FEATURES
from imaging.training.examples import Example, Recipe, make_example, read_marks, thicken
from imaging.training.forests import grow
from records.model import Volume

SCANS_AND_PATIENTS = {  # CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX
    "lidc_0001": "LIDC-IDRI-0001",
    "lidc_0003": "LIDC-IDRI-0003",
    "lidc_0004": "LIDC-IDRI-0004",
    "lidc_0006": "LIDC-IDRI-0006",
}
THIN_SCANS = ("lidc_0004",)
PHANTOMS = {f"phantom_{seed}": seed for seed in range(201, 209)}  # our own, mostly thin slices
SIEVE = {"num_leaves": 15, "learning_rate": 0.1}
SIEVE_ROUNDS, GATE_ROUNDS, JUDGE_ROUNDS = 60, 150, 400
SIEVE_LOSS, GATE_LOSS = (
    0.008,
    0.006,
)  # of the nodules a candidate was found for: those inside vessels go first
FALSE_MARKS_AT_OPERATION = 4.0  # a scan
GATE_SEED, TRAIN_SEED, TEST_SEED = 0, 1_000, 10_000
TEST_RECIPE = Recipe(
    nodules=150,
    diameter_mm=(1.5, 6.0),
    hu=(-150.0, 60.0),
    elongation=(1.0, 1.2),
    augment=False,
    random_sites_only=True,
)
Stages = tuple[Stage, Stage]


@dataclass(frozen=True, slots=True)
class Task:
    """One example to make."""

    scan: str
    slices: int  # averaged into one
    seed: int
    recipe: Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A task and its example."""

    task: Task
    example: Example


def _make(task: Task, scans: Path, stages: Stages | None) -> Example:
    if task.scan in PHANTOMS:
        none = np.zeros((0, 4))
        return make_example(_phantom(PHANTOMS[task.scan]), none, task.recipe, task.seed, stages)
    from imaging import dicom

    study = dicom.find_studies([scans / task.scan]).studies[0]
    volume = dicom.read_volume(dicom.choose_series(study).series)
    if task.slices > 1:
        volume = thicken(volume, task.slices)
    marks = read_marks(scans / "lidc_marks.csv", SCANS_AND_PATIENTS[task.scan])
    return make_example(volume, marks, task.recipe, task.seed, stages)


def _phantom(seed: int) -> Volume:
    """Return a synthetic chest whose slices, kernel and dose differ with the seed."""
    from imaging.phantom import ChestSpec, Kernel, chest

    rng = np.random.default_rng(seed)
    spec = ChestSpec(
        spacing_mm=(float(rng.choice([0.8, 1.0, 1.25, 1.25, 2.0])), 0.75, 0.75),
        kernel=list(Kernel)[int(rng.integers(len(Kernel)))],
        noise_hu=float(rng.uniform(8.0, 25.0)),
    )
    return chest(spec, seed=seed).volume


def _make_all(
    tasks: list[Task], scans: Path, stages: Stages | None, workers: int, console: Console
) -> list[Made]:
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_make, task, scans, stages) for task in tasks]
        return [
            Made(task, job.result())
            for task, job in track(list(zip(tasks, jobs, strict=True)), "examples", console=console)
        ]


def _tasks(first_seed: int, replicates: int, recipe: Recipe) -> list[Task]:
    kinds = [(scan, 1) for scan in SCANS_AND_PATIENTS] + [("lidc_0004", 2)]
    tasks = [Task(scan, k, first_seed + n, recipe) for scan, k in kinds for n in range(replicates)]
    if recipe is TEST_RECIPE:
        return tasks
    synthetic = max(1, replicates // 3)
    return tasks + [Task(name, 1, first_seed + n, recipe) for name in PHANTOMS for n in range(synthetic)]


def _learnable(made: list[Made]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    features = np.concatenate([m.example.features[m.example.label >= 0] for m in made])
    return features, np.concatenate([m.example.label[m.example.label >= 0] for m in made])


def _learn_stages(made: list[Made]) -> Stages:
    """Grow sieve and gate on examples with all candidates."""
    features, label = _learnable(made)
    quick = np.ascontiguousarray(features[:, :QUICK_FEATURES])
    forest = grow(quick, label, SIEVE_ROUNDS, **SIEVE)
    odds = forest.log_odds(quick)
    sieve = Stage(forest, float(np.quantile(odds[label == 1], SIEVE_LOSS)))
    passed = odds >= sieve.least_log_odds
    features, label = features[passed], label[passed]
    forest = grow(features, label, GATE_ROUNDS)
    odds = forest.log_odds(features)
    return sieve, Stage(forest, float(np.quantile(odds[label == 1], GATE_LOSS)))


def _passes(stages: Stages, features: NDArray[np.float32]) -> NDArray[np.bool_]:
    sieve, gate = stages
    return sieve.passes(features[:, :QUICK_FEATURES]) & gate.passes(features)


def _learn_judge(stages: Stages, made: list[Made]) -> Forest:
    features, label = _learnable(made)
    passed = _passes(stages, features)
    return grow(features[passed], label[passed], JUDGE_ROUNDS)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """How one test scan came out: the probability found at each nodule, and of every false mark."""

    diameter_mm: NDArray[np.float64]
    found: NDArray[np.float64]
    false: NDArray[np.float64]


def _mark(stages: Stages, judge: Forest, example: Example) -> Marks:
    probability = 1 / (1 + np.exp(-judge.log_odds(example.features)))
    probability[~_passes(stages, example.features)] = 0.0
    tree = cKDTree(example.point_mm)
    found = np.zeros(len(example.truth))
    for n, nodule in enumerate(example.truth):
        near = tree.query_ball_point(nodule.centre_mm, max(nodule.diameter_mm / 2, 1.5))
        found[n] = probability[near].max() if near else 0.0
    diameters = np.array([n.diameter_mm for n in example.truth])
    return Marks(diameters, found, np.sort(probability[example.label == 0])[::-1])


def _sensitivity(marks: list[Marks], low_mm: float, high_mm: float, false_marks: float) -> float:
    false = np.sort(np.concatenate([m.false for m in marks]))[::-1]
    threshold = false[int(false_marks * len(marks))]
    found = np.concatenate([m.found[(m.diameter_mm >= low_mm) & (m.diameter_mm < high_mm)] for m in marks])
    return float((found > threshold).mean())


def _card(folds: dict[str, list[Marks]]) -> dict[str, Any]:
    everything = np.sort(np.concatenate([m.false for marks in folds.values() for m in marks]))[::-1]
    scans = sum(len(marks) for marks in folds.values())
    operating = float(everything[int(FALSE_MARKS_AT_OPERATION * scans)])
    sizes = [(1.5, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0)]
    recall: dict[str, list[float]] = {}
    froc: dict[str, dict[str, float]] = {}
    for name, marks in folds.items():
        found = np.concatenate([m.found for m in marks])
        diameter = np.concatenate([m.diameter_mm for m in marks])
        recall[name] = [
            round(float((found[(diameter >= a) & (diameter < b)] >= operating).mean()), 3) for a, b in sizes
        ]
        froc[name] = {
            f"{a:g}-{b:g} mm at {n}": round(_sensitivity(marks, a, b, n), 3)
            for a, b, n in ((2, 5, 4), (3, 5, 4), (3, 5, 8), (2, 3, 8))
        }
    return {
        "features": list(JUDGE_FEATURES),
        "operating_probability": operating,
        "false_marks_a_scan": FALSE_MARKS_AT_OPERATION,
        "recall_diameters_mm": [list(s) for s in sizes],
        "recall": recall,
        "cross_validated_by_patient": froc,
        "training_scans": sorted(SCANS_AND_PATIENTS) + sorted(PHANTOMS),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """What was learnt from all patients but one."""

    stages: Stages
    judge: Forest


def _learn_folds(every: list[Made], fitted: list[Made]) -> dict[str, Fold]:
    learnt = {}
    for left_out in SCANS_AND_PATIENTS:
        stages = _learn_stages([m for m in every if m.task.scan != left_out])
        judge = _learn_judge(stages, [m for m in fitted if m.task.scan != left_out])
        learnt[left_out] = Fold(stages, judge)
    return learnt


def _cross_validate(learnt: dict[str, Fold], tests: list[Made]) -> dict[str, list[Marks]]:
    """Judge each patient's test examples by trees grown on the other patients."""
    folds: dict[str, list[Marks]] = {"thin": [], "thick": []}
    for left_out in SCANS_AND_PATIENTS:
        fold = learnt[left_out]
        for made in tests:
            if made.task.scan == left_out:
                thin = left_out in THIN_SCANS and made.task.slices == 1
                folds["thin" if thin else "thick"].append(_mark(fold.stages, fold.judge, made.example))
    return folds


def _write(file: Path, learnt: Fold, card: dict[str, Any]) -> None:
    sieve, gate = learnt.stages
    card = card | {"sieve_log_odds": sieve.least_log_odds, "gate_log_odds": gate.least_log_odds}
    forests = {"sieve": sieve.forest, "gate": gate.forest, "judge": learnt.judge}
    arrays: dict[str, Any] = {
        f"{name}_{part}": getattr(forest, part)
        for name, forest in forests.items()
        for part in Forest.__slots__
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, card=json.dumps(card), **arrays)


def train(
    scans: Annotated[Path, typer.Argument(help="Folder of the CC BY scans and lidc_marks.csv.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")] = Path("imaging/model/micronodules.npz"),
    version: Annotated[str, typer.Option(help="Name of this model.")] = "1",
    replicates: Annotated[int, typer.Option(help="Training examples of each scan.")] = 8,
    tests: Annotated[int, typer.Option(help="Test examples of each scan.")] = 2,
    folds: Annotated[Path, typer.Option(help="Where the fold models go.")] = Path("benchmarks/folds"),
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Make examples, cross-validate by patient, train on all patients and write the model with its card."""
    console = Console(stderr=True)
    began = time.perf_counter()
    every = _make_all(_tasks(GATE_SEED, max(2, replicates // 3), Recipe()), scans, None, workers, console)
    stages = _learn_stages(every)
    fitted = _make_all(_tasks(TRAIN_SEED, replicates, Recipe()), scans, stages, workers, console)
    tested = _make_all(_tasks(TEST_SEED, tests, TEST_RECIPE), scans, stages, workers, console)
    learnt = _learn_folds(every, fitted)
    card = _card(_cross_validate(learnt, tested))
    judge = _learn_judge(stages, fitted)
    card |= {
        "version": version,
        "examples": len(every) + len(fitted),
        "training_seconds": round(time.perf_counter() - began),
    }
    _write(out, Fold(stages, judge), card)
    for left_out, fold in learnt.items():
        _write(folds / f"{left_out}.npz", fold, card | {"version": f"{version}, never saw {left_out}"})
    console.print(json.dumps({key: value for key, value in card.items() if key != "features"}))


if __name__ == "__main__":
    typer.run(train)
