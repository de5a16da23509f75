"""A reader working on one read at a time: what may be changed, undo, and saving at every change."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from records.ledger import Entry
from viewer.desk import Desk, Item, State
from viewer.pack import PackError
from viewer.reading import Form, Problem
from viewer.signing import AMEND, SECOND_LOOK, SIGN

__all__ = ["Mode", "Session"]

UNDO_STEPS = 500


class Mode(StrEnum):
    """What is being done with a read."""

    READ = "read"  # not signed yet
    LOCKED = "locked"
    AMEND = "amend"
    SECOND_LOOK = "second look"  # after the machine's marks were shown
    WAITING = "waiting"  # for the time point before
    TO_SEE = "to see"  # a scan that asks nothing


ACTIONS = {Mode.READ: SIGN, Mode.AMEND: AMEND, Mode.SECOND_LOOK: SECOND_LOOK}
MODES = {State.SIGNED: Mode.LOCKED, State.WAITING: Mode.WAITING, State.TO_SEE: Mode.TO_SEE}


class Session:
    """One reader, one pack, one read on the screen.

    Parameters
    ----------
    desk : Desk
    marks : Path, optional
        The coordinator's folder of marks for this reader, handed out after the reads are in.
    """

    def __init__(self, desk: Desk, marks: Path | None = None) -> None:
        self.desk = desk
        self.item: Item = desk.next_open() or desk.items[0]
        self.mode = Mode.READ
        self.form = Form()
        self._marks = marks
        self._undone: list[Form] = []
        self._done: list[Form] = []
        self._last_field = ""
        self.open(self.item)

    def open(self, item: Item) -> None:
        """Put a read on the screen, as far as it has come."""
        mode = MODES.get(self.desk.state(item), Mode.READ)
        form = Form(is_baseline=False) if mode in (Mode.WAITING, Mode.TO_SEE) else self.desk.form(item)
        self.item, self.mode, self.form = item, mode, form
        self._done, self._undone, self._last_field = [], [], ""

    @property
    def can_change(self) -> bool:
        """Whether answers can be given now."""
        return self.has_form and self.mode is not Mode.LOCKED

    @property
    def has_form(self) -> bool:
        """Whether anything is asked now."""
        return self.mode not in (Mode.WAITING, Mode.TO_SEE)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is missing or at odds."""
        return self.desk.problems(self.item, self.form) if self.has_form else ()

    def change(self, form: Form, field: str = "") -> None:
        """Take over a changed form and save it.

        Changes of the same `field` one after the other, such as typed letters, are undone together.
        """
        if not self.can_change or form == self.form:
            return
        if not field or field != self._last_field or not self._done:
            self._done = [*self._done[-UNDO_STEPS:], self.form]
        self._undone, self._last_field = [], field
        self._take(form)

    def undo(self) -> bool:
        """Take the last change back; return whether there was one."""
        return self._move(self._done, self._undone)

    def redo(self) -> bool:
        """Make the change again that was taken back last; return whether there was one."""
        return self._move(self._undone, self._done)

    def sign(self, reason: str = "", passphrase: str = "") -> Entry:
        """Sign what is on the screen: a read, an amendment with its reason, or a second look.

        The first passphrase of a pack that asks for one is chosen by it.

        Raises
        ------
        PackError
            If it cannot be signed, saying why.
        """
        if self.desk.needs_passphrase:
            self.desk.set_passphrase(passphrase)
        if self.mode is Mode.AMEND:
            entry = self.desk.amend(self.item, self.form, reason, passphrase=passphrase)
        elif self.mode is Mode.SECOND_LOOK:
            entry = self.desk.second_look(self.item, self.form, passphrase=passphrase)
        else:
            entry = self.desk.sign(self.item, self.form, passphrase=passphrase)
        self.open(self.item)
        return entry

    def start_amendment(self) -> None:
        """Make a signed read changeable, as far as its amendment has come.

        The signed read stands until the new version is signed.
        """
        if self.mode is not Mode.LOCKED:
            raise PackError("only a signed read is amended")
        self.desk.check_amendable(self.item)
        self.form = self.desk.to_amend(self.item)
        self.mode = Mode.AMEND

    @property
    def has_begun_amendment(self) -> bool:
        """Whether an amendment waits to be signed."""
        return self.mode is Mode.LOCKED and self.desk.has_begun(self.item, AMEND)

    def start_second_look(self) -> tuple[tuple[float, float, float, float], ...]:
        """Return the machine's marks, x, y, z (LPS) and diameter in mm, and open the second read.

        Raises
        ------
        PackError
            If the protocol does not allow it, a read of the case is not signed, or its marks were not handed
            out. That they were shown is noted in the ledger before they are.
        """
        if not self.desk.pack.protocol.shows_marks:
            raise PackError("the protocol of this pack shows no marks")
        if self.mode is not Mode.LOCKED:
            raise PackError("marks are shown after the read is signed")
        if self._marks is None:
            raise PackError("no marks were handed out yet; open the pack with --marks FOLDER")
        path = self._marks / f"{self.item.case.code}-{self.item.time_point.number}.json"
        try:
            values: Sequence[Sequence[float]] = json.loads(path.read_bytes())
            marks = tuple((float(x), float(y), float(z), float(size)) for x, y, z, size in values)
        except FileNotFoundError as error:
            reader = self.desk.pack.reader
            raise PackError(
                f"{self._marks} holds no marks of this scan; is it the folder of reader {reader}?"
            ) from error
        except (ValueError, TypeError) as error:
            raise PackError(f"the marks {path.name} are damaged; ask for them again") from error
        self.desk.show_marks(self.item)
        begun = self.desk.begun(self.item, SECOND_LOOK) or self.desk.second(self.item)
        self.form = begun or self.form
        self.mode = Mode.SECOND_LOOK
        return marks

    def _move(self, source: list[Form], target: list[Form]) -> bool:
        if not source or not self.can_change:
            return False
        target.append(self.form)
        self._last_field = ""
        self._take(source.pop())
        return True

    def _take(self, form: Form) -> None:
        self.form = form
        if self.mode in ACTIONS:
            self.desk.save_draft(self.item, form, ACTIONS[self.mode])
