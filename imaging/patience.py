"""How long to go on when processes die before they have a task."""

import time

__all__ = ["EngineError", "Patience", "StartError"]

TRIES = 6  # in a row, 0.1 s, 0.2 s, 0.4 s ... apart: 3 s for memory, or processes, to come free
PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0


class EngineError(Exception):
    """What runs the tasks cannot: a sentence says why. No task is to blame, and none is given up."""


class StartError(Exception):
    """A process died, or hung, before its first task: a sentence says how."""


class Patience:
    """How often in a row processes may fail to start, with longer and longer pauses between."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0

    @property
    def lets_try(self) -> bool:
        """Whether the pause after the last failure is over."""
        return time.monotonic() >= self._not_before

    def started(self) -> None:
        """Note that one did start."""
        self._failures = 0

    def failed(self) -> None:
        """Note that one did not."""
        self._failures += 1
        pause = min(PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
        self._not_before = time.monotonic() + pause

    def check(self, error: StartError) -> None:
        """Give up if it was tried often enough.

        Raises
        ------
        EngineError
            It says how the last one died.
        """
        if self._failures >= TRIES:
            raise EngineError(
                f"no process to do the work can be started, in {self._failures} tries. {error} "
                "What is finished is kept and nothing is given up: the same command goes on from here."
            ) from error
