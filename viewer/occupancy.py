"""One window a pack: two would write over each other's drafts."""

import os
import sys
from pathlib import Path

from viewer.pack import PackError

__all__ = ["Occupancy"]

LOCK_FILE = ".open"


class Occupancy:
    """The right to work on a pack, held until it is left or the program ends, however it ends.

    Raises
    ------
    PackError
        If another window holds it, or the pack cannot be written to.
    """

    def __init__(self, pack: Path) -> None:
        self._file: int | None = None
        if sys.platform == "win32":
            return
        import fcntl

        try:
            self._file = os.open(pack / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise PackError(f"nothing can be saved in the pack {pack}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.leave()
            raise PackError(f"the pack {pack} is open in another window; go on there, or close it") from error
        except OSError:  # some network folders have no locks; the ledger still tells a second signer
            self.leave()

    def leave(self) -> None:
        """Let others work on the pack."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
