"""What `mipc screen` does, said once: hand over, screen, summarise."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from imaging.batch import screen_here
from imaging.card import model_version
from imaging.console import Display, print_problems, print_summary
from imaging.dicom import Intake
from imaging.follow import Followed, find_pairs, follow_pairs
from imaging.follow_output import FOLDER, log_failures, print_follow_ups, write_follow_ups, write_waiting
from imaging.follow_output import summary_values as follow_up_values
from imaging.journal import LOG, Journal, without_patient
from imaging.legible import legible
from imaging.machine import default_workers
from imaging.outlet import writing_to
from imaging.protocol import load_protocol, provenance
from imaging.run import Run, read_inputs, screen_intake, summary_values
from imaging.worker import Limits
from records.store import Store, open_store

__all__ = ["DONE", "INTERRUPTED", "NOTHING_USABLE", "screen_command"]

STUDY_BYTES = 5 * 2**29  # a chest CT of 500 slices at its peak: 1.4 GiB were measured at 241, 3 MiB a slice

DONE, NOTHING_USABLE, INTERRUPTED = 0, 1, 130  # exit statuses; 2 is wrong usage


def screen_command(
    inputs: Sequence[Path],
    out: Path,
    *,
    store: str | Path,
    protocol_file: Path | None,
    workers: int,
    limits: Limits,
    resumes: bool,
    prints_json: bool,
    writes_dicom: bool = False,
    scheduler: str = "",
    follows_all: bool = False,
) -> int:
    """Screen what was handed over, print a summary, and return the exit status.

    With 0 `workers` there is one a core, or as many as the memory holds. With a `scheduler` its workers
    screen, and what is written is written here. Patients with several studies are followed up: those that
    were flagged, or with `follows_all` all of them; then there has to be one.

    Raises
    ------
    ProtocolError, StoreError, EngineError
        If the protocol, the store, the folder `out` or the cluster cannot be used, or no process be started.
    """
    protocol = load_protocol(protocol_file)
    made = provenance(protocol, model_version())
    with (
        writing_to(out),
        open_store(store) as database,
        Display() as display,
        _stops_like_ctrl_c(),
    ):
        try:
            if scheduler:  # other machines have other working folders
                inputs = [path.absolute() for path in inputs]
            intake = read_inputs(inputs, display)
            if not intake.studies:
                print_problems(intake)
                return NOTHING_USABLE
            workers = workers or default_workers(STUDY_BYTES)
            screen = partial(screen_here, protocol)
            run = Run(out, screen, made, workers, limits, resumes, scheduler, follows_all)
            stock = screen_intake(intake, database, run, display)
            if writes_dicom:
                _write_dicom(intake, store, run, display)
            followed = _follow(intake, database, store, run, display)
        except KeyboardInterrupt:
            display.close()
            print(
                f"Stopped. What is finished is kept in {database.name}; "
                "the same command goes on where this one stopped.",
                file=sys.stderr,
            )
            return INTERRUPTED
        display.close()
        if prints_json:
            values = summary_values(stock, intake, run, database)
            print(json.dumps({**values, "follow_ups": follow_up_values(followed, out)}, indent=2))
        else:
            print_summary(stock, intake, out / "report.html", made)
            print_follow_ups(followed, out)
    if follows_all and not any(one.compared for one in followed):
        print("mipc: no patient has two studies that can be compared", file=sys.stderr)
        return NOTHING_USABLE
    return DONE


def _follow(intake: Intake, database: Store, store: str | Path, run: Run, display: Display) -> list[Followed]:
    """Compare the studies of each patient who has several, and write what that gives."""
    pairs, problems = find_pairs(intake, database, only_flagged=not run.follows_all)
    for sentence in problems:
        display.say(legible(sentence, 300))
    if not pairs:
        return []
    write_waiting(pairs, run.folder, run.provenance)
    followed = follow_pairs(
        pairs,
        store,
        run.folder / FOLDER,
        resumes=run.resumes,
        workers=run.workers,
        limits=run.limits,
        progress=lambda done, total: display.show("Following up", done, total, f"{done}/{total} pairs"),
    )
    log_failures(followed, run.folder)
    write_follow_ups(followed, run.folder, run.provenance)
    return followed


def _write_dicom(intake: Intake, store: str | Path, run: Run, display: Display) -> None:
    """Write the results as DICOM, and name the studies that have none."""
    from imaging.results import write_results

    written = write_results(
        intake,
        store,
        run.folder / "dicom",
        workers=run.workers,
        limits=run.limits,
        progress=lambda done, total: display.show("Writing DICOM", done, total, f"{done}/{total} studies"),
    )
    with Journal(run.folder / LOG) as journal:
        for of, one in zip(intake.studies, written, strict=True):
            if one.why_none:
                print(
                    f"no DICOM results of study {one.study_uid}: {legible(one.why_none, 300)}",
                    file=sys.stderr,
                )
            if one.details:
                details = without_patient(one.details, of.study)
                journal.write("no DICOM results", study_uid=one.study_uid, details=details)


@contextmanager
def _stops_like_ctrl_c() -> Iterator[None]:
    """Let the signal by which a scheduler ends a job do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
