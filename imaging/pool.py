"""Many tasks on the processes of one machine, where a task can cost only itself.

A task that raises, kills its process, runs past its time or grows past its memory is
tried once more when all others are done, alone on the machine, and then given up with
a reason.

`concurrent.futures` cannot stop one task, and with `max_tasks_per_child` it hangs on
Python 3.11 (CPython issue 115634).
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from multiprocessing.connection import wait
from typing import TypeVar

from imaging.machine import cores, machine_memory_bytes
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
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                crew.append(Worker(work, limits, threads=max(1, cores() // workers)))
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
