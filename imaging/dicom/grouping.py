"""Headers gathered into series and studies, the same in whatever order they came."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from imaging.dicom.files import Damage, Frame, Problem, ProblemCode, SeriesFiles, StudyFiles
from imaging.dicom.headers import Header
from imaging.dicom.plain import is_ct

__all__ = ["group_studies"]


def group_studies(headers: Iterable[Header]) -> tuple[tuple[StudyFiles, ...], list[Problem]]:
    """Return the studies in order of UID, and what was odd.

    A file counts once: of several with one SOP Instance UID the first by path is
    kept. An image that cannot be used stays with its series as `damaged`.
    """
    by_study: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_study[header.study.uid].append(header)
    problems: list[Problem] = []
    studies = []
    for uid in sorted(by_study):
        members = sorted(by_study[uid], key=lambda header: header.source)
        problems.extend(_damage_problems(members))
        mixed_up = _mixed_up(members)
        problems.extend(_patient_problems(members, mixed_up))
        by_series: dict[str, list[Header]] = defaultdict(list)
        for header in members:
            by_series[header.series.uid].append(header)
        series = [_series(uid, group, mixed_up) for group in by_series.values()]
        ordered = tuple(sorted(series, key=lambda one: (one.number, one.uid)))
        studies.append(StudyFiles(study=_spokesman(members).study, series=ordered))
    return tuple(studies), problems


def _spokesman(headers: Sequence[Header]) -> Header:
    """Return the header whose word counts: a CT image that names a patient first, then by identifier."""
    return min(
        headers,
        key=lambda one: (
            not _is_ct(one),
            not one.frames,
            not one.study.patient_id,
            one.sop_instance_uid,
            one.source,
        ),
    )


def _is_ct(header: Header) -> bool:
    return any(map(is_ct, header.frames[:1]))  # all frames of a file are of one class


def _series(study_uid: str, headers: Sequence[Header], mixed_up: str) -> SeriesFiles:
    kept: dict[str, Header] = {}
    for header in headers:  # in order of path
        identity = header.sop_instance_uid or str(header.source)
        if identity not in kept or (kept[identity].damage and not header.damage):
            kept[identity] = header
    members = list(kept.values())
    frames: list[Frame] = [frame for header in members for frame in header.frames]
    frames.sort(key=lambda frame: (frame.instance_number, frame.sop_instance_uid, frame.number))
    first = _spokesman(members)
    return SeriesFiles(
        uid=first.series.uid,
        study_uid=study_uid,
        number=first.series.number,
        description_text=first.series.description,
        protocol=first.series.protocol,
        body_part=first.series.body_part,
        modality=first.series.modality,
        manufacturer=first.series.manufacturer,
        scanner=first.series.scanner,
        frame_of_reference_uid=first.frame_of_reference_uid,
        exposure_mas=first.exposure_mas,
        frames=tuple(frames),
        damaged=(
            *(Damage(header.source, header.damage) for header in members if header.damage),
            *([Damage(first.source, mixed_up)] if mixed_up and _is_ct(first) else []),
        ),
        copies=len(headers) - len(kept),
        other_objects=sum(not header.frames and not header.damage for header in members),
    )


def _patients(headers: Iterable[Header]) -> set[str]:
    """Return the patient IDs that are named; a file that names none names no other patient."""
    return {header.study.patient_id for header in headers} - {""}


def _mixed_up(headers: Iterable[Header]) -> str:
    """Say so if the CT images of a study name several patients, "" if not.

    They may be several scans of several people, or one under two numbers. A result would be told of the
    one, whoever it is of, and the scan of the other would not be looked at.
    """
    patients = _patients(header for header in headers if _is_ct(header))
    if len(patients) < 2:
        return ""
    return (
        f"CT images of its study name {len(patients)} patient IDs: whose they are has to be put right first"
    )


def _damage_problems(headers: Iterable[Header]) -> list[Problem]:
    return [
        Problem(str(header.source), ProblemCode.TRUNCATED, header.damage)
        for header in headers
        if header.damage
    ]


def _patient_problems(headers: Sequence[Header], mixed_up: str) -> list[Problem]:
    """Say so where one study names two patients: a mix-up that nobody downstream could see."""
    patients = _patients(headers)
    if len(patients) < 2:
        return []
    what = "it is not screened" if mixed_up else "that of its CT images is used"
    return [
        Problem(
            str(headers[0].source),
            ProblemCode.DAMAGED,
            f"study {headers[0].study.uid} names {len(patients)} patient IDs; {what}",
        )
    ]
