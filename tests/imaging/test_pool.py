import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from imaging.machine import cores, default_workers, machine_memory_bytes
from imaging.patience import EngineError
from imaging.pool import run_tasks
from imaging.worker import Finished, Limits, Lost
from records.errors import Reason
from tests.imaging import toys
from tests.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]


def outcomes(tasks, *, workers=2, **limits):
    """Return what became of each task, in task order."""
    ended = list(run_tasks(toys.misbehave, tasks, workers=workers, limits=Limits(**limits)))
    assert sorted(one.index for one in ended) == list(range(len(tasks)))
    return sorted(ended, key=lambda one: one.index)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_task_is_done_once_whatever_the_number_of_workers(workers):
    tasks = [("double", number) for number in range(150)]
    assert outcomes(tasks, workers=workers) == [Finished(number, 2 * number) for number in range(150)]


def test_no_task_needs_no_process():
    assert outcomes([]) == []


@pytest.mark.parametrize(
    ("task", "reason", "sentence"),
    [
        pytest.param(("raise", "broken"), Reason.CRASHED, "ValueError", id="raises"),
        pytest.param(("exit",), Reason.CRASHED, "exit status 3", id="ends-its-process"),
        pytest.param(("kill",), Reason.CRASHED, "SIGKILL", id="is-killed"),
        pytest.param(("segfault",), Reason.CRASHED, "SIGSEGV", id="reads-memory-that-is-not-there"),
        pytest.param(("hang",), Reason.TIMED_OUT, "2.5 s", id="hangs-and-holds-the-interpreter"),
        pytest.param(("hold", 4096), Reason.OUT_OF_MEMORY, "0.5 GiB", id="eats-memory-bit-by-bit"),
        pytest.param(("ask", 500), Reason.OUT_OF_MEMORY, "0.5 GiB", id="asks-for-too-much-at-once"),
    ],
)
def test_a_task_that_goes_wrong_costs_only_itself(task, reason, sentence):
    tasks = [("double", 1), task, ("double", 2), ("double", 3)]
    seconds = 2.5 if task[0] == "hang" else 120.0
    first, lost, *others = outcomes(tasks, seconds=seconds, memory_bytes=2**29)
    assert [one.value for one in (first, *others)] == [2, 4, 6]
    assert isinstance(lost, Lost)
    assert lost.reason is reason
    assert sentence in lost.sentence
    assert ("broken" in lost.details) == (task[0] == "raise")


def test_a_task_that_failed_is_tried_once_more_alone(tmp_path):
    tasks = [("fail once", str(tmp_path / "mark")), *(("nap", 0.05) for _ in range(6))]
    ended = list(run_tasks(toys.misbehave, tasks, workers=2))
    assert ended[-1] == Finished(0, "done")  # after all the others


def test_a_worker_that_is_killed_from_outside_costs_no_result(tmp_path):
    """Kill a worker in the middle of a task: its task comes back from another process."""
    (tmp_path / "begun").mkdir()
    tasks = [("nap", 0.01), *[("begin", str(tmp_path / "begun"), str(tmp_path / "go"))] * 7]
    batch = run_tasks(toys.misbehave, tasks, workers=2)
    first = next(batch)  # the others wait
    wait_until((tmp_path / "begun" / str(first.value)).exists)
    os.kill(first.value, signal.SIGKILL)
    (tmp_path / "go").touch()
    ended = [first, *batch]
    assert sorted(one.index for one in ended) == list(range(8))
    assert [one.index for one in ended if one.value == first.value] == [first.index]


def test_a_worker_that_is_killed_amid_its_answer_costs_no_result(tmp_path):
    """What came of the answer is half a message; its task is done again."""
    (tmp_path / "begun").mkdir()
    tasks = [("double", 1), ("answer", str(tmp_path / "go"), str(tmp_path / "begun"), 64)]
    batch = run_tasks(toys.misbehave, tasks, workers=2)
    ended = [next(batch)]
    (tmp_path / "go").touch()
    wait_until(lambda: any((tmp_path / "begun").iterdir()))
    time.sleep(0.3)  # it sends, and the pipe is full
    (sender,) = (tmp_path / "begun").iterdir()
    os.kill(int(sender.name), signal.SIGKILL)
    ended += batch
    assert ended == [Finished(0, 2), Finished(1, bytes(64 * 2**20))]


@pytest.mark.parametrize(
    "deaths", [range(1, 2), range(1, 5), range(2, 100)], ids=["one", "four", "all-but-one"]
)
def test_a_worker_that_dies_before_its_first_task_costs_only_itself(tmp_path, monkeypatch, deaths):
    monkeypatch.syspath_prepend(tmp_path)
    ended = list(run_tasks(toys.dying_work(tmp_path, deaths), range(40), workers=2))
    assert sorted(ended, key=lambda one: one.index) == [Finished(number, number) for number in range(40)]


def test_a_worker_that_starts_slowly_is_waited_for_when_others_die(tmp_path, monkeypatch):
    """Six die in three seconds, and it takes four."""
    monkeypatch.syspath_prepend(tmp_path)
    work = toys.dying_work(tmp_path, range(2, 100), seconds=4.0)
    ended = list(run_tasks(work, range(3), workers=2))
    assert [one.value for one in ended] == [0, 1, 2]


def test_a_batch_whose_workers_all_die_at_once_ends_with_a_sentence(tmp_path, monkeypatch):
    """No task is said to have crashed: none was tried."""
    monkeypatch.syspath_prepend(tmp_path)
    work = toys.dying_work(tmp_path, range(1, 1000))
    # Tried six times, and it is told when the process that may still start beside the sixth has died too.
    with pytest.raises(
        EngineError, match=r"can be started, in \d+ tries\. .*exit status 7.*goes on from here"
    ):
        next(run_tasks(work, range(40), workers=2))
    assert 6 <= len(list(tmp_path.glob("start-*"))) <= 12  # not one a task
    work = toys.dying_work(tmp_path, range(0))
    assert len(list(run_tasks(work, range(40), workers=2))) == 40


def test_workers_that_die_in_the_middle_of_a_batch_leave_what_is_finished(tmp_path, monkeypatch):
    """The first two live their 64 tasks, and nothing can be started in their place."""
    monkeypatch.syspath_prepend(tmp_path)
    kept = []
    batch = run_tasks(toys.dying_work(tmp_path, range(3, 1000)), range(300), workers=2)
    with pytest.raises(EngineError, match="exit status 7"):
        kept.extend(batch)
    assert {type(one) for one in kept} == {Finished}
    assert len(kept) == len({one.index for one in kept}) == 128


def test_a_batch_outlives_the_server_that_its_workers_come_from():
    """The system may kill any process, this one too."""
    output, errors = program("""
        import os, signal
        from multiprocessing import forkserver

        tasks = [("double", number) for number in range(300)]
        for number, one in enumerate(run_tasks(toys.misbehave, tasks, workers=2)):
            if number == 20:
                os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
            print(one.value)
    """).communicate(timeout=PATIENCE_SECONDS)
    assert sorted(map(int, output.split())) == [2 * number for number in range(300)], errors


def test_a_program_that_cannot_be_loaded_is_no_fault_of_a_task():
    output, errors = program("""
        from imaging.worker import warm_up

        warm_up("imaging.no_such_module")
        try:
            list(run_tasks(toys.misbehave, [("double", 1)], workers=2))
        except Exception as error:
            print(type(error).__name__, error)
    """).communicate(timeout=PATIENCE_SECONDS)
    assert output.startswith("EngineError no process to do the work can be started, in 6 tries."), errors
    assert "cannot load the program (ModuleNotFoundError: No module named 'imaging.no_such_module')" in output


def test_a_worker_collects_garbage_though_its_server_does_not():
    output, errors = program("""
        from imaging.worker import warm_up

        warm_up("imaging.batch")
        print([one.value for one in run_tasks(toys.misbehave, [("collects",)], workers=1)])
    """).communicate(timeout=PATIENCE_SECONDS)
    assert output.strip() == "[True]", errors


def program(body, **variables):
    """Start a program of its own that runs a batch."""
    text = "from imaging.pool import run_tasks\nfrom tests.imaging import toys\n" + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, env=os.environ | variables, stdout=-1, stderr=-1, text=True
    )


@pytest.mark.parametrize("allowed", [1, 64])
def test_each_worker_uses_its_share_of_the_cores(allowed):
    """A share is never more than the user allows."""
    output, _ = program(
        """
        print(*(one.value for one in run_tasks(toys.misbehave, [("threads",)] * 4, workers=2)))
        print(*(one.value for one in run_tasks(toys.misbehave, [("threads",)], workers=2)))
        """,
        NUMBA_NUM_THREADS=str(allowed),
    ).communicate(timeout=PATIENCE_SECONDS)
    share, alone = min(max(1, cores() // 2), allowed), min(cores(), allowed)
    assert output.split() == [str(share)] * 4 + [str(alone)]


def test_a_worker_with_a_share_of_the_cores_can_compile():
    """At the first try, not alone with all of the cores, with which the compiler was loaded."""
    output, errors = program(
        """
        from imaging.worker import warm_up
        warm_up("numba")
        print(*(one.value for one in run_tasks(toys.misbehave, [("compile",)] * 4, workers=2)), sep=";")
        """
    ).communicate(timeout=PATIENCE_SECONDS)
    assert output.strip().split(";") == [str((42, max(1, cores() // 2)))] * 4, errors


def test_what_libraries_print_does_not_reach_standard_output():
    output, errors = program("""
        for one in run_tasks(toys.misbehave, [("chatter",)], workers=1):
            print(one.value)
    """).communicate(timeout=PATIENCE_SECONDS)
    assert output == "done\n"
    assert "a library says hello" in errors


def is_running(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second if it ends as it is read
        return False


def test_a_batch_that_is_left_leaves_no_process(tmp_path):
    (tmp_path / "begun").mkdir()
    batch = run_tasks(
        toys.misbehave,
        [("nap", 0.01), ("begin", str(tmp_path / "begun"), str(tmp_path / "never"))],
        workers=2,
    )
    done = next(batch).value
    wait_until(lambda: any((tmp_path / "begun").iterdir()))
    pids = [done, *(int(one.name) for one in (tmp_path / "begun").iterdir())]
    batch.close()
    wait_until(lambda: not any(map(is_running, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_the_parent_is_killed():
    """SIGKILL gives the parent no chance to tell them."""
    parent = program("""
        tasks = [("nap", 0.01), ("nap", 0.01), ("nap", 600), ("nap", 600)]
        for one in run_tasks(toys.misbehave, tasks, workers=2):
            print(one.value, flush=True)
    """)
    pids = {int(parent.stdout.readline()) for _ in range(2)}
    parent.kill()
    parent.communicate()
    wait_until(lambda: not any(map(is_running, pids)))


def test_there_are_no_more_workers_than_cores_or_than_memory_holds():
    assert default_workers(1) == cores()
    assert default_workers(machine_memory_bytes()) == 1
    assert default_workers(10 * machine_memory_bytes()) == 1


def test_memory_of_the_machine_is_known():
    assert 2**28 < machine_memory_bytes() < 2**44
