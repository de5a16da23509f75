"""The reading room: worklist, images, form, and a key for everything."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import napari
from napari import Viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]  # qtpy moves it
from qtpy.QtWidgets import QLabel, QSplitter, QVBoxLayout, QWidget

from records.errors import ScreeningError
from records.reads import LesionRole
from records.wording import counted
from viewer.actions import ACTIONS
from viewer.desk import Desk, Item, State
from viewer.layers import Display, display
from viewer.linking import link_by_alignment
from viewer.measure import Ruler, ruler_of
from viewer.occupancy import Occupancy
from viewer.pack import PackError, image_files, images_of
from viewer.reading import Fault, Form, Mark, can_sign
from viewer.session import Mode, Session
from viewer.window.aligning import Aligner
from viewer.window.dialogs import HelpPage, SignPanel
from viewer.window.fields import COLOURS
from viewer.window.form import FormPanel
from viewer.window.image_actions import ImageActions
from viewer.window.images import Images, Tool
from viewer.window.worklist import Worklist

__all__ = ["Room", "open_room"]

KEPT_SCANS = 3  # this one, the one beside, the next: a scan is about 150 MB
PLANES_PX = 300  # of the coronal and sagittal planes, at least


class Room(ImageActions):
    """One reader at one pack, on the screen.

    Parameters
    ----------
    pack : Path
        The folder of the pack.
    marks : Path, optional
        The machine's marks, handed out by the coordinator after the reads are in.
    show : bool
        Show the window; without it the canvases stay blank.
    """

    def __init__(self, pack: Path, marks: Path | None = None, *, show: bool = True) -> None:
        self.session = Session(Desk(pack), marks)
        self._occupancy = Occupancy(pack)
        self.viewer = Viewer(title=f"Reading room, reader {self.session.desk.pack.reader}", show=False)
        self.window = self.viewer.window._qt_window
        self.images = Images(self.viewer)
        self.worklist = Worklist(self.session.desk, self.open)
        self.form = FormPanel(self.session, self._change)
        self.message = QLabel()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="next scan")
        self._scans: dict[str, Future[Display]] = {}
        self._visited = -1  # of the places where others measured
        self._is_earlier = False  # the scan on the screen, of it and the one beside
        self._aligner = Aligner()
        self._aligner.progressed.connect(self._take_alignment)
        self.images.ruler_done.connect(self._keep_rulers)
        self._furnish()
        self.help = HelpPage(self.window)
        self.panel = SignPanel(self.window, self._sign)
        self._shortcuts = [self._bind(key, action.name) for action in ACTIONS for key in action.keys]
        if show:
            self.window.showMaximized()
            self.viewer.window.show()
            self.window.activateWindow()
        self.open(self.session.item)

    def _furnish(self) -> None:
        """Put everything in its place; of napari's own panels only the canvas stays."""
        qt = self.viewer.window._qt_viewer
        for dock in (qt.dockLayerList, qt.dockLayerControls):
            dock.setVisible(False)
        self.window.menuBar().setVisible(False)
        self.window.statusBar().setVisible(False)
        qt.show_welcome_screen = False
        planes = QSplitter(Qt.Orientation.Vertical)
        for view in self.images.views[1:]:
            planes.addWidget(view.qt)
        planes.setMinimumWidth(PLANES_PX)
        right = QWidget()
        layout = QVBoxLayout(right)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.message.setWordWrap(True)
        self.message.setStyleSheet(f"color:{COLOURS[Fault.INCONSISTENT]}; padding:6px;")
        self.message.setFixedWidth(self.form.width())
        layout.addWidget(self.message)
        add = self.viewer.window.add_dock_widget
        self._docks = [
            add(widget, name=name, area=area, add_vertical_stretch=False, tabify=False)
            for widget, name, area in (
                (self.worklist, "worklist", "left"),
                (self.images.beside.qt, "beside", "left"),
                (planes, "planes", "right"),
                (right, "form", "right"),
            )
        ]
        for dock in self._docks:
            dock.setTitleBarWidget(QWidget())
        self.window.splitDockWidget(self._docks[0], self._docks[1], Qt.Orientation.Horizontal)
        self.window.splitDockWidget(self._docks[2], self._docks[3], Qt.Orientation.Horizontal)
        self._docks[1].setVisible(False)

    def _bind(self, key: str, name: str) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), self.window)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(lambda: self._act(name))
        return shortcut

    def _act(self, name: str) -> None:
        """Do what a key stands for; while the signature is asked for, Enter signs and Esc goes back."""
        if not self.panel.isVisible():
            getattr(self, f"do_{name}")()
        elif name == "place_point":
            self.panel.accept()
        elif name == "leave":
            self.panel.hide()
            self.do_leave()

    # Cases.

    def open(self, item: Item) -> None:
        """Put a read and its scan on the screen; a signature that was asked for was for the read before."""
        self.panel.hide()
        try:
            self.session.open(item)
        except PackError as error:  # its draft is damaged; the read before stays on the screen
            self.say(f"{item.title} cannot be opened: {error}")
            return
        self._docks[1].setVisible(False)
        self._aligner.stop()
        self.say("")
        self._visited = -1
        if self.session.mode is Mode.WAITING:
            self.images.clear()
            self.say("Sign the scan before this one first.")
        else:
            try:
                self.images.show_scan(self._scan(item), f"{item.title}\nAxial")
                self._show_rulers()
            except (ScreeningError, PackError) as error:
                self.images.clear()
                self.say(f"The images cannot be shown: {error}")
        self.form.build()
        self.form.current = ""
        self.worklist.refresh(item)
        self.do_leave()
        following = self.session.desk.next_open(item)
        if following is not None and following is not item:
            self._ask_for(following)

    def _scan(self, item: Item) -> Display:
        try:
            return self._ask_for(item).result()
        except (ScreeningError, PackError):
            del self._scans[item.subject]  # the next time it is read again
            raise

    def _ask_for(self, item: Item) -> "Future[Display]":
        """Read a scan in the background, unless it is there already; keep a few."""
        found = self._scans.pop(item.subject, None) or self._reader.submit(_read, self.session.desk, item)
        self._scans[item.subject] = found
        while len(self._scans) > KEPT_SCANS:
            self._scans.pop(next(iter(self._scans)))
        return found

    def _move(self, lines: int) -> None:
        items = self.session.desk.items
        place = items.index(self.session.item) + lines
        if 0 <= place < len(items):
            self.open(items[place])

    def _change(self, form: Form, field: str) -> None:
        """Take over a change of the form, keep it, show it."""
        was_new = self.session.desk.state(self.session.item) is State.UNREAD
        try:
            self.session.change(form, field)
        except OSError as error:
            self._say_not_saved(error)
        self.form.refresh()
        self._show_rulers()
        if was_new:
            self.worklist.refresh(self.session.item)

    def _keep_rulers(self) -> None:
        """Keep what was drawn with the read, so that no measurement is lost, taken into a field or not."""
        shown, session = self.images.shown, self.session
        if shown is None or not session.can_change:
            return
        form = replace(session.form, marks=tuple(ruler.mark(shown) for ruler in self.images.rulers))
        last = self.images.rulers[-1] if self.images.rulers else None
        kept = session.form.mark(last.name) if last is not None else None
        if last is not None and kept is not None and len(kept.points_mm) < len(last.points_mm):
            # Its short axis was drawn after it was taken into the field.
            form = self._with_value(form, last.name, last) or form
        self._change(form, "")

    def _show_rulers(self) -> None:
        """Show the rulers that the read keeps."""
        shown = self.images.shown
        if shown is not None and not self.images.is_drawing:
            own = [ruler_of(mark, shown) for mark in self.session.form.marks]
            others = [
                replace(ruler_of(mark, shown), name=f"{read.label}, {mark.name}")
                for read in self.session.item.case.earlier_reads
                if read.time_point == self.session.item.time_point.number
                for mark in read.marks
            ]
            self.images.show_rulers(own, others)

    def say(self, sentence: str) -> None:
        """Say something below the form."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))

    def close(self) -> None:
        """Close the window."""
        self.images.set_tool(Tool.CROSSHAIR)
        self._aligner.stop()
        self._reader.shutdown(wait=True, cancel_futures=True)
        for view in (*self.images.views[1:], self.images.beside):
            view.qt.close()
        self.viewer.close()
        self._occupancy.leave()

    # One method an action, named in `viewer.actions`.

    def do_take_value(self) -> None:
        """Write the ruler's millimetres into the field last used, and keep where they were taken."""
        if not self.images.rulers or self.images.shown is None or self.images.is_drawing:
            self.say("Draw a ruler first (R).")
            return
        *others, last = self.images.rulers
        name = self.form.current.split()[0] if self.form.current else ""
        taken = self._with_value(self.session.form, name, last)
        if taken is None or not self.session.can_change:
            self.say("Go to the field for the size first (Tab).")
            return
        rulers = (*(ruler for ruler in others if ruler.name != name), replace(last, name=name))
        self._change(replace(taken, marks=tuple(ruler.mark(self.images.shown) for ruler in rulers)), "")
        self.say("")

    def _with_value(self, form: Form, name: str, ruler: Ruler) -> Form | None:
        """Return the form with the ruler's millimetres in a field, or None if it takes none."""
        if name in ("largest_mm", "typical_mm"):
            return form.with_answer(name, str(ruler.long_axis_mm))
        return self.form.lesions.take(form, name, ruler.long_axis_mm, ruler.short_axis_mm)

    def do_find_lesion(self) -> None:
        """Go to where the lesion of the field in use was measured, here or at the scan before.

        An adjudicator goes through the places where both readers measured.
        """
        name = self.form.current.split()[0] if self.form.current else ""
        here, before = self.session.form.mark(name), self._mark_before(name)
        if self.images.shown is not None and here is not None:
            self.images.go_to(self.images.shown.place_mm(here.middle_mm))
        elif self.images.others:
            self._visited = (self._visited + 1) % len(self.images.others)
            self.images.go_to(self.images.others[self._visited].middle_mm)
        elif before is not None:
            if self.images.beside.shown is None:
                self.do_beside()
            self.images.go_beside(before.middle_mm)
        else:
            self.say("Nothing was measured for this field yet.")

    def _mark_before(self, name: str) -> Mark | None:
        previous = self.session.desk.previous(self.session.item)
        return None if previous is None else self.session.desk.form(previous).mark(name)

    def do_leave(self) -> None:
        """Leave tool, help or field; the keys go to the images."""
        if self.help.isVisible():
            self.help.toggle()
        elif self.images.tool is not Tool.CROSSHAIR and not self.form.has_focus():
            self.images.set_tool(Tool.CROSSHAIR)
        self.images.views[0].canvas.setFocus()

    def do_beside(self) -> None:
        """Show the scan before (or after, once this one is signed) beside this one, or take it away."""
        if self.images.beside.shown is not None:
            self._aligner.stop()
            self.images.hide_beside()
            self._docks[1].setVisible(False)
            return
        other = self._other_item()
        if other is None:
            self.say("This case has no other scan to show.")
            return
        try:
            shown, marks = self._scan(other), self.session.desk.form(other).marks
        except (ScreeningError, PackError) as error:
            self.say(f"The other scan cannot be shown: {error}")
            return
        half = (self.images.views[0].canvas.width() + self._docks[2].width() - PLANES_PX) // 2
        self._docks[1].setVisible(True)
        self.window.resizeDocks(
            [self._docks[1], self._docks[2]], [half, PLANES_PX], Qt.Orientation.Horizontal
        )
        days = other.time_point.day - self.session.item.time_point.day
        title = f"{other.time_point.name}, {days:+d} {'day' if abs(days) == 1 else 'days'}"
        self.images.show_beside(shown, title, [ruler_of(mark, shown) for mark in marks])
        self.images.beside.fit()
        self._align(other)

    def _align(self, other: Item) -> None:
        """Have both scans aligned, and go on by position meanwhile."""
        item, folder = self.session.item, self.session.desk.folder
        earlier, later = sorted((item, other), key=lambda one: one.time_point.number)
        self._is_earlier = item is earlier
        self._aligner.ask(
            images_of(folder, earlier.case.code, earlier.time_point.number),
            images_of(folder, later.case.code, later.time_point.number),
        )

    def _take_alignment(self) -> None:
        """Tell how far the alignment has come; link both scans by it if it is good."""
        found = self._aligner.found
        if self.images.beside.shown is None:
            return
        if found is None:
            self.images.tell_of_link(f"aligning, {self._aligner.seconds} s")
        elif isinstance(found, str) or not found.is_good:
            self.images.tell_of_link("not aligned")
            self.say(f"Linked by position only: {found if isinstance(found, str) else found.reason}.")
        else:
            self.images.link_by(link_by_alignment(found, is_earlier=self._is_earlier))

    def _other_item(self) -> Item | None:
        desk, item = self.session.desk, self.session.item
        following = next((one for one in desk.items if desk.previous(one) is item), None)
        can_see = following is not None and desk.state(item) in (State.SIGNED, State.TO_SEE)
        return desk.previous(item) or (following if can_see else None)

    def do_next_field(self) -> None:
        """Go to the next field."""
        self.form.go_on(1)

    def do_previous_field(self) -> None:
        """Go to the field before."""
        self.form.go_on(-1)

    def do_add_target(self) -> None:
        """Add a target."""
        self._add(LesionRole.TARGET)

    def do_add_non_target(self) -> None:
        """Add a non-target."""
        self._add(LesionRole.NON_TARGET)

    def _add(self, role: LesionRole) -> None:
        if self._can_add(at_baseline=True):
            self._go_to(self.form.lesions.add(role))

    def do_add_new_lesion(self) -> None:
        """Add a new lesion."""
        if self._can_add(at_baseline=False):
            self._go_to(self.form.lesions.add_new())

    def _can_add(self, *, at_baseline: bool) -> bool:
        asks = self.session.desk.pack.protocol.asks_recist
        return asks and self.session.can_change and self.session.form.is_baseline is at_baseline

    def _go_to(self, name: str) -> None:
        field = self.form.lesions.field(name)
        if field is not None:
            field.setFocus(Qt.FocusReason.TabFocusReason)

    def do_remove_lesion(self) -> None:
        """Remove the lesion of the field in use."""
        if self.session.can_change:
            self.form.lesions.remove(self.form.current)

    def do_undo(self) -> None:
        """Undo."""
        if self.images.is_drawing:
            self.images.remove_ruler()
        else:
            self._move_in_time(self.session.undo)

    def do_redo(self) -> None:
        """Redo."""
        self._move_in_time(self.session.redo)

    def _say_not_saved(self, error: OSError) -> None:
        self.say(f"NOT SAVED: {error.strerror}. Free the disk of the pack, then change a field again.")

    def _move_in_time(self, move: Callable[[], bool]) -> None:
        try:
            has_moved = move()
        except OSError as error:
            has_moved = True
            self._say_not_saved(error)
        if has_moved:
            self.form.refresh()
            self._show_rulers()

    def do_sign(self) -> None:
        """Sign, after the meaning was stated; where it is not complete, go to what is missing."""
        session = self.session
        if not session.can_change:
            return
        if self.images.shown is None:
            self.say("A read is signed with its images on the screen, and these cannot be shown.")
            return
        problems = session.problems
        if not can_sign(session.form, problems):
            odd = " or a comment" if all(one.fault == "inconsistent" for one in problems) else ""
            self.say(f"Not complete: {counted(len(problems), 'field needs', 'fields need')} an answer{odd}.")
            self.form.go_to_problem()
            return
        meaning = session.desk.meaning(session.item)
        amends = session.mode is Mode.AMEND
        if amends:
            meaning = "You replace your signed read. The earlier version stays in the record."
        elif session.mode is Mode.SECOND_LOOK:
            meaning = "This second read, made with the machine's marks, is kept beside your first."
        self.panel.ask(
            meaning,
            asks_reason=amends,
            asks_passphrase=session.desk.pack.protocol.asks_passphrase,
            is_first=session.desk.needs_passphrase,
        )

    def _sign(self, reason: str, passphrase: str) -> None:
        try:
            self.session.sign(reason, passphrase)
        except PackError as error:
            self.say(str(error))
            return
        except OSError as error:
            self.say(f"NOT SIGNED: {error.strerror}. Free the disk of the pack, then sign again.")
            return
        self.form.build()
        self.worklist.refresh(self.session.item)
        self.do_leave()
        self.say(f"{self.session.item.title} is signed. Ctrl+N goes on.")

    def do_amend(self) -> None:
        """Make a signed read changeable."""
        try:
            self.session.start_amendment()
        except PackError as error:
            self.say(str(error))
            return
        self.say("")
        self.form.build()
        self._show_rulers()

    def do_next_case(self) -> None:
        """Open the next read that is not signed."""
        following = self.session.desk.next_open(self.session.item)
        if following is None:
            self.say("Every read is signed. Close the window and hand the pack back.")
        else:
            self.open(following)

    def do_case_down(self) -> None:
        """Open the next line of the worklist."""
        self._move(1)

    def do_case_up(self) -> None:
        """Open the line before."""
        self._move(-1)

    def do_marks(self) -> None:
        """Show the machine's marks, and open the second read."""
        try:
            marks = self.session.start_second_look()
        except PackError as error:
            self.say(str(error))
            return
        except OSError as error:
            self.say(f"The marks cannot be shown, since that cannot be noted: {error.strerror}.")
            return
        self.images.show_marks(marks)
        self.form.build()

    def do_help(self) -> None:
        """Show or hide all keys."""
        self.help.toggle()


def open_room(pack: Path, marks: Path | None = None) -> None:
    """Open the reading room on a pack, until its window is closed."""
    room = Room(pack, marks)
    napari.run()
    room._reader.shutdown(wait=False, cancel_futures=True)


def _read(desk: Desk, item: Item) -> Display:
    from imaging.dicom import choose_series, find_studies, read_volume

    desk.check_images(item)
    files = image_files(desk.folder, item.case.code, item.time_point.number)
    (study,) = find_studies(files).studies
    return display(read_volume(choose_series(study).series))
