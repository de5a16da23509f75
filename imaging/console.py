"""What a run says in the terminal: how far it is, and a summary at the end."""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from imaging.dicom.files import Intake
from imaging.legible import legible
from records.errors import Reason
from records.model import Provenance, Screening, VerdictLabel
from records.wording import counted

__all__ = ["LABELS", "REASONS", "Display", "Stock", "Tally", "chance", "print_problems", "print_summary"]

LABELS = {
    VerdictLabel.MIPC: "MIPC",
    VerdictLabel.INDETERMINATE: "indeterminate",
    VerdictLabel.NOT_MIPC: "not MIPC",
    VerdictLabel.NOT_EVALUABLE: "not evaluable",
}

REASONS = {
    Reason.NO_CT: "no CT images",
    Reason.TOO_FEW_SLICES: "too few slices",
    Reason.SLICES_MISSING: "slices missing",
    Reason.GANTRY_TILT: "tilted gantry",
    Reason.MIXED_GEOMETRY: "slices of different geometry",
    Reason.TOO_THICK: "slices too thick",
    Reason.NOT_HU: "no Hounsfield units",
    Reason.UNREADABLE_PIXELS: "pixels cannot be read",
    Reason.LUNGS_NOT_FOUND: "lungs not found",
    Reason.LUNGS_INCOMPLETE: "lungs incomplete",
    Reason.LUNGS_IMPLAUSIBLE: "lungs implausible",
    Reason.NEAR_THRESHOLD: "near a threshold",
    Reason.POOR_QUALITY: "poor image quality",
    Reason.CRASHED: "program failed",
    Reason.TIMED_OUT: "time limit",
    Reason.OUT_OF_MEMORY: "memory limit",
}

PLAIN_SECONDS = 15.0  # between two lines where no terminal can redraw one
FEW = 12  # studies that are named one by one in the summary
WIDE = 110  # columns of a terminal that has room for a sentence a study


@dataclass
class Tally:
    """Counts of a run so far.

    Attributes
    ----------
    total : int
        Studies to screen now; those already in the store are not among them.
    """

    total: int
    started: float = field(default_factory=time.monotonic)
    labels: Counter[VerdictLabel] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Studies screened so far."""
        return self.labels.total()

    def line(self) -> str:
        """Return how far it is, how fast it goes and what is left."""
        elapsed = time.monotonic() - self.started
        parts = [
            f"{self.done}/{self.total} studies",
            f"{self.labels[VerdictLabel.MIPC]} flagged",
            f"{self.labels[VerdictLabel.NOT_EVALUABLE]} not evaluable",
        ]
        if self.done:
            left = elapsed / self.done * (self.total - self.done)
            parts += [f"{3600 * self.done / elapsed:.0f} an hour", f"{_clock(left)} left"]
        return " · ".join(parts)


class Display:
    """Live progress on standard error: one redrawn line on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}"),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last_plain = time.monotonic()

    def show(self, description: str, done: int, total: int, line: str) -> None:
        """Show a stage and how far it is."""
        if not self._console.is_terminal:
            if done < total and time.monotonic() - self._last_plain < PLAIN_SECONDS:
                return
            self._last_plain = time.monotonic()
            print(f"{description}: {line}", file=sys.stderr, flush=True)
            return
        if self._task is None:
            self._task = self._progress.add_task(description, line=line, total=total)
        self._progress.update(self._task, description=description, completed=done, total=total, line=line)

    def say(self, sentence: str) -> None:
        """Say something once, above the line."""
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the line off the screen."""
        if self._console.is_terminal:  # else there is none, and rich would print an empty line
            self._progress.stop()


@dataclass
class Stock:
    """What is in the store of the studies asked for, counted."""

    labels: Counter[VerdictLabel] = field(default_factory=Counter)
    reasons: Counter[tuple[VerdictLabel, Reason]] = field(default_factory=Counter)
    first: list[Screening] = field(default_factory=list)  # as many as may be named one by one

    def add(self, screening: Screening) -> None:
        """Count a study."""
        verdict = screening.verdict
        self.labels[verdict.label] += 1
        if verdict.reason is not None:
            self.reasons[verdict.label, verdict.reason] += 1
        if len(self.first) < FEW:
            self.first.append(screening)


def print_summary(stock: Stock, intake: Intake, report: Path, made: Provenance) -> None:
    """Print how many studies have each verdict, for what reasons, and where to look."""
    console = Console()
    if stock.labels.total() <= FEW:
        console.print(_study_table(stock.first, with_sentence=console.width >= WIDE), "")
    table = Table("verdict", "studies", "reason", box=None, pad_edge=False, header_style="dim")
    for label, name in LABELS.items():
        table.add_row(name, str(stock.labels[label]), style="bold" if label is VerdictLabel.MIPC else None)
        for (of_label, reason), count in sorted(stock.reasons.items(), key=lambda item: (-item[1], item[0])):
            if of_label is label:
                table.add_row("", str(count), REASONS[reason], style="dim")
    console.print(table, "")
    if intake.problems:
        said = _files(len(intake.problems), "with a problem")
        console.print(f"{said} set aside; the report names each.", highlight=False, soft_wrap=True)
    if intake.other_files:
        console.print(
            _files(intake.other_files, "that is no DICOM", "that are no DICOM") + " passed over.",
            highlight=False,
            soft_wrap=True,
        )
    by = (
        f"mipc {made.program_version} · model {made.model_version} · "
        f"protocol {legible(made.protocol_name, 40)} ({made.protocol_sha256[:12]})"
    )
    console.print(Text(by, style="dim"), soft_wrap=True)
    console.print(Text(f"Report: {report}"), soft_wrap=True)


def chance(probability: float) -> str:
    """Return a probability with two digits; one that is not quite 0 or 1 is not told as if it were.

    >>> chance(0.8719), chance(0.000002), chance(0.9972), chance(0.0)
    ('0.87', '< 0.01', '> 0.99', '0.00')
    """
    shown = f"{probability:.2f}"
    if shown == "0.00" and probability > 0:
        return "< 0.01"
    return "> 0.99" if shown == "1.00" and probability < 1 else shown


def print_problems(intake: Intake) -> None:
    """Print why nothing could be used, on standard error."""
    others = counted(intake.other_files, "other file")
    print(f"mipc: nothing to screen: no DICOM images in the input ({others})", file=sys.stderr)
    for problem in intake.problems[:FEW]:
        print(f"  {legible(problem.path)}: {legible(problem.sentence)}", file=sys.stderr)
    if len(intake.problems) > FEW:
        print(f"  and {len(intake.problems) - FEW} more", file=sys.stderr)


def _study_table(screenings: Iterable[Screening], *, with_sentence: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("patient", "date", "verdict", "probability", "nodules"):
        table.add_column(
            name, justify="right" if name in ("probability", "nodules") else "left", no_wrap=True
        )
    if with_sentence:
        table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    for screening in sorted(screenings, key=_likeliest_first):
        study, verdict, pattern = screening.study, screening.verdict, screening.pattern
        count = pattern.nodule_count if pattern else None
        cells = [
            Text(legible(study.patient_id, 24) or "(no number)"),
            Text(legible(study.study_date, 10)),
            Text(LABELS[verdict.label], style="bold" if verdict.label is VerdictLabel.MIPC else ""),
            Text("" if verdict.probability is None else chance(verdict.probability)),
            Text(f"{count.value:.0f} ({count.low:.0f}–{count.high:.0f})" if count else ""),
        ]
        if with_sentence:
            cells.append(Text(legible(verdict.sentence, 160)))
        table.add_row(*cells)
    return table


def _likeliest_first(screening: Screening) -> tuple[float, int, str]:
    """Order studies as the report does."""
    verdict = screening.verdict
    likely = 1.0 if verdict.probability is None else -verdict.probability
    return likely, list(LABELS).index(verdict.label), screening.study.uid


def _files(number: int, one: str, many: str = "") -> str:
    """Say how many files were left.

    >>> _files(1, "with a problem"), _files(2, "that is no DICOM", "that are no DICOM")
    ('1 file with a problem was', '2 files that are no DICOM were')
    """
    return counted(number, f"file {one} was", f"files {many or one} were")


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
