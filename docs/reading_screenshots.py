"""Make the pictures of docs/reading.md, of the room itself: python -m docs.reading_screenshots.

Run it on a screen or under xvfb-run -a -s "-screen 0 1920x1200x24"; keys are pressed on sample studies.
"""

import tempfile
import time
from pathlib import Path

from imaging.dicom import choose_series, find_studies
from viewer.pack import ReadingProtocol
from viewer.packs import Scan, write_pack
from viewer.planning import Candidate, PlannedCase

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
        hands.press("F", "Tab", "Y", "Esc", *["PgUp"] * 3)
        _wait_for_alignment(hands)
        _picture(hands, "reading-follow-up")
        hands.press("F1")
        _picture(hands, "reading-keys")
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
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal(39), Decimal(20)))
    form = add_lesion(form, LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)
    room.session.desk.sign(room.session.desk.items[0], form)


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


def _make_pack(folder: Path) -> Path:
    scans: dict[str, tuple[Scan, ...]] = {}
    for patient, names in CASES.items():
        own = []
        for name in names:
            study = find_studies([SAMPLES / name]).studies[0]
            series = choose_series(study).series
            own.append(Scan(study.study.uid, patient, study.study.study_date, True, series, ()))
        scans[patient] = tuple(own)
    planned = [PlannedCase(f"A-{n:03d}", Candidate(name, (), True)) for n, name in enumerate(scans, start=1)]
    write_pack(folder, "A", planned, scans, ReadingProtocol(shows_marks=True))
    return folder / "A"


if __name__ == "__main__":
    main()
