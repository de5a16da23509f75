"""Signed packs in: checked, merged, adjudicated, handed to the analysis."""

import csv
import json
import shutil
from decimal import Decimal

import pytest

from analysis.recist.checks import find_problems
from analysis.response import follow
from records.reads import LesionKind, LesionRole, Measurement, NonTargetStatus, Seen, reads_from_json
from tests.viewer.packs_by_hand import clear_form, miliary_form
from tests.viewer.study import leaks, make_study, patient_id, secrets, sign_all
from viewer.adjudication import adjudicate
from viewer.collecting import collect, verify_pack
from viewer.desk import Desk
from viewer.export import write_collection
from viewer.lesions import add_lesion, follow_up_form, with_measurement, with_status
from viewer.pack import PackError, ReadingProtocol, images_of, load_pack
from viewer.packs import prepare
from viewer.pairing import pair_readers, pair_repeats
from viewer.questions import FOLLOW_UP
from viewer.reading import Form
from viewer.studykey import load_key

TYPED_BY_B = "REMARKOFB"


def baseline(is_miliary: bool) -> Form:
    """Return a baseline with one target of 30 mm."""
    form = miliary_form() if is_miliary else clear_form()
    form = add_lesion(form, LesionRole.TARGET, organ="lung", kind=LesionKind.SOFT_TISSUE)
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(30), Decimal(20)))
    if is_miliary:
        form = add_lesion(form, LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)
    return form


def later(desk: Desk, item) -> Form:
    """Return a follow-up with the target halved."""
    first = desk.form(desk.previous(item))
    form = follow_up_form(first, first)
    for question in FOLLOW_UP:
        if question.is_required and question.name != "why_not_evaluable":
            form = form.with_answer(question.name, "1")
    form = form.with_answer("evaluable", "yes")
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(15), Decimal(9)))
    for lesion in form.lesions[1:]:
        form = with_status(form, lesion.lesion_id, NonTargetStatus.PRESENT)
    return form


def read_pack(folder, key, reader, is_miliary) -> None:
    desk = Desk(folder)

    def form_of(item):
        if item.time_point.number > 1:
            return later(desk, item)
        form = baseline(is_miliary(key.case(reader, item.case.code)))
        return form.with_answer("comment", TYPED_BY_B) if reader == "B" else form

    sign_all(desk, form_of)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Two packs read: A calls patients 0-3 miliary, B all but patient 2."""
    folder = tmp_path_factory.mktemp("study")
    images, store = make_study(folder, flagged=4, others=2, follow_ups=1)
    packs = folder / "packs"
    prepare([images], store, packs, readers=("A", "B"), controls=1, repeats=2, seed=3)
    key = load_key(packs)
    flagged = {patient_id(number) for number in range(4)}
    read_pack(packs / "A", key, "A", lambda case: case.patient_id in flagged)
    read_pack(packs / "B", key, "B", lambda case: case.patient_id in flagged - {patient_id(2)})
    return packs, images


@pytest.fixture
def packs(read, tmp_path):
    copy = tmp_path / "packs"
    shutil.copytree(read[0], copy)
    return copy


def test_all_reads_come_back_under_their_true_names(packs):
    collection = collect(packs)
    assert collection.missing == {"A": 0, "B": 0}
    assert len(collection.reads) == sum(
        len(case.time_points) for pack in load_key(packs).packs for case in pack.cases
    )
    assert {read.patient_id for read in collection.reads} >= {patient_id(number) for number in range(4)}


def test_agreed_labels_stand_and_others_wait(packs):
    labels = {label.patient_id: (label.label, label.basis) for label in collect(packs).labels()}
    assert labels[patient_id(0)] == ("mipc", "agreed")
    assert labels[patient_id(2)] == ("", "discordant")
    assert sorted(basis for _, basis in labels.values()) == ["agreed"] * 4 + ["discordant"]


def test_the_adjudicator_sees_the_discordant_cases_alone_and_no_names(packs, read):
    pack = adjudicate(collect(packs), packs, reader="C", seed=1)
    assert [case.patient_id for case in pack.cases] == [patient_id(2)]
    blinded = load_pack(packs / "C")
    (case,) = blinded.cases
    assert [shown.label for shown in case.earlier_reads] == ["Reader 1", "Reader 2"]
    assert {shown.answers["label"] for shown in case.earlier_reads} == {"mipc", "not_mipc"}
    earlier_codes = [one.code.encode() for pack in load_key(packs).readers for one in pack.cases]
    assert leaks(packs / "C", [*secrets(read[1]), *earlier_codes]) == []


def test_the_adjudicated_label_is_final_and_keeps_its_history(packs, tmp_path):
    adjudicate(collect(packs), packs, reader="C", seed=1)
    assert {label.basis for label in collect(packs).labels()} == {"agreed", "discordant"}
    read_pack(packs / "C", load_key(packs), "C", lambda case: True)
    collection = collect(packs)
    final = {label.patient_id: label for label in collection.labels()}[patient_id(2)]
    assert (final.label, final.basis) == ("mipc", "adjudicated")
    assert [(one.reader, one.label) for one in final.reads] == [
        ("A", "mipc"),
        ("B", "not_mipc"),
        ("C", "mipc"),
    ]
    write_collection(collection, tmp_path / "out")
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = {row["patient_id"]: row for row in csv.DictReader(file)}
    assert (rows[patient_id(2)]["verdict"], rows[patient_id(2)]["basis"]) == ("mipc", "adjudicated")
    with (tmp_path / "out" / "label_history.csv").open() as file:
        history = [row for row in csv.DictReader(file) if row["patient_id"] == patient_id(2)]
    assert [row["label"] for row in history] == ["mipc", "not_mipc", "mipc"]
    assert all(len(row["ledger_hash"]) == 64 for row in history)


def test_reads_flow_to_the_response_engine(packs, tmp_path):
    """30 mm to 15 mm with miliary disease still there: PR (RECIST 1.1, table 1)."""
    write_collection(collect(packs), tmp_path)
    reads = reads_from_json((tmp_path / "recist_reads.json").read_text())
    own = [one for one in reads if one.subject_id == patient_id(0) and one.evaluator.identifier == "READER A"]
    assert find_problems(own) == []
    assert [point.overall_response for point in follow(own)] == ["PR"]
    assert [one.date for one in own] == ["2013-01-15", "2013-04-20"]


def test_reads_are_paired_by_patient(packs):
    (pair,) = pair_readers(collect(packs))
    labels = pair.classes[0]
    assert (pair.first, pair.second) == ("A", "B")
    assert labels.discordant == (patient_id(2),)
    assert len(labels.cases) == 5
    sizes = {size.name: size for size in pair.sizes}
    assert sizes["largest_mm"].first_mm == (4.5,) * 3  # patients 0, 1 and 3: sized by both


def test_repeats_measure_a_reader_against_himself(packs):
    pairs = pair_repeats(collect(packs))
    assert [(pair.first, pair.second) for pair in pairs] == [("A", "A again"), ("B", "B again")]
    assert all(len(pair.classes[0].cases) == 2 for pair in pairs)
    assert all(not question.discordant for pair in pairs for question in pair.classes)


def test_a_pack_that_came_back_elsewhere_is_taken_from_there(packs, tmp_path):
    back = tmp_path / "from reader B"
    shutil.move(packs / "B", back)
    assert collect(packs, [back]).missing == {"A": 0, "B": 0}


def test_a_foreign_pack_is_refused(packs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(packs / "A", other)
    text = (other / "pack.json").read_text()
    (other / "pack.json").write_text(text.replace(load_pack(other).pack_id, "somebody else's"))
    with pytest.raises(PackError, match="not a pack of this study"):
        collect(packs, [other])


def test_an_adjudication_waits_for_all_reads(packs):
    for name in ("reads.jsonl", "reads.jsonl.seal"):
        path = packs / "B" / name
        path.unlink()
    opening = (packs / "A" / "reads.jsonl").read_bytes()
    assert opening  # B's ledger is gone: that is a change, not an unread pack
    with pytest.raises(PackError, match="reader B does not verify"):
        collect(packs)


def test_a_history_rewritten_after_collection_is_seen(packs, tmp_path):
    """Reader A puts an older copy back and signs anew: the pack alone verifies, `collect` objects."""
    folder = packs / "A"
    desk = Desk(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    item = desk.items[0]
    desk.amend(item, desk.form(item).with_answer("confidence", "1"), "less sure")
    collect(packs)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    desk = Desk(folder)
    desk.amend(item, desk.form(item).with_answer("confidence", "2"), "somewhat sure")
    assert verify_pack(folder).problems == ()
    with pytest.raises(PackError, match="history was rewritten"):
        collect(packs)


@pytest.mark.parametrize("what", ["image", "missing image", "description", "read"])
def test_whatever_is_changed_in_a_pack_is_seen_offline(packs, what):
    folder = packs / "A"
    case = load_pack(folder).cases[0]
    image = next(images_of(folder, case.code, 1).iterdir())
    if what == "image":
        spoiled = bytearray(image.read_bytes())
        spoiled[-1] ^= 1
        image.write_bytes(bytes(spoiled))
    elif what == "missing image":
        image.unlink()
    elif what == "description":
        values = json.loads((folder / "pack.json").read_text())
        values["cases"].reverse()
        (folder / "pack.json").write_text(json.dumps(values))
    else:
        path = folder / "reads.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"confidence":"5"', b'"confidence":"4"', 1))
    assert verify_pack(folder).problems
    with pytest.raises(PackError, match="reader A does not verify"):
        collect(packs)


def test_amendments_count_and_the_last_version_stands(packs):
    desk = Desk(packs / "B")
    key = load_key(packs)
    item = next(one for one in desk.items if key.case("B", one.case.code).patient_id == patient_id(2))
    first = next(one for one in desk.items if one.case == item.case)
    desk.amend(first, baseline(True), "saw them on the slab")
    collection = collect(packs)
    read = next(one for one in collection.reads if one.reader == "B" and one.code == item.case.code)
    assert (read.version, read.label) == (2, "mipc")


def test_marks_change_a_mind_in_a_read_apart(tmp_path):
    images, store = make_study(tmp_path / "study", flagged=1, others=0)
    packs = tmp_path / "packs"
    prepare(
        [images], store, packs, readers=("A",), protocol=ReadingProtocol(asks_recist=False, shows_marks=True)
    )
    desk = Desk(packs / "A")
    desk.sign(desk.items[0], clear_form())
    desk.second_look(desk.items[0], miliary_form())
    (read,) = collect(packs).reads
    assert (read.label, read.changed_mind_to) == ("not_mipc", "mipc")
