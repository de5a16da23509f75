"""The screening of one study, on one page."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from imaging import dicom
from imaging.arrangement import describe_arrangement
from imaging.background import background_by_zone
from imaging.candidates import SCALES_MM, ScaleSpace, build_scale_space, find_candidates
from imaging.census import take_census
from imaging.classifier import Model, load_model, score
from imaging.count import Recall
from imaging.lesions import find_lesions
from imaging.lungs import Lungs, segment_lungs
from imaging.nodules import grain_of, measure_nodules
from imaging.pattern import describe_pattern
from imaging.pictures import Pictures, draw
from imaging.protocol import Protocol, provenance
from imaging.resolution import Resolution, grain_by_band_hu, measure_resolution, noise_of
from imaging.response import Response
from imaging.sight import Sight
from imaging.softening import softened
from imaging.speckle import NormalSpeckle, measure_speckle, recount
from imaging.texture import measure_texture
from imaging.verdict import judge, measured_for, not_evaluable
from imaging.vessels import vessel_distance_mm
from records.errors import ScreeningError
from records.model import LungSummary, Nodule, Pattern, Screening, Volume

__all__ = ["Findings", "Marked", "Screened", "find_nodules", "mark_nodules", "recall_of", "screen_study"]

THIN_MM = 1.75  # between the 1.25 and the 2.5 mm slices that the model's recall was measured on


@dataclass(frozen=True, slots=True, eq=False)
class Screened:
    """What screening one study gives."""

    screening: Screening
    pictures: Pictures | None


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """What was marked in one volume, before it is asked how the marks lie."""

    volume: Volume  # as it was looked at (`imaging.softening`)
    lungs: Lungs
    space: ScaleSpace
    noise_hu: float
    nodules: tuple[Nodule, ...]  # all candidates
    commonness: float  # see `imaging.prior`
    resolution: Resolution
    sight: Sight
    consolidation_ml: float


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was measured in one volume."""

    lungs: Lungs
    summary: LungSummary
    nodules: tuple[Nodule, ...]
    pattern: Pattern


def recall_of(model: Model, slice_mm: float, nodules: Sequence[Nodule]) -> Recall:
    """Return the model's measured recall for slices as thick as these, in a scan with so many reported."""
    found = sum(n.reported for n in nodules)
    return Recall.among(model.card, "thin" if slice_mm < THIN_MM else "thick", found)


def mark_nodules(volume: Volume, model: Model) -> Marked:
    """Find the lungs of one volume and mark what may be a nodule in them.

    Raises
    ------
    ScreeningError
        If the lungs can't be judged.
    """
    volume = softened(volume)
    # Two steps that run on one core each are done beside the rest, and give the same answers there.
    with ThreadPoolExecutor(2) as beside:
        measuring = beside.submit(measure_resolution, volume)
        lungs = segment_lungs(volume)
        finding = beside.submit(find_lesions, volume, lungs)
        space = build_scale_space(volume, lungs)
        noise_hu = noise_of(space.levels[0] - space.levels[1], space.inside)
        scored = score(model, space, find_candidates(space, noise_hu), noise_hu)
        resolution, lesions = measuring.result(), finding.result()
    nodules = measure_nodules(
        volume, lungs, space, scored, lesions, resolution, grain_of(space), model.operating_probability
    )
    at_size_hu = grain_by_band_hu(noise_hu, *SCALES_MM[:2], volume.spacing_mm)
    sight = Sight.of(resolution, volume.spacing_mm, at_size_hu)
    return Marked(
        volume=volume,
        lungs=lungs,
        space=space,
        noise_hu=noise_hu,
        nodules=nodules,
        commonness=scored.commonness,
        resolution=resolution,
        sight=sight,
        consolidation_ml=lesions.consolidation_ml,
    )


def find_nodules(volume: Volume, model: Model) -> Findings:
    """Find lungs, nodules and their pattern in one volume.

    Raises
    ------
    ScreeningError
        If the lungs can't be judged.
    """
    marked = mark_nodules(volume, model)
    volume, lungs, space, nodules = marked.volume, marked.lungs, marked.space, marked.nodules
    response = Response.of(model.card)
    background = background_by_zone(volume, lungs)
    census = take_census(nodules, marked.commonness, marked.sight, response, background)
    vessel_mm = vessel_distance_mm(space, lungs)
    census = recount(
        census,
        nodules,
        measure_speckle(space, lungs, vessel_mm),
        normal=NormalSpeckle.of(model.card),
        response=response.within(background.sum(axis=0)),
        sight=marked.sight,
        volume=volume,
        lungs=lungs,
        space=space,
        resolution=marked.resolution,
    )
    counted = [nodule for nodule, counts in zip(nodules, census.counts, strict=True) if counts]
    pattern = describe_pattern(
        nodules,
        lungs,
        census,
        measure_texture(space, lungs, marked.noise_hu),
        describe_arrangement(counted, volume, lungs, vessel_mm),
        marked.consolidation_ml,
    )
    summary = LungSummary(
        lungs.volume_ml(1), lungs.volume_ml(2), float(space.hu[space.inside].mean()), marked.noise_hu
    )
    return Findings(lungs, summary, nodules, pattern)


def slice_mm(volume: Volume) -> float:
    """Return what limits small nodules along the patient: the larger of thickness and spacing."""
    return max(volume.slice_thickness_mm or 0.0, volume.spacing_mm[0])


def screen_study(study: dicom.StudyFiles, protocol: Protocol) -> Screened:
    """Screen one study: choose, read, find, judge.

    A failure we foresee becomes a `not_evaluable` result; a bug travels on.
    """
    model = load_model()
    made = provenance(protocol, model.version)
    began = time.perf_counter()
    choice: dicom.Choice | None = None
    findings: Findings | None = None
    pictures: Pictures | None = None
    notes: tuple[str, ...] = ()
    try:
        choice = dicom.choose_series(study)
        choice, volume, findings = _first_usable(choice, model)
        notes = (*volume.notes, *findings.lungs.notes)
        judged = measured_for(findings.pattern, findings.nodules, protocol)
        verdict = judge(judged, protocol, slice_mm(volume), findings.summary.noise_hu)
        pictures = draw(volume, findings.lungs.labels, findings.nodules)
    except ScreeningError as error:
        verdict = not_evaluable(error.reason, error.sentence)
    screening = Screening(
        study=study.study,
        series=choice.series.description if choice else None,
        choice=_choice_in_words(choice, notes),
        lungs=findings.summary if findings else None,
        nodules=findings.nodules if findings else (),
        pattern=findings.pattern if findings else None,
        verdict=verdict,
        provenance=made,
        seconds=time.perf_counter() - began,
    )
    return Screened(screening, pictures)


def _first_usable(choice: dicom.Choice, model: Model) -> tuple[dicom.Choice, Volume, Findings]:
    """Read the chosen series and find its nodules; the next best if that can't be judged."""
    first_error: ScreeningError | None = None
    for series in (choice.series, *choice.runners_up):
        try:
            volume = dicom.read_volume(series)
            findings = find_nodules(volume, model)
        except ScreeningError as error:
            first_error = first_error or error
            continue
        if first_error is None:
            return choice, volume, findings
        reason = f"{choice.series.label} was better but could not be used: {first_error.sentence}"
        return replace(choice, series=series, reason=reason), volume, findings
    assert first_error is not None
    raise first_error


def _choice_in_words(choice: dicom.Choice | None, notes: tuple[str, ...]) -> str:
    """Return a line on why this series, one on each oddity of its files, one on each other series."""
    if choice is None:
        return ""
    others = [f"{series.label}: {why}" for series, why in choice.rejected if series is not choice.series]
    return "\n".join([choice.reason, *notes, *others])
