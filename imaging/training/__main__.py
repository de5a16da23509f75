"""Train the micronodule model: `python -m imaging.training SCANS --out FILE`.

SCANS is a folder with the CC BY scans named in `SCANS_AND_PATIENTS` and the
readers' marks beside them. Beside them only our own phantoms are learnt from.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from imaging.classifier import JUDGE_FEATURES, Forest, Stage
from imaging.features import QUICK_FEATURES
from imaging.training.calibrate import calibrate
from imaging.training.examples import Recipe
from imaging.training.forests import grow
from imaging.training.tasks import KINDS, PHANTOMS, SCANS_AND_PATIENTS, Made, Stages, Task, make_all

SIEVE = {"num_leaves": 15, "learning_rate": 0.1}
SIEVE_ROUNDS, GATE_ROUNDS, JUDGE_ROUNDS = 60, 150, 400
SIEVE_LOSS, GATE_LOSS = 0.008, 0.006  # of the nodules with a candidate: those inside vessels go first
GATE_SEED, TRAIN_SEED = 0, 1_000


def _tasks(first_seed: int, replicates: int) -> list[Task]:
    tasks = [Task(scan, k, first_seed + n, Recipe()) for scan, k in KINDS for n in range(replicates)]
    synthetic = max(1, replicates // 3)
    return tasks + [Task(name, 1, first_seed + n, Recipe()) for name in PHANTOMS for n in range(synthetic)]


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
    folds: Annotated[Path, typer.Option(help="Where the fold models go.")] = Path("benchmarks/folds"),
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Make examples, train on all patients and on all but one, measure, and write the models."""
    console = Console(stderr=True)
    began = time.perf_counter()
    every = make_all(_tasks(GATE_SEED, max(2, replicates // 3)), scans, None, workers, console)
    stages = _learn_stages(every)
    fitted = make_all(_tasks(TRAIN_SEED, replicates), scans, stages, workers, console)
    learnt = _learn_folds(every, fitted)
    card = {
        "features": list(JUDGE_FEATURES),
        "training_scans": sorted(SCANS_AND_PATIENTS) + sorted(PHANTOMS),
        "examples": len(every) + len(fitted),
        "training_seconds": round(time.perf_counter() - began),
        "version": version,
    }
    _write(out, Fold(stages, _learn_judge(stages, fitted)), card)
    for left_out, fold in learnt.items():
        _write(folds / f"{left_out}.npz", fold, card | {"version": f"{version}, never saw {left_out}"})
    calibrate(scans, out, folds, workers=workers, console=console)


if __name__ == "__main__":
    typer.run(train)
