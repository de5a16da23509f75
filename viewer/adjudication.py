"""A third reader's pack: the cases on which two disagree, both reads shown without names.

On a label the adjudicator reads the baseline again. On a response he chooses the
reader whose measurements stand, at all scans of the case: never a third set of
millimetres, nor a mixture of two. The responses themselves are not shown.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from records.ledger import Ledger
from records.reads import LesionRole, Seen
from records.responses import ReaderResponse
from viewer.collecting import Basis, Collection, SignedRead
from viewer.outcomes import final_responses
from viewer.pack import BlindedCase, Decision, PackError, ShownRead, image_files, load_pack
from viewer.packs import Scan, are_labels, whole_or_nothing, write_pack
from viewer.planning import Candidate, PlannedCase
from viewer.reading import Form, spelled_mm
from viewer.studykey import COORDINATOR, KeyCase, PackKey, save_key

__all__ = ["adjudicate"]

MOST_SHOWN = 2  # the form asks for reader 1 or 2


def adjudicate(
    collection: Collection,
    packs: Path,
    *,
    responses: Iterable[ReaderResponse],
    reader: str,
    seed: int,
    progress: Callable[[str], object] = lambda _: None,
) -> PackKey:
    """Write the adjudicator's pack beside the others.

    The images are those of a reader's pack, given new names once more, so that
    neither the code nor the order of an earlier reader can be told. Which of the
    two reads comes first is drawn for each case.

    Parameters
    ----------
    responses : iterable of ReaderResponse
        What the analysis made of `collection.recist_reads()`.

    Raises
    ------
    PackError
        If reads are still missing, nothing is discordant, or the label is taken.
    """
    key = collection.key
    if not are_labels([*(pack.reader for pack in key.packs), reader]):
        raise PackError(f"the adjudicator needs a label of his own, letters and digits, not {reader!r}")
    waiting = {
        pack.reader: collection.missing[pack.reader]
        for pack in key.readers
        if collection.missing[pack.reader]
    }
    if waiting:
        left = ", ".join(f"{count} of reader {name}" for name, count in waiting.items())
        raise PackError(f"reads are still to be signed: {left}")
    decisions = _decisions(collection, responses)
    if not decisions:
        raise PackError("the readers agree on every case; there is nothing to adjudicate")
    if len(key.readers) > MOST_SHOWN and any(Decision.RESPONSE in what for what in decisions.values()):
        raise PackError("a response is adjudicated between two readers, and there are more")
    draw = random.Random(f"{seed} adjudication {reader}")
    patients = draw.sample(sorted(decisions), len(decisions))
    shown = {
        patient: draw.sample([pack.reader for pack in key.readers], len(key.readers)) for patient in patients
    }
    source = key.readers[0]
    folder = collection.folders[source.reader]
    cases = {case.patient_id: case for case in source.cases if not case.repeat_of}
    scans = {patient: _scans(folder, cases[patient], decisions[patient]) for patient in patients}
    planned = [
        PlannedCase(f"{reader}-{number:03d}", Candidate(patient, (), is_flagged=True))
        for number, patient in enumerate(patients, start=1)
    ]

    def finish(case: BlindedCase, plan: PlannedCase) -> BlindedCase:
        patient = plan.patient.patient_id
        earlier = tuple(_without_names(collection, patient, shown[patient], len(case.time_points)))
        return replace(case, earlier_reads=earlier, decides=decisions[patient])

    protocol = replace(load_pack(folder).protocol, asks_recist=False, shows_marks=False)
    if (packs / reader).exists():
        raise PackError(f"{packs / reader} is there already; packs are never written over")
    with whole_or_nothing(packs / reader):
        pack = write_pack(packs, reader, planned, scans, protocol, progress=progress, finish=finish)
    named = tuple(replace(case, shown=tuple(shown[case.patient_id])) for case in pack.cases)
    pack = replace(pack, cases=named, is_adjudication=True)
    save_key(replace(key, packs=(*key.packs, pack)), packs)
    Ledger(packs / COORDINATOR / "ledger.jsonl").append(
        who="coordinator", action="adjudicate", after={"seed": seed, "packs": {reader: pack.first_hash}}
    )
    return pack


def _decisions(
    collection: Collection, responses: Iterable[ReaderResponse]
) -> dict[str, tuple[Decision, ...]]:
    """Return what is to be decided, by patient."""
    labels = {one.patient_id for one in collection.labels() if one.basis is Basis.DISCORDANT}
    finals = final_responses(collection, responses)
    disputed = {one.patient_id for one in finals if one.basis is Basis.DISCORDANT}
    return {
        patient: tuple(
            what
            for what, found in ((Decision.LABEL, labels), (Decision.RESPONSE, disputed))
            if patient in found
        )
        for patient in labels | disputed
    }


def _without_names(
    collection: Collection, patient: str, shown: Sequence[str], time_points: int
) -> Iterator[ShownRead]:
    """Yield both reads of each scan, the readers in the order drawn."""
    reads: dict[tuple[str, int], SignedRead] = {
        (read.reader, read.time_point): read
        for read in collection.reads
        if read.patient_id == patient and not read.repeat_of
    }
    for time_point in range(1, time_points + 1):
        for number, reader in enumerate(shown, start=1):
            read = reads[reader, time_point]
            said = {"label": read.label} if read.label else {}
            answers = {**said, **read.form.told, **dict(_lesions_in_words(read.form))}
            marks = tuple(replace(mark, slice_uid="") for mark in read.form.marks if mark.name)
            yield ShownRead(f"Reader {number}", answers, time_point, marks)


def _lesions_in_words(form: Form) -> Iterator[tuple[str, str]]:
    """Yield the name of each lesion and what was found of it."""
    measured = {one.lesion_id: one for one in form.measurements}
    judged = {one.lesion_id: one for one in form.non_targets}
    for lesion in form.lesions:
        what = f"{lesion.organ}, {_plain(lesion.kind)}"
        if lesion.role is LesionRole.TARGET and lesion.lesion_id in measured:
            found = measured[lesion.lesion_id]
            axes = [
                spelled_mm(axis) for axis in (found.long_axis_mm, found.short_axis_mm) if axis is not None
            ]
            size = " x ".join(axes) + " mm" if found.seen is Seen.MEASURED else _plain(found.seen)
            yield lesion.lesion_id, f"{what}: {size}"
        elif lesion.lesion_id in judged:
            yield lesion.lesion_id, f"{what}: {_plain(judged[lesion.lesion_id].status)}"
    for new in form.new_lesions:
        yield new.lesion_id, f"{new.organ}, {_plain(new.kind)}: new, {_plain(new.certainty)}"


def _plain(word: str) -> str:
    return word.replace("_", " ").lower()


def _scans(folder: Path, case: KeyCase, decisions: Sequence[Decision]) -> tuple[Scan, ...]:
    """Return the scans that are needed, as they lie in a reader's pack, by their true names."""
    from imaging.dicom import find_studies

    points = case.time_points if Decision.RESPONSE in decisions else case.time_points[:1]
    scans = []
    for point in points:
        ((series,),) = (
            study.series for study in find_studies(image_files(folder, case.code, point.number)).studies
        )
        scans.append(Scan(point.study_uid, case.patient_id, point.study_date, True, series, ()))
    return tuple(scans)
