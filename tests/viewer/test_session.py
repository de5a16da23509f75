"""One read at a time: undo, saving, modes."""

import json

import pytest

from tests.viewer.packs_by_hand import clear_form, make_desk, miliary_form
from viewer.desk import Desk
from viewer.pack import PackError, ReadingProtocol
from viewer.reading import Form
from viewer.session import Mode, Session


def test_every_change_is_saved_and_can_be_undone(tmp_path):
    session = Session(make_desk(tmp_path))
    for name in ("evaluable", "criterion_pattern"):
        session.change(session.form.with_answer(name, "yes"), name)
    assert Desk(tmp_path).form(session.item) == session.form
    assert session.undo()
    assert session.form.answers == {"evaluable": "yes"}
    assert Desk(tmp_path).form(session.item) == session.form
    assert session.redo()
    assert session.form.answer("criterion_pattern") == "yes"
    assert session.undo()
    assert session.undo()
    assert not session.undo()
    assert session.form == Form()


def test_typed_letters_are_undone_together_and_a_new_change_ends_redo(tmp_path):
    session = Session(make_desk(tmp_path))
    for length in range(1, 5):
        session.change(session.form.with_answer("comment", "text"[:length]), "comment")
    session.undo()
    assert session.form == Form()
    session.change(session.form.with_answer("confidence", "3"), "confidence")
    assert not session.redo()


def test_a_locked_read_takes_no_change(tmp_path):
    session = Session(make_desk(tmp_path))
    session.change(miliary_form())
    session.sign()
    assert session.mode is Mode.LOCKED
    session.change(clear_form())
    assert session.form == miliary_form()
    assert not session.undo()


def test_an_amendment_stands_only_when_signed_and_is_not_lost_before(tmp_path):
    session = Session(make_desk(tmp_path))
    session.change(miliary_form())
    session.sign()
    session.start_amendment()
    session.change(clear_form())
    session.open(session.item)
    assert session.form == miliary_form()
    assert session.has_begun_amendment
    session = Session(Desk(tmp_path))  # the program was stopped, and comes up again
    session.open(session.desk.items[0])
    assert session.form == miliary_form()
    session.start_amendment()
    assert session.form == clear_form()
    session.sign("the wrong case was on screen")
    assert Desk(tmp_path).form(session.item) == clear_form()
    assert not session.has_begun_amendment


def test_marks_come_after_the_signature_and_only_where_allowed(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "A-001-1.json").write_text(json.dumps([[1, 2, 3, 4]]))
    (tmp_path / "of B").mkdir()
    desk = make_desk(tmp_path / "pack", protocol=ReadingProtocol(asks_recist=False, shows_marks=True))
    session = Session(desk, marks)
    with pytest.raises(PackError, match="after the read is signed"):
        session.start_second_look()
    session.change(clear_form())
    session.sign()
    of_another = Session(Desk(tmp_path / "pack"), tmp_path / "of B")
    of_another.open(desk.items[0])
    with pytest.raises(PackError, match="of B holds no marks of this scan; is it the folder of reader A"):
        of_another.start_second_look()
    assert not of_another.desk.saw_marks(desk.items[0])
    assert session.start_second_look() == ((1.0, 2.0, 3.0, 4.0),)
    session.change(miliary_form())
    session = Session(Desk(tmp_path / "pack"), marks)  # stopped before the second read was signed
    session.open(session.desk.items[0])
    assert session.form == clear_form()
    session.start_second_look()
    assert session.form == miliary_form()
    assert session.sign().action == "second look"
    assert session.form == clear_form()
    with pytest.raises(PackError, match="so its reads stand"):
        session.start_amendment()
    desk = session.desk
    again = Session(desk)
    again.open(desk.items[0])
    with pytest.raises(PackError, match="no marks were handed out"):
        again.start_second_look()
