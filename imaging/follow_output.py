"""What comparing studies leaves in the folder of results: three tables, and a picture a pair."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imaging.follow import Followed
from imaging.legible import legible

if TYPE_CHECKING:
    from imaging.change_tables import Pair

__all__ = ["FOLDER", "pair_name", "print_follow_ups", "summary_values", "write_follow_ups"]

FOLDER = "follow_up"


def pair_name(pair: "Pair") -> str:
    """Return the name of a pair's files: nothing in a UID can lead out of the folder."""
    uids = f"{pair.baseline.study.uid}\n{pair.follow_up.study.uid}"
    return hashlib.sha256(uids.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def write_follow_ups(followed: Sequence[Followed], out: Path) -> None:
    """Write `follow_ups.csv`, `burden.csv`, `matches.csv` and the change maps into `out / FOLDER`."""
    from imaging.change_tables import write_change_tables

    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [one.pair for one in followed if one.pair is not None]
    write_change_tables(pairs, folder)
    for one in followed:
        if one.pair is not None:
            (folder / f"{pair_name(one.pair)}.png").write_bytes(one.change_map)


def print_follow_ups(followed: Sequence[Followed], out: Path) -> None:
    """Print a line a pair, and where the tables are."""
    for one in followed:
        before, after = one.studies.baseline.study, one.studies.follow_up.study
        who = legible(f"{before.patient_id}, {before.study_date} to {after.study_date}", 80)
        if one.pair is None:
            print(f"Not compared: {who}: {legible(one.why_none, 300)}")
            continue
        found = one.pair.change.suggestion
        print(f"{who}: {found.reading.value + ': ' if found.reading else ''}{found.sentence}")
    if followed:
        print(f"Change of burden, matches and maps: {out / FOLDER}")


def summary_values(followed: Sequence[Followed], out: Path) -> list[dict[str, object]]:
    """Return what a program reads of each pair (`--json`)."""
    return [_values(one, out) for one in followed]


def _values(followed: Followed, out: Path) -> dict[str, object]:
    studies = followed.studies
    values: dict[str, object] = {
        "patient_id": studies.baseline.study.patient_id,
        "baseline_study_uid": studies.baseline.study.uid,
        "follow_up_study_uid": studies.follow_up.study.uid,
    }
    if followed.pair is None:
        return {**values, "reading": None, "sentence": followed.why_none}
    change = followed.pair.change
    quality = change.alignment.quality
    volume = change.zones[0].volume_change
    return {
        **values,
        "reading": change.suggestion.reading and change.suggestion.reading.value,
        "sentence": change.suggestion.sentence,
        "is_aligned": change.alignment.is_good,
        "lung_overlap": round(quality.lung_overlap, 4),
        "residual_mm": quality.residual_mm and round(quality.residual_mm, 3),
        "fates": change.fates,
        "grown": change.grown,
        "shrunken": change.shrunken,
        "volume_change": volume and round(volume.value.value, 4),
        "volume_change_is_real": volume and volume.is_real,
        "change_map": str(out / FOLDER / f"{pair_name(followed.pair)}.png"),
    }
