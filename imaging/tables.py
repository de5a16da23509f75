"""`studies.csv` and `nodules.csv`: the columns other programs count on."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from imaging.legible import legible
from records.cells import TableWriter, guarded
from records.model import Estimate, Finding, Nodule, Screening

__all__ = [
    "MADE_BY",
    "NODULE_COLUMNS",
    "STUDY_COLUMNS",
    "Tables",
    "interval_cells",
    "made_by",
    "number_cell",
    "text_cell",
    "write_atomically",
]

MADE_BY = ("program_version", "model_version", "protocol")

STUDY_COLUMNS = (
    "study_uid",
    "series_uid",
    "patient_id",
    "study_date",
    "verdict",
    "probability",
    "nodule_count",
    "nodule_count_low",
    "nodule_count_high",
    "count_right",
    "count_left",
    "fraction_le_5mm",
    "median_diameter_mm",
    "diameter_cv",
    "zones_occupied",
    "criteria",
    "exclusions",
    "reason",
    "slice_spacing_mm",
    "slice_thickness_mm",
    "kernel",
    "lung_volume_ml",
    "seconds",
    *MADE_BY,
)

NODULE_COLUMNS = (
    "study_uid",
    "series_uid",
    "nodule_id",
    "x_mm",
    "y_mm",
    "z_mm",
    "diameter_mm",
    "diameter_low_mm",
    "diameter_high_mm",
    "volume_mm3",
    "mean_hu",
    "attenuation",
    "probability",
    "reported",
    "side",
    "zone",
    "pleura_distance_mm",
    "sop_instance_uid",
    "slice_index",
    *MADE_BY,
    "long_axis_mm",
    "short_axis_mm",
)

HOLDS = {True: "yes", False: "no", None: "unknown"}


class Tables:
    """`studies.csv` and `nodules.csv` as they are written, study by study.

    A context manager: both take their place when it ends well, and neither when it does not.
    """

    def __init__(self, folder: Path) -> None:
        self._files = ExitStack()
        self._folder = folder

    def __enter__(self) -> Self:
        self._add_study = self._open("studies.csv", STUDY_COLUMNS)
        self._add_nodule = self._open("nodules.csv", NODULE_COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def add(self, screening: Screening) -> None:
        """Write the rows of a study."""
        self._add_study(study_row(screening))
        for nodule in screening.nodules:
            self._add_nodule(nodule_row(screening, nodule))

    def _open(self, name: str, columns: Sequence[str]) -> Callable[[Sequence[str]], object]:
        file = self._files.enter_context(write_atomically(self._folder / name))
        writer = TableWriter(file, lineterminator="\n")
        writer.writerow(columns)
        return writer.writerow


def study_row(screening: Screening) -> tuple[str, ...]:
    """Return the row of a study, in the order of `STUDY_COLUMNS`."""
    study, series, pattern, verdict = screening.study, screening.series, screening.pattern, screening.verdict
    count = pattern.nodule_count if pattern else None
    small = pattern.fraction_le_5mm if pattern else None
    lungs = screening.lungs
    return (
        text_cell(study.uid),
        text_cell(series.uid) if series else "",
        text_cell(study.patient_id),
        text_cell(study.study_date),
        verdict.label.value,
        number_cell(verdict.probability, 6),
        *interval_cells(count, 1),
        number_cell(pattern.count_right if pattern else None, 1),
        number_cell(pattern.count_left if pattern else None, 1),
        number_cell(small.value if small else None, 4),
        number_cell(pattern.median_diameter_mm if pattern else None, 2),
        number_cell(pattern.diameter_cv.value if pattern and pattern.diameter_cv else None, 3),
        str(pattern.zones_occupied) if pattern else "",
        _holding(verdict.criteria),
        _holding(verdict.exclusions),
        verdict.reason.value if verdict.reason else "",
        number_cell(series.slice_spacing_mm if series else None, 3),
        number_cell(series.slice_thickness_mm if series else None, 3),
        text_cell(series.kernel) if series else "",
        number_cell(lungs.right_ml + lungs.left_ml if lungs else None, 0),
        number_cell(screening.seconds, 2),
        *made_by(screening),
    )


def nodule_row(screening: Screening, nodule: Nodule) -> tuple[str, ...]:
    """Return the row of a candidate, in the order of `NODULE_COLUMNS`."""
    return (
        text_cell(screening.study.uid),
        text_cell(screening.series.uid) if screening.series else "",
        str(nodule.nodule_id),
        *(number_cell(place, 2) for place in nodule.centre_mm),
        *interval_cells(nodule.diameter_mm, 2),
        number_cell(nodule.volume_mm3, 1),
        number_cell(nodule.mean_hu, 0),
        nodule.attenuation.value,
        number_cell(nodule.probability, 6),
        "true" if nodule.reported else "false",
        nodule.side.value,
        nodule.zone.value,
        number_cell(nodule.pleura_distance_mm, 1),
        text_cell(nodule.sop_instance_uid),
        str(nodule.slice_index),
        *made_by(screening),
        number_cell(nodule.long_axis_mm, 1),
        number_cell(nodule.short_axis_mm, 1),
    )


@contextmanager
def write_atomically(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its place only when whole; after a failure the old one stays."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def made_by(screening: Screening) -> tuple[str, str, str]:
    """Return the cells of `MADE_BY`: of the protocol its name and the first digits of its hash."""
    made = screening.provenance
    return (
        text_cell(made.program_version),
        text_cell(made.model_version),
        text_cell(made.protocol_label),
    )


def _holding(findings: Sequence[Finding]) -> str:
    return ";".join(f"{text_cell(finding.name)}={HOLDS[finding.holds]}" for finding in findings)


def interval_cells(estimate: Estimate | None, decimals: int) -> tuple[str, str, str]:
    """Return a value and its interval, or three empty cells."""
    if estimate is None:
        return "", "", ""
    return (
        number_cell(estimate.value, decimals),
        number_cell(estimate.low, decimals),
        number_cell(estimate.high, decimals),
    )


def number_cell(value: float | None, decimals: int) -> str:
    """Return a number with fixed decimals, and "" for one that is absent; there is no -0."""
    return "" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def text_cell(value: str) -> str:
    """Return header text that a spreadsheet shows and does not run."""
    return guarded(legible(value))
