"""Many tasks on the machines of a dask cluster, where a task can cost only itself.

A dask worker does not do a task itself: it watches a process that does, the same way
`imaging.pool` does on one machine. So time and memory are limited, and a crash costs
no dask worker. What dask adds is the other machines: it hands out tasks, and hands
them out again if a whole machine is lost.

Tasks are small and results are packed; images are read where the task runs, from the
same path, which all machines have to see.
"""

import multiprocessing
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from imaging.machine import machine_memory_bytes
from imaging.patience import EngineError, Patience, StartError
from imaging.worker import WATCH_SECONDS, Finished, Limits, Lost, Worker, preloaded, warm_up
from records.errors import Reason

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["ClusterError", "run_on_cluster"]

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 10
LOOK_SECONDS = 1.0  # how often the size of the cluster is looked at
AHEAD = 2  # tasks a thread that are handed over: one is done, one waits


class ClusterError(EngineError):
    """The cluster cannot be used: a sentence says why."""


def run_on_cluster(
    scheduler: str,
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    limits: Limits | None = None,
    say: Callable[[str], object] = lambda sentence: None,
) -> Generator[Finished[Result] | Lost, None, None]:
    """Run `work` on every task and yield what became of each, in the order they end.

    Parameters
    ----------
    scheduler : str
        Address of a dask scheduler, `tcp://host:8786`. Workers may come and go.
    work : callable
        A function that a fresh process on any machine can import; its result has to travel.
    tasks : sequence
        What it is called with.
    limits : Limits, optional
        Time and memory of one try; without a limit of memory, a task has its share of its dask worker's.
    say : callable
        Is told, once, if nobody is there to work yet.

    Yields
    ------
    Finished or Lost
        One for every task. Closing the iterator ends what is running.

    Raises
    ------
    ClusterError
        If there is no scheduler, it is lost, or its workers cannot do this work at all.
    """
    limits = limits or Limits()
    again = []
    with _connected(scheduler) as client:
        if not client.nthreads():
            say(f"The scheduler at {scheduler} has no workers yet; studies start when there are some.")
        together = _Round(client, work, tasks, limits, alone=False)
        with closing(together.run(range(len(tasks)))) as first_tries:
            for ended in first_tries:
                if isinstance(ended, Lost):
                    again.append(ended.index)
                else:
                    yield ended
        with closing(_Round(client, work, tasks, limits, alone=True).run(again)) as second_tries:
            yield from second_tries


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """Connect to a scheduler; whatever is wrong with it afterwards is one sentence."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ClusterError("--scheduler needs dask: pip install 'mipc[cluster]'") from error
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ClusterError(f"no dask scheduler can be reached at {scheduler}: {said[0]}") from error
    try:
        yield client
    except OSError as error:  # dask's errors of communication are
        raise ClusterError(f"the connection to {scheduler} broke: {error}") from error
    finally:
        client.close()


class _Round(Generic[Task, Result]):
    """One try of some tasks: as many at a time as the cluster has threads, or one alone on each machine."""

    def __init__(
        self,
        client: "Client",
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        limits: Limits,
        *,
        alone: bool,
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._alone = alone
        self._packed = pickle.dumps((work, limits, preloaded(), alone))
        self._futures: dict[int, Future] = {}
        self._places: dict[int, str] = {}  # the machine that each lone task is on
        self._ended: SimpleQueue[int] = SimpleQueue()

    def run(self, indices: Iterable[int]) -> Generator[Finished[Result] | Lost, None, None]:
        """Yield what became of each."""
        waiting = deque(indices)
        try:
            while waiting or self._futures:
                self._hand_over(waiting)
                with suppress(Empty):
                    index = self._ended.get(timeout=LOOK_SECONDS)
                    future = self._futures.pop(index)
                    self._places.pop(index, None)
                    yield _outcome(index, future)
        finally:
            if self._futures:
                with suppress(OSError):  # a scheduler that is gone has forgotten them
                    self._client.cancel(list(self._futures.values()), force=True)

    def _hand_over(self, waiting: deque[int]) -> None:
        threads = self._client.nthreads()
        if self._alone:
            hosts = {address.rsplit(":", 1)[0]: address for address in sorted(threads)}
            for host, address in hosts.items():
                if waiting and host not in self._places.values():
                    self._places[waiting[0]] = host
                    self._submit(waiting.popleft(), workers=[address], allow_other_workers=True)
        else:
            while waiting and len(self._futures) < AHEAD * max(1, sum(threads.values())):
                self._submit(waiting.popleft())

    def _submit(self, index: int, **where: object) -> None:
        future = self._client.submit(
            _try_here, self._packed, index, self._tasks[index], pure=False, priority=-index, **where
        )
        self._futures[index] = future
        future.add_done_callback(lambda _: self._ended.put(index))


def _outcome(index: int, future: "Future") -> Finished[Result] | Lost:
    """Return what became of a task; what a task does wrong never reaches dask as an error."""
    from distributed import KilledWorker

    if future.cancelled():
        raise ClusterError("the scheduler was lost, and with it what was running")
    error = future.exception()
    if error is None:
        outcome: Finished[Result] | Lost = future.result()
        return outcome
    if isinstance(error, KilledWorker):
        sentence = "Every worker of the cluster that it was given to was lost."
        return Lost(index, Reason.CRASHED, sentence, str(error), 0.0)
    if isinstance(error, EngineError):
        raise ClusterError(f"on a machine of the cluster {error}") from error
    raise ClusterError(
        f"a worker of the cluster cannot do this work ({type(error).__name__}: {error}): "
        "the same version of mipc has to be installed there"
    ) from error


_lock = threading.Lock()
_idle: dict[bytes, list[Worker[Any, Any]]] = {}  # of this dask worker: processes between two tasks


def _try_here(packed: bytes, index: int, task: object) -> Finished[object] | Lost | None:
    """Try a task in a process beside this dask worker, which goes on if the process does not."""
    from distributed import get_worker

    here = get_worker()
    key = here.get_current_task()
    worker = _take_ready(packed, here.memory_manager.memory_limit, here.state.nthreads)
    try:
        worker.give(index, task)
        while (ended := worker.watch()) is None:
            known = here.state.tasks.get(key)
            if known is None or known.state == "cancelled":  # nobody waits for it any more
                worker.stop()
                return None
    except BaseException:
        worker.stop()
        raise
    with _lock:
        if worker.is_spent or packed not in _idle:
            worker.stop()
        else:
            _idle[packed].append(worker)
    return ended


def _take_ready(packed: bytes, memory_bytes: int | None, threads: int) -> Worker[Any, Any]:
    """Return a process that waits for this work; one that dies first is replaced.

    Raises
    ------
    EngineError
        If none can be started on this machine.
    """
    patience = Patience()
    while True:
        if not patience.lets_try:
            time.sleep(WATCH_SECONDS)
            continue
        try:
            worker = _take(packed, memory_bytes, threads)
            while not worker.is_ready:
                try:
                    worker.watch()
                except StartError:
                    worker.stop()
                    raise
        except StartError as error:
            patience.failed()
            patience.check(error)
        else:
            return worker


def _take(packed: bytes, memory_bytes: int | None, threads: int) -> Worker[Any, Any]:
    """Return a process for this work; those of other work are ended."""
    with _lock:
        for other in [key for key in _idle if key != packed]:
            for worker in _idle.pop(other):
                worker.stop()
        if _idle.setdefault(packed, []):
            return _idle[packed].pop()
        work, limits, modules, alone = pickle.loads(packed)
        multiprocessing.current_process().daemon = False  # else dask's nanny lets it have no children
        warm_up(*modules)
        share = (memory_bytes or machine_memory_bytes()) // (1 if alone else threads)
        limits = Limits(limits.seconds, limits.memory_bytes or share)
        return Worker(work, limits, threads=threads if alone else 1)
