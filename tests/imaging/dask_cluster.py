"""A dask scheduler and workers of the tests' own, each a process, as a user would start them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Cluster:
    """A running scheduler and what works for it."""

    address: str
    folder: Path
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self, *options: str, threads: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker; dask starts it under a nanny unless told otherwise."""
        arguments = [self.address, "--host", "127.0.0.1", "--no-dashboard", "--nthreads", str(threads)]
        worker = _start(self.folder, "dask_worker", *arguments, *options)
        self.workers.append(worker)
        return worker

    @property
    def log(self) -> str:
        """What all of them said."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


@contextmanager
def running_cluster(folder: Path, *, workers: int) -> Iterator[Cluster]:
    """Run a scheduler and workers without nannies, of which each is the process that is started here."""
    folder.mkdir(parents=True)
    told = folder / "scheduler.json"
    arguments = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)]
    scheduler = _start(folder, "dask_scheduler", *arguments)
    started = [scheduler]
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (told.exists() and told.read_text().endswith("}")):
            assert scheduler.poll() is None, (folder / "0.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster = Cluster(json.loads(told.read_text())["address"], folder, scheduler)
        started = cluster.workers
        for _ in range(workers):
            cluster.add_worker("--no-nanny")
        yield cluster
    finally:
        for process in {scheduler, *started}:
            process.kill()  # their processes end with them
            process.wait()


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    log = folder / f"{len(list(folder.glob('*.log')))}.log"
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
