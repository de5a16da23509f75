"""Train the micronodule model: `python -m imaging.training SCANS --out FILE`.

SCANS is a folder with the CC BY scans named in `SCANS_AND_PATIENTS` and the
readers' marks beside them. Nothing else is learnt from.
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

from imaging.classifier import Forest
from imaging.features import FEATURE_NAMES, QUICK_FEATURES
from imaging.training.examples import Example, Recipe, make_example, read_marks, thicken
from imaging.training.forests import grow

SCANS_AND_PATIENTS = {  # CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX
    "lidc_0001": "LIDC-IDRI-0001",
    "lidc_0003": "LIDC-IDRI-0003",
    "lidc_0004": "LIDC-IDRI-0004",
    "lidc_0006": "LIDC-IDRI-0006",
}
SIEVE = {"num_leaves": 15, "learning_rate": 0.1}
SIEVE_ROUNDS, JUDGE_ROUNDS = 60, 400
SIEVE_LOSS = 0.005  # of the nodules a candidate was found for
FALSE_MARKS_AT_OPERATION = 4.0  # a scan
TRAIN_SEED, TEST_SEED = 0, 10_000
TEST_RECIPE = Recipe(
    nodules=150,
    diameter_mm=(1.5, 6.0),
    hu=(-150.0, 60.0),
    elongation=(1.0, 1.2),
    augment=False,
    random_sites_only=True,
)


@dataclass(frozen=True, slots=True)
class Task:
    """One example to make."""

    scan: str
    slices: int  # averaged into one
    seed: int
    recipe: Recipe


def _make(task: Task, scans: Path) -> Example:
    from imaging import dicom

    study = dicom.find_studies([scans / task.scan]).studies[0]
    volume = dicom.read_volume(dicom.choose_series(study).series)
    if task.slices > 1:
        volume = thicken(volume, task.slices)
    marks = read_marks(scans / "lidc_marks.csv", SCANS_AND_PATIENTS[task.scan])
    return make_example(volume, marks, task.recipe, task.seed)


def _tasks(replicates: int, tests: int) -> list[Task]:
    kinds = [(scan, 1) for scan in SCANS_AND_PATIENTS] + [("lidc_0004", 2)]
    tasks = [Task(scan, k, TRAIN_SEED + n, Recipe()) for scan, k in kinds for n in range(replicates)]
    return tasks + [Task(scan, k, TEST_SEED + n, TEST_RECIPE) for scan, k in kinds for n in range(tests)]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A sieve, its threshold and a judge."""

    sieve: Forest
    sieve_log_odds: float
    judge: Forest

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability, 0 where the sieve dropped a candidate."""
        passed = self.sieve.log_odds(features[:, :QUICK_FEATURES]) >= self.sieve_log_odds
        out = np.zeros(len(features))
        out[passed] = 1 / (1 + np.exp(-self.judge.log_odds(features[passed])))
        return out


def _learn(examples: list[Example]) -> Trees:
    features = np.concatenate([e.features[e.label >= 0] for e in examples])
    label = np.concatenate([e.label[e.label >= 0] for e in examples])
    quick = np.ascontiguousarray(features[:, :QUICK_FEATURES])
    sieve = grow(quick, label, SIEVE_ROUNDS, **SIEVE)
    odds = sieve.log_odds(quick)
    threshold = float(np.quantile(odds[label == 1], SIEVE_LOSS))
    passed = odds >= threshold
    return Trees(sieve, threshold, grow(features[passed], label[passed], JUDGE_ROUNDS))


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """How one test scan came out: the probability found at each nodule, and of every false mark."""

    diameter_mm: NDArray[np.float64]
    found: NDArray[np.float64]
    false: NDArray[np.float64]


def _judge(trees: Trees, example: Example) -> Marks:
    probability = trees.probability(example.features)
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


def _card(folds: dict[str, list[Marks]], tasks: list[Task], seconds: float) -> dict[str, Any]:
    thin, thick = folds["thin"], folds["thick"]
    everything = np.sort(np.concatenate([m.false for m in thin + thick]))[::-1]
    operating = float(everything[int(FALSE_MARKS_AT_OPERATION * len(thin + thick))])
    sizes = [(1.5, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0)]
    recall: dict[str, list[float]] = {}
    froc: dict[str, dict[str, float]] = {}
    for name, marks in (("thin", thin), ("thick", thick)):
        found = np.concatenate([m.found for m in marks])
        diameter = np.concatenate([m.diameter_mm for m in marks])
        recall[name] = [
            float((found[(diameter >= a) & (diameter < b)] >= operating).mean()) for a, b in sizes
        ]
        froc[name] = {
            f"{a:g}-{b:g} mm at {n}": round(_sensitivity(marks, a, b, n), 3)
            for a, b, n in ((2, 5, 4), (3, 5, 4), (3, 5, 8), (2, 3, 8))
        }
    return {
        "features": list(FEATURE_NAMES),
        "operating_probability": operating,
        "false_marks_a_scan": FALSE_MARKS_AT_OPERATION,
        "recall_diameters_mm": [list(s) for s in sizes],
        "recall": recall,
        "cross_validated_by_patient": froc,
        "training_scans": sorted(SCANS_AND_PATIENTS),
        "examples": len(tasks),
        "training_seconds": round(seconds),
    }


def train(
    scans: Annotated[Path, typer.Argument(help="Folder of the CC BY scans and lidc_marks.csv.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")] = Path("imaging/model/micronodules.npz"),
    version: Annotated[str, typer.Option(help="Name of this model.")] = "1",
    replicates: Annotated[int, typer.Option(help="Training examples of each scan.")] = 8,
    tests: Annotated[int, typer.Option(help="Test examples of each scan.")] = 2,
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Make examples, cross-validate by patient, train on all patients and write the model with its card."""
    console = Console(stderr=True)
    began = time.perf_counter()
    tasks = _tasks(replicates, tests)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_make, task, scans) for task in tasks]
        examples = [job.result() for job in track(jobs, "examples", console=console)]
    pairs = list(zip(tasks, examples, strict=True))
    folds: dict[str, list[Marks]] = {"thin": [], "thick": []}
    for left_out in track(list(SCANS_AND_PATIENTS), "cross-validation", console=console):
        trees = _learn([e for t, e in pairs if t.scan != left_out and t.seed < TEST_SEED])
        for task, example in pairs:
            if task.scan == left_out and task.seed >= TEST_SEED:
                thin = task.scan == "lidc_0004" and task.slices == 1
                folds["thin" if thin else "thick"].append(_judge(trees, example))
    final = _learn([e for t, e in pairs if t.seed < TEST_SEED])
    card = _card(folds, tasks, time.perf_counter() - began)
    card |= {"version": version, "sieve_log_odds": final.sieve_log_odds}
    arrays: dict[str, Any] = {
        f"{name}_{part}": getattr(forest, part)
        for name, forest in (("sieve", final.sieve), ("judge", final.judge))
        for part in Forest.__slots__
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, card=json.dumps(card), **arrays)
    console.print(json.dumps({k: v for k, v in card.items() if k != "features"}, indent=1))


if __name__ == "__main__":
    typer.run(train)
