"""Fields of the form that are filled in by single keys."""

from collections.abc import Sequence

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]  # qtpy renames it
from qtpy.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QWidget

from viewer.questions import Choice
from viewer.reading import Fault

__all__ = ["COLOURS", "ChoiceField", "CycleField", "Field", "LineField", "TextField"]

CHOSEN = "background:#2f6fd0; color:white; border-radius:4px; padding:2px 6px;"
OPEN = "background:rgba(128,128,128,60); border-radius:4px; padding:2px 6px;"
FOCUS = "#ff9f0a"
# Between black and white, so that they are legible on napari's dark and light theme: over 3 to 1 on both.
COLOURS = {Fault.MISSING: "#8c8c8c", Fault.INVALID: "#e5484d", Fault.INCONSISTENT: "#c98200"}


class Field(QWidget):
    """A field with a name; `changed` carries its new value, `focused` its name."""

    changed = Signal(str)
    focused = Signal(str)
    left = Signal()  # answered by a key: the next field may have the focus

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.setObjectName(name)

    def set_value(self, value: str) -> None:
        """Show a value, telling nobody."""
        raise NotImplementedError

    def value(self) -> str:
        """Return the value shown."""
        raise NotImplementedError


class ChoiceField(Field):
    """A few answers in a row; each has its key, left and right arrows go along."""

    def __init__(self, name: str, choices: Sequence[Choice], *, short: bool = False) -> None:
        super().__init__(name)
        self._choices = tuple(choices)
        self._value = ""
        self._labels = []
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(3, 2, 3, 2)
        layout.setSpacing(3)
        for choice in self._choices:
            label = QLabel(choice.key if short else self._text(choice))
            label.setTextFormat(Qt.TextFormat.RichText)
            self._labels.append(label)
            layout.addWidget(label)
        layout.addStretch()
        self._draw()

    @staticmethod
    def _text(choice: Choice) -> str:
        """Return the label with its key underlined."""
        if choice.label[:1] == choice.key:
            return f"<u>{choice.key}</u>{choice.label[1:]}"
        return f"<u>{choice.key}</u> {choice.label}"

    def set_value(self, value: str) -> None:
        """Show a value, telling nobody."""
        if value != self._value:
            self._value = value
            self._draw()

    def value(self) -> str:
        """Return the value shown."""
        return self._value

    def event(self, event: QEvent) -> bool:
        """Keep the keys of this field from the shortcuts of the room."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and self._is_own(event)
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """Answer."""
        if not self._is_own(event) or not self.isEnabled():
            super().keyPressEvent(event)
            return
        values = [choice.value for choice in self._choices]
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            step = 1 if event.key() == Qt.Key.Key_Right else -1
            place = values.index(self._value) + step if self._value in values else 0
            self._choose(values[place % len(values)])
        elif event.key() == Qt.Key.Key_Backspace:
            self._choose("")
        else:
            key = event.text().upper()
            self._choose(next(choice.value for choice in self._choices if choice.key == key))
            self.left.emit()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Answer by a click."""
        self.setFocus()
        for choice, label in zip(self._choices, self._labels, strict=True):
            if self.isEnabled() and label.geometry().contains(event.position().toPoint()):
                self._choose(choice.value)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 (Qt's name)
        """Show the focus."""
        self._draw()
        self.focused.emit(self.name)
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 (Qt's name)
        """Show that the focus went."""
        self._draw()
        super().focusOutEvent(event)

    def _is_own(self, event: QKeyEvent) -> bool:
        if event.modifiers() not in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            return False
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Backspace):
            return True
        return event.text().upper() in {choice.key for choice in self._choices}

    def _choose(self, value: str) -> None:
        if value != self._value:
            self._value = value
            self._draw()
            self.changed.emit(value)

    def _draw(self) -> None:
        for choice, label in zip(self._choices, self._labels, strict=True):
            edge = f"border:1px solid {FOCUS};" if self.hasFocus() else "border:1px solid transparent;"
            label.setStyleSheet((CHOSEN if choice.value == self._value else OPEN) + edge)


class CycleField(ChoiceField):
    """Many answers in the place of one: left and right arrows, or the first letter, go through them."""

    def __init__(self, name: str, values: Sequence[str]) -> None:
        Field.__init__(self, name)
        self._choices = tuple(Choice(value, value.replace("_", " ").lower(), "") for value in values)
        self._value = values[0]
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._label = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(self._label)
        self._draw()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Go to the next answer by a click."""
        self.setFocus()
        if self.isEnabled():
            self._go_to_next("")

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt's name)
        """Go to another answer."""
        is_arrow = event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right)
        if is_arrow or not self._is_own(event):
            super().keyPressEvent(event)
        elif self.isEnabled():
            self._go_to_next(event.text().lower())

    def _go_to_next(self, letter: str) -> None:
        """Go to the next answer that begins with a letter."""
        values = [choice.value for choice in self._choices]
        place = values.index(self._value) if self._value in values else -1
        turned = (*self._choices[place + 1 :], *self._choices[: place + 1])
        self._choose(next(choice.value for choice in turned if choice.label.startswith(letter)))

    def _is_own(self, event: QKeyEvent) -> bool:
        if event.modifiers() not in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            return False
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            return True
        letter = event.text().lower()
        return bool(letter) and any(choice.label.startswith(letter) for choice in self._choices)

    def _draw(self) -> None:
        label = next((choice.label for choice in self._choices if choice.value == self._value), self._value)
        label = label or "choose"
        self._label.setText(f"‹ {label} ›" if self.hasFocus() else label)
        self._label.setStyleSheet(OPEN + (f"border:1px solid {FOCUS};" if self.hasFocus() else ""))


class LineField(Field):
    """One line of text: a length, two axes, a reason."""

    def __init__(self, name: str, hint: str = "") -> None:
        super().__init__(name)
        self._edit = _Line()
        self._edit.setPlaceholderText(hint)
        self._edit.textEdited.connect(self.changed)
        self._edit.returnPressed.connect(self.left)
        self._edit.came.connect(lambda: self.focused.emit(self.name))
        self.setFocusProxy(self._edit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)

    def set_value(self, value: str) -> None:
        """Show a value, telling nobody."""
        if value != self._edit.text():
            self._edit.setText(value)

    def value(self) -> str:
        """Return the value shown."""
        return self._edit.text()


class TextField(Field):
    """Some lines of text."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._edit = _Text()
        self._edit.setTabChangesFocus(True)
        self._edit.setFixedHeight(52)
        self._edit.setStyleSheet("border:1px solid rgba(128,128,128,120); border-radius:3px;")
        self._edit.textChanged.connect(self._tell)
        self._edit.came.connect(lambda: self.focused.emit(self.name))
        self.setFocusProxy(self._edit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        self.setFixedHeight(54)
        self._shown = ""

    def set_value(self, value: str) -> None:
        """Show a value, telling nobody."""
        self._shown = value
        if value != self._edit.toPlainText():
            self._edit.setPlainText(value)

    def value(self) -> str:
        """Return the value shown."""
        return self._edit.toPlainText()

    def _tell(self) -> None:
        text = self._edit.toPlainText()
        if text != self._shown:
            self._shown = text
            self.changed.emit(text)


class _Line(QLineEdit):
    came = Signal()

    def event(self, event: QEvent) -> bool:
        """Keep Enter from the ruler: what was typed is done."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            and event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        ):
            event.accept()
            return True
        return super().event(event)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 (Qt's name)
        self.came.emit()
        super().focusInEvent(event)


class _Text(QPlainTextEdit):
    came = Signal()

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 (Qt's name)
        self.came.emit()
        super().focusInEvent(event)
