"""Make the pictures of docs/reading.md, of the room itself: python -m docs.reading_screenshots.

Run it on a screen or under xvfb-run -a -s "-screen 0 1920x1200x24"; keys are pressed on sample studies.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from imaging.dicom import choose_series, find_studies
from viewer.pack import ReadingProtocol
from viewer.packs import Scan, write_pack
from viewer.planning import Candidate, PlannedCase
from viewer.reading import Form
from viewer.studykey import PackKey

SAMPLES = Path("sample_dicoms")
OUT = Path(__file__).parent / "images"
CASES = {"P1": ("miliary", "miliary_treated"), "P2": ("few",), "P3": ("normal",)}
PATIENCE_SECONDS = 300
SIZE_PX = (1600, 1000)


def main() -> None:
    """Open the room, press keys, take pictures."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        pack = _make_pack(Path(scratch))
        from viewer.window.room import Room

        room = Room(pack)
        room.window.resize(*SIZE_PX)
        hands = _Hands(room)
        _picture(hands, "reading-open")
        hands.press("Tab", "Y", *"YYY", *"NNN", *"222232", "Esc")
        hands.press("S", "S", *["PgUp"] * 3)
        _picture(hands, "reading-slab")
        hands.press("Shift+S", "Ctrl+T", "Esc", "M", "R", "Return", *["Ctrl+Shift+Right"] * 4, "Return")
        hands.press(*["Ctrl+Shift+Left"] * 2, "Return", *["Ctrl+Shift+Up"] * 2, "Return", "V")
        _picture(hands, "reading-ruler")
        _sign_baseline(room)
        room.open(room.session.desk.items[1])
        hands.press("F", "Tab", "Y")
        _wait_for_alignment(hands)
        hands.press(*["Tab"] * 7, "Esc", "J")  # to the target, and to where it was measured
        _picture(hands, "reading-follow-up")
        hands.press("F1")
        _picture(hands, "reading-keys")
        room.close()
        room = Room(_make_disputed(Path(scratch) / "disputed"))
        room.window.resize(*SIZE_PX)
        hands = _Hands(room)
        room.open(room.session.desk.items[1])
        hands.press("J", "M")
        _picture(hands, "reading-adjudication")
        room.close()


def _wait_for_alignment(hands: "_Hands") -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while hands.room._aligner.found is None and time.monotonic() < until:
        hands.settle(0.1)


def _sign_baseline(room) -> None:  # type: ignore[no-untyped-def]
    from decimal import Decimal

    from records.reads import LesionKind, LesionRole, Measurement, Seen
    from viewer.lesions import add_lesion, with_measurement

    form = room.session.form
    for name, value in (("largest_mm", "4.8"), ("typical_mm", "3"), ("confidence", "5")):
        form = form.with_answer(name, value)
    if not form.measurements:
        form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(39), Decimal(20)))
    form = add_lesion(form, LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)
    room.session.desk.sign(room.session.desk.items[0], form)


def _baseline() -> Form:
    """Return a read of a miliary chest with one target."""
    from decimal import Decimal

    from records.reads import LesionKind, LesionRole, Measurement, Seen
    from viewer.lesions import add_lesion, with_measurement
    from viewer.questions import BASELINE

    given = {"criterion": "yes", "exclusion": "no", "profusion": "2", "confidence": "5", "evaluable": "yes"}
    form = Form(answers={"largest_mm": "4.8", "typical_mm": "3"})
    for question in BASELINE:
        value = given.get(question.name.split("_")[0])
        form = form.with_answer(question.name, value) if value else form
    form = add_lesion(form, LesionRole.TARGET, organ="mediastinum", kind=LesionKind.SOFT_TISSUE)
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(39), Decimal(20)))
    return add_lesion(form, LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)


class _Hands:
    """Keys pressed one after the other."""

    def __init__(self, room) -> None:  # type: ignore[no-untyped-def]
        from qtpy.QtWidgets import QApplication

        self.room, self.app = room, QApplication.instance()

    def settle(self, seconds: float = 0.4) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.room.window.activateWindow()
            self.app.processEvents()

    def press(self, *sequences: str) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        self.settle()
        for sequence in sequences:
            pressed = QKeySequence(sequence)[0]
            holder = self.app.focusWidget() or self.room.window
            QTest.keyClick(holder, Qt.Key(pressed.key()), pressed.keyboardModifiers())
            self.app.processEvents()


def _picture(hands: _Hands, name: str) -> None:
    hands.settle(1.0)
    hands.room.window.grab().save(str(OUT / f"{name}.png"))


def _make_disputed(packs: Path) -> Path:
    """Write the pack of an adjudicator: one reader measures a target half as long later, the other 24 mm."""
    from decimal import Decimal

    from analysis.reader_responses import reader_responses
    from records.ledger import Ledger
    from records.reads import Measurement, NonTargetStatus, Seen
    from viewer.adjudication import adjudicate
    from viewer.collecting import collect
    from viewer.desk import Desk
    from viewer.lesions import with_measurement, with_status
    from viewer.questions import FOLLOW_UP
    from viewer.reading import Mark
    from viewer.studykey import StudyKey, save_key

    keys = []
    for reader, length_mm in (("A", 30), ("B", 18)):
        keys.append(_write(packs, reader, {"P1": CASES["P1"]}))
        desk = Desk(packs / reader)
        first, second = desk.items
        desk.sign(first, _baseline())
        form = desk.form(second).with_answer("evaluable", "yes")
        for question in FOLLOW_UP[2:-1]:
            form = form.with_answer(question.name, "1")
        form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(length_mm), Decimal(14)))
        form = with_status(form, "N1", NonTargetStatus.PRESENT)
        y_mm = {"A": 0.0, "B": 12.0}[reader]
        ends = ((-length_mm / 2, y_mm, 0.0), (length_mm / 2, y_mm, 0.0))
        desk.sign(second, replace(form, marks=(Mark("T1", ends),)))
    save_key(StudyKey(1, "mipc", tuple(keys)), packs)
    Ledger(packs / "coordinator" / "ledger.jsonl").append(who="coordinator", action="prepare")
    collection = collect(packs)
    responses = reader_responses(collection.recist_reads())
    adjudicate(collection, packs, responses=responses, reader="C", seed=1)
    return packs / "C"


def _make_pack(folder: Path) -> Path:
    _write(folder, "A", CASES)
    return folder / "A"


def _write(folder: Path, reader: str, cases: dict[str, tuple[str, ...]]) -> PackKey:
    scans: dict[str, tuple[Scan, ...]] = {}
    for patient, names in cases.items():
        own = []
        for name in names:
            study = find_studies([SAMPLES / name]).studies[0]
            series = choose_series(study).series
            own.append(Scan(study.study.uid, patient, study.study.study_date, True, series, ()))
        scans[patient] = tuple(own)
    planned = [
        PlannedCase(f"{reader}-{n:03d}", Candidate(name, (), True)) for n, name in enumerate(scans, start=1)
    ]
    return write_pack(folder, reader, planned, scans, ReadingProtocol(shows_marks=True))


if __name__ == "__main__":
    main()
