"""The results of one study as DICOM: report, segmentation, marked projections."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imaging.dicom.capture import build_captures
from imaging.dicom.evidence import gather_evidence
from imaging.dicom.files import StudyFiles
from imaging.dicom.segmentation import build_segmentation
from imaging.dicom.structured_report import encode_report
from imaging.dicom.uids import derive_uid
from imaging.pictures import Pictures
from records.codec import screening_to_json
from records.files import replace_file
from records.model import Screening

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Exported", "export_results"]

REPORT, SEGMENTATION = "report.dcm", "segmentation.dcm"


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of one study's results.

    Attributes
    ----------
    paths : tuple of Path
        Report first.
    why_none : str
        Why there are none, "" if there are.
    """

    paths: tuple[Path, ...]
    why_none: str = ""


def export_results(
    screening: Screening, study: StudyFiles, pictures: Pictures | None, folder: Path
) -> Exported:
    """Write the results of a study as DICOM objects of that study.

    Parameters
    ----------
    screening : Screening
        The result.
    study : StudyFiles
        The files it was read from.
    pictures : Pictures or None
        What the captures are made of; none without them.
    folder : Path
        Files go to a folder in it named by the Study Instance UID.

    Returns
    -------
    Exported
        The same result gives the same identifiers, so that an archive that gets it twice
        keeps one; what is there already is not written again.

    Raises
    ------
    GeometryError, EvidenceError
        If nothing can refer to the images.
    """
    series = next((one for one in study.series if screening.series and one.uid == screening.series.uid), None)
    if series is None:
        return Exported((), f"no series of the study could be screened: {screening.verdict.sentence}")
    seed = derive_uid("result", series.uid, f"{zlib.crc32(_judged(screening)):08x}")
    place = folder / study.study.uid
    if _is_done(place, seed):
        return Exported(tuple(_found(place)))
    evidence = gather_evidence(series)
    written = [place / REPORT]
    if any(nodule.reported for nodule in screening.nodules):
        segmentation = build_segmentation(
            screening, evidence, series_uid=derive_uid(seed, "SEG"), uid=derive_uid(seed, "SEG", "1")
        )
        written.append(_write(segmentation, place / SEGMENTATION))
    if pictures is not None:
        uids = {"series_uid": derive_uid(seed, "SC"), "uid": derive_uid(seed, "SC", "1")}
        for plane, capture in build_captures(screening, evidence, pictures, **uids):
            written.append(_write(capture, place / f"marked_mip_{plane}.dcm"))
    # The report comes last: where it is, the rest is too.
    report = encode_report(
        screening, evidence, series_uid=derive_uid(seed, "SR"), uid=derive_uid(seed, "SR", "1")
    )
    replace_file(place / REPORT, report)
    for stale in set(_found(place)) - set(written):
        stale.unlink()
    return Exported(tuple(written))


def _judged(screening: Screening) -> bytes:
    """Return the result without how long it took."""
    from dataclasses import replace

    return screening_to_json(replace(screening, seconds=0.0)).encode("ascii")


def _found(place: Path) -> list[Path]:
    return [place / REPORT, *sorted(path for path in place.glob("*.dcm") if path.name != REPORT)]


def _is_done(place: Path, seed: str) -> bool:
    """Return whether the report that lies there is that of this result."""
    from pydicom import dcmread

    path = place / REPORT
    if not path.is_file():
        return False
    return str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) == derive_uid(seed, "SR", "1")


def _write(result: "Dataset", path: Path) -> Path:
    buffer = io.BytesIO()
    result.save_as(buffer, enforce_file_format=True)
    replace_file(path, buffer.getvalue())
    return path
