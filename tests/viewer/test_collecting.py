"""Signed packs in: checked, merged, adjudicated, handed to the analysis."""

import csv
import io
import json
import shutil
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from analysis.reader_agreement import judge_agreement
from analysis.reader_responses import reader_responses
from analysis.recist.checks import find_problems
from analysis.respond import find_inputs, respond
from analysis.response import follow
from mipc import app
from records.reads import LesionKind, LesionRole, Measurement, NonTargetStatus, Seen, reads_from_json
from tests.viewer.packs_by_hand import clear_form, miliary_form
from tests.viewer.study import leaks, make_study, patient_id, secrets, sign_all
from viewer.adjudication import adjudicate
from viewer.collecting import collect, heads_collected, verify_pack
from viewer.desk import Desk, State
from viewer.export import write_collection
from viewer.lesions import add_lesion, follow_up_form, remove_lesion, with_measurement, with_status
from viewer.outcomes import final_responses
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


def later(desk: Desk, item, size_mm: int = 15) -> Form:
    """Return a follow-up with the target halved, or of another size."""
    first = desk.form(desk.previous(item))
    form = follow_up_form(first, first)
    for question in FOLLOW_UP:
        if question.is_required and question.name != "why_not_evaluable":
            form = form.with_answer(question.name, "1")
    form = form.with_answer("evaluable", "yes")
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(size_mm), Decimal(9)))
    for lesion in form.lesions[1:]:
        form = with_status(form, lesion.lesion_id, NonTargetStatus.PRESENT)
    return form


def read_pack(folder, key, reader, is_miliary, size_mm: int = 15) -> None:
    desk = Desk(folder)

    def form_of(item):
        if item.time_point.number > 1:
            return later(desk, item, size_mm)
        form = baseline(is_miliary(key.case(reader, item.case.code)))
        return form.with_answer("comment", TYPED_BY_B) if reader == "B" else form

    sign_all(desk, form_of)


def unread(folder) -> None:
    """Take all reads out of a pack, as it was when it was handed out."""
    opening = (folder / "reads.jsonl").read_bytes().splitlines(keepends=True)[0]
    (folder / "reads.jsonl").write_bytes(opening)
    seal = {"count": 1, "hash": json.loads(opening)["hash"]}
    (folder / "reads.jsonl.seal").write_text(json.dumps(seal))


def responses_of(collection):
    return reader_responses(collection.recist_reads())


def send_to_c(packs):
    collection = collect(packs)
    return adjudicate(collection, packs, responses=responses_of(collection), reader="C", seed=1)


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
    pack = send_to_c(packs)
    assert [case.patient_id for case in pack.cases] == [patient_id(2)]
    blinded = load_pack(packs / "C")
    (case,) = blinded.cases
    assert [shown.label for shown in case.earlier_reads] == ["Reader 1", "Reader 2"]
    assert {shown.answers["label"] for shown in case.earlier_reads} == {"mipc", "not_mipc"}
    earlier_codes = [one.code.encode() for pack in load_key(packs).readers for one in pack.cases]
    assert leaks(packs / "C", [*secrets(read[1]), *earlier_codes]) == []


def test_the_adjudicated_label_is_final_and_keeps_its_history(packs, tmp_path):
    send_to_c(packs)
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
    write_collection(collection, tmp_path / "out", responses_of(collection))
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = {row["patient_id"]: row for row in csv.DictReader(file)}
    assert (rows[patient_id(2)]["verdict"], rows[patient_id(2)]["basis"]) == ("mipc", "adjudicated")
    with (tmp_path / "out" / "label_history.csv").open() as file:
        history = [row for row in csv.DictReader(file) if row["patient_id"] == patient_id(2)]
    assert [row["label"] for row in history] == ["mipc", "not_mipc", "mipc"]
    assert all(len(row["ledger_hash"]) == 64 for row in history)


def test_reads_flow_to_the_response_engine(packs, tmp_path):
    """30 mm to 15 mm with miliary disease still there: PR (RECIST 1.1, table 1)."""
    collection = collect(packs)
    write_collection(collection, tmp_path, responses_of(collection))
    reads = reads_from_json((tmp_path / "recist_reads.json").read_text())
    own = [one for one in reads if one.subject_id == patient_id(0) and one.evaluator.identifier == "READER A"]
    assert find_problems(own) == []
    assert [point.overall_response for point in follow(own)] == ["PR"]
    assert [one.date for one in own] == ["2013-01-15", "2013-04-20"]


def test_reads_are_paired_by_patient(packs):
    collection = collect(packs)
    (pair,) = pair_readers(collection, responses_of(collection))
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


def test_reads_that_came_back_elsewhere_go_on_to_agreement_and_adjudication(packs, tmp_path):
    """The pack at the coordinator's stays unread, or was moved to the reader: both are taken from there."""
    back = tmp_path / "from reader A"
    shutil.copytree(packs / "A", back)
    unread(packs / "A")
    reading = ["review", "collect", str(packs), "--out", str(tmp_path / "out"), "--pack", str(back)]
    assert CliRunner().invoke(app, reading).exit_code == 0
    found = CliRunner().invoke(app, ["review", "agreement", str(packs), "--pack", str(back)])
    assert "label (5 cases)" in found.stdout
    shutil.rmtree(packs / "A")
    found = CliRunner().invoke(app, ["review", "adjudicate", str(packs), "--pack", str(back)])
    assert (found.stderr, found.exit_code) == ("", 0)
    assert [case.patient_id for case in load_key(packs).packs[-1].cases] == [patient_id(2)]


def test_a_pack_read_in_two_places_is_refused(packs, tmp_path):
    copies = [tmp_path / "ward", tmp_path / "home"]
    for copy in copies:
        shutil.copytree(packs / "A", copy)
    with pytest.raises(PackError, match=r"ward and .*home are both the pack of reader A"):
        collect(packs, copies)


def test_packs_that_changed_places_are_said(packs):
    (packs / "A").rename(packs / "aside")
    (packs / "B").rename(packs / "A")
    (packs / "aside").rename(packs / "B")
    with pytest.raises(PackError, match="A is not the pack of reader A"):
        collect(packs)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._0001.dcm"])
def test_what_a_system_leaves_beside_images_is_none(packs, name):
    """File managers of macOS and Windows write into a folder that somebody only looked at."""
    (images_of(packs / "A", load_pack(packs / "A").cases[0].code, 1) / name).write_bytes(b"of the system")
    assert verify_pack(packs / "A").problems == ()
    image = next(images_of(packs / "B", load_pack(packs / "B").cases[0].code, 1).iterdir())
    shutil.copy(image, image.with_name("9999.dcm"))
    assert verify_pack(packs / "B").problems


def test_a_foreign_pack_is_refused(packs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(packs / "A", other)
    text = (other / "pack.json").read_text()
    (other / "pack.json").write_text(text.replace(load_pack(other).pack_id, "somebody else's"))
    with pytest.raises(PackError, match="not a pack of this study"):
        collect(packs, [other])


@pytest.fixture(scope="module")
def disputed_read(tmp_path_factory):
    """Two readers who agree on every label; patient 0: 30 to 15 mm by A (-50 %), to 24 mm by B (-20 %)."""
    folder = tmp_path_factory.mktemp("disputed")
    images, store = make_study(folder, flagged=2, others=0, follow_ups=1)
    packs = folder / "packs"
    prepare([images], store, packs, readers=("A", "B"), seed=3)
    for reader, size_mm in (("A", 15), ("B", 24)):
        read_pack(packs / reader, load_key(packs), reader, lambda case: True, size_mm)
    return packs, images


@pytest.fixture
def disputed(disputed_read, tmp_path):
    copy = tmp_path / "packs"
    shutil.copytree(disputed_read[0], copy)
    return copy


def test_a_disputed_response_is_listed_with_its_dates(disputed):
    """PR from -30 %, SD before (RECIST 1.1, 4.3.1); 20 April is 95 days after 15 January."""
    collection = collect(disputed)
    (final,) = final_responses(collection, responses_of(collection))
    assert (final.patient_id, final.basis, final.stands) == (patient_id(0), "discordant", "")
    assert final.disputed == ("best response", "date of response")
    assert [(one.best, one.responded) for one in final.responses] == [("PR", "2013-04-20"), ("SD", "")]
    (pair,) = pair_readers(collection, responses_of(collection))
    judged = judge_agreement(pair)
    best = next(one for one in judged.questions if one.name == "best_response")
    assert best.discordant == (patient_id(0),)
    days = {one.name: one.discordant for one in judged.dates}
    assert days == {"date_of_response": (patient_id(0),), "date_of_progression": ()}


def test_an_adjudicator_chooses_whose_measurements_stand(disputed, disputed_read, tmp_path):
    collection = collect(disputed)
    assert collection.recist_reads() == collection.recist_reads({})
    send_to_c(disputed)
    assert leaks(disputed / "C", secrets(disputed_read[1])) == []
    text = (disputed / "C" / "pack.json").read_text()
    for word in ("PR", "SD", "reader A", "READER"):  # neither the response nor whose it is
        assert f'"{word}"' not in text
    desk = Desk(disputed / "C")
    assert [desk.state(item) for item in desk.items] == [State.TO_SEE, State.UNREAD]
    shown = [one.answers["T1"] for one in desk.items[1].case.earlier_reads if one.time_point == 2]
    assert sorted(shown) == ["lung, soft tissue: 15 x 9 mm", "lung, soft tissue: 24 x 9 mm"]
    choice = Form(is_baseline=False, is_choice=True)
    with pytest.raises(PackError, match="asks nothing"):
        desk.sign(desk.items[0], choice)
    with pytest.raises(PackError, match="not answered"):
        desk.sign(desk.items[1], choice)
    with_24 = next(str(number) for number, said in enumerate(shown, start=1) if "24" in said)
    chosen = choice.with_answer("accepted_reads", with_24).with_answer("reason", "15 mm leaves a part out")
    assert "both reads of it" in desk.sign(desk.items[1], chosen).why

    collection = collect(disputed)
    assert collection.missing == {"A": 0, "B": 0, "C": 0}
    (final,) = final_responses(collection, responses_of(collection))
    assert (final.basis, final.stands) == ("adjudicated", "B")
    write_collection(collection, tmp_path / "out", responses_of(collection))
    with (tmp_path / "out" / "response_history.csv").open() as file:
        rows = [(row["reader"], row["best_response"], row["stands"]) for row in csv.DictReader(file)]
    assert rows == [("READER A", "PR", "False"), ("READER B", "SD", "True")]
    with (tmp_path / "out" / "reads.csv").open() as file:
        (decided,) = (row for row in csv.DictReader(file) if row["reader"] == "C")
    assert (decided["accepted_reads"], decided["reason"]) == ("B", "15 mm leaves a part out")
    respond(find_inputs([tmp_path / "out" / "recist_reads.json"]), tmp_path / "responses")
    with (tmp_path / "responses" / "best_response.csv").open() as file:
        best = {
            (row["evaluator"], row["USUBJID"]): (row["best_response"], row["source"], row["came_from"])
            for row in csv.DictReader(file)
            if row["confirmation"] == "not required"
        }
    assert best["ACCEPTED", patient_id(0)] == ("SD", "ADJUDICATED", "READER B")


def test_two_adjudicators_who_differ_are_told_and_one_who_amends_is_not(packs, tmp_path):
    collection = collect(packs)
    for reader in ("C", "D"):
        adjudicate(collection, packs, responses=responses_of(collection), reader=reader, seed=1)
        collection = collect(packs)
    read_pack(packs / "C", load_key(packs), "C", lambda case: True)
    read_pack(packs / "D", load_key(packs), "D", lambda case: False)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["review", "collect", str(packs), "--out", str(out)])
    assert done.exit_code == 1
    said = f"the adjudicators differ on the label of patient {patient_id(2)}: C says mipc and D says not_mipc"
    assert said in done.stderr
    assert not out.exists()
    desk = Desk(packs / "D")
    desk.amend(desk.items[0], baseline(is_miliary=True), "seen again on thin slices")
    done = CliRunner().invoke(app, ["review", "collect", str(packs), "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    labels = {label.patient_id: (label.label, label.basis) for label in collect(packs).labels()}
    assert labels[patient_id(2)] == ("mipc", "adjudicated")


def test_two_adjudicators_who_choose_different_measurements_are_told(disputed):
    collection = collect(disputed)
    for reader in ("C", "D"):
        adjudicate(collection, disputed, responses=responses_of(collection), reader=reader, seed=1)
        collection = collect(disputed)
    for reader, wanted in (("C", "15 x"), ("D", "24 x")):
        desk = Desk(disputed / reader)
        shown = [one.answers["T1"] for one in desk.items[1].case.earlier_reads if one.time_point == 2]
        number = next(str(place) for place, said in enumerate(shown, start=1) if wanted in said)
        form = Form(is_baseline=False, is_choice=True).with_answer("accepted_reads", number)
        desk.sign(desk.items[1], form.with_answer("reason", "the rim"))
    collection = collect(disputed)
    with pytest.raises(PackError, match=r"the response of patient .*: C says A and D says B"):
        final_responses(collection, responses_of(collection))


def test_where_readers_agree_the_first_ones_measurements_stand(packs, tmp_path):
    collection = collect(packs)
    (final,) = final_responses(collection, responses_of(collection))
    assert (final.basis, final.stands, final.disputed) == ("agreed", "A", ())
    accepted = {
        (one.subject_id, one.evaluator.identifier)
        for one in collection.recist_reads({patient_id(0): "A"})
        if one.accepted
    }
    assert accepted == {(patient_id(0), "READER A")}
    assert not any(one.adjudicated for one in collection.recist_reads({patient_id(0): "A"}))


def test_responses_wait_for_all_reads(tmp_path):
    images, store = make_study(tmp_path, flagged=1, others=0, follow_ups=1)
    prepare([images], store, tmp_path / "packs", readers=("A", "B"))
    collection = collect(tmp_path / "packs")
    assert responses_of(collection) == ()
    (final,) = final_responses(collection, ())
    assert (final.basis, final.stands) == ("incomplete", "")


def test_a_folder_that_is_there_is_no_place_for_the_adjudicators_pack(packs):
    (packs / "C").mkdir()
    (packs / "C" / "notes.txt").write_text("of somebody")
    with pytest.raises(PackError, match="never written over"):
        send_to_c(packs)
    assert (packs / "C" / "notes.txt").exists()


def test_an_adjudication_waits_for_all_reads(packs):
    unread(packs / "B")
    with pytest.raises(PackError, match="still to be signed: 8 of reader B"):
        send_to_c(packs)


def test_a_ledger_that_is_gone_is_a_change_and_no_unread_pack(packs):
    for name in ("reads.jsonl", "reads.jsonl.seal"):
        (packs / "B" / name).unlink()
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


def test_what_was_collected_many_times_is_held_against_a_pack_once(packs):
    collect(packs)
    collect(packs)
    heads = heads_collected(packs)["A"]
    assert len(heads) == 2  # as it was handed out, and as it came back
    (packs / "A" / "reads.jsonl").write_bytes(b"")
    problems = verify_pack(packs / "A", heads).problems
    assert len(problems) == len(set(problems))


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


def collected_with(comment, packs, out):
    """Return `reads.csv` after a reader amended his first read by a comment."""
    desk = Desk(packs / "A")
    form = desk.form(desk.items[0])
    desk.amend(desk.items[0], form.with_answer("comment", comment), "a remark")
    collection = collect(packs)
    write_collection(collection, out, responses_of(collection))
    return (out / "reads.csv").read_text()


def test_half_a_character_in_a_comment_stops_no_collection(packs, tmp_path):
    assert "half \\ud83d of a smile" in collected_with("half \ud83d of a smile", packs, tmp_path)


def test_a_spreadsheet_runs_nothing_that_a_reader_typed(packs, tmp_path):
    rows = csv.DictReader(io.StringIO(collected_with("=HYPERLINK(A1)", packs, tmp_path)))
    assert "'=HYPERLINK(A1)" in {row["comment"] for row in rows}


def test_a_follow_up_is_amended_after_its_baseline_names_other_lesions(packs):
    """Until then it is not signed: with a lesion more it would be NE, with one less no read at all."""
    desk, key = Desk(packs / "A"), load_key(packs)
    follow_up = next(one for one in desk.items if one.time_point.number == 2)
    first = desk.previous(follow_up)
    assert key.case("A", first.case.code).patient_id == patient_id(0)
    before = desk.form(first)
    liver = add_lesion(before, LesionRole.TARGET, organ="liver", kind=LesionKind.SOFT_TISSUE)
    measured = with_measurement(liver, Measurement("T2", Seen.MEASURED, Decimal(20), Decimal(12)))
    for form, said in ((measured, "T2: not measured"), (remove_lesion(before, "T1"), "")):
        desk.amend(first, form, "looked again")
        assert (desk.is_outdated(follow_up), desk.next_open(), desk.done) == (
            True,
            follow_up,
            desk.to_sign - 1,
        )
        collection = collect(packs)
        assert collection.missing["A"] == 1
        (final,) = final_responses(collection, responses_of(collection))
        assert final.basis == "incomplete"
        begun = desk.to_amend(follow_up)
        assert begun.lesions == form.lesions
        if said:
            with pytest.raises(PackError, match=said):
                desk.amend(follow_up, begun, "the liver too", passphrase="")
            begun = with_measurement(begun, Measurement("T2", Seen.MEASURED, Decimal(10), Decimal(6)))
        desk.amend(follow_up, begun, "as the baseline", passphrase="")
        assert (desk.is_outdated(follow_up), desk.next_open()) == (False, None)
        collection = collect(packs)
        assert collection.missing["A"] == 0
        (final,) = final_responses(collection, responses_of(collection))
        # 50 to 25 mm (30 and 20 to 15 and 10) is PR; miliary disease alone, still there, non-CR/non-PD.
        assert final.responses[0].best == ("PR" if said else "NON-CR/NON-PD")


def test_marks_change_a_mind_in_a_read_apart(tmp_path):
    images, store = make_study(tmp_path / "study", flagged=1, others=0)
    packs = tmp_path / "packs"
    prepare(
        [images], store, packs, readers=("A",), protocol=ReadingProtocol(asks_recist=False, shows_marks=True)
    )
    desk = Desk(packs / "A")
    desk.sign(desk.items[0], clear_form())
    desk.show_marks(desk.items[0])
    desk.second_look(desk.items[0], miliary_form())
    collection = collect(packs)
    (read,) = collection.reads
    assert (read.label, read.changed_mind_to) == ("not_mipc", "mipc")
    assert {"criterion_pattern", "largest_mm"} <= set(read.changed_by_marks)
    assert collection.labels()[0].label == "not_mipc"  # the read without marks is the one that counts
    write_collection(collection, tmp_path / "out", ())
    with (tmp_path / "out" / "reads.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["after_marks"]) == ("not_mipc", "changed")
    with (tmp_path / "out" / "label_history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["after_marks"]) == ("not_mipc", "mipc")


def test_a_size_is_the_same_however_it_was_typed(tmp_path):
    """4,0 and 4.00 mm are one size: of a second look, in the table, and beside each other."""
    images, store = make_study(tmp_path / "study", flagged=1, others=0)
    packs = tmp_path / "packs"
    prepare([images], store, packs, readers=("A", "B"), protocol=ReadingProtocol(shows_marks=True))
    wide = Measurement("T1", Seen.MEASURED, Decimal("30.0"), Decimal("20.0"))
    for reader, size, form in (
        ("A", "4,0", baseline(True)),
        ("B", "4.00", with_measurement(baseline(False).with_answer("typical_mm", "2"), wide)),
    ):
        desk = Desk(packs / reader)
        form = form.with_answer("largest_mm", size).with_answer("comment", "read twice")
        for zone in ("right_upper", "left_upper"):
            form = form.with_answer(f"profusion_{zone}", "2")
        desk.sign(desk.items[0], form)
        desk.show_marks(desk.items[0])
        desk.second_look(desk.items[0], form.with_answer("largest_mm", "4"))
    collection = collect(packs)
    assert [read.changed_by_marks for read in collection.reads] == [(), ()]
    write_collection(collection, tmp_path / "out", responses_of(collection))
    with (tmp_path / "out" / "reads.csv").open() as file:
        assert {(row["largest_mm"], row["after_marks"]) for row in csv.DictReader(file)} == {
            ("4", "unchanged")
        }
    send_to_c(packs)
    first, second = load_pack(packs / "C").cases[0].earlier_reads
    assert first.answers["label"] != second.answers["label"]
    assert (first.answers["largest_mm"], second.answers["largest_mm"]) == ("4", "4")
    assert first.answers["T1"] == second.answers["T1"] == "lung, soft tissue: 30 x 20 mm"


def test_a_repeat_read_after_the_marks_measures_nobody(tmp_path):
    """The coordinator hands the marks out too early: one repeat is read with its marks in mind."""
    images, store = make_study(tmp_path / "study", flagged=2, others=0)
    packs = tmp_path / "packs"
    protocol = ReadingProtocol(asks_recist=False, shows_marks=True)
    prepare([images], store, packs, readers=("A",), repeats=2, seed=1, protocol=protocol)
    desk, key = Desk(packs / "A"), load_key(packs)
    first = desk.items[0]
    desk.sign(first, clear_form())
    desk.show_marks(first)
    sign_all(desk, lambda item: clear_form())
    (pair,) = pair_repeats(collect(packs))
    spoiled = key.case("A", first.case.code).patient_id
    assert set(pair.classes[0].cases) == {patient_id(0), patient_id(1)} - {spoiled}
