"""What is drawn over an image: letters, scale bar, crosshair, rulers, words in the corners."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRect, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from viewer.layers import Letters

__all__ = ["Drawing", "Line", "Overlay"]

INK = QColor(235, 235, 225)
CROSS = QColor(90, 200, 250, 190)
RULER = QColor(255, 214, 10)
ACTIVE = QColor(255, 159, 10)
SCALE_BARS_MM = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
MARGIN = 10
GAP = 14  # of the crosshair, from its centre, pixels


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its length in words, in pixels of the canvas."""

    start: tuple[float, float]
    end: tuple[float, float]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that one canvas shows over its image, in pixels from its top left corner."""

    letters: Letters | None
    cross: tuple[float, float] | None
    pixels_a_mm: float
    lines: Sequence[Line] = ()
    top_left: str = ""
    top_right: str = ""
    bottom_right: str = ""
    is_active: bool = False

    @property
    def scale_bar_mm(self) -> float:
        """The longest bar that takes at most 150 pixels."""
        fitting = [length for length in SCALE_BARS_MM if length * self.pixels_a_mm <= 150]
        return fitting[-1] if fitting else SCALE_BARS_MM[0]


class Overlay(QWidget):
    """A sheet of glass over a canvas: it draws, and lets the mouse through."""

    def __init__(self, canvas: QWidget, drawing: Callable[[], Drawing]) -> None:
        super().__init__(canvas)
        self._drawing = drawing
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        font = QFont(self.font())
        font.setPixelSize(13)
        self.setFont(font)
        self.resize(canvas.size())
        self.show()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw."""
        drawing = self._drawing()
        painter = QPainter(self)
        if drawing.cross is not None:
            self._draw_cross(painter, drawing.cross)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for line in drawing.lines:
            self._draw_ruler(painter, line)
        if drawing.letters is not None:
            self._draw_letters(painter, drawing.letters)
            self._draw_scale_bar(painter, drawing)
        self._draw_words(painter, drawing)
        if drawing.is_active:
            painter.setPen(QPen(ACTIVE, 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))
        painter.end()

    def _draw_cross(self, painter: QPainter, cross: tuple[float, float]) -> None:
        """Draw the crosshair open in the middle, so that it hides no nodule."""
        x, y = round(cross[0]), round(cross[1])
        for box in (
            QRect(0, y, x - GAP, 1),
            QRect(x + GAP, y, self.width() - x - GAP, 1),
            QRect(x, 0, 1, y - GAP),
            QRect(x, y + GAP, 1, self.height() - y - GAP),
        ):
            painter.fillRect(box, CROSS)  # ten times as fast as a line

    def _draw_ruler(self, painter: QPainter, line: Line) -> None:
        start, end = QPointF(*line.start), QPointF(*line.end)
        painter.setPen(QPen(RULER, 1.6))
        painter.drawLine(start, end)
        for point in (start, end):
            painter.drawEllipse(point, 3, 3)
        if line.text:
            self._write(painter, end + QPointF(8, -6), line.text, RULER)

    def _draw_letters(self, painter: QPainter, letters: Letters) -> None:
        painter.setPen(INK)
        box = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        flags = Qt.AlignmentFlag
        for text, where in (
            (letters.top, flags.AlignTop | flags.AlignHCenter),
            (letters.bottom, flags.AlignBottom | flags.AlignHCenter),
            (letters.left, flags.AlignLeft | flags.AlignVCenter),
            (letters.right, flags.AlignRight | flags.AlignVCenter),
        ):
            self._text(painter, box, where, text, INK, bold=True)

    def _draw_scale_bar(self, painter: QPainter, drawing: Drawing) -> None:
        length = round(drawing.scale_bar_mm * drawing.pixels_a_mm)
        x, y = MARGIN, self.height() - MARGIN - 4
        painter.fillRect(QRect(x, y - 1, length, 2), INK)
        for end in (x, x + length - 2):
            painter.fillRect(QRect(end, y - 4, 2, 9), INK)
        self._write(painter, QPointF(x, y - 8), f"{drawing.scale_bar_mm:g} mm", INK)

    def _draw_words(self, painter: QPainter, drawing: Drawing) -> None:
        box = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        flags = Qt.AlignmentFlag
        for text, where in (
            (drawing.top_left, flags.AlignTop | flags.AlignLeft),
            (drawing.top_right, flags.AlignTop | flags.AlignRight),
            (drawing.bottom_right, flags.AlignBottom | flags.AlignRight),
        ):
            self._text(painter, box, where, text, INK)

    def _text(
        self,
        painter: QPainter,
        box: QRectF,
        where: Qt.AlignmentFlag,
        text: str,
        ink: QColor,
        *,
        bold: bool = False,
    ) -> None:
        """Write with a dark edge, legible on lung and on bone."""
        font = QFont(self.font())
        font.setBold(bold)
        painter.setFont(font)
        painter.setPen(QColor(0, 0, 0, 200))
        painter.drawText(box.translated(1, 1), where, text)
        painter.setPen(ink)
        painter.drawText(box, where, text)

    def _write(self, painter: QPainter, at: QPointF, text: str, ink: QColor) -> None:
        painter.setPen(QColor(0, 0, 0, 200))
        painter.drawText(at + QPointF(1, 1), text)
        painter.setPen(ink)
        painter.drawText(at, text)
