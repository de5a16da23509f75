"""The images of the room: three linked planes, the other scan beside, and the tools on them."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from napari.qt import QtViewer
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy renames it

from records.model import Point
from viewer.layers import SLABS_MM, WINDOWS, Display, Plane, Window, next_slab_mm
from viewer.linking import Linking, link_by_position
from viewer.measure import Ruler, probe
from viewer.window.planes import PlaneView

__all__ = ["Images", "Tool"]

FAR_MM = 10.0
CINE_HZ = (4, 8, 12, 16, 24, 32)
WINDOW_STEP_PX = 12.0


class Tool(StrEnum):
    """What the left button and Enter do."""

    CROSSHAIR = "crosshair"
    RULER = "ruler"
    PROBE = "probe"


class Images(QObject):
    """Three planes of one scan, and one plane of another.

    A place is where the crosshair is, in mm along the axes of the scan on the screen.
    """

    ruler_done = Signal()  # a line was put down, or a ruler was taken away

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        # napari's own example of several canvases goes by this attribute too; there is no public one.
        main = PlaneView(viewer, viewer.window._qt_viewer, Plane.AXIAL, self)
        others = [self._make_view(plane) for plane in (Plane.CORONAL, Plane.SAGITTAL)]
        self.views = (main, *others)
        self.beside = self._make_view(Plane.AXIAL)
        self.active: PlaneView = main
        self.shown: Display | None = None
        self.place_mm: Point = (0.0, 0.0, 0.0)
        self.window = WINDOWS["lung"]
        self.tool = Tool.CROSSHAIR
        self.rulers: list[Ruler] = []
        self.others: tuple[Ruler, ...] = ()
        self._is_open = False  # a line hangs on the crosshair
        self._starts_anew = False
        self.is_linked = True
        self._linking: Linking | None = None
        self.link_words = ""  # of what is still to come
        self._speed = CINE_HZ.index(12)
        self._cine = QTimer(self)
        self._cine.timeout.connect(self._play)
        self.activate(main)

    def _make_view(self, plane: Plane) -> PlaneView:
        model = ViewerModel()
        return PlaneView(model, QtViewer(model, show_welcome_screen=False), plane, self)

    @property
    def all_views(self) -> tuple[PlaneView, ...]:
        """The planes, and the one beside while it shows something."""
        return (*self.views, self.beside) if self.beside.shown is not None else self.views

    # A scan comes and goes.

    def show_scan(self, shown: Display, title: str) -> None:
        """Show a scan from its middle, in the lung window, thin, with no ruler.

        Parameters
        ----------
        title : str
            Written into the picture, so that no picture can be taken for that of another case.
        """
        self._cine.stop()
        self.hide_beside()
        self.shown, self.window = shown, WINDOWS["lung"]
        self._forget_rulers()
        self.views[0].title = title
        for view in self.views:
            view.slab_mm = SLABS_MM[0]
            view.show_scan(shown, self.window)
        self.set_tool(Tool.CROSSHAIR)
        self.activate(self.views[0])
        p, r, c = (size / 2 for size in shown.size_mm)
        self.go_to((p, r, c))

    def clear(self) -> None:
        """Take the scan away: what is on the screen is never that of another case."""
        self._cine.stop()
        self.hide_beside()
        self.shown = None
        self._forget_rulers()
        for view in self.views:
            view.hide_marks()
            view.rulers = ()
            view.clear()

    def _forget_rulers(self) -> None:
        """Begin without any, also if one is being drawn."""
        self.rulers, self.others, self._is_open = [], (), False

    def show_rulers(self, rulers: Sequence[Ruler], others: Sequence[Ruler] = ()) -> None:
        """Show these rulers in place of those that are there.

        Parameters
        ----------
        others : sequence of Ruler
            Of somebody else: to be seen, not to be changed.
        """
        self.rulers, self.others = list(rulers), tuple(others)
        self._is_open = False
        self._show_rulers()

    def show_beside(self, other: Display, title: str, rulers: Sequence[Ruler] = ()) -> None:
        """Show another scan of the same patient beside, at the same place."""
        if self.shown is None:
            return
        self._linking, self.link_words = link_by_position(self.shown, other), ""
        self.beside.title = title
        self.beside.rulers = tuple(rulers)
        self.beside.slab_mm = self.views[0].slab_mm
        self.beside.show_scan(other, self.window)
        self.is_linked = True
        self._follow()

    def link_by(self, linking: Linking) -> None:
        """Link both scans in another way."""
        if self.beside.shown is not None:
            self._linking, self.link_words = linking, ""
            if self.is_linked:
                self._follow()
            self._say()

    def tell_of_link(self, words: str) -> None:
        """Say what becomes of the link, below how the scans are linked now."""
        self.link_words = words
        self._say()

    def hide_beside(self) -> None:
        """Take the other scan away."""
        if self.active is self.beside:
            self.activate(self.views[0])
        self._linking = None
        self.beside.clear()

    def show_marks(self, marks: Sequence[tuple[float, float, float, float]]) -> None:
        """Show the machine's marks: x, y, z (LPS) and diameter, mm."""
        if self.shown is None:
            return
        places = np.array([self.shown.place_mm((x, y, z)) for x, y, z, _ in marks]).reshape(-1, 3)
        for view in self.views:
            view.show_marks(places, [size for *_, size in marks])

    # The crosshair and the planes through it.

    def go_to(self, place_mm: Point) -> None:
        """Cut all planes through a place."""
        if self.shown is None:
            return
        self.place_mm = self.shown.clipped_mm(place_mm)
        for view in self.views:
            view.set_place(self.place_mm)
        if self.is_linked:
            self._follow()
        self._say()

    def step(self, view: PlaneView, voxels: int) -> None:
        """Move across a plane by so many slices; positive to the feet, the back, the left."""
        if view.shown is None:
            return
        across = view.plane.order[0]
        place = np.array(view.place_mm)
        place[across] += voxels * view.shown.spacing_mm[across]
        self._go(view, place)

    def _go(
        self, view: PlaneView, place: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]
    ) -> None:
        p, r, c = (float(value) for value in place)
        if view is not self.beside:
            self.go_to((p, r, c))
            return
        if view.shown is None:
            return
        view.set_place(view.shown.clipped_mm((p, r, c)))
        if self.is_linked and self._linking is not None and self.shown is not None:
            there = self._linking.back(view.shown.point_mm(view.place_mm))
            self.place_mm = self.shown.clipped_mm(self.shown.place_mm(there))
            for own in self.views:
                own.set_place(self.place_mm)
            self._say()

    def _follow(self) -> None:
        """Bring the scan beside to the same place of the patient."""
        other = self.beside.shown
        if self.shown is None or other is None or self._linking is None:
            return
        there = self._linking.there(self.shown.point_mm(self.place_mm))
        self.beside.set_place(other.clipped_mm(other.place_mm(there)))
        self._say()

    def go_beside(self, point_mm: Point) -> None:
        """Bring the scan beside to a place of its patient (LPS), and the other by the link."""
        other = self.beside.shown
        if other is not None:
            self._go(self.beside, other.place_mm(point_mm))

    def move_cross(self, right: int, down: int, *, far: bool = False) -> None:
        """Move the crosshair within the active plane."""
        view = self.active
        if view.shown is None:
            return
        place = np.array(view.place_mm)
        for axis, voxels in zip(view.plane.order[1:], (down, right), strict=True):
            place[axis] += voxels * (FAR_MM if far else view.shown.spacing_mm[axis])
        self._go(view, place)
        self._drag_open_end()

    def activate(self, view: PlaneView) -> None:
        """Let the keys go to a plane."""
        self.active = view
        for one in (*self.views, self.beside):
            one.is_active = one is view
            one.overlay.update()

    # Grey levels, slabs, cine.

    def set_window(self, window: Window) -> None:
        """Show all planes in a window."""
        self.window = window
        for view in self.all_views:
            view.set_window(window)
        self._say()

    def change_window(self, right: float, down: float) -> None:
        """Change the window as a drag of so many steps would."""
        self.set_window(self.window.dragged(right * WINDOW_STEP_PX, down * WINDOW_STEP_PX))

    def next_slab(self) -> None:
        """Show a thicker slab, or thin again."""
        self.set_slab(next_slab_mm(self.active.slab_mm))

    def set_slab(self, slab_mm: float) -> None:
        """Show slabs of a thickness."""
        for view in self.all_views:
            view.set_slab(slab_mm)

    def toggle_cine(self) -> None:
        """Play the slices of the active plane, or stop."""
        if self._cine.isActive():
            self._cine.stop()
        else:
            self._cine.start(1000 // CINE_HZ[self._speed])
        self._say()

    def change_speed(self, by: int) -> None:
        """Play faster or slower."""
        self._speed = min(max(self._speed + by, 0), len(CINE_HZ) - 1)
        self._cine.setInterval(1000 // CINE_HZ[self._speed])
        self._say()

    def _play(self) -> None:
        view = self.active
        if view.shown is None:
            return
        across = view.plane.order[0]
        is_last = view.shown.index(view.place_mm)[across] == view.shown.hu.shape[across] - 1
        self.step(view, 1 - view.shown.hu.shape[across] if is_last else 1)

    # Ruler and probe.

    def set_tool(self, tool: Tool) -> None:
        """Take a tool; a ruler that was begun and not finished is put away."""
        if self._is_open:
            self._drop_open_line()
        self.tool = tool
        self._starts_anew = True
        self._show_rulers()
        self._say()

    def place_point(self, place_mm: Point | None = None) -> None:
        """Put an end of the ruler at the crosshair of the active plane, or at a place."""
        view = self.active
        if self.tool is not Tool.RULER or view is self.beside or view.shown is None:
            return
        place = place_mm or view.place_mm
        if self._is_open:
            self._move_open_end(place)
            if self.rulers[-1].is_click:
                self._drop_open_line()
            self._is_open = False
            self._show_rulers()
            self.ruler_done.emit()
            return
        if self._goes_on(view, place):
            self.rulers[-1] = self.rulers[-1].with_point(place)
        else:
            self.rulers.append(Ruler(view.plane, (place,)))
        # The line now hangs on the crosshair until its other end is put down.
        self.rulers[-1] = self.rulers[-1].with_point(place)
        self._is_open, self._starts_anew = True, False
        self._show_rulers()

    def _goes_on(self, view: PlaneView, place: Point) -> bool:
        """Whether the next line is the short axis of the last ruler: on the same slice, and only one."""
        if not self.rulers or self._starts_anew:
            return False
        last, across = self.rulers[-1], view.plane.order[0]
        is_here = last.plane is view.plane and abs(last.points_mm[0][across] - place[across]) < 1e-3
        return is_here and not last.is_complete

    def _drag_open_end(self) -> None:
        if self._is_open and self.active is not self.beside:
            self._move_open_end(self.active.place_mm)
            self._show_rulers()

    def _move_open_end(self, place_mm: Point) -> None:
        """Move the open end of the ruler on the slice where it was begun: no axis runs through slices."""
        ruler = self.rulers[-1]
        self.rulers[-1] = ruler.with_last(_at_depth_of(ruler.points_mm[0], place_mm, ruler.plane))

    def remove_ruler(self) -> bool:
        """Take the last ruler away, or the line that is being drawn; return whether there was one."""
        if not self.rulers:
            return False
        if self._is_open:
            self._drop_open_line()
        else:
            self.rulers.pop()
        self._show_rulers()
        self.ruler_done.emit()
        return True

    def _drop_open_line(self) -> None:
        """Take the line away that waits for its other end; a long axis that was put down stays."""
        last = self.rulers.pop()
        self._is_open = False
        if len(last.points_mm) == 4:
            self.rulers.append(Ruler(last.plane, last.points_mm[:2], last.name))

    @property
    def is_drawing(self) -> bool:
        """Whether a line of the ruler waits for its other end."""
        return self._is_open

    def _show_rulers(self) -> None:
        for view in self.views:
            view.rulers = (*self.others, *self.rulers)
            view.overlay.update()

    # What the mouse does (`planes.Watcher`).

    def pressed(self, view: PlaneView, place_mm: Point) -> None:
        """Move the crosshair, or begin a line of the ruler."""
        self.activate(view)
        if self.tool is Tool.RULER and view is not self.beside:
            if not self._is_open:
                self.place_point(_at_depth_of(view.place_mm, place_mm, view.plane))
        else:
            self._go(view, place_mm)

    def moved(self, view: PlaneView, place_mm: Point) -> None:
        """Move the crosshair, or the open end of the ruler."""
        if self.tool is not Tool.RULER or view is self.beside:
            self._go(view, place_mm)
        elif self._is_open:
            self._move_open_end(place_mm)
            self._show_rulers()

    def released(self, view: PlaneView, place_mm: Point) -> None:
        """Put the open end of the ruler down."""
        if self.tool is Tool.RULER and self._is_open:
            self.place_point(place_mm)

    def windowed(self, right_px: float, down_px: float) -> None:
        """Change the window."""
        self.set_window(self.window.dragged(right_px, down_px))

    def scrolled(self, view: PlaneView, steps: int) -> None:
        """Go through the slices."""
        self.step(view, -steps)

    # Words in the corners.

    def _say(self) -> None:
        """Write what is on the screen beside the images."""
        window = f"{self.window.name}\nW {self.window.width_hu:.0f}  L {self.window.centre_hu:.0f}"
        cine = f"\ncine {CINE_HZ[self._speed]} a second" if self._cine.isActive() else ""
        tool = "" if self.tool is Tool.CROSSHAIR else f"\n{self.tool}"
        for view in self.views:
            view.say(window + (cine + tool if view is self.active else ""), self._probe_words(view))
        self.beside.say(self._words_of_link(), "")

    def _words_of_link(self) -> str:
        """Say whether both scans are linked, and how."""
        if self._linking is None:
            return ""
        if not self.is_linked:
            return "LINK OFF"
        return f"linked\n{self._linking.words}" + (f"\n{self.link_words}" if self.link_words else "")

    def _probe_words(self, view: PlaneView) -> str:
        if self.tool is not Tool.PROBE or self.shown is None or view is not self.active:
            return ""
        read = probe(self.shown, view.plane, self.place_mm)
        return f"{read.hu} HU\n2 mm: {read.mean_hu:.0f} ± {read.deviation_hu:.0f} HU"


def _at_depth_of(other_mm: Point, place_mm: Point, plane: Plane) -> Point:
    """Return a place moved across a plane to where another lies: the mouse knows no depth."""
    place, across = list(place_mm), plane.order[0]
    place[across] = other_mm[across]
    return place[0], place[1], place[2]
