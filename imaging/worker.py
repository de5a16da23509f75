"""A process that does one task at a time, seen from outside, and what it does inside.

Processes are forked from one small server that has imported the work already, so that
a worker starts in milliseconds, on one study as on thousands. A task may cost its
process; the process costs nobody anything.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from imaging.machine import machine_memory_bytes, resident_bytes
from imaging.patience import StartError
from records.errors import Reason

__all__ = ["Finished", "Limits", "Lost", "OutOfReachError", "Worker", "preloaded", "warm_up"]

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_A_WORKER = 64  # then a fresh process, so that what a library leaks does not add up over a night
WATCH_SECONDS = 0.05  # how often time and memory are looked at
DEFAULT_SECONDS = 600.0  # a hundred times what a study takes
START_SECONDS = 120.0  # for a fresh process to say that it is ready: milliseconds, unless a disk hangs
LAST_BREATH_SECONDS = 10.0  # for a process that has closed its end to be gone

if sys.platform == "win32":
    CONTEXT = multiprocessing.get_context("spawn")
else:
    CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one try of a task may use.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    memory_bytes : int or None
        Resident memory of its process; None shares the machine's out among the workers.
        Watched where there is a /proc (Linux).
    """

    seconds: float = DEFAULT_SECONDS
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Finished(Generic[Result]):
    """A task that returned."""

    index: int
    value: Result


@dataclass(frozen=True, slots=True)
class Lost:
    """A task that did not.

    Attributes
    ----------
    sentence : str
        What happened, for the reader of the table.
    details : str
        The traceback where there is one, for the log.
    """

    index: int
    reason: Reason
    sentence: str
    details: str
    seconds: float


class OutOfReachError(Exception):
    """What a task needs is not to be had now; a sentence says what. Another day it may be."""


_preloaded: list[str] = []


def warm_up(*modules: str) -> None:
    """Start importing the work in the background, in the server that workers are forked from.

    Called early it costs next to nothing: the import runs beside the reading of headers.
    """
    if sys.platform != "win32":
        from multiprocessing import forkserver

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no kernel of ours is linear algebra
        CONTEXT.set_forkserver_preload(["imaging.preload", *modules])
        forkserver.ensure_running()
        _preloaded[:] = modules


def preloaded() -> tuple[str, ...]:
    """Return what `warm_up` was told to import here, for other machines to do the same."""
    return tuple(_preloaded)


class Worker(Generic[Task, Result]):
    """A process that does one task at a time, seen from outside.

    It starts, says that it is ready, and is given one task after another.

    Parameters
    ----------
    work : callable
        What it does with a task.
    limits : Limits
        What a task may use; memory is given.
    threads : int
        How many threads the task may use.

    Attributes
    ----------
    is_ready : bool
        Whether it has said that it is there.

    Raises
    ------
    StartError
        If there can be no process now.
    """

    def __init__(self, work: Callable[[Task], Result], limits: Limits, *, threads: int) -> None:
        self._limits = limits
        self._memory_bytes = limits.memory_bytes or machine_memory_bytes()
        self._index: int | None = None
        self._started = time.monotonic()
        self._tasks_left = TASKS_A_WORKER
        self.is_ready = False
        try:
            self.connection, theirs = multiprocessing.Pipe()
            with theirs:
                self._process = CONTEXT.Process(
                    target=_serve,
                    args=(theirs, work, threads, 2 * self._memory_bytes, preloaded()),
                    daemon=True,
                )
                self._process.start()
        except EOFError as error:
            raise StartError("The server that processes are forked from has ended.") from error
        except OSError as error:  # no process, no memory, no file handle is left, or that server is gone
            raise StartError(f"The system gives no process ({error.strerror or error}).") from error

    @property
    def is_busy(self) -> bool:
        """Whether it has a task in hand."""
        return self._index is not None

    @property
    def is_spent(self) -> bool:
        """Whether it should be replaced before the next task."""
        return not self.is_busy and self._tasks_left <= 0

    def give(self, index: int, task: Task) -> None:
        """Start it on a task; it is ready."""
        self._index, self._started = index, time.monotonic()
        self._tasks_left -= 1
        with suppress(BrokenPipeError, ConnectionResetError):  # it died idle: `receive` finds out
            self.connection.send(task)

    def receive(self) -> Finished[Result] | Lost | None:
        """Return what it sent, or what its silence means.

        Raises
        ------
        StartError
            If it never came so far as to take a task.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError):  # it died, the second amid a message
            self._process.join(LAST_BREATH_SECONDS)
            self._tasks_left = 0
            how = _how_it_died(self._process.exitcode)
            if not self.is_ready:
                raise StartError(how) from None
            return self._lose(Reason.CRASHED, how) if self.is_busy else None
        if isinstance(message, _Started):
            if message.fault:
                raise StartError(message.fault)
            self.is_ready = True
            return None
        if isinstance(message, _Failure):
            return self._lose(message.reason, message.sentence, message.details)
        index = self._take_index()
        return Finished(index, message)

    def overdrawn(self) -> Lost | None:
        """Return the loss of a task that is over a limit.

        Raises
        ------
        StartError
            If it has not said that it is ready in all that time.
        """
        if not self.is_ready and time.monotonic() - self._started > START_SECONDS:
            raise StartError(f"Its process was not ready after {START_SECONDS:g} s.")
        if not self.is_busy:
            return None
        if time.monotonic() - self._started > self._limits.seconds:
            return self._lose(
                Reason.TIMED_OUT, f"It was not done after {self._limits.seconds:g} s, the limit of a study."
            )
        if resident_bytes(self._process.pid) > self._memory_bytes:
            return self._lose(Reason.OUT_OF_MEMORY, _too_much(self._memory_bytes))
        return None

    def watch(self) -> Finished[Result] | Lost | None:
        """Return what became of the task, or None if it still runs after `WATCH_SECONDS`."""
        ready = wait([self.connection], timeout=WATCH_SECONDS)
        return self.receive() if ready else self.overdrawn()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()

    def _take_index(self) -> int:
        index, self._index = self._index, None
        assert index is not None, "a worker spoke without a task"
        return index

    def _lose(self, reason: Reason, sentence: str, details: str = "") -> Lost:
        self._tasks_left = 0
        return Lost(self._take_index(), reason, sentence, details, time.monotonic() - self._started)


@dataclass(frozen=True, slots=True)
class _Started:
    """What a worker says first: that it is ready, or what it lacks."""

    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a worker says of a task that raised."""

    reason: Reason
    sentence: str
    details: str


def _serve(
    connection: Connection,
    work: Callable[[Task], Result],
    threads: int,
    address_bytes: int,
    modules: Sequence[str],
) -> None:
    """Do tasks until no more come: the life of a worker process."""
    gc.freeze()  # what was imported stays: it need not be searched, nor copied to be searched
    gc.enable()  # see `imaging.preload`
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Told that nothing is forked here, numba makes no lock between processes; a kill would leave it behind.
    multiprocessing.set_start_method("spawn", force=True)
    os.dup2(2, 1)  # a library that prints must not spoil what the program prints
    warnings.simplefilter("ignore")  # there is nobody here to read them
    _use_threads(threads)
    fault = _why_not_importable(modules)
    connection.send(_Started(fault))
    if fault:
        return
    _refuse_requests_over(address_bytes)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(work, task, address_bytes // 2))


def _why_not_importable(modules: Sequence[str]) -> str:
    """Load what the work needs, as the server has; "" if that is to be had.

    An installation that is damaged, or replaced under a running batch, is no study's fault.
    """
    try:
        for name in modules:
            importlib.import_module(name)
    except Exception as error:
        return f"It cannot load the program ({type(error).__name__}: {error})."
    return ""


def _attempt(work: Callable[[Task], Result], task: Task, memory_bytes: int) -> Result | _Failure:
    """Return the result, or what was raised; this border is where a bug stops travelling."""
    try:
        return work(task)
    except OutOfReachError as error:
        return _Failure(Reason.CRASHED, str(error), traceback.format_exc())
    except MemoryError:
        return _Failure(Reason.OUT_OF_MEMORY, _too_much(memory_bytes), traceback.format_exc())
    except Exception as error:
        sentence = f"The program failed on it ({type(error).__name__}); the log has the details."
        return _Failure(Reason.CRASHED, sentence, traceback.format_exc())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to take the result


def _use_threads(threads: int) -> None:
    """Hold the libraries to a number of threads, also those not loaded yet.

    Numba must not have started threads of its own before: compiling after that, it refuses the new number.
    """
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(min(threads, int(os.environ.get(name) or threads)))


def _refuse_requests_over(data_bytes: int) -> None:
    """Let one absurd request fail at once; growth in steps is what the parent watches."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _too_much(memory_bytes: int) -> str:
    return f"It needed more memory than the limit of a study, {memory_bytes / 2**30:.1f} GiB."


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is None:
        return "Its process no longer speaks."
    if exit_code < 0:
        return f"Its process was ended by the signal {signal.Signals(-exit_code).name}."
    return f"Its process ended by itself (exit status {exit_code})."
