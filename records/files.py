"""Files that are whole at every moment, whatever stops the program; and why one cannot be used."""

import errno
import os
from pathlib import Path

__all__ = ["OF_THE_DISK", "replace_file", "why_unusable"]

# What says something of a disk, of a name or of who may use it, and nothing of the program.
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
OF_THE_NAME = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
IN_THE_WAY = {
    errno.EEXIST: "a file stands where a folder has to be",
    errno.ENOTDIR: "a file stands where a folder has to be",
    errno.EISDIR: "a folder stands where a file has to be",
}


def why_unusable(error: OSError) -> str | None:
    """Return the sentence for a file that cannot be written or read; None if it says nothing of a file.

    >>> why_unusable(NotADirectoryError(errno.ENOTDIR, "Not a directory", "notes.txt/tables"))
    'notes.txt/tables cannot be used: a file stands where a folder has to be'
    >>> why_unusable(OSError(errno.ENOSPC, "No space left on device"))
    'nothing more can be written: No space left on device'
    >>> why_unusable(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    True
    """
    why = IN_THE_WAY.get(error.errno or 0, error.strerror)
    if error.filename is not None and error.errno in (*OF_THE_DISK, *OF_THE_NAME):
        return f"{error.filename} cannot be used: {why}"
    return f"nothing more can be written: {why}" if error.errno in OF_THE_DISK else None


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds the old or the new, never a part.

    It is on the disk when this returns. The folder is made if it is not there; a failure leaves nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:  # Ctrl-C too
        new.unlink(missing_ok=True)
        raise
