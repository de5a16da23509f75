"""A pack with a phantom of known size, the room opened on it, and hands for its mouse and keys."""

import os
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from imaging.dicom import choose_series, derive_uid, find_studies
from records.model import Study, Volume
from tests.imaging.dicom.making import UPRIGHT, export
from viewer.pack import ReadingProtocol
from viewer.packs import Scan, write_pack
from viewer.planning import Candidate, PlannedCase
from viewer.signing import AMEND, SECOND_LOOK, SHOW_MARKS, SIGN

needs_screen = pytest.mark.skipif(
    not os.environ.get("DISPLAY"), reason="no screen; run under xvfb-run -a -s '-screen 0 1920x1200x24'"
)

# napari and npe2, which it loads, still declare their records as Pydantic 1 did.
PYDANTIC_1 = (
    "ignore:(.json_encoders. is deprecated|Using extra keyword arguments on|.allow_mutation. is deprecated)"
    ":DeprecationWarning"
)

TARGET_MM = (-70.0, -10.0, 75.0)  # LPS, in the right lung
TARGET_AXES_MM = (40.0, 24.0, 30.0)  # along x, y, z
KNOT_RADIUS_MM = 3.0
SHIFT_MM = 15.0  # the follow-up is scanned lower by so much


def knots_mm() -> list[tuple[float, float, float]]:
    """Return where vessels of the lungs branch, the same in every scan, 30 mm and more from the target."""
    rng = np.random.default_rng(4)
    drawn = rng.uniform((-125, -75, 10), (125, 75, 130), (1000, 3))
    far = np.linalg.norm(drawn - TARGET_MM, axis=1) > 30
    return [(float(a), float(b), float(c)) for a, b, c in drawn[far]]


def phantom(spacing_mm=(2.5, 1.25, 1.0), scale=1.0, shift_mm=0.0) -> Volume:
    """Return a chest of two ellipsoids with a target of known axes in the right lung."""
    p, r, c = (round(length / step) for length, step in zip((150.0, 200.0, 280.0), spacing_mm, strict=True))
    z = (np.arange(p) * spacing_mm[0] - shift_mm)[:, None, None]
    y = (np.arange(r) * spacing_mm[1] - 100.0)[None, :, None]
    x = (np.arange(c) * spacing_mm[2] - 140.0)[None, None, :]
    hu = np.full((p, r, c), -1000.0)
    hu[np.broadcast_to((x / 138) ** 2 + (y / 96) ** 2 < 1, hu.shape)] = 40
    for centre in (-70.0, 70.0):
        hu[((x - centre) / 55) ** 2 + (y / 75) ** 2 + ((z - 70) / 60) ** 2 < 1] = -850
    inside = hu == -850
    for knot_x, knot_y, knot_z in knots_mm():
        near = (x - knot_x) ** 2 + (y - knot_y) ** 2 + (z - knot_z) ** 2 <= KNOT_RADIUS_MM**2
        hu[inside & near] = 0
    a, b, d = (axis / 2 * scale for axis in TARGET_AXES_MM)
    hu[((x - TARGET_MM[0]) / a) ** 2 + ((y - TARGET_MM[1]) / b) ** 2 + ((z - TARGET_MM[2]) / d) ** 2 <= 1] = (
        60
    )
    return Volume(
        hu=hu.astype(np.int16),
        origin_mm=(-140.0, -100.0, 0.0),
        axes=UPRIGHT,
        spacing_mm=spacing_mm,
        slice_thickness_mm=spacing_mm[0],
        kernel="STANDARD",
        series_uid="",
        frame_of_reference_uid="",
        sop_instance_uids=("",) * p,
    )


def make_pack(
    folder: Path, cases: int = 2, *, protocol: ReadingProtocol | None = None, reader: str = "A"
) -> Path:
    """Write a pack; the first case has a follow-up: half the size, thicker slices, lower in the scanner."""
    scans: dict[str, tuple[Scan, ...]] = {}
    for number in range(cases):
        volumes = [phantom()]
        if number == 0:
            volumes.append(phantom((5.0, 1.25, 1.0), scale=0.5, shift_mm=SHIFT_MM))
        own = []
        for visit, volume in enumerate(volumes):
            uid = derive_uid("test", "screen", str(number), str(visit))
            study = Study(
                uid, f"CANARYID{number}", "CANARYNAME^Jane", f"2013-0{3 * visit + 1}-05", "CT CHEST"
            )
            export(folder / "images" / uid, volume, study=study)
            series = choose_series(find_studies([folder / "images" / uid]).studies[0]).series
            own.append(Scan(uid, study.patient_id, study.study_date, True, series, ((*TARGET_MM, 40.0),)))
        scans[f"CANARYID{number}"] = tuple(own)
    planned = [
        PlannedCase(f"{reader}-{number:03d}", Candidate(name, tuple(one.study_uid for one in own), True))
        for number, (name, own) in enumerate(scans.items(), start=1)
    ]
    write_pack(folder / "packs", reader, planned, scans, protocol or ReadingProtocol())
    return folder / "packs" / reader


class Hands:
    """The mouse and the keys of somebody at the room."""

    def __init__(self, room) -> None:
        from qtpy.QtWidgets import QApplication

        self.room = room
        self.app = QApplication.instance()

    def settle(self, rounds: int = 3) -> None:
        """Let the window draw."""
        for _ in range(rounds):
            self.app.processEvents()

    def wait_until_active(self, *, for_seconds: float = 0.0) -> None:
        """Wait for the window to have the keys, and to have had them for a while.

        That another program took them Qt believes only after 0.4 s in which they did not come back.
        """
        until = time.monotonic() + 120
        since = None
        while since is None or time.monotonic() - since < for_seconds:
            assert time.monotonic() < until
            self.room.window.activateWindow()
            self.settle()
            if not self.room.window.isActiveWindow():
                since = None
                time.sleep(0.02)
            elif since is None:
                since = time.monotonic()

    def key(self, sequence: str) -> None:
        """Press keys as they are written in the help: Ctrl+Shift+Left."""
        from qtpy.QtCore import Qt
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        pressed = QKeySequence(sequence)[0]
        holder = self.app.focusWidget() or self.room.window
        QTest.keyClick(holder, Qt.Key(pressed.key()), pressed.keyboardModifiers())
        self.settle(1)

    def keys(self, *sequences: str) -> None:
        """Press one after the other."""
        for sequence in sequences:
            self.key(sequence)

    def type(self, text: str) -> None:
        """Type into the field that has the focus."""
        from qtpy.QtTest import QTest

        holder = self.app.focusWidget()
        assert holder is not None, f"nothing has the focus; last field {self.room.form.current!r}"
        QTest.keyClicks(holder, text)
        self.settle(1)

    def mouse(self, view, kind: str, pixel, *, button: str = "left", held: bool = True) -> None:
        """Send a press, move or release to a canvas at a pixel."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent

        which = {"left": Qt.MouseButton.LeftButton, "right": Qt.MouseButton.RightButton}[button]
        types = {
            "press": QEvent.Type.MouseButtonPress,
            "move": QEvent.Type.MouseMove,
            "release": QEvent.Type.MouseButtonRelease,
        }
        own = Qt.MouseButton.NoButton if kind == "move" else which
        down = which if held and kind != "release" else Qt.MouseButton.NoButton
        point = QPointF(*pixel)
        there = QPointF(view.canvas.mapToGlobal(point))
        event = QMouseEvent(types[kind], point, there, own, down, Qt.KeyboardModifier.NoModifier)
        self.app.sendEvent(view.canvas, event)
        self.settle(1)

    def drag(self, view, start, end, *, button: str = "left") -> None:
        """Drag from pixel to pixel, over one between."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.mouse(view, "press", start, button=button)
        self.mouse(view, "move", middle, button=button)
        self.mouse(view, "move", end, button=button)
        self.mouse(view, "release", end, button=button)

    def wheel(self, view, notches: int, *, modifiers=None) -> None:
        """Turn the wheel over the middle of a canvas; up is positive."""
        from qtpy.QtCore import QPoint, QPointF, Qt
        from qtpy.QtGui import QWheelEvent

        middle = QPointF(view.canvas.width() / 2, view.canvas.height() / 2)
        there = QPointF(view.canvas.mapToGlobal(middle))
        buttons, held = Qt.MouseButton.NoButton, modifiers or Qt.KeyboardModifier.NoModifier
        turn = QPoint(0, 120 * notches)
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(middle, there, QPoint(0, 0), turn, buttons, held, phase, False)
        self.app.sendEvent(view.canvas, event)
        self.settle(1)

    def picture(self, view) -> np.ndarray:
        """Return what a canvas shows, overlay and all, as (rows, columns, RGB)."""
        from qtpy.QtGui import QImage

        self.settle(5)
        grabbed = view.canvas.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(grabbed.constBits(), np.uint8).reshape(grabbed.height(), grabbed.bytesPerLine())
        return rows[:, : 3 * grabbed.width()].reshape(grabbed.height(), grabbed.width(), 3).copy()

    def grey_at(self, view, place_mm) -> int:
        """Return the grey level at a place of the scan, the crosshair hidden."""
        x, y = view.to_pixels(place_mm)
        return int(self.picture(view)[round(y), round(x)].mean())


class Rooms:
    """One room at a time for the tests of a module, whatever their order.

    Opening one takes seconds, so tests share it; which of them come before another depends on how processes
    share them out. A room in which more was signed than a test can start from gives way to a new one.

    Parameters
    ----------
    opening : callable
        Returns a room on a new pack; its window is made large.
    """

    def __init__(self, opening) -> None:
        self._opening = opening
        self._room = None

    def room(self, *, may_be_signed: Collection[str] = ()):
        """Return a room that has the keys, and in which nothing is signed but perhaps these reads, once."""
        if self._room is not None:
            acts = [
                (entry.action, entry.subject)
                for entry in self._room.session.desk._ledger.entries()
                if entry.action in (SIGN, AMEND, SECOND_LOOK, SHOW_MARKS)
            ]
            if len(set(acts)) < len(acts) or not set(acts) <= {(SIGN, subject) for subject in may_be_signed}:
                self.close()
        if self._room is None:
            self._room = self._opening()
            self._room.window.resize(1600, 1000)
        Hands(self._room).wait_until_active()
        return self._room

    def close(self) -> None:
        """Close the room, if there is one."""
        if self._room is not None:
            self._room.close()
            self._room = None


def words_of(room) -> list[str]:
    """Return every text that the windows of the program show, or would show on hovering, or tell a helper.

    Rooms that were closed before may still be there, out of sight.
    """
    from qtpy.QtGui import QAction
    from qtpy.QtWidgets import (
        QAbstractButton,
        QApplication,
        QComboBox,
        QGroupBox,
        QLabel,
        QLineEdit,
        QListWidget,
        QMenu,
        QPlainTextEdit,
        QTextEdit,
        QWidget,
    )  # fmt: skip

    words = [room.viewer.title, room.viewer.status if isinstance(room.viewer.status, str) else ""]
    for window in QApplication.topLevelWidgets():
        if window is not room.window and not window.isVisible():
            continue
        for widget in (window, *window.findChildren(QWidget)):
            words += [widget.windowTitle(), widget.toolTip(), widget.objectName(), widget.statusTip()]
            words += [widget.whatsThis(), widget.accessibleName(), widget.accessibleDescription()]
            if isinstance(widget, QLabel | QLineEdit | QAbstractButton):
                words.append(widget.text())
            if isinstance(widget, QLineEdit):
                words.append(widget.placeholderText())
            if isinstance(widget, QPlainTextEdit | QTextEdit):
                words.append(widget.toPlainText())
            if isinstance(widget, QGroupBox | QMenu):
                words.append(widget.title())
            if isinstance(widget, QComboBox):
                words += [widget.itemText(row) for row in range(widget.count())]
            if isinstance(widget, QListWidget):
                words += [widget.item(row).text() for row in range(widget.count())]
        words += [action.text() + action.toolTip() for action in window.findChildren(QAction)]
    for view in (*room.images.views, room.images.beside):
        words += [view.title, view.words_right, view.words_below]
        drawing = view._drawing()
        words += [drawing.top_left, drawing.top_right, drawing.bottom_right]
        words += [line.text for line in drawing.lines]
        for layer in view.model.layers:
            words += [layer.name, str(layer.metadata), str(layer.source)]
    return words


__all__ = [
    "PYDANTIC_1",
    "SHIFT_MM",
    "TARGET_AXES_MM",
    "TARGET_MM",
    "Hands",
    "Rooms",
    "make_pack",
    "needs_screen",
    "phantom",
    "words_of",
]
