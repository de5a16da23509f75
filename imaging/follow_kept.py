"""What comparing two studies gave, kept on disk as soon as it is known, so that a run that stops goes on."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from records.files import replace_file
from records.model import Screening

__all__ = ["Compared", "fingerprint", "keep", "kept", "pair_name"]

FORM = 2  # of the file; another form is compared again


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing a pair gave.

    Attributes
    ----------
    rows : dict of str to list of list of str
        What it adds to each table, by the table's name.
    values : dict
        In numbers, for a program.
    reading, sentence : str
        Suggested to the reviewers; the reading is "" where none is.
    change_map : bytes
        PNG.
    """

    rows: dict[str, list[list[str]]]
    values: dict[str, object]
    reading: str
    sentence: str
    change_map: bytes


def pair_name(baseline_uid: str, follow_up_uid: str) -> str:
    """Return the name of a pair's files: nothing in a UID can lead out of the folder."""
    uids = f"{baseline_uid}\n{follow_up_uid}"
    return hashlib.sha256(uids.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fingerprint(baseline: Screening, follow_up: Screening) -> str:
    """Return what a comparison rests on, in short: another series, nodule or version, and it is another."""
    parts = [
        (one.study, one.series, one.nodules, one.pattern, one.provenance) for one in (baseline, follow_up)
    ]
    return hashlib.sha256(repr((FORM, parts)).encode("utf-8", "surrogatepass")).hexdigest()


def keep(compared: Compared, folder: Path, name: str, of: str) -> None:
    """Keep what was found of a pair: the picture first, then the file that vouches for it."""
    replace_file(folder / f"{name}.png", compared.change_map)
    text = {
        "of": of,
        "rows": compared.rows,
        "values": compared.values,
        "reading": compared.reading,
        "sentence": compared.sentence,
    }
    replace_file(folder / f"{name}.json", json.dumps(text).encode("ascii"))


def kept(folder: Path, name: str, of: str) -> Compared | None:
    """Return what an earlier run found of a pair; None if it did not, or of other results."""
    try:
        text = json.loads((folder / f"{name}.json").read_bytes())
        picture = (folder / f"{name}.png").read_bytes()
        if text["of"] != of:
            return None
        return Compared(text["rows"], text["values"], text["reading"], text["sentence"], picture)
    except (OSError, ValueError, KeyError, TypeError):
        return None
