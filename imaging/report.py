"""The report: one offline page a cohort, and one a study, that a radiologist would want to open.

Pages load nothing from anywhere and hold their pictures themselves. Text from headers is
escaped, made legible and cut, and a content security policy lets only our own script run.
A page is a function of what the store holds; one that is up to date is not written again.
"""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imaging.charts import LUNG_PATHS, density_step, histogram, ordered_zones, zone_map
from imaging.console import LABELS, REASONS, chance
from imaging.dicom.files import Problem
from imaging.legible import legible
from imaging.pictures import SLAB_MM, Pictures, Plane, Slab
from imaging.tables import write_atomically
from imaging.thresholds import FACTORS, WORDS, tabulate, varied
from records.errors import Reason
from records.model import Estimate, Finding, Nodule, Provenance, Screening, Study, VerdictLabel
from records.store import Store, StoredStudy

__all__ = [
    "CohortRow",
    "FollowRow",
    "load_templates",
    "page_name",
    "write_cohort_page",
    "write_follow_page",
    "write_study_page",
]

NODULES_SHOWN = 40
MARK_GAP_MM = 2.0  # between a nodule and the circle around it, so that the circle hides nothing
SHARES = ("share", "fraction")

VERDICT_WORDS = {
    "mipc": "MIPC criteria met",
    "indeterminate": "Indeterminate",
    "not_mipc": "Criteria not met",
    "not_evaluable": "Not evaluable",
}

EDGES = {Plane.AXIAL: ("R", "L"), Plane.CORONAL: ("R", "L"), Plane.SAGITTAL: ("A", "P")}


@dataclass(frozen=True, slots=True)
class CohortRow:
    """What the cohort page shows of a study; a thousand of them are small."""

    uid: str
    page: str
    label: VerdictLabel
    probability: float | None
    patient: str
    patient_id: str
    date: str
    count: Estimate | None
    small_share: float | None
    median_mm: float | None
    zone_steps: tuple[int, ...]
    zones_occupied: int
    reason: Reason | None
    sentence: str
    varied: tuple[VerdictLabel, ...]  # the label with each threshold moved
    findings: tuple[Finding, ...]  # of the first study of a page: they know the thresholds
    made: Provenance

    @classmethod
    def of(cls, screening: Screening) -> "CohortRow":
        """Shorten a screening to its row."""
        study, pattern, verdict = screening.study, screening.pattern, screening.verdict
        zones = ordered_zones(pattern) if pattern else []
        return cls(
            uid=study.uid,
            page=page_name(study.uid),
            label=verdict.label,
            probability=verdict.probability,
            patient=person(study.patient_name),
            patient_id=legible(study.patient_id, 40),
            date=legible(study.study_date, 10),
            count=pattern.nodule_count if pattern else None,
            small_share=pattern.fraction_le_5mm.value if pattern and pattern.fraction_le_5mm else None,
            median_mm=pattern.median_diameter_mm if pattern else None,
            zone_steps=tuple(density_step(zone.density_per_l) for zone in zones),
            zones_occupied=pattern.zones_occupied if pattern else 0,
            reason=verdict.reason,
            sentence=legible(verdict.sentence, 300),
            varied=varied(screening),
            findings=(*verdict.criteria, *verdict.exclusions),
            made=screening.provenance,
        )

    @property
    def rank(self) -> int:
        """Place of the verdict among verdicts; the larger is shown first."""
        return -list(LABELS).index(self.label)


@dataclass(frozen=True, slots=True, eq=False)
class FollowRow:
    """What the page of follow-ups shows of a pair."""

    name: str
    baseline: Study
    follow_up: Study
    reading: str
    sentence: str
    change_map: bytes  # PNG, or nothing


@dataclass(frozen=True, slots=True)
class Mark:
    """A circle around a nodule, in the pixels of a picture."""

    nodule_id: int
    x: float
    y: float
    radius: float


def write_cohort_page(
    rows: Iterable[CohortRow],
    folder: Path,
    made: Provenance,
    *,
    problems: Sequence[Problem] = (),
    other_files: int = 0,
    follow_ups: Mapping[str, str] | None = None,
) -> Path:
    """Write `report.html`: every study, the likeliest first, and what was set aside.

    Parameters
    ----------
    made : Provenance
        What a page without studies is made by; others name what made each study's result.
    follow_ups : mapping of str to str, optional
        By study UID, where on the page of follow-ups it is compared.

    Returns
    -------
    Path
        The page.
    """
    rows = sorted(rows, key=_likeliest_first)
    labels = Counter(row.label for row in rows)
    reasons = Counter((row.label, row.reason) for row in rows if row.reason is not None)
    makers = Counter(row.made for row in rows) or Counter({made: 0})
    page = _environment().get_template("cohort.html.j2")
    path = folder / "report.html"
    with write_atomically(path) as file:
        for piece in page.generate(
            **_frame("cohort.js", *(one for one, _ in makers.most_common())),
            studies_by=makers,
            digest="cohort",
            rows=rows,
            counts=[(label, labels[label]) for label in LABELS],
            reasons=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
            thresholds=tabulate([row.varied for row in rows], _judged(rows)),
            factors=FACTORS,
            threshold_words=WORDS,
            problems=problems,
            other_files=other_files,
            follow_ups=follow_ups or {},
        ):
            file.write(piece)
    return path


def write_follow_page(pairs: Sequence[FollowRow], folder: Path, made: Provenance) -> Path:
    """Write `index.html` into the folder of follow-ups: each pair with its picture and suggested reading.

    Returns
    -------
    Path
        The page.
    """
    path = folder / "index.html"
    folder.mkdir(parents=True, exist_ok=True)
    shown = [
        {
            "name": pair.name,
            "patient": person(pair.baseline.patient_name) or legible(pair.baseline.patient_id, 40),
            "baseline_date": legible(pair.baseline.study_date, 10),
            "follow_up_date": legible(pair.follow_up.study_date, 10),
            "baseline_page": page_name(pair.baseline.uid),
            "follow_up_page": page_name(pair.follow_up.uid),
            "reading": pair.reading,
            "sentence": legible(pair.sentence, 600),
            "picture": Markup(b64encode(pair.change_map).decode("ascii")),
        }
        for pair in pairs
    ]
    page = _environment().get_template("follow_ups.html.j2")
    with write_atomically(path) as file:
        file.write(page.render(**_frame("", made), digest="follow-ups", pairs=shown))
    return path


def write_study_page(stored: StoredStudy, store: Store, folder: Path) -> Path:
    """Write the page of one study into `folder/studies`, unless it is there and up to date.

    Returns
    -------
    Path
        The page.
    """
    path = folder / "studies" / page_name(stored.study_uid)
    digest = _digest(stored)
    if not _is_up_to_date(path, digest):
        path.parent.mkdir(parents=True, exist_ok=True)
        page = study_page(stored.screening, stored.pictures or store.pictures(stored.study_uid), digest)
        with write_atomically(path) as file:
            file.write(page)
    return path


def page_name(study_uid: str) -> str:
    """Return the file name of a study's page: nothing in a UID can lead out of the folder.

    >>> page_name("../../etc/passwd")
    '3754d6cb3a38e118.html'
    """
    return hashlib.sha256(study_uid.encode("utf-8", "surrogatepass")).hexdigest()[:16] + ".html"


def study_page(screening: Screening, pictures: bytes | None, digest: str = "") -> str:
    """Return the page of one study."""
    reported = [nodule for nodule in screening.nodules if nodule.reported]
    shown = sorted(reported, key=lambda nodule: (-nodule.probability, nodule.nodule_id))[:NODULES_SHOWN]
    pattern = screening.pattern
    return (
        _environment()
        .get_template("study.html.j2")
        .render(
            **_frame("study.js", screening.provenance),
            digest=digest,
            screening=screening,
            choice="\n".join(legible(line, 600) for line in screening.choice.splitlines()),
            stacks=_stacks(Pictures.from_bytes(pictures), reported) if pictures else [],
            slab_mm=SLAB_MM,
            zone_map=zone_map(pattern) if pattern else [],
            lung_paths=LUNG_PATHS,
            histogram=histogram(reported),
            reported=shown,
            reported_count=len(reported),
        )
    )


def _stacks(pictures: Pictures, reported: Sequence[Nodule]) -> list[dict[str, object]]:
    """Return the planes as the template places them."""
    stacks = []
    for plane, first_look in zip(Plane, pictures.first_looks, strict=True):
        slabs = pictures.of(plane)
        stacks.append(
            {
                "plane": plane,
                "first": first_look - pictures.slabs.index(slabs[0]),
                "left": EDGES[plane][0],
                "right": EDGES[plane][1],
                "slabs": [_placed(slab, reported) for slab in slabs],
            }
        )
    return stacks


def _placed(slab: Slab, reported: Sequence[Nodule]) -> dict[str, object]:
    return {
        "centre": _vector(slab.centre_mm),
        "right": _vector(slab.right),
        "down": _vector(slab.down),
        "pixel_mm": slab.pixel_mm,
        "width": slab.width,
        "height": slab.height,
        "base64": Markup(b64encode(slab.jpeg).decode("ascii")),  # nothing in it to escape, and a lot of it
        "marks": [_mark(slab, nodule) for nodule in reported if slab.shows(nodule)],
    }


def _mark(slab: Slab, nodule: Nodule) -> Mark:
    column, row, _ = slab.locate(nodule.centre_mm)
    radius_mm = nodule.diameter_mm.value / 2 + MARK_GAP_MM
    # SVG counts from the picture's edge, pixels from their centres.
    return Mark(
        nodule.nodule_id, round(column + 0.5, 1), round(row + 0.5, 1), round(radius_mm / slab.pixel_mm, 1)
    )


def _judged(rows: Sequence[CohortRow]) -> tuple[Finding, ...]:
    """Return the findings of any study that was judged; none if none was."""
    return next((row.findings for row in rows if row.findings), ())


def _likeliest_first(row: CohortRow) -> tuple[float, int, str]:
    return (-row.probability if row.probability is not None else 1.0, -row.rank, row.uid)


def _is_up_to_date(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            return f"<!-- mipc {digest} -->".encode("ascii") in file.read(200)
    except OSError:
        return False


def _digest(stored: StoredStudy) -> str:
    """Return what a page is made of, in short: the result and the templates."""
    return hashlib.sha256(_templates_digest() + stored.result).hexdigest()[:32]


@cache
def _templates_digest() -> bytes:
    names = ("page.html.j2", "parts.html.j2", "study.html.j2", "study.js", "style.css")
    return hashlib.sha256("\0".join(map(_template_text, names)).encode("utf-8")).digest()


def _frame(script_name: str, *makers: Provenance) -> dict[str, object]:
    """Return what the frame of a page needs."""
    style, script = _template_text("style.css"), _template_text(script_name) if script_name else ""
    return {
        "makers": makers,
        "style": Markup(style),
        "style_hash": _policy_hash(style),
        "script": Markup(script),
        "script_hash": _policy_hash(script),
        "verdict_words": VERDICT_WORDS,
        "reason_words": {reason.value: words[0].upper() + words[1:] for reason, words in REASONS.items()},
    }


def load_templates() -> None:
    """Compile the templates of a run's pages: 0.1 s that need not wait for the first result."""
    for name in ("page.html.j2", "parts.html.j2", "study.html.j2", "cohort.html.j2"):
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("imaging"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["legible"] = legible
    environment.filters["person"] = person
    environment.filters["figure"] = figure
    environment.filters["count"] = count
    environment.filters["chance"] = chance
    return environment


@cache
def _template_text(name: str) -> str:
    return files("imaging").joinpath("templates", name).read_text("utf-8")


@cache
def _policy_hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def person(name: str) -> str:
    """Return a DICOM person name (PS3.5 6.2.1) as it is read: family name, then the others.

    >>> person("Doe^Jane^Q^Dr="), person("Yamada^Tarou=山田^太郎"), person("")
    ('Doe, Jane Q Dr', 'Yamada, Tarou', '')
    """
    family, *others = legible(name.split("=")[0], 80).split("^")
    return ", ".join(filter(None, (family.strip(), " ".join(filter(None, others)).strip())))


def figure(value: float, unit: str = "") -> str:
    """Return a number as a person writes it: three digits, a share as per cent, nodules whole.

    >>> figure(331.7), figure(3.24), figure(0.004), figure(0.936, "share"), figure(12.2, "nodules")
    ('332', '3.24', '0.004', '94 %', '12')
    """
    if unit in SHARES:
        return f"{100 * value:.0f} %"
    if unit == "nodules":
        return count(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def count(value: float) -> str:
    """Return an estimated number of things; less than one is not none.

    >>> count(0.0), count(0.66), count(12.2)
    ('0', '< 1', '12')
    """
    return "< 1" if 0 < value < 0.95 else f"{value:.0f}"


def _vector(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
