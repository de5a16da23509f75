"""A reader's desk: drafts that survive anything, signatures that cannot be taken back.

A draft is a file that is replaced whole at every change. A signed read is an
entry of the pack's ledger; nothing else holds it. The next time point of a case
is opened when the one before is signed, so no baseline is read with its outcome
in sight.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from records.files import replace_file
from records.ledger import Entry, Head, Ledger, LedgerError, verify_ledger
from viewer.handed_out import fault_of_description, fault_of_images
from viewer.lesions import follow_up_form, is_on_baseline, on_baseline, problems_of_lesions
from viewer.pack import (
    BlindedCase,
    Pack,
    PackError,
    TimePoint,
    load_pack,
)
from viewer.passphrase import new_key, secret_of
from viewer.reading import Form, Problem, can_sign, form_from_json, form_to_json, problems_of_answers
from viewer.signature import sign
from viewer.signing import (
    AMEND,
    OPEN,
    PASSPHRASE,
    REFUSED,
    SECOND_LOOK,
    SHOW_MARKS,
    SIGN,
    message,
    problems_of_reads,
)

__all__ = [
    "LEDGER_FILE",
    "Desk",
    "Item",
    "State",
]

LEDGER_FILE = "reads.jsonl"
DRAFTS = {SIGN: "", AMEND: "-amendment", SECOND_LOOK: "-second"}  # in the names of draft files

MEANING = (
    "I am reader {reader}. I read {subject} myself, from its images alone, and this is my final read. "
    "Signing locks it; a change is a new signed version with a reason."
)
MEANING_DECIDED = (
    "I am reader {reader}. I saw the images of {subject} and both reads of it, and this is my decision. "
    "Signing locks it; a change is a new signed version with a reason."
)
MEANING_AMENDED = "I am reader {reader}. I replace my signed read of {subject} because: {reason}"
MEANING_SECOND = (
    "I am reader {reader}. After signing my read of {subject} I was shown the machine's marks; "
    "this second read does not replace the first."
)


MEANING_PASSPHRASE = "I am reader {reader}. With this passphrase, which I tell nobody, I sign my reads."


class State(StrEnum):
    """How far a read has come."""

    UNREAD = "unread"
    DRAFT = "draft"
    SIGNED = "signed"
    WAITING = "waiting"  # for the time point before
    TO_SEE = "to see"  # a scan of an adjudicated case that asks nothing


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the worklist: one time point of one case."""

    case: BlindedCase
    time_point: TimePoint

    @property
    def subject(self) -> str:
        """What the ledger calls it: A-001/1."""
        return f"{self.case.code}/{self.time_point.number}"

    @property
    def title(self) -> str:
        """What the reader calls it."""
        return f"{self.case.code}  {self.time_point.name}"


class Desk:
    """One reader at work on one pack.

    Parameters
    ----------
    folder : Path
        The pack.

    Raises
    ------
    PackError
        If it is no pack, is not as it was handed out, or its reads do not verify.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pack: Pack = load_pack(folder)
        self.items = tuple(Item(case, point) for case in self.pack.cases for point in case.time_points)
        self._ledger = Ledger(folder / LEDGER_FILE)
        try:
            entries = self._ledger.entries()
        except LedgerError as error:
            raise PackError(
                f"the reads of this pack were changed outside the reading room: {error}"
            ) from error
        if not entries or entries[0].action != OPEN or entries[0].subject != self.pack.pack_id:
            raise PackError(f"{folder / LEDGER_FILE} does not belong to this pack; ask for the pack again")
        self._opening = entries[0]
        fault = fault_of_description(folder, self._opening)
        if fault:
            raise PackError(f"{fault}; ask for the pack again")
        for said in problems_of_reads(self.pack, entries):
            raise PackError(f"the reads of this pack were changed outside the reading room: {said}")
        self._signed = _latest_forms(entries, SIGN, AMEND)
        self._second = _latest_forms(entries, SECOND_LOOK)
        self._saw_marks = {entry.subject for entry in entries if entry.action == SHOW_MARKS}
        self._head = Head(len(entries), entries[-1].hash)
        self._passphrase = next((one for one in reversed(entries) if one.action == PASSPHRASE), None)

    def state(self, item: Item) -> State:
        """Return how far the read of an item has come."""
        if item.subject in self._signed:
            return State.SIGNED
        previous = self.previous(item)
        if previous is not None and self.state(previous) not in (State.SIGNED, State.TO_SEE):
            return State.WAITING
        if not item.case.is_asked(item.time_point.number):
            return State.TO_SEE
        return State.DRAFT if self._draft_path(item).exists() else State.UNREAD

    @property
    def done(self) -> int:
        """How many reads are signed, and not outdated."""
        return len(self._signed) - sum(map(self.is_outdated, self.items))

    @property
    def to_sign(self) -> int:
        """How many reads there are to sign, with those that are signed."""
        return len(self.pack.asked)

    def next_open(self, after: Item | None = None) -> Item | None:
        """Return the next item that can be read and is not signed or outdated; None if there is none."""
        start = 0 if after is None else self.items.index(after) + 1
        for item in (*self.items[start:], *self.items[:start]):
            if self.state(item) in (State.UNREAD, State.DRAFT) or self.is_outdated(item):
                return item
        return None

    def previous(self, item: Item) -> Item | None:
        """Return the time point before this one."""
        number = item.time_point.number
        return next(
            (one for one in self.items if one.case == item.case and one.time_point.number == number - 1), None
        )

    def is_outdated(self, item: Item) -> bool:
        """Whether a signed read has to be amended, because its baseline was and names other lesions now."""
        signed, baseline = (self._signed.get(one.subject) for one in (item, self._baseline(item)))
        return signed is not None and baseline is not None and not is_on_baseline(signed, baseline)

    def _baseline(self, item: Item) -> Item:
        return next(one for one in self.items if one.case == item.case)

    def check_images(self, item: Item) -> None:
        """Make sure that the images of an item are those that were handed out.

        Raises
        ------
        PackError
            If one is missing, damaged or another: at either end of the stack nothing else would tell.
        """
        fault = fault_of_images(self.folder, self._opening, item.case.code, item.time_point.number)
        if fault:
            raise PackError(f"{fault}; ask for the pack again")

    def form(self, item: Item) -> Form:
        """Return the form of an item: as signed, as drafted, or empty."""
        if item.subject in self._signed:
            return self._signed[item.subject]
        draft = self._draft_path(item)
        if draft.exists():
            return self._on_baseline(item, _read_draft(draft))
        if item.case.is_choice(item.time_point.number):
            return Form(is_baseline=False, is_choice=True)
        previous = self.previous(item)
        if previous is None:
            return Form()
        return follow_up_form(self.form(self._baseline(item)), self.form(previous))

    def _on_baseline(self, item: Item, form: Form) -> Form:
        """Return a form that was begun with the lesions that its baseline names now."""
        baseline = self._signed.get(self._baseline(item).subject)
        return form if baseline is None or form.is_baseline else on_baseline(form, baseline)

    def problems(self, item: Item, form: Form) -> tuple[Problem, ...]:
        """Return what is missing or at odds in a form."""
        found = list(problems_of_answers(form))
        if self.pack.protocol.asks_recist:
            found += problems_of_lesions(form, item.time_point.averaged_mm)
        return tuple(found)

    def save_draft(self, item: Item, form: Form, action: str = SIGN) -> None:
        """Keep a form that is not signed; it is on the disk when this returns.

        Parameters
        ----------
        action : str
            What it is to become: a read, an amendment of it, or a second look.

        Raises
        ------
        PackError
            If the read is signed: a signed read is changed by an amendment.
        """
        if action == SIGN and item.subject in self._signed:
            raise PackError(f"{item.title} is signed; change it by an amendment")
        replace_file(self._draft_path(item, action), json.dumps(form_to_json(form)).encode())

    def begun(self, item: Item, action: str) -> Form | None:
        """Return an amendment or a second look that was begun and not signed."""
        path = self._draft_path(item, action)
        return _read_draft(path) if path.exists() else None

    def to_amend(self, item: Item) -> Form:
        """Return the form with which the amendment of a signed read goes on."""
        return self._on_baseline(item, self.begun(item, AMEND) or self._signed[item.subject])

    def has_begun(self, item: Item, action: str) -> bool:
        """Whether an amendment or a second look was begun and not signed."""
        return self._draft_path(item, action).exists()

    def second(self, item: Item) -> Form | None:
        """Return the second look as it was signed last."""
        return self._second.get(item.subject)

    def meaning(self, item: Item) -> str:
        """Return what signing this read says."""
        meaning = MEANING_DECIDED if item.case.decides else MEANING
        return meaning.format(reader=self.pack.reader, subject=item.title)

    @property
    def needs_passphrase(self) -> bool:
        """Whether the reader has still to choose the passphrase that signs."""
        return self.pack.protocol.asks_passphrase and self._passphrase is None

    def set_passphrase(self, text: str) -> Entry:
        """Take the reader's passphrase; the public key it makes goes into the ledger, and stays.

        Raises
        ------
        PackError
            If it is too short, or there is one already.
        """
        if self._passphrase is not None:
            raise PackError("this pack has its passphrase already")
        self._passphrase = self._write(
            who=self.pack.reader,
            action=PASSPHRASE,
            subject=self.pack.pack_id,
            after={"key": new_key(text)},
            why=MEANING_PASSPHRASE.format(reader=self.pack.reader),
        )
        return self._passphrase

    def _secret(self, item: Item, passphrase: str) -> bytes | None:
        """Return the secret that signs; refuse a wrong passphrase, and keep that it was tried."""
        if not self.pack.protocol.asks_passphrase:
            return None
        if self._passphrase is None:
            raise PackError("choose the passphrase first with which you sign")
        secret = secret_of(passphrase, self._passphrase.after["key"])
        if secret is None:
            self._write(
                who="unknown", action=REFUSED, subject=item.subject, why="a wrong passphrase was typed"
            )
            raise PackError("this is not the passphrase of this pack; nothing was signed")
        return secret

    def sign(self, item: Item, form: Form, *, passphrase: str = "") -> Entry:
        """Lock a read.

        Raises
        ------
        PackError
            If it is not complete, the time point before is not signed, it is signed already, or the
            passphrase is not the reader's.
        """
        if self.state(item) is State.SIGNED:
            raise PackError(f"{item.title} is signed; change it by an amendment")
        if self.state(item) is State.WAITING:
            raise PackError(f"{item.title} is read after the time point before it is signed")
        if self.state(item) is State.TO_SEE:
            raise PackError(f"{item.title} asks nothing; the decision is made at another scan of the case")
        form = form.as_asked()
        self._check(item, form)
        return self._append(SIGN, item, None, form, self.meaning(item), self._secret(item, passphrase))

    def amend(self, item: Item, form: Form, reason: str, *, passphrase: str = "") -> Entry:
        """Sign a new version of a signed read.

        Raises
        ------
        PackError
            If nothing was signed or changed, no reason is given, the new version is not complete, or
            the machine's marks were shown: what was read with them never replaces what was read without.
        """
        before = self._signed.get(item.subject)
        form = form.as_asked()
        if before is None:
            raise PackError(f"{item.title} is not signed yet; there is nothing to amend")
        self.check_amendable(item)
        if not reason.strip():
            raise PackError("an amendment needs its reason")
        if before == form:
            raise PackError("nothing was changed")
        self._check(item, form)
        secret = self._secret(item, passphrase)
        meaning = MEANING_AMENDED.format(reader=self.pack.reader, subject=item.title, reason=reason.strip())
        return self._append(AMEND, item, before, form, meaning, secret)

    def check_amendable(self, item: Item) -> None:
        """Refuse to amend a read of a case whose marks were shown.

        Raises
        ------
        PackError
        """
        if any(self.saw_marks(one) for one in self.items if one.case == item.case):
            raise PackError(
                f"the machine's marks of {item.case.code} were shown, so its reads stand; "
                "a change is a second read (Ctrl+M)"
            )

    def saw_marks(self, item: Item) -> bool:
        """Whether the machine's marks on this scan were shown."""
        return item.subject in self._saw_marks

    def show_marks(self, item: Item) -> None:
        """Note that the machine's marks are shown from now on.

        Raises
        ------
        PackError
            If the protocol does not allow it, or a read of the case is not signed yet: a later scan
            would be read with the marks of an earlier one in mind.
        """
        self._check_marks(item)
        if not self.saw_marks(item):
            self._write(who=self.pack.reader, action=SHOW_MARKS, subject=item.subject)
            self._saw_marks.add(item.subject)

    def _check_marks(self, item: Item) -> None:
        if not self.pack.protocol.shows_marks:
            raise PackError("the protocol of this pack shows no marks")
        if item.subject not in self._signed:
            raise PackError(f"{item.title} is not signed yet; marks are shown after signing")
        waiting = [one for one in self.items if one.case == item.case and one.subject not in self._signed]
        if waiting:
            raise PackError(
                f"marks are shown when every scan of the case is signed; {waiting[0].title} is not"
            )
        for one in self.items:
            if one.case == item.case and self.is_outdated(one):
                raise PackError(f"{one.title} is to be amended first: its baseline names other lesions now")

    def second_look(self, item: Item, form: Form, *, passphrase: str = "") -> Entry:
        """Sign what the reader says once the machine's marks were shown; the first read stays.

        Raises
        ------
        PackError
            If the protocol does not allow it, or the marks were not shown.
        """
        self._check_marks(item)
        if not self.saw_marks(item):
            raise PackError(f"the marks of {item.title} were not shown")
        before, form = self._signed[item.subject], form.as_asked()
        self._check(item, form)
        secret = self._secret(item, passphrase)
        meaning = MEANING_SECOND.format(reader=self.pack.reader, subject=item.title)
        return self._append(SECOND_LOOK, item, before, form, meaning, secret)

    def _check(self, item: Item, form: Form) -> None:
        problems = self.problems(item, form)
        if not can_sign(form, problems):
            first = problems[0]
            raise PackError(
                f"{item.title} is not complete: {first.field.replace('_', ' ')}: {first.sentence}"
            )

    def _append(
        self, action: str, item: Item, before: Form | None, form: Form, meaning: str, secret: bytes | None
    ) -> Entry:
        after = _signed_values(form)
        values = {
            "who": self.pack.reader,
            "action": action,
            "subject": item.subject,
            "before": before and _signed_values(before),
            "after": after,
            "why": meaning,
        }
        if secret is not None and self._passphrase is not None:
            after["passphrase_entry"] = self._passphrase.number
            signed = message(self.pack.pack_id, self._head.count + 1, self._head.hash, values)
            after["signature"] = sign(secret, signed).hex()
        entry = self._write(**values)
        kept = self._second if action == SECOND_LOOK else self._signed
        kept[item.subject] = form
        with suppress(OSError):  # it is signed, whether or not the draft goes
            self._draft_path(item, action).unlink(missing_ok=True)
        return entry

    def _write(self, **values: Any) -> Entry:
        """Add an entry to the ledger, as long as it is the one that was opened.

        Raises
        ------
        PackError
            If another window wrote to it meanwhile, or it was changed.
        """
        try:
            if verify_ledger(self._ledger.path).head != self._head:
                raise PackError("this pack was signed in another window meanwhile; close this one")
            entry = self._ledger.append(**values)
        except LedgerError as error:
            raise PackError(
                f"the reads of this pack were changed outside the reading room: {error}"
            ) from error
        self._head = Head(entry.number, entry.hash)
        return entry

    def _draft_path(self, item: Item, action: str = SIGN) -> Path:
        return self.folder / "drafts" / f"{item.case.code}-{item.time_point.number}{DRAFTS[action]}.json"


def _latest_forms(entries: tuple[Entry, ...], *actions: str) -> dict[str, Form]:
    """Return what was signed last of each subject by these actions."""
    return {one.subject: form_from_json(one.after["form"]) for one in entries if one.action in actions}


def _signed_values(form: Form) -> dict[str, Any]:
    """Return what a signature stands for: the answers, the label they make, the program."""
    return {"form": form_to_json(form), "label": form.label, "program": f"mipc {version('mipc')}"}


def _read_draft(path: Path) -> Form:
    try:
        return form_from_json(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise PackError(
            f"the draft {path} was changed outside the reading room; remove it to start anew"
        ) from error
