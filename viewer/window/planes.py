"""One canvas of the room: a napari viewer that shows one plane of a scan."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.qt import QtViewer
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QRect, Qt, QTimer

from records.model import Point
from viewer.layers import Display, Plane, Window
from viewer.measure import Ruler
from viewer.window.overlay import Drawing, Line, Overlay

__all__ = ["PlaneView", "Watcher"]

LEFT, RIGHT = 1, 2  # mouse buttons, as napari counts them
REST_MS = 200
CROSS_MS = 60
LABEL = QRect(0, 0, 320, 96)  # the words in the upper left corner
RING_MM = 6.0  # wider than the nodule, so that it stays in sight
NOTHING = np.zeros((1, 1, 1), np.int16)  # what a canvas keeps of a scan that is gone
FILLED = 0.96  # share of the canvas that a whole image takes


class Watcher(Protocol):
    """Who is told what the mouse does on a plane."""

    def pressed(self, view: "PlaneView", place_mm: Point) -> None:
        """Tell that the left button went down."""

    def moved(self, view: "PlaneView", place_mm: Point) -> None:
        """Tell that the mouse moved with the left button down."""

    def released(self, view: "PlaneView", place_mm: Point) -> None:
        """Tell that the left button came up."""

    def windowed(self, right_px: float, down_px: float) -> None:
        """Tell that the mouse moved with the right button down."""

    def scrolled(self, view: "PlaneView", steps: int) -> None:
        """Tell that the wheel turned; up is positive."""


class PlaneView(QObject):
    """A plane on a canvas.

    Parameters
    ----------
    model, qt : ViewerModel, QtViewer
        napari's, that of the window or one more.
    plane : Plane
    watcher : Watcher
    """

    def __init__(self, model: ViewerModel, qt: QtViewer, plane: Plane, watcher: Watcher) -> None:
        super().__init__()
        self.model, self.qt, self.plane = model, qt, plane
        self.shown: Display | None = None
        self.place_mm: Point = (0.0, 0.0, 0.0)
        self.slab_mm = 1.0
        self.is_active = False
        self.shows_cross = True
        self.title = plane.capitalize()
        self.rulers: Sequence[Ruler] = ()
        self.words_right = ""
        self.words_below = ""
        self._watcher = watcher
        self._image: Image | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._smooth)
        # A surface of its own: otherwise every canvas that draws has the whole window put together anew.
        qt.setAttribute(Qt.WidgetAttribute.WA_DontCreateNativeAncestors)
        qt.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)
        self._cross_follows = QTimer(self)
        self._cross_follows.setSingleShot(True)
        self._cross_follows.timeout.connect(self._redraw)
        qt.dims.setVisible(False)
        model.canvas.background_color_override = "black"  # around a CT, in the light theme too
        for keys in (
            self.canvas._vispy_canvas.events.key_press,
            self.canvas._vispy_canvas.events.key_release,
        ):
            keys.disconnect()  # napari's own keys: one deletes the image, others turn it
        model.mouse_drag_callbacks.append(self._drag)
        model.mouse_double_click_callbacks.clear()  # napari's own would zoom
        model.mouse_wheel_callbacks.clear()
        model.mouse_wheel_callbacks.append(self._wheel)
        model.scene.camera.events.center.connect(self._redraw)
        model.scene.camera.events.zoom.connect(self._redraw)
        self.overlay = Overlay(self.canvas, self._drawing)
        self.canvas.installEventFilter(self)

    @property
    def canvas(self) -> Any:
        """The widget that draws."""
        return self.qt.canvas.native

    def show_scan(self, shown: Display, window: Window) -> None:
        """Show a scan in place of the one before."""
        self.hide_marks()
        self.shown = shown
        if self._image is None:
            self._image = self.model.add_image(
                shown.hu,
                name="scan",
                scale=shown.spacing_mm,
                contrast_limits=window.limits_hu,
                colormap="gray",
                interpolation2d="linear",
                multiscale=False,
            )
            # The layer, not the camera, decides what the mouse does in napari.
            self._image.mouse_pan = self._image.mouse_zoom = False
            self.model.dims.order = self.plane.order
        else:  # another layer would be compiled anew, and the old one collected: a second in all
            self._image.data = shown.hu
            self._image.scale = shown.spacing_mm
            self._image.visible = True
            self.set_window(window)
        self.set_slab(self.slab_mm)
        self.fit()

    def show_marks(self, places_mm: NDArray[np.float64], sizes_mm: Sequence[float]) -> None:
        """Ring the marks of the machine on the slices within 3 mm of their centres."""
        self.model.add_points(
            places_mm,
            name="marks",
            size=[size + RING_MM for size in sizes_mm],
            face_color="transparent",
            border_color="#ff9f0a",
            border_width=0.12,
            projection_mode="all",
        )
        self.model.layers.selection.active = self._image

    def hide_marks(self) -> None:
        """Take the marks away."""
        if "marks" in self.model.layers:
            self.model.layers.remove("marks")

    def clear(self) -> None:
        """Show nothing."""
        self.shown = None
        if self._image is not None:
            self._image.visible = False
            self._image.data = NOTHING
        self.overlay.update()

    def set_place(self, place_mm: Point) -> None:
        """Cut through a place; the other canvases are told by whoever calls."""
        across, *within = self.plane.order
        has_moved = any(place_mm[axis] != self.place_mm[axis] for axis in within)
        self.place_mm = place_mm
        if self._image is not None and self.model.dims.point[across] != place_mm[across]:
            # Smooth pixels cost a third of a step where the processor draws: they follow at rest.
            if self._image.interpolation2d != "nearest":
                self._image.interpolation2d = "nearest"
            self._rest.start(REST_MS)
            self.model.dims.set_point(across, place_mm[across])
        # What is painted anew over OpenGL goes to the graphics card again: no more than has changed, and
        # the lines in the planes that the reader is not at come after the slice that he is.
        if has_moved and not self.is_active:
            if not self._cross_follows.isActive():
                self._cross_follows.start(CROSS_MS)
        elif has_moved or self.rulers:
            self.overlay.update()
        else:
            self.overlay.update(LABEL)

    def _smooth(self) -> None:
        if self._image is not None:
            self._image.interpolation2d = "linear"

    def say(self, right: str, below: str) -> None:
        """Write words into the upper and the lower right corner."""
        if (right, below) != (self.words_right, self.words_below):
            self.words_right, self.words_below = right, below
            self.overlay.update()

    def set_window(self, window: Window) -> None:
        """Change what is black and white."""
        if self._image is not None:
            self._image.contrast_limits_range = (-3000.0, 4000.0)
            self._image.contrast_limits = window.limits_hu

    def set_slab(self, slab_mm: float) -> None:
        """Show the brightest of so many millimetres; from 1 mm down the slice as it was scanned."""
        self.slab_mm = slab_mm
        if self._image is None:
            return
        is_thin = slab_mm <= 1.0
        self._image.projection_mode = "none" if is_thin else "max"
        thickness = [0.0, 0.0, 0.0]
        # A thin image takes no thickness; the rings of the marks do.
        thickness[self.plane.order[0]] = RING_MM if is_thin else slab_mm
        self.model.dims.thickness = tuple(thickness)
        self.overlay.update()

    def fit(self) -> None:
        """Show the whole plane; a canvas that has no size yet is fitted when it gets one."""
        if self.shown is None or min(self.canvas.width(), self.canvas.height()) < 2:
            return
        _, down, along = self.plane.order
        size = self.shown.size_mm
        self.model.scene.camera.center = (0.0, size[down] / 2, size[along] / 2)
        zoom_down = self.canvas.height() / max(size[down], 1.0)
        zoom_along = self.canvas.width() / max(size[along], 1.0)
        self.model.scene.camera.zoom = FILLED * min(zoom_down, zoom_along)

    def zoom(self, factor: float) -> None:
        """Come closer or go farther, around the crosshair."""
        _, down, along = self.plane.order
        old = self.model.scene.camera.center
        share = 1 - 1 / factor
        self.model.scene.camera.zoom *= factor
        self.model.scene.camera.center = (
            0.0,
            old[-2] + share * (self.place_mm[down] - old[-2]),
            old[-1] + share * (self.place_mm[along] - old[-1]),
        )

    def to_pixels(self, place_mm: Point) -> tuple[float, float]:
        """Return where on the canvas a place is drawn, in pixels from the top left corner."""
        _, down, along = self.plane.order
        centre, zoom = self.model.scene.camera.center, self.model.scene.camera.zoom
        x = self.canvas.width() / 2 + (place_mm[along] - centre[-1]) * zoom
        y = self.canvas.height() / 2 + (place_mm[down] - centre[-2]) * zoom
        return x, y

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt's name)
        """Keep the overlay over the whole canvas, and the whole plane in it."""
        if event.type() == QEvent.Type.Resize:
            self.overlay.resize(self.canvas.size())
            self.fit()
        return False

    def _redraw(self) -> None:
        self.overlay.update()

    def _drag(self, model: ViewerModel, event: Any) -> Iterator[None]:
        """Follow the mouse from button down to button up (napari's kind of callback)."""
        if event.button == RIGHT:
            x, y = event.pos
            yield
            while event.type == "mouse_move":
                self._watcher.windowed(event.pos[0] - x, event.pos[1] - y)
                x, y = event.pos
                yield
            return
        if event.button != LEFT or self.shown is None:
            return
        self._watcher.pressed(self, self._place(event))
        yield
        while event.type == "mouse_move":
            self._watcher.moved(self, self._place(event))
            yield
        self._watcher.released(self, self._place(event))

    def _place(self, event: Any) -> Point:
        p, r, c = (float(value) for value in event.position)
        return p, r, c

    def _wheel(self, model: ViewerModel, event: Any) -> None:
        up = event.delta[1]
        if "Control" in {modifier.name for modifier in event.modifiers}:
            self.zoom(1.15 if up > 0 else 1 / 1.15)
        elif up:
            self._watcher.scrolled(self, 1 if up > 0 else -1)

    def _drawing(self) -> Drawing:
        zoom = float(self.model.scene.camera.zoom)
        if self.shown is None:
            return Drawing(None, None, zoom)
        across = self.plane.order[0]
        number, count = self.shown.index(self.place_mm)[across] + 1, self.shown.hu.shape[across]
        slab = "" if self.slab_mm <= 1 else f"\nMIP {self.slab_mm:g} mm"
        return Drawing(
            letters=self.shown.letters(self.plane),
            cross=self.to_pixels(self.place_mm) if self.shows_cross else None,
            pixels_a_mm=zoom,
            lines=tuple(self._lines()),
            top_left=f"{self.title}\n{number} / {count}{slab}",
            top_right=self.words_right,
            bottom_right=self.words_below,
            is_active=self.is_active,
        )

    def _lines(self) -> Iterator[Line]:
        """Yield the rulers of this plane that lie in what is shown."""
        if self.shown is None:
            return
        across = self.plane.order[0]
        reach = max(self.shown.spacing_mm[across], self.slab_mm if self.slab_mm > 1 else 0) / 2 + 1e-6
        for ruler in self.rulers:
            points = ruler.points_mm
            if ruler.plane is not self.plane or abs(points[0][across] - self.place_mm[across]) > reach:
                continue
            for first, length in ((0, ruler.long_axis_mm), (2, ruler.short_axis_mm)):
                if len(points) > first:
                    start = self.to_pixels(points[first])
                    end = self.to_pixels(points[first + 1]) if len(points) > first + 1 else start
                    name = f"{ruler.name.removesuffix('_mm')} ".lstrip() if first == 0 else ""
                    yield Line(start, end, f"{name}{length} mm" if length is not None else "")
