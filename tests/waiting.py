"""How long tests wait for what comes about by itself: far longer than it takes on a busy machine."""

import time
from collections.abc import Callable

__all__ = ["PATIENCE_SECONDS", "wait_until"]

PATIENCE_SECONDS = 300.0


def wait_until(is_so: Callable[[], object], *, every_seconds: float = 0.005) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {PATIENCE_SECONDS:g} s"
        time.sleep(every_seconds)
