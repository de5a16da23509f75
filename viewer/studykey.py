"""The coordinator's key: which code of which reader is which patient. It never lies in a pack."""

import json
from dataclasses import dataclass
from pathlib import Path

import cattrs

from records.files import replace_file
from viewer.pack import PackError

__all__ = ["COORDINATOR", "KeyCase", "KeyPoint", "PackKey", "StudyKey", "load_key", "save_key"]

COORDINATOR = "coordinator"  # the folder beside the packs that stays with whoever made them
KEY_FILE = "key.json"
OWNER_ONLY = 0o700


@dataclass(frozen=True, slots=True)
class KeyPoint:
    """One scan of a case, by its true name."""

    number: int
    study_uid: str
    study_date: str
    averaged_mm: str  # how much tissue an image averages


@dataclass(frozen=True, slots=True)
class KeyCase:
    """One code, by its true name.

    Attributes
    ----------
    shown : tuple of str
        The readers whose reads an adjudicator is shown as reader 1 and 2, in that order.
    """

    code: str
    patient_id: str
    repeat_of: str
    time_points: tuple[KeyPoint, ...]
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackKey:
    """One reader's pack.

    Attributes
    ----------
    first_hash : str
        Of the opening entry of its ledger: the pack that comes back has to begin with it.
    is_adjudication : bool
        Its reads decide between the others.
    """

    pack_id: str
    reader: str
    first_hash: str
    cases: tuple[KeyCase, ...]
    is_adjudication: bool = False


@dataclass(frozen=True, slots=True)
class StudyKey:
    """All packs of a reading, and what they were drawn from."""

    seed: int
    program: str
    packs: tuple[PackKey, ...]

    @property
    def readers(self) -> tuple[PackKey, ...]:
        """The packs of the independent readers."""
        return tuple(pack for pack in self.packs if not pack.is_adjudication)

    def case(self, reader: str, code: str) -> KeyCase:
        """Return the case behind a reader's code."""
        pack = next(pack for pack in self.packs if pack.reader == reader)
        return next(case for case in pack.cases if case.code == code)


def save_key(key: StudyKey, packs: Path) -> None:
    """Write the key into the coordinator's folder of `packs`."""
    folder = packs / COORDINATOR
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(OWNER_ONLY)
    values = cattrs.Converter().unstructure(key)
    replace_file(folder / KEY_FILE, (json.dumps(values, indent=1) + "\n").encode())


def load_key(packs: Path) -> StudyKey:
    """Read the key.

    Raises
    ------
    PackError
        If there is none, or it is damaged.
    """
    path = packs / COORDINATOR / KEY_FILE
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(json.loads(path.read_bytes()), StudyKey)
    except FileNotFoundError as error:
        raise PackError(f"{packs} holds no coordinator's key ({COORDINATOR}/{KEY_FILE})") from error
    except (ValueError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        raise PackError(f"the key {path} is damaged; take it from a backup") from error
