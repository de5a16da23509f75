"""One study's verdict explained: the paragraph, every finding, the larger lesions, and the picture."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image, ImageDraw

from imaging.console import chance
from imaging.legible import legible
from imaging.pattern import LARGE_MM
from imaging.pictures import Pictures, Plane, Slab
from imaging.report import figure, page_name
from records.errors import StoreError
from records.model import Arrangement, Finding, Nodule, Screening, Study
from records.store import Store, open_kept_store

__all__ = ["NoSuchStudyError", "as_text", "as_values", "draw_picture", "explain_command", "find_study"]

HEIGHT = 460  # of a picture, pixels
MARK_GAP_MM = 2.0
MARK_COLOUR = (255, 196, 0)
NAMED = 5  # of the studies that fit; a sentence is no list
ANSWERS = {True: "yes", False: "no", None: "cannot be told"}


class NoSuchStudyError(Exception):
    """The store holds no such study, or several."""


def explain_command(study: str, store: str | Path, out: Path, *, prints_json: bool) -> int:
    """Print why a study was judged as it was, and write its picture into `out`.

    Raises
    ------
    StoreError
        If the store cannot be used.
    NoSuchStudyError
        If it holds no such study, or several.
    """
    with open_kept_store(store) as database:
        screening = find_study(database, study)
        packed = database.pictures(screening.study.uid)
    picture = None
    if packed is not None:
        picture = out / f"{Path(page_name(screening.study.uid)).stem}.png"
        try:
            out.mkdir(parents=True, exist_ok=True)
            draw_picture(Pictures.from_bytes(packed), screening.nodules).save(picture)
        except OSError as error:
            raise StoreError(f"the picture cannot be written to {out}: {error.strerror}") from error
    if prints_json:
        print(json.dumps({**as_values(screening), "picture": str(picture) if picture else None}, indent=2))
    else:
        print(as_text(screening))
        print(f"Picture: {picture}" if picture else "There is no picture of it.")
    return 0


def find_study(store: Store, asked: str) -> Screening:
    """Return the one study with this Study Instance UID, or else patient ID, or else beginning of the UID.

    Raises
    ------
    NoSuchStudyError
        If there is none or are several.
    """
    exact = next(iter(store.screenings([asked])), None)
    if exact is not None:
        return exact
    found = [one for one in store.all_screenings() if one.study.patient_id == asked]
    if not found:  # patient 1 is not each study whose UID begins with a 1, as all do
        found = [one for one in store.all_screenings() if one.study.uid.startswith(asked)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NoSuchStudyError(f"the store {store.name} holds no study or patient {legible(asked, 80)}")
    names = [_named(one.study) for one in found[:NAMED]]
    if len(found) > NAMED:
        names.append(f"and {len(found) - NAMED} more")
    raise NoSuchStudyError(
        f"{len(found)} studies fit {legible(asked, 80)}: {', '.join(names)}; give one whole UID"
    )


def _named(study: Study) -> str:
    who = legible(study.patient_id, 40) or "no patient ID"
    return f"{legible(study.uid, 64)} ({who}, {legible(study.study_date, 10) or 'no date'})"


def as_text(screening: Screening) -> str:
    """Return the verdict as a person reads it."""
    study, verdict = screening.study, screening.verdict
    likely = "" if verdict.probability is None else f", probability {chance(verdict.probability)}"
    who = legible(study.patient_id, 40) or "no patient number"
    when = legible(study.study_date, 10) or "no date"
    lines = [
        f"{who}, {when}: {verdict.label.value}{likely}",
        "",
        legible(verdict.sentence, 2000),
        "",
    ]
    for heading, findings in (("Criteria", verdict.criteria), ("Exclusions", verdict.exclusions)):
        if findings:
            lines += [f"{heading:14}{'measured (90 % interval)':>26}{'threshold':>12}   holds"]
            lines += [_row(finding) for finding in findings]
    if screening.pattern and screening.pattern.arrangement:
        lines += ["", *_arranged(screening.pattern.arrangement)]
    large = large_lesions(screening.nodules)
    if large:
        lines += ["", "Lesions of 10 mm or more, candidates for the primary tumour (RECIST-measurable):"]
        lines += [
            f"  {n.diameter_mm.value:.0f} mm, {n.side.value} {n.zone.value} zone, slice {n.slice_index + 1}"
            for n in large
        ]
    made = screening.provenance
    lines += [
        "",
        f"mipc {made.program_version}, model {made.model_version}, protocol {made.protocol_name} "
        f"({made.protocol_sha256[:12]})",
    ]
    return "\n".join(lines)


def as_values(screening: Screening) -> dict[str, object]:
    """Return the verdict as a program reads it."""
    verdict, pattern = screening.verdict, screening.pattern
    return {
        "study_uid": screening.study.uid,
        "patient_id": screening.study.patient_id,
        "study_date": screening.study.study_date,
        "verdict": verdict.label.value,
        "probability": verdict.probability,
        "reason": verdict.reason and verdict.reason.value,
        "paragraph": verdict.sentence,
        "criteria": [asdict(finding) for finding in verdict.criteria],
        "exclusions": [asdict(finding) for finding in verdict.exclusions],
        "pattern": asdict(pattern) if pattern else None,
        "lesions_ge_10mm": [asdict(nodule) for nodule in large_lesions(screening.nodules)],
        "provenance": asdict(screening.provenance),
    }


def large_lesions(nodules: Sequence[Nodule]) -> list[Nodule]:
    """Return the reported lesions of 10 mm and more, largest first."""
    large = [n for n in nodules if n.reported and n.diameter_mm.value >= LARGE_MM]
    return sorted(large, key=lambda n: -n.diameter_mm.value)


def draw_picture(pictures: Pictures, nodules: Sequence[Nodule]) -> Image.Image:
    """Return the slabs to look at first, axial, coronal and sagittal side by side, nodules circled."""
    reported = [n for n in nodules if n.reported]
    panes = [
        _pane(pictures.slabs[first], reported) for _, first in zip(Plane, pictures.first_looks, strict=True)
    ]
    sheet = Image.new("RGB", (sum(pane.width for pane in panes), HEIGHT))
    left = 0
    for pane in panes:
        sheet.paste(pane, (left, 0))
        left += pane.width
    return sheet


def _pane(slab: Slab, reported: Sequence[Nodule]) -> Image.Image:
    image = Image.open(io.BytesIO(slab.jpeg)).convert("RGB")
    scale = HEIGHT / slab.height
    image = image.resize((max(1, round(slab.width * scale)), HEIGHT), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for nodule in reported:
        if slab.shows(nodule):
            column, row, _ = slab.locate(nodule.centre_mm)
            x, y = (column + 0.5) * scale, (row + 0.5) * scale
            radius = (nodule.diameter_mm.value / 2 + MARK_GAP_MM) / slab.pixel_mm * scale
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=MARK_COLOUR)
    return image


def _row(finding: Finding) -> str:
    value = finding.value
    measured = "-"
    if value is not None:
        measured = figure(value.value, finding.unit)
        if value.low != value.high:
            measured += f" ({figure(value.low, finding.unit)}-{figure(value.high, finding.unit)})"
    settled = f"; would be settled by {finding.settled_by}" if finding.settled_by else ""
    threshold = figure(finding.threshold, finding.unit)
    return f"  {finding.name:12}{measured:>26}{threshold:>12}   {ANSWERS[finding.holds]}{settled}"


def _arranged(arrangement: Arrangement) -> list[str]:
    said = (
        ("distance to the nearest neighbour", arrangement.nearest),
        ("near pairs", arrangement.clustering),
        ("within 5 mm of the pleura", arrangement.pleural),
        ("within 3 mm of a vessel", arrangement.vascular),
    )
    return [
        "Arrangement, times what chance gives in these lungs (90 % interval):",
        *(f"  {words:36}{e.value:6.2f} ({e.low:.2f}-{e.high:.2f})" for words, e in said),
    ]
