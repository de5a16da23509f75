"""What this machine has for tasks to share: cores and memory."""

import os
import sys
from contextlib import suppress

__all__ = ["cores", "default_workers", "machine_memory_bytes", "resident_bytes"]


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


def resident_bytes(pid: int | None) -> int:
    """Return the memory that a process holds, or 0 where that cannot be told."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has just ended, or this system has no /proc
        return 0
