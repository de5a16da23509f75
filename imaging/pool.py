"""Many tasks on the processes of one machine, where a task can cost only itself.

A task that raises, kills its process, runs past its time or grows past its memory is
tried once more when all others are done, alone on the machine, and then given up with
a reason. Processes are forked from one small server that has imported the work
already, so that a worker starts in milliseconds, on one study as on thousands.

`concurrent.futures` cannot stop one task, and with `max_tasks_per_child` it hangs on
Python 3.11 (CPython issue 115634).
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from records.errors import Reason

__all__ = [
    "Finished",
    "Limits",
    "Lost",
    "cores",
    "default_workers",
    "machine_memory_bytes",
    "run_tasks",
    "warm_up",
]

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_A_WORKER = 64  # then a fresh process, so that what a library leaks does not add up over a night
WATCH_SECONDS = 0.05  # how often time and memory are looked at
DEFAULT_SECONDS = 600.0  # a hundred times what a study takes

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


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    limits: Limits | None = None,
) -> Generator[Finished[Result] | Lost, None, None]:
    """Run `work` on every task and yield what became of each, in the order they end.

    Parameters
    ----------
    work : callable
        A function that a fresh process can import; its result has to travel.
    tasks : sequence
        What it is called with.
    workers : int
        How many processes; each is told to use its share of the cores.
    limits : Limits, optional
        Time and memory of one try.

    Yields
    ------
    Finished or Lost
        One for every task. Closing the iterator ends the processes.
    """
    limits = limits or Limits()
    again = []
    with closing(_try_once(work, tasks, range(len(tasks)), workers, limits)) as first_tries:
        for ended in first_tries:
            if isinstance(ended, Lost):
                again.append(ended.index)
            else:
                yield ended
    for index in again:  # alone, with all the cores and memory, whoever its neighbours were
        yield from _try_once(work, tasks, [index], 1, limits)


def warm_up(*modules: str) -> None:
    """Start importing the work in the background, in the server that workers are forked from.

    Called early it costs next to nothing: the import runs beside the reading of headers.
    """
    if sys.platform != "win32":
        from multiprocessing import forkserver

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no kernel of ours is linear algebra
        CONTEXT.set_forkserver_preload(list(modules))
        forkserver.ensure_running()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def default_workers(task_bytes: int) -> int:
    """Return how many tasks of this size fit on the machine: one a core, if there is memory for so many."""
    return max(1, min(cores(), machine_memory_bytes() // task_bytes))


def machine_memory_bytes() -> int:
    """Return the memory that tasks may share: four fifths of what this machine or container has."""
    if sys.platform == "win32":
        return 8 * 2**30
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no control group, or no limit ("max")
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            total = min(total, int(file.read()))
    return total * 4 // 5


def _try_once(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    indices: Iterable[int],
    workers: int,
    limits: Limits,
) -> Generator[Finished[Result] | Lost, None, None]:
    """Run `work` once on each of some tasks, `workers` at a time."""
    waiting = deque(indices)
    workers = max(1, min(workers, len(waiting)))
    limits = Limits(limits.seconds, limits.memory_bytes or machine_memory_bytes() // workers)
    crew: list[_Worker[Task, Result]] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                crew.append(_Worker(work, limits, threads=max(1, cores() // workers)))
                worker = crew[-1]
                worker.give(index := waiting.popleft(), tasks[index])
            ready = wait([worker.connection for worker in crew], timeout=WATCH_SECONDS)
            for worker in list(crew):
                ended = worker.receive() if worker.connection in ready else worker.overdrawn()
                if worker.is_idle and (worker.is_spent or not waiting):
                    crew.remove(worker)
                    worker.stop()
                elif worker.is_idle:  # it goes on while the caller looks at what it sent
                    worker.give(index := waiting.popleft(), tasks[index])
                if ended is not None:
                    yield ended
    finally:
        for worker in crew:
            worker.stop()


class _Worker(Generic[Task, Result]):
    """A process that does one task at a time, seen from outside.

    Parameters
    ----------
    work : callable
        What it does with a task.
    limits : Limits
        What a task may use; memory is given.
    threads : int
        How many threads the task may use.
    """

    def __init__(self, work: Callable[[Task], Result], limits: Limits, *, threads: int) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self._limits = limits
        self._memory_bytes = limits.memory_bytes or machine_memory_bytes()
        self._index: int | None = None
        self._started = 0.0
        self._tasks_left = TASKS_A_WORKER
        self._process = CONTEXT.Process(
            target=_serve, args=(theirs, work, threads, 2 * self._memory_bytes), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a task."""
        return self._index is None

    @property
    def is_spent(self) -> bool:
        """Whether it should be replaced before the next task."""
        return self.is_idle and self._tasks_left <= 0

    def give(self, index: int, task: Task) -> None:
        """Start it on a task."""
        self._index, self._started = index, time.monotonic()
        self._tasks_left -= 1
        with suppress(BrokenPipeError, ConnectionResetError):  # it died idle: `receive` finds out
            self.connection.send(task)

    def receive(self) -> Finished[Result] | Lost | None:
        """Return what it sent, or what its silence means."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            self._tasks_left = 0
            return None if self.is_idle else self._lose(Reason.CRASHED, _how_it_died(self._process.exitcode))
        if isinstance(message, _Failure):
            return self._lose(message.reason, message.sentence, message.details)
        index = self._take_index()
        return Finished(index, message)

    def overdrawn(self) -> Lost | None:
        """Return the loss of a task that is over a limit."""
        if self.is_idle:
            return None
        if time.monotonic() - self._started > self._limits.seconds:
            return self._lose(
                Reason.TIMED_OUT, f"It was not done after {self._limits.seconds:g} s, the limit of a study."
            )
        if _resident_bytes(self._process.pid) > self._memory_bytes:
            return self._lose(Reason.OUT_OF_MEMORY, _too_much(self._memory_bytes))
        return None

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
class _Failure:
    """What a worker says of a task that raised."""

    reason: Reason
    sentence: str
    details: str


def _serve(connection: Connection, work: Callable[[Task], Result], threads: int, address_bytes: int) -> None:
    """Do tasks until no more come: the life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Told that nothing is forked here, numba makes no lock between processes; a kill would leave it behind.
    multiprocessing.set_start_method("spawn", force=True)
    os.dup2(2, 1)  # a library that prints must not spoil what the program prints
    warnings.simplefilter("ignore")  # there is nobody here to read them
    _use_threads(threads)
    _refuse_requests_over(address_bytes)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(work, task, address_bytes // 2))


def _attempt(work: Callable[[Task], Result], task: Task, memory_bytes: int) -> Result | _Failure:
    """Return the result, or what was raised; this border is where a bug stops travelling."""
    try:
        return work(task)
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
    """Hold the libraries to a number of threads, also those not loaded yet."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(min(threads, int(os.environ.get(name) or threads)))
    numba = sys.modules.get("numba")
    if numba is not None:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def _refuse_requests_over(data_bytes: int) -> None:
    """Let one absurd request fail at once; growth in steps is what the parent watches."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _resident_bytes(pid: int | None) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has just ended, or this system has no /proc
        return 0


def _too_much(memory_bytes: int) -> str:
    return f"It needed more memory than the limit of a study, {memory_bytes / 2**30:.1f} GiB."


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"Its process was ended by the signal {signal.Signals(-exit_code).name}."
    return f"Its process ended by itself (exit status {exit_code})."
