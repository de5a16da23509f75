"""A third reader's pack: the cases on which two disagree, both reads shown without names."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from records.ledger import Ledger
from viewer.collecting import Collection, SignedRead
from viewer.pack import BlindedCase, PackError, ShownRead, images_of, load_pack
from viewer.packs import Scan, write_pack
from viewer.planning import Candidate, PlannedCase
from viewer.studykey import COORDINATOR, KeyCase, PackKey, save_key

__all__ = ["adjudicate"]


def adjudicate(
    collection: Collection,
    packs: Path,
    *,
    reader: str,
    seed: int,
    progress: Callable[[str], object] = lambda _: None,
) -> PackKey:
    """Write the adjudicator's pack beside the others.

    The images are those of a reader's pack, given new names once more, so that
    neither the code nor the order of an earlier reader can be told. Which of the
    two reads comes first is drawn for each case.

    Raises
    ------
    PackError
        If reads are still missing, nothing is discordant, or the label is taken.
    """
    key = collection.key
    if not reader.isalnum() or reader in {pack.reader for pack in key.packs} or reader == COORDINATOR:
        raise PackError(f"the adjudicator needs a label of his own, letters and digits, not {reader!r}")
    waiting = {
        pack.reader: collection.missing[pack.reader]
        for pack in key.readers
        if collection.missing[pack.reader]
    }
    if waiting:
        left = ", ".join(f"{count} of reader {name}" for name, count in waiting.items())
        raise PackError(f"reads are still to be signed: {left}")
    discordant = [label for label in collection.labels() if label.basis == "discordant"]
    if not discordant:
        raise PackError("the readers agree on every case; there is nothing to adjudicate")
    draw = random.Random(f"{seed} adjudication {reader}")
    order = draw.sample(discordant, len(discordant))
    source = key.readers[0]
    cases = {case.patient_id: case for case in source.cases if not case.repeat_of}
    scans = {one.patient_id: _scans(packs, source.reader, cases[one.patient_id]) for one in order}
    planned = [
        PlannedCase(f"{reader}-{number:03d}", Candidate(one.patient_id, (one.study_uid,), is_flagged=True))
        for number, one in enumerate(order, start=1)
    ]
    reads = {one.patient_id: draw.sample(one.reads, len(one.reads)) for one in order}

    def finish(case: BlindedCase, plan: PlannedCase) -> BlindedCase:
        return replace(case, earlier_reads=_without_names(reads[plan.patient.patient_id]))

    protocol = replace(load_pack(packs / source.reader).protocol, shows_marks=False)
    pack = write_pack(packs, reader, planned, scans, protocol, progress=progress, finish=finish)
    pack = replace(pack, is_adjudication=True)
    save_key(replace(key, packs=(*key.packs, pack)), packs)
    Ledger(packs / COORDINATOR / "ledger.jsonl").append(
        who="coordinator", action="adjudicate", after={"seed": seed, "packs": {reader: pack.first_hash}}
    )
    return pack


def _without_names(reads: list[SignedRead]) -> tuple[ShownRead, ...]:
    return tuple(
        ShownRead(f"Reader {number}", {"label": read.label, **read.form.answers})
        for number, read in enumerate(reads, start=1)
    )


def _scans(packs: Path, reader: str, case: KeyCase) -> tuple[Scan, ...]:
    """Return the scans of a case as they lie in a reader's pack, by their true names."""
    from imaging.dicom import find_studies

    scans = []
    for point in case.time_points:
        ((series,),) = (
            study.series
            for study in find_studies([images_of(packs / reader, case.code, point.number)]).studies
        )
        scans.append(Scan(point.study_uid, case.patient_id, point.study_date, True, series, ()))
    return tuple(scans)
