"""Work that goes wrong in real ways, for processes of its own to do."""

import ctypes
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
    kept = []
    for _ in range(mebibytes // 16):
        kept.append(bytearray(os.urandom(16)) * 2**20)
        time.sleep(0.002)
    time.sleep(60)


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


def report_threads():
    return os.environ["NUMBA_NUM_THREADS"]


VERBS = {
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
    "threads": report_threads,
}
