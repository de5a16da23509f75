"""The key between a patient and a pseudonym: one file, readable by its owner only."""

import hashlib
import hmac
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from imaging.dicom.uids import derive_uid

__all__ = ["Key", "RelinkError", "open_key", "save_key"]

LONGEST_SHIFT_DAYS = 3650
OWNER_ONLY = 0o600


class RelinkError(Exception):
    """The key file cannot be used."""


@dataclass
class Key:
    """A secret, and what it hid.

    Attributes
    ----------
    secret : str
        Random; pseudonyms, UIDs and shifts are derived from it.
    patients : dict
        Pseudonym to the Patient ID it stands for, or to the UID of a study that names none.
    studies : dict
        New Study Instance UID to the original.
    """

    secret: str
    patients: dict[str, str] = field(default_factory=dict)
    studies: dict[str, str] = field(default_factory=dict)

    def _derive(self, *parts: str) -> str:
        message = "\0".join(parts).encode()
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()

    def pseudonym(self, patient_id: str) -> str:
        """Return the name that stands for a patient, always the same."""
        name = f"MIPC-{self._derive('patient', patient_id)[:12].upper()}"
        self.patients[name] = patient_id
        return name

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days all dates of a patient move into the past."""
        return 1 + int(self._derive("shift", patient_id), 16) % LONGEST_SHIFT_DAYS

    def uid(self, original: str) -> str:
        """Return the UID that stands for `original`, always the same."""
        return derive_uid(self._derive("uid", original))


def open_key(path: Path) -> Key:
    """Read the key at `path`, or make a new one if there is none.

    Raises
    ------
    RelinkError
        If others than the owner can read it, or it is none.
    """
    if not path.exists():
        return Key(secret=secrets.token_hex(32))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise RelinkError(f"{path} can be read by others (mode {mode:o}); make it 600 and check who has it")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Key(secret=str(held["secret"]), patients=dict(held["patients"]), studies=dict(held["studies"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RelinkError(f"{path} is not a key file") from error


def save_key(key: Key, path: Path) -> None:
    """Write the key whole or not at all, readable by its owner from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with open(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w", encoding="utf-8"
    ) as file:
        held = {"secret": key.secret, "patients": key.patients, "studies": key.studies}
        json.dump(held, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
