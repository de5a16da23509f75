"""How the model does on lungs it has not seen: `python -m imaging.training.calibrate SCANS`.

Each patient's test scans are judged by the fold model that never saw that patient. What comes out
(recall by diameter and false marks at the operating point, with few nodules and with many, and false marks
without any) goes into the card of the shipped model, where the count of nodules takes it from.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from scipy.spatial import cKDTree

from imaging.card import MODEL_FILE, read_card
from imaging.classifier import Model, load_model
from imaging.training.examples import Example, Recipe
from imaging.training.tasks import KINDS, SCANS_AND_PATIENTS, THIN_SCANS, Task, make_all

__all__ = ["calibrate"]

FOLDS = Path("benchmarks/folds")
OPERATING_PROBABILITY = 0.5  # more likely a nodule than not, in this scan
TEST_SEED = 10_000
ILL = Recipe(
    nodules=150,
    diameter_mm=(1.5, 6.0),
    hu=(-150.0, 60.0),
    elongation=(1.0, 1.2),
    augment=False,
    random_sites_only=True,
)
TESTS = {30: 2, 150: 2, 900: 1}  # nodules in a scan, and such scans of each lung
CLEAN = replace(ILL, nodules=0)
SIZES_MM = ((1.5, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0))
FROC_POINTS = ((2, 5, 4), (3, 5, 4), (3, 5, 8), (2, 3, 8))  # from mm, to mm, false marks a scan
HIT_MM = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """How one test scan came out: the probability found at each nodule, and of every false mark."""

    diameter_mm: NDArray[np.float64]
    found: NDArray[np.float64]
    false: NDArray[np.float64]


def _mark(model: Model, example: Example) -> Marks:
    odds = model.judge.forest.log_odds(example.features)
    worth = odds >= model.judge.least_log_odds
    probability = np.zeros(len(odds))
    probability[worth] = model.probabilities(odds[worth], example.cubes[worth])
    tree = cKDTree(example.point_mm)
    found = np.zeros(len(example.truth))
    for n, nodule in enumerate(example.truth):
        near = tree.query_ball_point(nodule.centre_mm, max(nodule.diameter_mm / 2, HIT_MM))
        found[n] = probability[near].max() if near else 0.0
    diameters = np.array([n.diameter_mm for n in example.truth])
    return Marks(diameters, found, np.sort(probability[example.label == 0])[::-1])


def _sensitivity(marks: list[Marks], low_mm: float, high_mm: float, false_marks: float) -> float:
    false = np.sort(np.concatenate([m.false for m in marks]))[::-1]
    threshold = false[int(false_marks * len(marks))]
    found = np.concatenate([m.found[(m.diameter_mm >= low_mm) & (m.diameter_mm < high_mm)] for m in marks])
    return float((found > threshold).mean())


def _recall(marks: list[Marks]) -> dict[str, Any]:
    """Return the share found by diameter, and how many marks such scans have."""
    found = np.concatenate([m.found for m in marks]) >= OPERATING_PROBABILITY
    diameter = np.concatenate([m.diameter_mm for m in marks])
    shares = [round(float(found[(diameter >= a) & (diameter < b)].mean()), 3) for a, b in SIZES_MM]
    false = np.mean([(m.false >= OPERATING_PROBABILITY).sum() for m in marks])
    return {
        "nodules": round(len(diameter) / len(marks)),
        "reported": round(float(found.sum() / len(marks) + false), 1),
        "false_marks": round(float(false), 1),
        "shares": shares,
    }


def calibrate(scans: Path, model: Path, folds: Path, *, workers: int, console: Console) -> dict[str, Any]:
    """Judge unseen lungs by the fold models and write what comes out into every card.

    Returns
    -------
    dict
        The shipped model's card.
    """
    ill: dict[str, dict[int, list[Marks]]] = {slices: {n: [] for n in TESTS} for slices in ("thin", "thick")}
    clean: list[Marks] = []
    for left_out in SCANS_AND_PATIENTS:
        fold = load_model(folds / f"{left_out}.npz")
        kinds = [kind for kind in KINDS if kind[0] == left_out]
        tasks = [
            Task(scan, k, TEST_SEED + n, replace(ILL, nodules=nodules))
            for scan, k in kinds
            for nodules, times in TESTS.items()
            for n in range(times)
        ]
        tasks += [Task(scan, k, TEST_SEED, CLEAN) for scan, k in kinds]
        for made in make_all(tasks, scans, (fold.sieve, fold.gate), workers, console):
            marks = _mark(fold, made.example)
            slices = "thin" if left_out in THIN_SCANS and made.task.slices == 1 else "thick"
            nodules = made.task.recipe.nodules
            (ill[slices][nodules] if nodules else clean).append(marks)
    measured = {
        "operating_probability": OPERATING_PROBABILITY,
        "false_marks_a_scan": round(
            float(np.mean([(m.false >= OPERATING_PROBABILITY).sum() for m in clean])), 2
        ),
        "recall_diameters_mm": [list(size) for size in SIZES_MM],
        "recall": {slices: [_recall(marks) for marks in rows.values()] for slices, rows in ill.items()},
        "cross_validated_by_patient": {
            slices: {
                f"{a:g}-{b:g} mm at {n}": round(_sensitivity(rows[150], a, b, n), 3)
                for a, b, n in FROC_POINTS
            }
            for slices, rows in ill.items()
        },
    }
    for file in (model, *sorted(folds.glob("*.npz"))):
        _rewrite_card(file, measured)
    card = read_card(model)
    console.print(json.dumps({key: value for key, value in card.items() if key != "features"}))
    return card


def _rewrite_card(file: Path, measured: dict[str, Any]) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        parts: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    parts["card"] = json.dumps(json.loads(str(parts["card"])) | measured)
    np.savez_compressed(file, **parts)


def main(
    scans: Annotated[Path, typer.Argument(help="Folder of the CC BY scans and lidc_marks.csv.")],
    model: Annotated[Path, typer.Option(help="Model whose card is written.")] = MODEL_FILE,
    folds: Annotated[Path, typer.Option(help="The fold models of the same training.")] = FOLDS,
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Measure the model on lungs it has not seen and write the card."""
    calibrate(scans, model, folds, workers=workers, console=Console(stderr=True))


if __name__ == "__main__":
    typer.run(main)
