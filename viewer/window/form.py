"""The form on the right: a field a question, drawn from the table, and what is wrong beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby, pairwise

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from records.model import Side, VerdictLabel, Zone
from viewer.desk import Item
from viewer.pack import ShownRead
from viewer.questions import BASELINE, GRADES, ZONES, Kind, Question, zone_name
from viewer.reading import Fault, Form, Problem
from viewer.session import Mode, Session
from viewer.window.fields import COLOURS, ChoiceField, Field, LineField, TextField
from viewer.window.lesions import LesionPanel

__all__ = ["FormPanel"]

WIDTH_PX = 400
LABELS = {
    VerdictLabel.MIPC: "MIPC",
    VerdictLabel.NOT_MIPC: "not MIPC",
    VerdictLabel.INDETERMINATE: "indeterminate",
    VerdictLabel.NOT_EVALUABLE: "not evaluable",
}
MODES = {
    Mode.READ: "",
    Mode.LOCKED: "Signed and locked. Ctrl+E amends it with a reason.",
    Mode.AMEND: "Amending a signed read. Ctrl+Return signs the new version.",
    Mode.SECOND_LOOK: "Second read, with the machine's marks. The first read stays.",
    Mode.WAITING: "This scan is read after the one before it is signed.",
    Mode.TO_SEE: "This scan is there to be seen. The decision is made at another one of the case.",
}
OUTDATED = "Signed, but the baseline was amended and names other lesions now. Ctrl+E amends this read too."
BEGUN = "Signed and locked. An amendment was begun and is not signed: Ctrl+E goes on with it."


class FormPanel(QScrollArea):
    """The questions on the read that is open.

    Parameters
    ----------
    session : Session
    changed : callable
        Called with the new form and the field that changed it.
    """

    def __init__(self, session: Session, changed: Callable[[Form, str], None]) -> None:
        super().__init__()
        self._session, self._changed = session, changed
        self._fields: dict[str, Field] = {}
        self._said: dict[str, QLabel] = {}
        self._asked: tuple[str, ...] = ()
        self.current = ""  # the field that was in use last
        self.lesions = LesionPanel(session, changed, self._note)
        self.setWidgetResizable(True)
        self.setFixedWidth(WIDTH_PX)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.build()

    def build(self) -> None:
        """Draw the fields of the read that is open."""
        self.lesions.setParent(None)
        old = self.takeWidget()
        if old is not None:
            old.deleteLater()  # a field of it may still be answering the key that led here
        self._fields, self._said = {}, {}
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(3)
        session = self._session
        head = QLabel(f"<b>{escape(session.item.title)}</b>, day {session.item.time_point.day}")
        layout.addWidget(head)
        words = MODES[session.mode]
        if session.has_begun_amendment:
            words = BEGUN
        elif session.mode is Mode.LOCKED and session.desk.is_outdated(session.item):
            words = OUTDATED
        if words:
            state = QLabel(words)
            state.setWordWrap(True)
            state.setStyleSheet(f"color:{COLOURS[Fault.INCONSISTENT]};")
            layout.addWidget(state)
        for table in _earlier_reads(session.item):
            layout.addWidget(table)
        self._asked = tuple(question.name for question in session.form.questions)
        if session.has_form:
            self._add_questions(layout)
        self._label = QLabel()
        layout.addWidget(self._label)
        layout.addStretch()
        self.setWidget(inside)
        self.lesions.build()
        self.refresh()
        self._order_tabs()

    def _add_questions(self, layout: QVBoxLayout) -> None:
        for group, questions in groupby(self._session.form.questions, key=lambda question: question.group):
            if group == "Closing" and self._session.desk.pack.protocol.asks_recist:
                layout.addWidget(self.lesions)
            heading = QLabel(f"<b>{escape(group)}</b>")
            heading.setStyleSheet("margin-top:6px;")
            layout.addWidget(heading)
            if group == "Profusion":
                self._add_zones(layout)
            else:
                for question in questions:
                    self._add_question(layout, question)

    def _add_question(self, layout: QVBoxLayout, question: Question) -> None:
        text = QLabel(question.text)
        text.setWordWrap(True)
        layout.addWidget(text)
        layout.addWidget(self._make_field(question))
        layout.addWidget(self._said[question.name])

    def _add_zones(self, layout: QVBoxLayout) -> None:
        legend = QLabel("  ".join(choice.label for choice in GRADES))
        layout.addWidget(legend)
        grid = QGridLayout()
        grid.setSpacing(2)
        asked = {question.name: question for question in self._session.form.questions}
        for column, side in enumerate(Side, start=1):
            grid.addWidget(QLabel(side.capitalize()), 0, column)
            for row, zone in enumerate(Zone, start=1):
                if column == 1:
                    grid.addWidget(QLabel(zone.capitalize()), row, 0)
                grid.addWidget(self._make_field(asked[zone_name(side, zone)], short=True), row, column)
        layout.addLayout(grid)
        said = QLabel()
        layout.addWidget(said)
        for name in asked:
            if name.startswith("profusion"):
                self._said[name] = said

    def _make_field(self, question: Question, *, short: bool = False) -> Field:
        field: Field
        if question.kind is Kind.CHOICE:
            field = ChoiceField(question.name, question.choices, short=short)
        elif question.kind is Kind.MILLIMETRES:
            field = LineField(question.name, "mm, typed or from the ruler (V)")
        elif question.name == "comment":
            field = TextField(question.name)
        else:
            field = LineField(question.name)
        field.setEnabled(self._session.can_change)
        field.changed.connect(lambda value, name=question.name: self._answer(name, value))
        field.focused.connect(self._note)
        field.left.connect(self.go_on)
        self._fields[question.name] = field
        self._said[question.name] = QLabel()
        self._said[question.name].setWordWrap(True)
        return field

    def _answer(self, name: str, value: str) -> None:
        self._changed(self._session.form.with_answer(name, value), name)

    def _note(self, name: str) -> None:
        self.current = name
        widget = self._fields.get(name) or self.lesions.field(name)
        if widget is not None:
            self.ensureWidgetVisible(widget, 0, 60)

    def refresh(self) -> None:
        """Show the form as it is now, and what is missing or at odds."""
        form = self._session.form
        if tuple(question.name for question in form.questions) != self._asked:
            self._rebuild_around()
            return
        for name, field in self._fields.items():
            field.set_value(form.answer(name))
        self.lesions.refresh()
        problems = self._session.problems
        for name, label in self._said.items():
            if not name.startswith("profusion"):
                _say(label, [problem for problem in problems if problem.field == name])
        zones = [problem for problem in problems if problem.field.startswith("profusion")]
        if "profusion_right_upper" in self._said:
            _say(self._said["profusion_right_upper"], zones[:1])
        self.lesions.say(problems)
        self._label.setText(f"These answers make: <b>{LABELS[form.label]}</b>" if form.label else "")

    def _rebuild_around(self) -> None:
        """Draw other questions, and go on from the answer that led to them."""
        name = self.current
        self.build()
        if name in self._fields:
            self._fields[name].setFocus()

    # Keys.

    def tab_order(self) -> list[QWidget]:
        """Return the fields in the order in which they are asked."""
        return list(self._in_order())

    def _in_order(self) -> Iterator[QWidget]:
        for question in self._session.form.questions:
            if question.group == "Closing" and question.name == "confidence":
                yield from self.lesions.fields()
            if question.name in self._fields:
                yield self._fields[question.name]

    def _order_tabs(self) -> None:
        fields = self.tab_order()
        for one, other in pairwise(fields):
            QWidget.setTabOrder(one, other)

    def go_on(self, step: int = 1) -> None:
        """Give the focus to the field after (or before) the one that was in use last."""
        fields = self.tab_order()
        if not fields or not self._session.can_change:
            return
        names = [field.objectName() for field in fields]
        inside = self.focusWidget()
        if self.current not in names:
            target = 0
        elif inside is None or not self.has_focus():
            target = names.index(self.current)  # coming back from the images: where it was left
        else:
            target = min(max(names.index(self.current) + step, 0), len(fields) - 1)
        fields[target].setFocus(Qt.FocusReason.TabFocusReason)

    def has_focus(self) -> bool:
        """Whether a field of the form has the focus."""
        holder = self.window().focusWidget()
        return holder is not None and self.isAncestorOf(holder)

    def go_to_problem(self) -> None:
        """Give the focus to the first field with a problem."""
        for problem in self._session.problems:
            field = self._fields.get(problem.field) or self.lesions.field(problem.field)
            if field is not None:
                field.setFocus(Qt.FocusReason.TabFocusReason)
                return


def _say(label: QLabel, problems: list[Problem]) -> None:
    """Write problems beside a field, the gravest colour first."""
    label.setVisible(bool(problems))
    if problems and label.text() != problems[0].sentence:
        label.setText(problems[0].sentence)
        label.setStyleSheet(f"color:{COLOURS[problems[0].fault]}; font-size:12px;")


def _earlier_reads(item: Item) -> Iterator[QLabel]:
    """Yield both reads of an adjudicated scan side by side; of every scan where one reader is chosen."""
    for point in item.case.time_points:
        reads = [read for read in item.case.earlier_reads if read.time_point == point.number]
        if not reads or (point != item.time_point and not item.case.is_choice(item.time_point.number)):
            continue
        label = QLabel(_side_by_side(point.name, reads))
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setWordWrap(True)  # of a long comment
        label.setObjectName("earlier_reads")
        yield label


def _side_by_side(title: str, reads: Sequence[ShownRead]) -> str:
    """Return a table of reads, differences marked."""
    said = [dict(_in_order(read.answers)) for read in reads]
    names = dict.fromkeys(name for one in said for name in one)
    words = {label.value: said for label, said in LABELS.items()}
    heads = "".join(f"<td><b>{escape(read.label)}</b></td>" for read in reads)
    rows = [f"<tr><td><b>{escape(title)}</b></td>{heads}</tr>"]
    for name in names:
        given = [one.get(name, "") for one in said]
        style = f" style='color:{COLOURS[Fault.INCONSISTENT]}'" if len(set(given)) > 1 else ""
        cells = "".join(f"<td{style}>{escape(words.get(value, value))}&nbsp;&nbsp;</td>" for value in given)
        rows.append(f"<tr><td>{escape(name.replace('_', ' '))}&nbsp;&nbsp;</td>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _in_order(answers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a read said in the order it was asked, the zones of a lung in a row, lesions last."""
    grades = {side: _grades_in_words(answers, side) for side in Side}
    zones = {f"profusion, {side}": found for side, found in grades.items() if found}
    asked = {question.name for question in BASELINE}
    graded = {zone_name(*place) for place in ZONES}
    yield from ((name, answers[name]) for name in ("label",) if name in answers)
    for question in BASELINE:
        if question.name == zone_name(*ZONES[0]):
            yield from zones.items()
        if question.name in answers and question.name not in graded:
            yield question.name, answers[question.name]
    yield from ((name, value) for name, value in answers.items() if name not in {*asked, "label"})


def _grades_in_words(answers: Mapping[str, str], side: Side) -> str:
    """Return the grades of one lung by their zones: three bare numbers might be anything."""
    given = {zone: answers.get(zone_name(side, zone)) for zone in Zone}
    return ", ".join(f"{zone} {grade}" for zone, grade in given.items() if grade)
