"""A batch of 1,000 small studies, killed again and again; and what the engine costs on top of the work.

    python -m benchmarks.batch [--studies 1000] [--kills 5] [--seed 1]

Three measurements, and what each is made of:

1. *Complete*: `mipc screen` itself, as a user types it, over small synthetic DICOM studies (12 slices of
   48 x 48, every tenth with 6), which it reads, judges and ends as "lungs incomplete" or "too few slices".
   The command is killed with SIGKILL, with all its workers, at random moments, and started again; its table
   is compared with that of a run that nobody killed.
2. *The engine's own cost*: the same batch engine (processes, store, log, pages, tables) around work that
   does nothing: seconds a study by the clock, and of the processor in the parent.
3. *Memory and speed-up*: the memory of the parent at every tenth of such a run; and the engine around work
   that computes for a tenth of a second on one core, one worker against two.
"""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from imaging.batch import screen_studies
from imaging.console import Display
from imaging.dicom import Intake, StudyFiles, derive_uid
from imaging.dicom.write import write_series
from imaging.machine import resident_bytes
from imaging.pictures import Pictures
from imaging.run import Run, screen_intake
from imaging.worker import Limits, warm_up
from records.errors import Reason
from records.model import Provenance, Screening, Study, Verdict, VerdictLabel, Volume
from records.store import open_store

WORK_SECONDS = 0.1  # of one core
MADE = Provenance("benchmark", "none", "none", "0" * 64)


class Screened:
    """What the work that is no screening gives."""

    pictures: Pictures | None = None

    def __init__(self, study: Study) -> None:
        verdict = Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), Reason.NO_CT, "Nothing was done.")
        self.screening = Screening(study, None, "", None, (), None, verdict, MADE, 0.0)


def do_nothing(study: StudyFiles) -> Screened:
    """Work that takes no time."""
    return Screened(study.study)


def compute(study: StudyFiles) -> Screened:
    """Work that keeps one core busy, counted in its own processor time."""
    until = time.process_time() + WORK_SECONDS
    while time.process_time() < until:
        pass
    return Screened(study.study)


def wait(study: StudyFiles) -> Screened:
    """Work that takes as long and needs no core: what is lost then is lost by the engine alone."""
    time.sleep(WORK_SECONDS)
    return Screened(study.study)


def toy_studies(count: int) -> tuple[StudyFiles, ...]:
    """Return studies without files."""
    return tuple(
        StudyFiles(Study(f"1.2.{number}", f"P-{number}", "", "2020-01-01", ""), ()) for number in range(count)
    )


def write_studies(folder: Path, count: int) -> None:
    """Write small chests: a body of 40 HU with two lungs of -850 HU, and noise."""
    row, column = np.mgrid[-1:1:48j, -1:1:48j]
    plane = np.full((48, 48), -1000.0)
    plane[(row / 0.7) ** 2 + (column / 0.9) ** 2 < 1] = 40
    for centre in (-0.4, 0.4):
        plane[(row / 0.45) ** 2 + ((column - centre) / 0.3) ** 2 < 1] = -850
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # planes up, rows back, columns left
    for number in range(count):
        planes = 6 if number % 10 == 9 else 12
        noise = np.random.default_rng(number).normal(0, 15, (planes, 48, 48))
        volume = Volume(
            hu=(plane + noise).astype(np.int16),
            origin_mm=(0.0, 0.0, 0.0),
            axes=axes,
            spacing_mm=(2.5, 6.0, 6.0),
            slice_thickness_mm=2.5,
            kernel="STANDARD",
            series_uid="",
            frame_of_reference_uid="",
            sop_instance_uids=("",) * planes,
        )
        study = Study(derive_uid("batch", str(number)), f"P-{number}", "", "2020-01-01", "small")
        write_series(volume, folder / str(number), study=study, series_number=1, description="")


def command(folder: Path, out: Path) -> list[str]:
    """Return the command that screens a folder."""
    return [str(Path(sys.executable).with_name("mipc")), "screen", str(folder), "--out", str(out), "--json"]


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start it, in a group of processes of its own."""
    return subprocess.Popen(
        command(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def logged(out: Path) -> list[str]:
    """Return which studies were screened, in order, over all runs."""
    log = out / "log.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [event["study_uid"] for event in events if event["event"] == "study"]


def table(out: Path) -> list[list[str]]:
    """Return studies.csv without the seconds each took."""
    rows = list(csv.reader((out / "studies.csv").open(newline="", encoding="utf-8")))
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


def kill_at_random(folder: Path, out: Path, count: int, kills: int, rng: random.Random) -> None:
    """Run the command and kill it at random studies; the last run is let end."""
    for at in sorted(rng.sample(range(1, count), kills)):
        run = start(folder, out)
        while run.poll() is None and len(logged(out)) < at:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        print(f"  killed after {len(logged(out))} studies")
    if start(folder, out).wait() != 0:
        raise SystemExit("the last run did not end well")


def check_complete(count: int, kills: int, rng: random.Random, scratch: Path) -> None:
    """Screen once in peace and once under fire, and compare."""
    write_studies(scratch / "in", count)
    began = time.perf_counter()
    if start(scratch / "in", scratch / "peace").wait() != 0:
        raise SystemExit("mipc screen did not end well")
    seconds = time.perf_counter() - began
    print(f"complete: {count} studies of 12 files in {seconds:.1f} s, {3600 * count / seconds:,.0f} an hour")
    kill_at_random(scratch / "in", scratch / "fire", count, kills, rng)
    again = len(logged(scratch / "fire")) - len(set(logged(scratch / "fire")))
    same = table(scratch / "peace") == table(scratch / "fire")
    print(f"  killed {kills} times: {len(table(scratch / 'fire')) - 1} rows, same as in peace: {same}")
    print(f"  screened again after they were told as done: {again}")
    if not same or again:
        raise SystemExit("a kill changed the result")


def run_engine(work: object, count: int, workers: int, scratch: Path) -> tuple[float, float]:
    """Run the engine around toy work; return seconds by the clock and of this process's processor."""
    out = scratch / f"{work.__name__}-{workers}-{count}"  # type: ignore[attr-defined]
    out.mkdir()
    run = Run(out, work, MADE, workers, Limits())  # type: ignore[arg-type]
    began, used = time.perf_counter(), time.process_time()
    with open_store(out / "mipc.db") as store, Display() as display, quiet():
        screen_intake(Intake(toy_studies(count), 0, ()), store, run, display)
    return time.perf_counter() - began, time.process_time() - used


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave progress out of the figures."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def measure_cost(count: int, scratch: Path) -> None:
    """Print what the engine takes a study when the work takes nothing."""
    run_engine(do_nothing, 20, 1, scratch)  # start the server, compile the templates
    seconds, processor = run_engine(do_nothing, count, 1, scratch)
    print(
        f"engine's own cost: {1000 * seconds / count:.1f} ms a study by the clock, "
        f"{1000 * processor / count:.1f} ms of the parent's processor, one worker"
    )


def measure_speed_up(count: int, scratch: Path) -> None:
    """Print how much sooner two workers are done than one, with work for one core, and with waiting."""
    for work in (compute, wait):
        alone, _ = run_engine(work, count, 1, scratch)
        both, _ = run_engine(work, count, 2, scratch)
        over = 1000 * (alone / count - WORK_SECONDS)
        print(
            f"speed-up, work that {work.__name__}s: {alone:.1f} s with one worker, {both:.1f} s with two, "
            f"{alone / both:.2f} times; {over:.1f} ms a study on top of {1000 * WORK_SECONDS:.0f} ms of work"
        )


def measure_memory(count: int, scratch: Path) -> None:
    """Print the memory of the parent over a run."""
    from imaging.pool import run_tasks

    kept = []
    studies = toy_studies(count)
    with open_store(scratch / "memory.db") as store:
        outcomes = screen_studies(do_nothing, studies, store, MADE, partial(run_tasks, workers=2))
        for number, _ in enumerate(outcomes, start=1):
            if number % (count // 10) == 0:
                kept.append(resident_bytes(os.getpid()) / 2**20)
    print("memory of the parent, MiB, at each tenth: " + " ".join(f"{size:.0f}" for size in kept))


def main(
    studies: Annotated[int, typer.Option(min=10)] = 1000,
    kills: Annotated[int, typer.Option(min=0)] = 5,
    seed: int = 1,
) -> None:
    """Print whether a batch survives, how fast it is, and what its engine costs."""
    warm_up("imaging.run")  # what the workers have to import, but for this module
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    scratch = Path(tempfile.mkdtemp(prefix="mipc-batch-"))
    try:
        measure_cost(studies, scratch)
        measure_memory(studies, scratch)
        measure_speed_up(max(20, studies // 10), scratch)
        check_complete(studies, kills, random.Random(seed), scratch)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    typer.run(main)
