"""Train the micronodule model: `python -m imaging.training SCANS --out FILE`.

SCANS is a folder with the CC BY scans named in `SCANS_AND_PATIENTS` and the
readers' marks beside them. Beside them only our own phantoms are learnt from.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from imaging.classifier import Forest, Stage, Verdicts
from imaging.features import FEATURE_NAMES, QUICK_FEATURES
from imaging.training.calibrate import calibrate
from imaging.training.examples import Recipe
from imaging.training.forests import grow
from imaging.training.networks import grow_networks, log_odds_of
from imaging.training.stacking import learn_verdicts
from imaging.training.tasks import (
    KINDS,
    PHANTOMS,
    SCANS_AND_PATIENTS,
    SHRUNK,
    THICK_PHANTOMS,
    THIN_SCANS,
    Made,
    Stages,
    Task,
    make_all,
)

SIEVE_ROUNDS, GATE_ROUNDS, JUDGE_ROUNDS = 150, 150, 400
SIEVE_LOSS, GATE_LOSS = 0.006, 0.006  # of the nodules with a candidate: those inside vessels go first
JUDGE_LOSS = 0.01  # of unseen nodules, before the network is asked
GATE_SEED, TRAIN_SEED = 0, 1_000
PLAIN, SHRUNK_ONES, SYNTHETIC = 24, 18, 5  # examples of a scan, of a thick scan shrunk, of a phantom
GATE_EXAMPLES = 2  # of each for sieve and gate
CARD_SAMPLES, PROCESSOR_SAMPLES = 2_500_000, 250_000  # what the network is shown: minutes on a graphics card
EVERYBODY = "everybody"  # stands for no patient left out


def _tasks(first_seed: int, plain: int, shrunk: int, synthetic: int, phantoms: Iterable[str]) -> list[Task]:
    """Return the examples to make, so many of each scan, of each thick scan shrunk, and of each phantom."""
    thick = [scan for scan in SCANS_AND_PATIENTS if scan not in THIN_SCANS]
    return [
        *(Task(scan, slices, first_seed + n, Recipe()) for scan, slices in KINDS for n in range(plain)),
        *(Task(scan, 1, first_seed + n, SHRUNK) for scan in thick for n in range(shrunk)),
        *(Task(name, 1, first_seed + n, Recipe()) for name in phantoms for n in range(synthetic)),
    ]


def _learnable(made: list[Made]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    features = np.concatenate([m.example.features[m.example.label >= 0] for m in made])
    return features, np.concatenate([m.example.label[m.example.label >= 0] for m in made])


def _learn_stages(made: list[Made]) -> Stages:
    """Grow sieve and gate on examples whose candidates were not sieved."""
    features, label = _learnable(made)
    quick = np.ascontiguousarray(features[:, :QUICK_FEATURES])
    forest = grow(quick, label, SIEVE_ROUNDS)
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
    network: bytes


def _cubes_and_labels(made: list[Made]) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.str_]]:
    """Return all cubes, their labels, and the scan each comes from."""
    labels = [np.concatenate([m.example.label, m.example.label[m.example.label == 1]]) for m in made]
    scans = np.concatenate([np.repeat(m.task.scan, len(some)) for m, some in zip(made, labels, strict=True)])
    return np.concatenate([m.example.cubes for m in made]), np.concatenate(labels), scans


def _learn_folds(
    every: list[Made], made: list[Made], samples: int, workers: int, device: str, kept: Path, console: Console
) -> dict[str, Fold]:
    """Learn from all patients but one, for each, and from all."""
    cubes, label, scans = _cubes_and_labels(made)
    left_out = (EVERYBODY, *SCANS_AND_PATIENTS)
    labels = [np.where(scans == scan, -1, label).astype(np.int8) for scan in left_out]
    networks = grow_networks(cubes, labels, samples, workers, device, kept, console)
    learnt = {}
    for scan, network in zip(left_out, networks, strict=True):
        stages = _learn_stages([m for m in every if m.task.scan != scan])
        judge = _learn_judge(stages, [m for m in made if m.task.scan != scan])
        learnt[scan] = Fold(stages, judge, network)
    return learnt


def _learn_verdicts(learnt: dict[str, Fold], made: list[Made]) -> tuple[Verdicts, float]:
    """Learn how much judge and network count, on lungs they had not seen, and what the judge may drop."""
    judges, networks, labels = [], [], []
    for scan in SCANS_AND_PATIENTS:
        fold = learnt[scan]
        for m in made:
            if m.task.scan == scan:
                passed = np.flatnonzero(_passes(fold.stages, m.example.features))
                judges.append(fold.judge.log_odds(m.example.features[passed]))
                networks.append(log_odds_of(fold.network, m.example.cubes[passed]))
                labels.append(m.example.label[passed])
    judge, network, label = np.concatenate(judges), np.concatenate(networks), np.concatenate(labels)
    least = float(np.quantile(judge[label == 1], JUDGE_LOSS))
    worth = judge >= least
    return learn_verdicts(judge[worth], network[worth], label[worth]), least


def _write(file: Path, learnt: Fold, judge_log_odds: float, card: dict[str, Any]) -> None:
    sieve, gate = learnt.stages
    stages = {"sieve": sieve, "gate": gate, "judge": Stage(learnt.judge, judge_log_odds)}
    card = card | {f"{name}_log_odds": stage.least_log_odds for name, stage in stages.items()}
    arrays: dict[str, Any] = {
        f"{name}_{part}": getattr(stage.forest, part)
        for name, stage in stages.items()
        for part in Forest.__slots__
    }
    arrays["network"] = np.frombuffer(learnt.network, np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, card=json.dumps(card), **arrays)


def train(
    scans: Annotated[Path, typer.Argument(help="Folder of the CC BY scans and lidc_marks.csv.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")] = Path("imaging/model/micronodules.npz"),
    version: Annotated[str, typer.Option(help="Name of this model.")] = "1",
    share: Annotated[float, typer.Option(help="Of the examples, for a quick try.")] = 1.0,
    samples: Annotated[
        int | None, typer.Option(help="Cubes shown to each network; by default what the device can do.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of PyTorch, cuda or cpu; by default the faster one that is here.")
    ] = None,
    folds: Annotated[Path, typer.Option(help="Where the fold models go.")] = Path("benchmarks/folds"),
    kept: Annotated[Path, typer.Option(help="Where what was made is kept, to go on from.")] = Path(
        "out/training"
    ),
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Make examples, train on all patients and on all but one, measure, and write the models."""
    # Here, since the processes of `make_all` load this file, and are not to load PyTorch.
    from imaging.training.convolutions import best_device

    console = Console(stderr=True)
    device = device or best_device()
    samples = samples or (PROCESSOR_SAMPLES if device == "cpu" else CARD_SAMPLES)
    thin_phantoms = [name for name in PHANTOMS if name not in THICK_PHANTOMS]
    gate_tasks = _tasks(GATE_SEED, GATE_EXAMPLES, GATE_EXAMPLES, 1, thin_phantoms[::2])
    every = make_all(gate_tasks, scans, None, kept, workers, console)
    plain, shrunk, synthetic = (max(1, round(share * n)) for n in (PLAIN, SHRUNK_ONES, SYNTHETIC))
    tasks = _tasks(TRAIN_SEED, plain, shrunk, synthetic, PHANTOMS)
    made = make_all(tasks, scans, _learn_stages(every), kept, workers, console)
    console.print(f"growing the networks ({samples} cubes each, {device}) and the trees of five models")
    learnt = _learn_folds(every, made, samples, workers, device, kept, console)
    verdicts, judge_log_odds = _learn_verdicts(learnt, made)
    card = {
        "features": list(FEATURE_NAMES),
        "training_scans": sorted(SCANS_AND_PATIENTS) + sorted(PHANTOMS),
        "examples": len(every) + len(made),
        "verdicts": asdict(verdicts),
        "version": version,
    }
    _write(out, learnt[EVERYBODY], judge_log_odds, card)
    for left_out in SCANS_AND_PATIENTS:
        named = card | {"version": f"{version}, never saw {left_out}"}
        _write(folds / f"{left_out}.npz", learnt[left_out], judge_log_odds, named)
    calibrate(scans, out, folds, workers=workers, console=console)


if __name__ == "__main__":
    typer.run(train)
