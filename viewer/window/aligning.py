"""Two scans aligned while the reader goes on: a process beside the window, looked after by a timer."""

import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy renames it

from imaging.tracking import Alignment
from viewer.linking import align_apart

__all__ = ["Aligner"]

LOOK_MS = 250


class Aligner(QObject):
    """One alignment at a time; what was made is kept as long as the window is open."""

    progressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[Path, Path], Alignment | str] = {}
        self._asked: tuple[Path, Path] | None = None
        self._process: SpawnProcess | None = None
        self._receiver: Connection | None = None
        self._began = 0.0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    def ask(self, earlier: Path, later: Path) -> None:
        """Align two scans, unless it was done already; `progressed` tells when there is something new."""
        pair = (earlier, later)
        if self._asked != pair:
            self.stop()
            self._asked = pair
            if pair not in self._known:
                self._start(pair)
        self.progressed.emit()

    def _start(self, pair: tuple[Path, Path]) -> None:
        context = get_context("spawn")  # a fork would share the window's connection to the screen
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=align_apart, args=(sender, *pair), daemon=True)
        self._process.start()
        sender.close()
        self._began = time.monotonic()
        self._timer.start(LOOK_MS)

    @property
    def found(self) -> Alignment | str | None:
        """The alignment asked for last, or why there is none; None while it is being made."""
        return None if self._asked is None else self._known.get(self._asked)

    @property
    def seconds(self) -> int:
        """How long the alignment has been in the making."""
        return int(time.monotonic() - self._began)

    def _look(self) -> None:
        if self._receiver is not None and self._asked is not None and self._receiver.poll():
            try:
                self._known[self._asked] = self._receiver.recv()
            except EOFError:
                self._known[self._asked] = "the program that aligns the scans came to an end"
            self._end()
        self.progressed.emit()

    def stop(self) -> None:
        """Give up what is being made."""
        if self._process is not None:
            self._process.terminate()
        self._end()
        self._asked = None

    def _end(self) -> None:
        self._timer.stop()
        if self._process is not None:
            self._process.join()
        if self._receiver is not None:
            self._receiver.close()
        self._process = self._receiver = None
