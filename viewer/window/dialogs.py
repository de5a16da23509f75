"""The signature, and the page of keys."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from viewer.actions import ACTIONS, Action

__all__ = ["HelpPage", "SignDialog"]

COLUMNS = (("Move", "Case"), ("Crosshair", "Show"), ("Measure", "Compare", "Form"))


class SignDialog(QDialog):
    """States what a signature means; Enter signs, Esc goes back.

    Parameters
    ----------
    signed : callable
        Called with the reason ("" where none is asked for) when the reader signs.
    """

    def __init__(
        self, parent: QWidget, meaning: str, signed: Callable[[str], None], *, asks_reason: bool = False
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Sign")
        self._signed = signed
        layout = QVBoxLayout(self)
        words = QLabel(meaning)
        words.setWordWrap(True)
        words.setMinimumWidth(420)
        layout.addWidget(words)
        self._reason = QLineEdit()
        self._reason.setPlaceholderText("Reason of the amendment")
        self._reason.setVisible(asks_reason)
        layout.addWidget(self._reason)
        buttons = QDialogButtonBox()
        sign = buttons.addButton("Sign (Enter)", QDialogButtonBox.ButtonRole.AcceptRole)
        back = buttons.addButton("Back (Esc)", QDialogButtonBox.ButtonRole.RejectRole)
        sign.setDefault(True)
        back.setAutoDefault(False)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        (self._reason if asks_reason else sign).setFocus()

    def accept(self) -> None:
        """Sign."""
        super().accept()
        self._signed(self._reason.text())


class HelpPage(QWidget):
    """All keys, over the whole window; any of its keys takes it away."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
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
