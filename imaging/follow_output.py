"""What comparing studies leaves in the folder of results: three tables, a picture a pair, a page of all."""

from collections.abc import Sequence
from pathlib import Path

from imaging.follow import Followed, PairOfStudies
from imaging.journal import LOG, Journal, without_patient
from imaging.legible import legible
from imaging.report import FollowRow, write_follow_page
from records.model import Provenance

__all__ = [
    "FOLDER",
    "log_failures",
    "print_follow_ups",
    "summary_values",
    "write_follow_ups",
    "write_waiting",
]

FOLDER = "follow_up"


def write_waiting(pairs: Sequence[PairOfStudies], out: Path, made: Provenance) -> None:
    """Write the page that the cohort's links to, before anything is compared."""
    rows = [_row(pair, sentence="Not compared yet: the run goes on, or was stopped.") for pair in pairs]
    write_follow_page(rows, out / FOLDER, made)


def write_follow_ups(followed: Sequence[Followed], out: Path, made: Provenance) -> None:
    """Write the tables and the page of all pairs into `out / FOLDER`; the change maps are there already."""
    from imaging.change_tables import write_change_tables

    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_change_tables([one.compared.rows for one in followed if one.compared], folder)
    rows = []
    for one in followed:
        if one.compared:
            found = one.compared
            rows.append(_row(one.studies, found.sentence, found.reading, found.change_map))
        else:
            rows.append(_row(one.studies, f"Not compared: {one.why_none}"))
    write_follow_page(rows, folder, made)


def _row(pair: PairOfStudies, sentence: str, reading: str = "", picture: bytes = b"") -> FollowRow:
    return FollowRow(pair.name, pair.baseline.study, pair.follow_up.study, reading, sentence, picture)


def log_failures(followed: Sequence[Followed], out: Path) -> None:
    """Add to the log what went wrong in the program, without names."""
    with Journal(out / LOG) as journal:
        for one in followed:
            before, after = one.studies.baseline.study, one.studies.follow_up.study
            if one.details:
                journal.write(
                    "not compared",
                    baseline_study_uid=before.uid,
                    follow_up_study_uid=after.uid,
                    details=without_patient(without_patient(one.details, before), after),
                )


def print_follow_ups(followed: Sequence[Followed], out: Path) -> None:
    """Print a line a pair, and where the tables are."""
    for one in followed:
        before, after = one.studies.baseline.study, one.studies.follow_up.study
        who = legible(f"{before.patient_id}, {before.study_date} to {after.study_date}", 80)
        if one.compared is None:
            print(f"Not compared: {who}: {legible(one.why_none, 300)}")
            continue
        found = one.compared
        print(f"{who}: {found.reading + ': ' if found.reading else ''}{found.sentence}")
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
    if followed.compared is None:
        return {**values, "reading": None, "sentence": followed.why_none}
    return {**values, **followed.compared.values, "change_map": str(out / FOLDER / f"{studies.name}.png")}
