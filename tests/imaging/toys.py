"""Work that goes wrong in real ways, for processes of its own to do."""

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def double(number):
    return 2 * number


def misbehave(task):
    """Do what the task says: a tuple of a verb and what it needs."""
    verb, *rest = task
    return VERBS[verb](*rest)


def raise_an_error(text):
    raise ValueError(text)


def exit_at_once():
    os._exit(3)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def read_null():
    ctypes.string_at(0)


def hang_in_c():
    ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the interpreter lock: no thread of this process runs


def hold(mebibytes):
    """Fill memory in small steps, so quickly that the limit of memory comes before that of time."""
    kept = []
    for _ in range(mebibytes // 16):
        kept.append(bytearray(b"x") * 2**24)
        time.sleep(0.002)
    time.sleep(600)


def ask_for(gibibytes):
    return len(bytearray(gibibytes * 2**30))


def fail_once(marker):
    """Die the first time, leave a mark, and do it the second time."""
    if Path(marker).exists():
        return "done"
    Path(marker).touch()
    kill_itself()


def chatter():
    print("a library says hello")
    subprocess.run([sys.executable, "-c", "print('so does its child')"], check=True)
    return "done"


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def wait_for(path):
    """Wait until there is a file."""
    while not Path(path).exists():
        time.sleep(0.005)


def report(folder):
    """Leave a file named by the number of this process."""
    (Path(folder) / str(os.getpid())).touch()


def begin_and_wait(folder, go):
    """Leave this process's number in a folder, wait for a file, and return the number."""
    report(folder)
    wait_for(go)
    return os.getpid()


def answer_at_length(go, folder, mebibytes):
    """Wait for a file, leave this process's number in a folder, and send more than a pipe holds."""
    wait_for(go)
    report(folder)
    return bytes(mebibytes * 2**20)


def report_threads():
    return os.environ["NUMBA_NUM_THREADS"]


def compile_anew():
    """Compile a function that no cache holds, and tell how many threads this worker may use."""
    from numba import njit

    return (njit(lambda number: 2 * number)(21), int(report_threads()))


VERBS = {
    "compile": compile_anew,
    "double": double,
    "raise": raise_an_error,
    "exit": exit_at_once,
    "kill": kill_itself,
    "segfault": read_null,
    "hang": hang_in_c,
    "hold": hold,
    "ask": ask_for,
    "fail once": fail_once,
    "chatter": chatter,
    "nap": nap,
    "await": wait_for,
    "begin": begin_and_wait,
    "answer": answer_at_length,
    "threads": report_threads,
    "collects": gc.isenabled,
}


DIES_AT_START = """
import itertools
import os
import time
from pathlib import Path

FOLDER = Path({folder!r})


def number_of_this_start():
    for start in itertools.count(1):
        try:
            (FOLDER / f"start-{{start}}").touch(exist_ok=False)  # no two processes have one number
        except FileExistsError:
            continue
        return start


if os.getpid() != {parent}:
    if number_of_this_start() in {deaths}:
        os._exit(7)
    time.sleep({seconds})


def work(task, **settings):
    if not settings:
        return task
    from tests.imaging import toy_screen

    return toy_screen.screen(task, **settings)
"""


def dying_work(folder, deaths, *, seconds=0.0):
    """Return a function whose module ends the process that imports it, at these starts: 1 is the first.

    `folder` has to be on the path; `seconds` is how long the import takes where it lives.
    """
    import importlib

    (folder / "dies_at_start.py").write_text(
        DIES_AT_START.format(folder=str(folder), parent=os.getpid(), deaths=repr(deaths), seconds=seconds)
    )
    sys.modules.pop("dies_at_start", None)
    importlib.invalidate_caches()
    return importlib.import_module("dies_at_start").work
