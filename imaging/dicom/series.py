"""Which series of a study is screened, and why not the others.

A series has to pass every rule of `imaging.dicom.rules`. Of those that do, the
one with the least of the first shortcoming that tells them apart is taken.
Nothing depends on the order of files.
"""

from dataclasses import dataclass

from imaging.dicom.energy import LIKE_120_KVP_KEV, kev_from_usual
from imaging.dicom.files import SeriesFiles, StudyFiles
from imaging.dicom.kernels import Sharpness, sharpness
from imaging.dicom.rules import Candidate, Fault, examine
from imaging.dicom.words import words
from records.errors import Reason, SeriesError

__all__ = ["Choice", "choose_series"]

THICKNESS_CLASSES_MM = (1.55, 3.05)  # Fleischner's thin (1.5 mm); between; the rest up to the limit
WHOLE_LUNGS_MM = 200.0  # height of adult lungs at full inspiration: 200-300 mm
WHOLE_CHEST_MM = 250.0  # field of view that holds both lungs; targeted reconstructions are smaller

ELSEWHERE = words(
    "head", "brain", "skull", "cranium", "neck", "sinus", "abd(?:omen)?", "pelvis", "spine", "knee", "hip",
    "shoulder", "foot", "extremity", "liver", "kidneys?", "carotids?",
)  # fmt: skip
IN_THE_CHEST = words("chest", "thorax", "lungs?", "pulm\\w*", "tap", "cap", "thx", "hrct", "cardiac", "heart")
EXPIRATION = words(r"exs?pir\w*", r"espir\w*", "expi?")  # English, French, German; Italian, Spanish


@dataclass(frozen=True, slots=True)
class Choice:
    """The series to read, why, and why not the others.

    Attributes
    ----------
    series : SeriesFiles
        The one to read.
    reason : str
        Why, in one sentence.
    rejected : tuple of (SeriesFiles, str)
        Every other series with the sentence that set it aside.
    runners_up : tuple of SeriesFiles
        Those of `rejected` that can be read too, best first: should the pixels of the first fail.
    """

    series: SeriesFiles
    reason: str
    rejected: tuple[tuple[SeriesFiles, str], ...]
    runners_up: tuple[SeriesFiles, ...] = ()


def choose_series(study: StudyFiles) -> Choice:
    """Return the series of `study` to screen.

    Raises
    ------
    SeriesError
        If none can be screened, with the reason of the series that came furthest.
    """
    candidates: list[Candidate] = []
    failed: list[tuple[int, SeriesFiles, Fault]] = []
    for series in study.series:
        passed, outcome = examine(series)
        if isinstance(outcome, Fault):
            failed.append((passed, series, outcome))
        else:
            candidates.append(outcome)
    if not candidates:
        raise _no_series(failed)
    longest_mm = max(candidate.stack.extent_mm for candidate in candidates)
    ordered = sorted(
        candidates, key=lambda candidate: [key for _, key in _shortcomings(candidate, longest_mm)]
    )
    best, others = ordered[0], ordered[1:]
    rejected = [(other.series, _why_not(other, best, longest_mm)) for other in others]
    rejected += [(series, fault.sentence) for _, series, fault in sorted(failed, key=_progress)]
    runners_up = tuple(other.series for other in others)
    return Choice(best.series, _why(best, len(others)), tuple(rejected), runners_up)


def _no_series(failed: list[tuple[int, SeriesFiles, Fault]]) -> SeriesError:
    if not failed:
        return SeriesError(Reason.NO_CT, "the study holds no series")
    _, series, fault = min(failed, key=_progress)
    copies = f" ({series.copies_in_words})" if series.copies else ""
    more = f" ({len(failed) - 1} other series cannot be screened either)" if len(failed) > 1 else ""
    return SeriesError(fault.reason, f"{series.label}: {fault.sentence}{copies}{more}")


def _progress(failure: tuple[int, SeriesFiles, Fault]) -> tuple[object, ...]:
    """Order refusals: the series that passed most rules first, then the largest."""
    passed, series, _ = failure
    return (-passed, -len(series.frames), series.number, series.uid)


def _covers(candidate: Candidate, longest_mm: float) -> bool:
    """Whether it may hold both lungs, as far as lengths can tell."""
    long_enough = candidate.stack.extent_mm >= min(WHOLE_LUNGS_MM, 0.9 * longest_mm)
    return long_enough and candidate.field_of_view_mm >= WHOLE_CHEST_MM


def _is_elsewhere(series: SeriesFiles) -> bool:
    """Whether the first text that names a part of the body names another than the chest."""
    for said in (series.description_text, series.protocol, series.body_part):
        if IN_THE_CHEST.search(said):
            return False
        if ELSEWHERE.search(said):
            return True
    return False


def _shortcomings(candidate: Candidate, longest_mm: float) -> tuple[tuple[str, float | str], ...]:
    """Return what may be wrong with `candidate` and how much, the gravest first; less is better."""
    series, first = candidate.series, candidate.stack.frames[0]
    kernel = sharpness(first.reconstruction.kernel)
    energy_kev = candidate.energy_kev
    off_kev = (
        f"its {energy_kev or 0:g} keV are further from the {LIKE_120_KVP_KEV:g} keV that look like 120 kVp"
    )
    return (
        ("it shows another part of the body", _is_elsewhere(series)),
        ("it covers less of the lungs", not _covers(candidate, longest_mm)),
        ("it is derived from other images", candidate.is_derived),
        ("it is in expiration", bool(EXPIRATION.search(series.description_text))),
        ("its slices are thicker", sum(candidate.slice_mm > limit_mm for limit_mm in THICKNESS_CLASSES_MM)),
        # At equal slices, less noise shows small nodules better than sharper edges do.
        ("its kernel is sharper and so noisier", list(Sharpness).index(kernel)),
        (off_kev, kev_from_usual(energy_kev)),
        ("its slices are coarser", round(candidate.slice_mm, 1)),
        ("it has fewer slices", -len(candidate.stack.frames)),
        ("it comes later in the study", series.number),
        ("its identifier comes later", series.uid),
    )


def _why(best: Candidate, others: int) -> str:
    over = f", chosen over {others} other readable series" if others else ", the only series that can be read"
    return f"{best.series.label}: {best.in_words}{over}"


def _why_not(other: Candidate, best: Candidate, longest_mm: float) -> str:
    mine, theirs = _shortcomings(other, longest_mm), _shortcomings(best, longest_mm)
    what = next(what for (what, a), (_, b) in zip(mine, theirs, strict=True) if a != b)
    return f"readable, but {what} (taken: {best.series.label})"
