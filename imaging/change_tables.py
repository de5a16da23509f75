"""`follow_ups.csv`, `burden.csv` and `matches.csv`: pairs of scans, zones, nodules.

Relative changes are shares: -0.5 is half as much. Places are patient coordinates (LPS) of the scan they are
named after.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging.burden import Change
from imaging.matching import Fate
from imaging.tables import MADE_BY, interval_cells, made_by, number_cell, text_cell, write_atomically
from imaging.tracking import FollowUp
from records.cells import TableWriter
from records.model import Estimate, Nodule, Screening

__all__ = [
    "BURDEN_COLUMNS",
    "MATCH_COLUMNS",
    "PAIR_COLUMNS",
    "Pair",
    "rows_of",
    "values_of",
    "write_change_tables",
]

OF_PAIR = ("patient_id", "baseline_study_uid", "follow_up_study_uid")


def _three(name: str, unit: str = "") -> tuple[str, str, str]:
    return f"{name}{unit}", f"{name}_low{unit}", f"{name}_high{unit}"


FATES = tuple(fate.value for fate in Fate)

PAIR_COLUMNS = (
    *OF_PAIR,
    "baseline_date",
    "follow_up_date",
    "is_aligned",
    "lung_overlap",
    "vessel_points",
    "found_share",
    "residual_mm",
    "residual_p95_mm",
    *FATES,
    "grown",
    "shrunken",
    "reading",
    "sentence",
    *MADE_BY,
)

BURDEN_COLUMNS = (
    *OF_PAIR,
    "side",
    "zone",
    *_three("baseline_count"),
    *_three("follow_up_count"),
    *_three("count_change"),
    "count_change_is_real",
    *_three("baseline_volume", "_mm3"),
    *_three("follow_up_volume", "_mm3"),
    *_three("volume_change"),
    "volume_change_is_real",
    *FATES,
    *MADE_BY,
)

MATCH_COLUMNS = (
    *OF_PAIR,
    "fate",
    "doubt",
    "baseline_nodule_id",
    "follow_up_nodule_id",
    *(f"baseline_{axis}_mm" for axis in "xyz"),
    *(f"follow_up_{axis}_mm" for axis in "xyz"),
    "side",
    "zone",
    *_three("baseline_diameter", "_mm"),
    *_three("follow_up_diameter", "_mm"),
    *_three("change", "_mm"),
    "change_limit_mm",
    "change_is_real",
    "distance_mm",
    "contrast_share",
    *MADE_BY,
)

COLUMNS = {"follow_ups": PAIR_COLUMNS, "burden": BURDEN_COLUMNS, "matches": MATCH_COLUMNS}


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two screened studies of a patient and what they show together."""

    baseline: Screening
    follow_up: Screening
    change: FollowUp


def rows_of(pair: Pair) -> dict[str, list[list[str]]]:
    """Return what a pair adds to each table, by the table's name."""
    return {
        "follow_ups": [list(_pair_row(pair))],
        "burden": [list(row) for row in _burden_rows(pair)],
        "matches": [list(row) for row in _match_rows(pair)],
    }


def values_of(pair: Pair) -> dict[str, object]:
    """Return what a program reads of a pair."""
    change = pair.change
    quality = change.alignment.quality
    volume = change.zones[0].volume_change
    return {
        "reading": change.suggestion.reading and change.suggestion.reading.value,
        "sentence": change.suggestion.sentence,
        "is_aligned": change.alignment.is_good,
        "lung_overlap": round(quality.lung_overlap, 4),
        "residual_mm": quality.residual_mm and round(quality.residual_mm, 3),
        "fates": change.fates if change.alignment.is_good else None,
        "grown": change.grown if change.alignment.is_good else None,
        "shrunken": change.shrunken if change.alignment.is_good else None,
        "volume_change": volume and round(volume.value.value, 4),
        "volume_change_is_real": volume and volume.is_real,
    }


def write_change_tables(pairs: Sequence[Mapping[str, Sequence[Sequence[str]]]], folder: Path) -> None:
    """Write the three tables into `folder`; each takes its place when it is whole."""
    for name, columns in COLUMNS.items():
        _write(folder / f"{name}.csv", columns, (row for rows in pairs for row in rows[name]))


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with write_atomically(path) as file:
        writer = TableWriter(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _pair_row(pair: Pair) -> tuple[str, ...]:
    change = pair.change
    quality = change.alignment.quality
    return (
        *_of(pair),
        text_cell(pair.baseline.study.study_date),
        text_cell(pair.follow_up.study.study_date),
        _truth(change.alignment.is_good),
        number_cell(quality.lung_overlap, 3),
        str(quality.vessel_points),
        number_cell(quality.found_share, 3),
        number_cell(quality.residual_mm, 2),
        number_cell(quality.residual_p95_mm, 2),
        *_counts(pair, [*(change.count(fate) for fate in Fate), change.grown, change.shrunken]),
        change.suggestion.reading.value if change.suggestion.reading else "",
        change.suggestion.sentence,
        *made_by(pair.follow_up),
    )


def _burden_rows(pair: Pair) -> Iterator[tuple[str, ...]]:
    for zone in pair.change.zones:
        here = [trace for trace in pair.change.traces if zone.holds(trace)]
        yield (
            *_of(pair),
            zone.side.value if zone.side else "both",
            zone.zone.value if zone.zone else "all",
            *interval_cells(zone.baseline.count, 1),
            *interval_cells(zone.follow_up.count, 1),
            *_change_cells(zone.count_change),
            *interval_cells(zone.baseline.volume_mm3, 1),
            *interval_cells(zone.follow_up.volume_mm3, 1),
            *_change_cells(zone.volume_change),
            *_counts(pair, [sum(trace.fate is fate for trace in here) for fate in Fate]),
            *made_by(pair.follow_up),
        )


def _counts(pair: Pair, counts: Sequence[int]) -> list[str]:
    """Return counts of matched nodules; empty cells where nothing could be matched, which is not none."""
    return [str(count) if pair.change.alignment.is_good else "" for count in counts]


def _match_rows(pair: Pair) -> Iterator[tuple[str, ...]]:
    for trace, size in zip(pair.change.traces, pair.change.sizes, strict=True):
        yield (
            *_of(pair),
            trace.fate.value,
            trace.doubt.value,
            str(trace.baseline.nodule_id) if trace.baseline else "",
            str(trace.follow_up.nodule_id) if trace.follow_up else "",
            *(number_cell(place, 2) for place in (*trace.baseline_mm, *trace.follow_up_mm)),
            trace.side.value,
            trace.zone.value,
            *interval_cells(_diameter(trace.baseline), 2),
            *interval_cells(_diameter(trace.follow_up), 2),
            *interval_cells(size.value_mm if size else None, 2),
            number_cell(size.limit_mm if size else None, 2),
            _truth(size.is_real) if size else "",
            number_cell(trace.distance_mm, 2),
            number_cell(trace.contrast_share, 2),
            *made_by(pair.follow_up),
        )


def _of(pair: Pair) -> tuple[str, str, str]:
    study = pair.baseline.study
    return text_cell(study.patient_id), text_cell(study.uid), text_cell(pair.follow_up.study.uid)


def _change_cells(change: Change | None) -> tuple[str, str, str, str]:
    if change is None:
        return "", "", "", ""
    return *interval_cells(change.value, 3), _truth(change.is_real)


def _diameter(nodule: Nodule | None) -> Estimate | None:
    return nodule.diameter_mm if nodule else None


def _truth(value: bool) -> str:
    return "true" if value else "false"
