"""The folder that results go to, and the sentence if it takes none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from records.errors import StoreError
from records.files import OF_THE_DISK

__all__ = ["writing_to"]


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make a folder for results; while they are written, a full or closed disk is one sentence.

    Raises
    ------
    StoreError
        If the folder cannot be made, or takes no more.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"nothing can be written to {folder}: {error.strerror}") from error
    try:
        yield
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        raise StoreError(
            f"nothing more can be written to {error.filename or folder}: {error.strerror}. "
            "What is finished is kept: the same command goes on when that is mended"
        ) from error
