"""The signature, and the page of keys."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from viewer.actions import ACTIONS, Action
from viewer.passphrase import SHORTEST

__all__ = ["HelpPage", "SignPanel"]

WIDTH_PX = 520
COLUMNS = (("Move", "Case"), ("Crosshair", "Show"), ("Measure", "Compare", "Form"))


class SignPanel(QFrame):
    """States what a signature means, in the middle of the window; Enter signs, Esc goes back.

    It is part of the window, so that no other window takes the keys away.

    Parameters
    ----------
    signed : callable
        Called with the reason and the passphrase ("" where none is asked for) when the reader signs.
    """

    def __init__(self, parent: QWidget, signed: Callable[[str, str], None]) -> None:
        super().__init__(parent)
        self._signed = signed
        self._asked: list[QLineEdit] = []
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)  # to lie over the canvases, which are
        self.setStyleSheet("SignPanel{border:2px solid #ff9f0a; border-radius:6px;} QLabel{font-size:14px;}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 20)
        self.words = QLabel()
        self.words.setWordWrap(True)
        layout.addWidget(self.words)
        self._reason = QLineEdit()
        self._reason.setPlaceholderText("Reason of the amendment")
        layout.addWidget(self._reason)
        self._passphrase, self._again = QLineEdit(), QLineEdit()
        for line in (self._passphrase, self._again):
            line.setEchoMode(QLineEdit.EchoMode.Password)
            layout.addWidget(line)
        self._again.setPlaceholderText("The same passphrase again")
        sign, back = QPushButton("Sign (Enter)"), QPushButton("Back (Esc)")
        sign.clicked.connect(self.accept)
        back.clicked.connect(self.hide)
        row = QHBoxLayout()
        for button in (sign, back):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            row.addWidget(button)
        layout.addLayout(row)
        self.hide()

    def ask(
        self,
        meaning: str,
        *,
        asks_reason: bool = False,
        asks_passphrase: bool = False,
        is_first: bool = False,
    ) -> None:
        """Come up with what the signature means.

        Parameters
        ----------
        is_first : bool
            The passphrase is chosen now, and typed twice.
        """
        self.words.setText(meaning)
        self._passphrase.setPlaceholderText(
            f"Choose a passphrase, {SHORTEST} characters or more" if is_first else "Your passphrase"
        )
        self._asked = []
        for line, is_asked in (
            (self._reason, asks_reason),
            (self._passphrase, asks_passphrase),
            (self._again, asks_passphrase and is_first),
        ):
            line.clear()
            line.setVisible(is_asked)
            self._asked += [line] if is_asked else []
        window = self.parentWidget()
        self.setFixedWidth(WIDTH_PX)
        self.adjustSize()
        if window is not None:
            self.move(window.rect().center() - self.rect().center())
        self.show()
        self.raise_()
        (self._asked[0] if self._asked else self).setFocus()

    def accept(self) -> None:
        """Go to what is still empty; then sign."""
        empty = next((line for line in self._asked if not line.text().strip()), None)
        if empty is None and self._again in self._asked and self._again.text() != self._passphrase.text():
            self._again.clear()
            self._again.setPlaceholderText("That was not the same; once more")
            empty = self._again
        if empty is not None:
            empty.setFocus()
            return
        self.hide()
        reason, passphrase = self._reason.text(), self._passphrase.text()
        for line in (self._passphrase, self._again):
            line.clear()
        self._signed(reason, passphrase)


class HelpPage(QWidget):
    """All keys, over the whole window; any of its keys takes it away."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)  # to lie over the canvases, which are
        self.setStyleSheet("background:rgba(18,20,26,242); color:#e8e8e0; font-size:14px;")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(40, 30, 40, 30)
        groups = {
            name: tuple(actions)
            for name, actions in groupby(
                sorted(ACTIONS, key=lambda one: GROUPS.index(one.group)), key=lambda one: one.group
            )
        }
        for column in COLUMNS:
            label = QLabel("".join(_table(name, groups[name]) for name in column))
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            label.setWordWrap(True)
            label.setStyleSheet("background:transparent;")
            layout.addWidget(label)
        self.hide()

    def toggle(self) -> None:
        """Show or hide."""
        window = self.parentWidget()
        if window is not None:
            self.setGeometry(window.rect())
        self.setVisible(not self.isVisible())
        self.raise_()


GROUPS = tuple(group for column in COLUMNS for group in column)


def _table(name: str, actions: Sequence[Action]) -> str:
    rows = "".join(
        f"<tr><td style='color:#ffb340'>{escape('  '.join(action.keys))}&nbsp;&nbsp;&nbsp;</td>"
        f"<td>{escape(action.sentence)}</td></tr>"
        for action in actions
    )
    return f"<h3>{escape(name)}</h3><table cellspacing='2'>{rows}</table>"
