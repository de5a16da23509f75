"""Train the micronodule model: `python -m imaging.training SCANS --out FILE`.

SCANS is a folder with the CC BY scans named in `SCANS_AND_PATIENTS` and the
readers' marks beside them. Beside them only our own phantoms are learnt from.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from imaging.classifier import Forest, Stage
from imaging.features import FEATURE_NAMES
from imaging.training.calibrate import calibrate
from imaging.training.examples import Recipe
from imaging.training.learning import Learnt, cubes_and_labels, learn_judge, learn_stages, weigh
from imaging.training.networks import Schooling, grow_networks
from imaging.training.tasks import (
    KINDS,
    PHANTOMS,
    SCANS_AND_PATIENTS,
    SHRUNK,
    THICK_PHANTOMS,
    Made,
    Task,
    make_all,
)

WRONG_USAGE = 2  # exit status
GATE_SEED, TRAIN_SEED = 0, 1_000
GATE_EXAMPLES = 2  # of each for sieve and gate
EVERYBODY = "everybody"  # stands for no patient left out
START = Path(__file__).with_name("start")  # networks grown on a card, each without one patient


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is learnt from."""

    plain: int  # examples of a scan
    shrunk: int  # of a scan shrunk
    synthetic: int  # of a phantom
    schooling: Schooling


ON_PROCESSOR = Effort(12, 8, 3, Schooling("cpu", 80_000, 64, 2))  # three quarters of an hour on two cores
ON_CARD = Effort(72, 42, 15, Schooling("cuda", 15_500_000, 256, 2))


def _tasks(first_seed: int, plain: int, shrunk: int, synthetic: int, phantoms: Iterable[str]) -> list[Task]:
    """Return the examples to make, so many of each scan, of each scan shrunk, and of each phantom."""
    return [
        *(Task(scan, slices, first_seed + n, Recipe()) for scan, slices in KINDS for n in range(plain)),
        *(Task(scan, 1, first_seed + n, SHRUNK) for scan in SCANS_AND_PATIENTS for n in range(shrunk)),
        *(Task(name, 1, first_seed + n, Recipe()) for name in phantoms for n in range(synthetic)),
    ]


def _start(left_out: str, ensemble_size: int) -> list[Path]:
    return [START / f"{left_out}_{n}.onnx" for n in range(1, ensemble_size + 1)]


def _what_lacks(afresh: bool, ensemble_size: int) -> list[str]:
    """Say what is not here that is needed once the examples are made, hours from now.

    The networks to go on from are 13 MB, four times the rest of a wheel, and are not in it.
    """
    lacking = []
    if find_spec("torch") is None:
        lacking.append("PyTorch is not installed (pip install 'mipc[network]')")
    wanted = [
        file for left_out in (*SCANS_AND_PATIENTS, EVERYBODY) for file in _start(left_out, ensemble_size)
    ]
    if not afresh and not all(file.is_file() for file in wanted):
        lacking.append(
            f"the networks to go on from are not in {START}: take a checkout of the repository, since an "
            "installed package has none, or grow them from nothing (--afresh)"
        )
    return lacking


def _best_device() -> str:
    if find_spec("torch") is None:
        return "cpu"
    # Here, since the processes of `make_all` load this file, and are not to load PyTorch.
    from imaging.training.convolutions import best_device

    return best_device()


def _learn_all(
    every: list[Made],
    made: list[Made],
    schooling: Schooling,
    afresh: bool,
    workers: int,
    kept: Path,
    console: Console,
) -> dict[str, Learnt]:
    """Learn from all patients but one, for each, and from all."""
    cubes, label, scans = cubes_and_labels(made)
    left_out = (*SCANS_AND_PATIENTS, EVERYBODY)
    labels = [np.where(scans == scan, -1, label).astype(np.int8) for scan in left_out]
    starts = [
        [] if afresh else [file.read_bytes() for file in _start(scan, schooling.ensemble_size)]
        for scan in left_out
    ]
    networks = grow_networks(cubes, labels, starts, schooling, workers, kept, console)
    learnt = {}
    for scan, network in track(list(zip(left_out, networks, strict=True)), "trees", console=console):
        stages = learn_stages([m for m in every if m.task.scan != scan])
        judge = learn_judge(stages, [m for m in made if m.task.scan != scan])
        learnt[scan] = Learnt(stages, judge, network)
    return learnt


def _write(file: Path, learnt: Learnt, judge_log_odds: float, card: dict[str, Any]) -> None:
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
    afresh: Annotated[
        bool | None,
        typer.Option(
            help="Grow networks from nothing; by default on a card, elsewhere they are gone on from."
        ),
    ] = None,
    workers: Annotated[int, typer.Option()] = 2,
) -> None:
    """Make examples, train on all patients and on all but one, measure, and write the models."""
    console = Console(stderr=True)
    device = device or _best_device()
    effort = ON_PROCESSOR if device == "cpu" else ON_CARD
    afresh = device != "cpu" if afresh is None else afresh
    if lacking := _what_lacks(afresh, effort.schooling.ensemble_size):
        typer.echo(f"mipc: training cannot start: {'; '.join(lacking)}", err=True)
        raise typer.Exit(WRONG_USAGE)
    schooling = replace(effort.schooling, device=device, samples=samples or effort.schooling.samples)
    thin_phantoms = [name for name in PHANTOMS if name not in THICK_PHANTOMS]
    gate_tasks = _tasks(GATE_SEED, GATE_EXAMPLES, GATE_EXAMPLES, 1, thin_phantoms[::2])
    every = make_all(gate_tasks, scans, None, kept, workers, console)
    plain, shrunk, synthetic = (
        max(1, round(share * n)) for n in (effort.plain, effort.shrunk, effort.synthetic)
    )
    tasks = _tasks(TRAIN_SEED, plain, shrunk, synthetic, PHANTOMS)
    made = make_all(tasks, scans, learn_stages(every), kept, workers, console)
    console.print(
        f"growing the networks ({schooling.samples} cubes each, {device}) and the trees of five models"
    )
    learnt = _learn_all(every, made, schooling, afresh, workers, kept, console)
    verdicts, judge_log_odds = weigh({scan: learnt[scan] for scan in SCANS_AND_PATIENTS}, made)
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
