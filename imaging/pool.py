"""Many tasks on the processes of one machine, where a task can cost only itself.

A task that raises, kills its process, runs past its time or grows past its memory is
tried once more when all others are done, alone on the machine, and then given up with
a reason. A process that dies before its first task costs no task at all: another is
started, and if none can be, the batch ends with a sentence and goes on another time.

`concurrent.futures` cannot stop one task, and with `max_tasks_per_child` it hangs on
Python 3.11 (CPython issue 115634).
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from multiprocessing.connection import wait
from typing import TypeVar

from imaging.machine import cores, machine_memory_bytes
from imaging.patience import Patience, StartError
from imaging.worker import WATCH_SECONDS, Finished, Limits, Lost, Worker

__all__ = ["run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")


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

    Raises
    ------
    EngineError
        If no process can be started; tasks that are not yielded by then are as good as new.
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
    crew: list[Worker[Task, Result]] = []
    patience = Patience()
    try:
        while waiting or crew:
            try:
                _fill(crew, work, workers, len(waiting), limits, patience)
            except StartError as error:
                patience.failed()
                if not crew:
                    patience.check(error)
            ready = wait([worker.connection for worker in crew], timeout=WATCH_SECONDS)
            for worker in list(crew):
                was_ready = worker.is_ready
                try:
                    ended = worker.receive() if worker.connection in ready else worker.overdrawn()
                except StartError as error:
                    crew.remove(worker)
                    worker.stop()
                    patience.failed()
                    if waiting and not crew:  # one that still starts may be the one that can
                        patience.check(error)
                    continue
                if worker.is_ready and not was_ready:
                    patience.started()
                if not worker.is_busy and (worker.is_spent or not waiting):
                    crew.remove(worker)
                    worker.stop()
                elif worker.is_ready and not worker.is_busy:  # it goes on while the caller looks
                    worker.give(index := waiting.popleft(), tasks[index])
                if ended is not None:
                    yield ended
    finally:
        for worker in crew:
            worker.stop()


def _fill(
    crew: list[Worker[Task, Result]],
    work: Callable[[Task], Result],
    workers: int,
    waiting: int,
    limits: Limits,
    patience: Patience,
) -> None:
    """Start processes up to `workers`, as many as there are tasks for.

    Raises
    ------
    StartError
        If there can be none now.
    """
    starting = sum(not worker.is_ready for worker in crew)
    for _ in range(min(workers - len(crew), waiting - starting)):
        if patience.lets_try:
            crew.append(Worker(work, limits, threads=max(1, cores() // workers)))
