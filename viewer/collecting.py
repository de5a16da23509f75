"""Signed reads in: every pack checked, merged, and given its true names back."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from records.ledger import Check, Entry, Head, Ledger, LedgerError, verify_ledger
from records.model import VerdictLabel
from records.reads import Evaluator, Read
from viewer.desk import LEDGER_FILE
from viewer.handed_out import fault_of_description, fault_of_images
from viewer.lesions import is_on_baseline, recist_read
from viewer.pack import Pack, PackError, load_pack
from viewer.reading import Form, differences, form_from_json
from viewer.signing import AMEND, SECOND_LOOK, SHOW_MARKS, SIGN, problems_of_reads
from viewer.studykey import COORDINATOR, KeyCase, PackKey, StudyKey, load_key

__all__ = [
    "Basis",
    "Collection",
    "FinalLabel",
    "SignedRead",
    "collect",
    "decision",
    "evaluator_of",
    "heads_collected",
    "verify_pack",
]

COLLECT = "collect"


@dataclass(frozen=True, slots=True)
class SignedRead:
    """One time point as one reader signed it last, by its true name.

    Attributes
    ----------
    repeat_of : str
        The code under which the reader had read it before, "" for the read that counts.
    version : int
        1, and one more for each amendment.
    hash : str
        Of the ledger entry that holds it.
    saw_marks : bool
        The machine's marks of this patient had been shown, under another code, before this was signed.
    second : Form or None
        The second look, after the machine's marks were shown.
    chosen : str
        The reader whose measurements an adjudicator chose; he was shown them as reader 1 or 2.
    """

    reader: str
    is_adjudicator: bool
    code: str
    patient_id: str
    study_uid: str
    study_date: str
    averaged_mm: Decimal
    time_point: int
    repeat_of: str
    version: int
    form: Form
    signed_at: str
    hash: str
    saw_marks: bool = False
    second: Form | None = None
    chosen: str = ""

    @property
    def changed_mind_to(self) -> str:
        """The label of the second look at baseline; "" without one."""
        return (self.second.label or "") if self.second else ""

    @property
    def changed_by_marks(self) -> tuple[str, ...]:
        """What the second look says otherwise: questions and lesions."""
        return () if self.second is None else tuple(differences(self.form, self.second))

    @property
    def label(self) -> str:
        """The label at baseline, "" at a follow-up."""
        return self.form.label or ""


class Basis(StrEnum):
    """How it was come to what stands."""

    AGREED = "agreed"
    ADJUDICATED = "adjudicated"
    DISCORDANT = "discordant"  # and not adjudicated yet
    INCOMPLETE = "incomplete"  # reads are still to be signed


@dataclass(frozen=True, slots=True)
class FinalLabel:
    """What the readers came to on one patient, and how."""

    patient_id: str
    study_uid: str
    label: str  # "" while it is open
    basis: Basis
    reads: tuple[SignedRead, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """All signed reads of a study, what is still to come, and where each reader's pack lies."""

    key: StudyKey
    reads: tuple[SignedRead, ...]
    missing: dict[str, int]  # reads not signed yet, by reader
    asks_recist: bool
    folders: Mapping[str, Path] = field(default_factory=dict)  # by reader

    def labels(self) -> tuple[FinalLabel, ...]:
        """Return the label of each patient's baseline: agreed or adjudicated, never averaged.

        Raises
        ------
        PackError
            If two adjudicators gave a patient different labels.
        """
        return tuple(_final_labels(self.key, self.reads))

    def recist_reads(
        self, accepted: Mapping[str, str] | None = None, adjudicated: Container[str] = ()
    ) -> tuple[Read, ...]:
        """Return what the RECIST engine takes, patients and dates by their true names.

        Parameters
        ----------
        accepted : mapping of str to str, optional
            By patient, the reader whose measurements stand.
        adjudicated : container of str, optional
            The patients of whom an adjudicator chose that reader.
        """
        return tuple(_recist_reads(self, accepted or {}, adjudicated)) if self.asks_recist else ()


def verify_pack(folder: Path, known: tuple[Head, ...] = ()) -> Check:
    """Check a pack from its own files: the ledger, its description, its images.

    Parameters
    ----------
    known : tuple of Head
        What the coordinator saw of its ledger before.

    Raises
    ------
    PackError
        If the folder is no pack.
    """
    pack = load_pack(folder)
    check = verify_ledger(folder / LEDGER_FILE, known=known)
    problems = list(check.problems)
    if not check.entries or check.entries[0].subject != pack.pack_id:
        problems.append(f"{LEDGER_FILE} does not begin with the opening of this pack")
    else:
        problems += _against_opening(folder, pack, check.entries[0])
        problems += (f"{LEDGER_FILE}: {said}" for said in problems_of_reads(pack, check.entries))
    return Check(check.entries, tuple(problems), check.notes)


def _against_opening(folder: Path, pack: Pack, opening: Entry) -> Iterator[str]:
    """Yield what differs from what was handed out."""
    fault = fault_of_description(folder, opening)
    if fault:
        yield fault
    for case in pack.cases:
        for point in case.time_points:
            fault = fault_of_images(folder, opening, case.code, point.number)
            if fault:
                yield fault


def collect(packs: Path, returned: Sequence[Path] = ()) -> Collection:
    """Check and merge the packs of a study.

    Parameters
    ----------
    packs : Path
        The folder that `prepare` wrote, with the coordinator's key.
    returned : sequence of Path
        Packs that came back to other places; the others are taken from `packs`.

    Raises
    ------
    PackError
        If a pack is foreign, came back twice, was changed, or its history was rewritten since it was last
        collected.
    """
    key = load_key(packs)
    known = heads_collected(packs)
    folders = _folders(key, packs, returned)
    reads: list[SignedRead] = []
    missing: dict[str, int] = {}
    heads = {}
    asks_recist = False
    for pack in key.packs:
        folder = folders[pack.reader]
        check = verify_pack(folder, known[pack.reader])
        if check.problems:
            raise PackError(f"the pack of reader {pack.reader} does not verify: {check.problems[0]}")
        heads[pack.reader] = {"count": check.head.count, "hash": check.head.hash}
        own = tuple(_signed_reads(pack, check.entries))
        reads += own
        blinded = load_pack(folder)
        missing[pack.reader] = len(blinded.asked) - len(own)
        asks_recist = asks_recist or blinded.protocol.asks_recist
    Ledger(packs / COORDINATOR / "ledger.jsonl").append(who="coordinator", action=COLLECT, after=heads)
    return Collection(key, tuple(reads), missing, asks_recist, folders)


def _folders(key: StudyKey, packs: Path, returned: Sequence[Path]) -> dict[str, Path]:
    """Return where the pack of each reader lies."""
    readers = {pack.pack_id: pack.reader for pack in key.packs}
    came_back: dict[str, Path] = {}
    for folder in returned:
        reader = readers.get(load_pack(folder).pack_id)
        if reader is None:
            raise PackError(f"{folder} is not a pack of this study")
        if reader in came_back:
            raise PackError(
                f"{came_back[reader]} and {folder} are both the pack of reader {reader}; "
                "a pack is read in one place, so find out which of them stands"
            )
        came_back[reader] = folder
    folders = {reader: came_back.get(reader, packs / reader) for reader in readers.values()}
    for reader, folder in folders.items():
        if readers.get(load_pack(folder).pack_id) != reader:
            raise PackError(f"{folder} is not the pack of reader {reader}, but another one")
    return folders


def heads_collected(packs: Path) -> dict[str, tuple[Head, ...]]:
    """Return how far each reader's ledger had come at each collection, for `verify_pack`.

    Raises
    ------
    PackError
        If the coordinator's own records are damaged.
    """
    try:
        entries = Ledger(packs / COORDINATOR / "ledger.jsonl").entries()
    except LedgerError as error:
        raise PackError(f"the coordinator's own ledger does not verify: {error}") from error
    return {
        pack.reader: tuple(dict.fromkeys((Head(1, pack.first_hash), *_known_heads(entries, pack.reader))))
        for pack in load_key(packs).packs
    }


def _known_heads(entries: Sequence[Entry], reader: str) -> tuple[Head, ...]:
    seen = (entry.after.get(reader) for entry in entries if entry.action == COLLECT)
    return tuple(Head(head["count"], head["hash"]) for head in seen if head)


def _signed_reads(pack: PackKey, entries: Sequence[Entry]) -> Iterator[SignedRead]:
    """Yield the latest version of each signed read of a pack.

    A follow-up whose baseline was amended since, and names other lesions now, is still to be signed.
    """
    cases = {case.code: case for case in pack.cases}
    versions: dict[str, list[Entry]] = {}
    second: dict[str, Form] = {}
    shown: dict[str, int] = {}  # by patient, the entry with which marks were shown first
    for entry in entries:
        if entry.action in (SIGN, AMEND):
            versions.setdefault(entry.subject, []).append(entry)
        elif entry.action == SECOND_LOOK:
            second[entry.subject] = form_from_json(entry.after["form"])
        elif entry.action == SHOW_MARKS:
            shown.setdefault(cases[entry.subject.split("/")[0]].patient_id, entry.number)
    for subject, signed in versions.items():
        code, number = subject.split("/")
        case = cases[code]
        read = _signed_read(pack, case, int(number), signed)
        baseline = versions.get(f"{code}/1", signed)[-1]
        if not is_on_baseline(read.form, form_from_json(baseline.after["form"])):
            continue
        saw_marks = shown.get(case.patient_id, signed[0].number) < signed[0].number
        yield replace(read, second=second.get(subject), saw_marks=saw_marks)


def _signed_read(pack: PackKey, case: KeyCase, number: int, signed: list[Entry]) -> SignedRead:
    point = next(point for point in case.time_points if point.number == number)
    form = form_from_json(signed[-1].after["form"])
    return SignedRead(
        reader=pack.reader,
        is_adjudicator=pack.is_adjudication,
        code=case.code,
        patient_id=case.patient_id,
        study_uid=point.study_uid,
        study_date=point.study_date,
        averaged_mm=Decimal(point.averaged_mm),
        time_point=number,
        repeat_of=case.repeat_of,
        version=len(signed),
        form=form,
        signed_at=signed[-1].at,
        hash=signed[-1].hash,
        chosen=case.shown[int(form.answer("accepted_reads")) - 1] if form.is_choice else "",
    )


def _final_labels(key: StudyKey, reads: Sequence[SignedRead]) -> Iterator[FinalLabel]:
    counted = [read for read in reads if read.time_point == 1 and not read.repeat_of]
    first = key.readers[0]
    for case in sorted(first.cases, key=lambda case: case.patient_id):
        if case.repeat_of:
            continue
        own = [read for read in counted if read.patient_id == case.patient_id]
        readers = [read for read in own if not read.is_adjudicator]
        decided = [read for read in own if read.is_adjudicator]
        said = {read.label for read in readers}
        if len(readers) < len(key.readers):
            label, basis = "", Basis.INCOMPLETE
        elif len(said) == 1:
            label, basis = said.pop(), Basis.AGREED
        elif decided:
            said_by = {read.reader: read.label for read in decided}
            label, basis = decision(case.patient_id, "label", said_by), Basis.ADJUDICATED
        else:
            label, basis = "", Basis.DISCORDANT
        yield FinalLabel(case.patient_id, case.time_points[0].study_uid, label, basis, tuple(own))


def decision(patient_id: str, what: str, said_by: Mapping[str, str]) -> str:
    """Return what the adjudicators of a patient decided.

    Parameters
    ----------
    said_by : mapping of adjudicator to the decision of his latest version

    Raises
    ------
    PackError
        If they decided differently.
    """
    said = sorted(set(said_by.values()))
    if len(said) > 1:
        each = " and ".join(f"{reader} says {one}" for reader, one in said_by.items())
        raise PackError(
            f"the adjudicators differ on the {what} of patient {patient_id}: {each}; "
            "which of them stands is theirs to settle, by an amendment"
        )
    return said[0]


def _recist_reads(
    collection: Collection, accepted: Mapping[str, str], adjudicated: Container[str]
) -> Iterator[Read]:
    """Yield the reads of each patient and independent reader; an adjudicator measures nothing.

    Nothing can be compared with a baseline that cannot be judged, so there is no read then.
    """
    without = {
        (read.patient_id, read.reader) for read in collection.reads
        if read.time_point == 1 and not read.repeat_of and read.form.label is VerdictLabel.NOT_EVALUABLE
    }  # fmt: skip
    final = {label.patient_id: label for label in collection.labels()}
    for read in sorted(collection.reads, key=lambda one: (one.patient_id, one.reader, one.time_point)):
        if read.repeat_of or read.is_adjudicator or (read.patient_id, read.reader) in without:
            continue
        point = recist_read(
            read.form,
            subject_id=read.patient_id,
            evaluator=evaluator_of(read.reader),
            number=read.time_point,
            visit="BASELINE" if read.time_point == 1 else f"FOLLOW-UP {read.time_point - 1}",
            date=read.study_date,
            slice_thickness_mm=read.averaged_mm,
            source=f"ledger entry {read.hash[:12]}, label {final[read.patient_id].basis}",
        )
        stands = accepted.get(read.patient_id) == read.reader
        yield replace(point, accepted=stands, adjudicated=stands and read.patient_id in adjudicated)


def evaluator_of(reader: str) -> Evaluator:
    """Return how the analysis names a reader."""
    return Evaluator("INDEPENDENT ASSESSOR", f"READER {reader}")
