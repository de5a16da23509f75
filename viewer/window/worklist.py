"""The worklist on the left: what is read, what waits, how far the reader has come."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QProgressBar, QVBoxLayout, QWidget

from viewer.desk import Desk, Item, State

__all__ = ["Worklist"]

WIDTH_PX = 190
SIGNS = {State.UNREAD: "○", State.DRAFT: "◐", State.SIGNED: "●", State.WAITING: "·", State.TO_SEE: "–"}


class Worklist(QWidget):
    """All reads of a pack in their order.

    Parameters
    ----------
    desk : Desk
    chosen : callable
        Called with the item that was clicked.
    """

    def __init__(self, desk: Desk, chosen: Callable[[Item], None]) -> None:
        super().__init__()
        self._desk = desk
        self._list = QListWidget()
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.itemClicked.connect(lambda row: chosen(desk.items[self._list.row(row)]))
        for item in desk.items:
            self._list.addItem(QListWidgetItem(item.title))
        self._progress = QProgressBar()
        self._progress.setRange(0, desk.to_sign)
        self._progress.setTextVisible(False)
        self._progress.setFixedHeight(6)
        self._words = QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 4, 8)
        layout.addWidget(QLabel(f"<b>Reader {desk.pack.reader}</b>"))
        layout.addWidget(self._words)
        layout.addWidget(self._progress)
        layout.addWidget(self._list)
        hint = QLabel("○ open  ◐ begun\n● signed  · waits\nF1: all keys")
        layout.addWidget(hint)
        self.setFixedWidth(WIDTH_PX)

    def refresh(self, current: Item) -> None:
        """Show the state of every read."""
        for row, item in enumerate(self._desk.items):
            entry = self._list.item(row)
            if entry is not None:
                state = State.DRAFT if self._desk.is_outdated(item) else self._desk.state(item)
                entry.setText(f"{SIGNS[state]}  {item.title}")
        self._list.setCurrentRow(self._desk.items.index(current))
        self._progress.setValue(self._desk.done)
        self._words.setText(f"{self._desk.done} of {self._desk.to_sign} signed")
