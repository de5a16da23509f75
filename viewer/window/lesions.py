"""RECIST on the form: a row a lesion, filled in by keys or from the ruler."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from records.reads import (
    Certainty,
    Lesion,
    LesionKind,
    LesionRole,
    Measurement,
    NewLesionFinding,
    NonTargetFinding,
    NonTargetStatus,
    Seen,
)
from viewer.lesions import (
    MEASURABLE_KINDS,
    add_lesion,
    add_new_lesion,
    parse_axes,
    remove_lesion,
    with_measurement,
    with_status,
)
from viewer.reading import Form, Problem
from viewer.session import Session
from viewer.window.fields import COLOURS, CycleField, Field, LineField

__all__ = ["LesionPanel"]

ORGANS = (
    "lung", "mediastinum", "hilum", "neck", "axilla", "pleura", "pericardium", "chest wall", "breast",
    "liver", "adrenal", "kidney", "spleen", "pancreas", "abdomen", "bone", "brain", "skin", "other",
)  # fmt: skip
NON_TARGET_KINDS = (LesionKind.MILIARY, *(kind for kind in LesionKind if kind is not LesionKind.MILIARY))
NEW_KINDS = (*MEASURABLE_KINDS, *(kind for kind in NON_TARGET_KINDS if kind not in MEASURABLE_KINDS))


class LesionPanel(QWidget):
    """The lesions of the read that is open.

    Every field is named after its lesion: `T1 organ`, `T1 size`.
    """

    def __init__(
        self, session: Session, changed: Callable[[Form, str], None], focused: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._session, self._changed, self._focused = session, changed, focused
        self._fields: dict[str, Field] = {}
        self._said: dict[str, QLabel] = {}
        self._drawn: tuple[str, ...] = ()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._inside: QWidget | None = None

    def fields(self) -> Iterator[Field]:
        """Yield the fields in their order."""
        yield from self._fields.values()

    def field(self, name: str) -> Field | None:
        """Return the field of that name, or the last one of the lesion of that name."""
        own = [field for key, field in self._fields.items() if key == name or key.split()[0] == name]
        return own[-1] if own else None

    # Lesions come and go.

    def add(self, role: LesionRole) -> str:
        """Add a target or a non-target, and return its first field."""
        kind = LesionKind.SOFT_TISSUE
        if role is LesionRole.NON_TARGET:
            has_miliary = any(one.kind is LesionKind.MILIARY for one in self._session.form.lesions)
            kind = LesionKind.EFFUSION if has_miliary else LesionKind.MILIARY
        form = add_lesion(self._session.form, role, organ="lung", kind=kind)
        self._changed(form, "")
        return f"{form.lesions[-1].lesion_id} organ"

    def add_new(self) -> str:
        """Add a new lesion at a follow-up, and return its first field."""
        form = add_new_lesion(
            self._session.form, Certainty.UNEQUIVOCAL, organ="lung", kind=LesionKind.SOFT_TISSUE
        )
        self._changed(form, "")
        return f"{form.new_lesions[-1].lesion_id} organ"

    def remove(self, name: str) -> None:
        """Remove the lesion of a field; those of the baseline stay at a follow-up."""
        lesion_id = name.split()[0] if name else ""
        form = self._session.form
        can_go = form.lesions if form.is_baseline else form.new_lesions
        if lesion_id in {one.lesion_id for one in can_go}:
            self._changed(remove_lesion(form, lesion_id), "")

    @staticmethod
    def take(form: Form, name: str, long_mm: Decimal | None, short_mm: Decimal | None) -> Form | None:
        """Return the form with the ruler's millimetres in a target, or None if there is none of that name."""
        if not _is_target(form, name):
            return None
        return with_measurement(form, Measurement(name, Seen.MEASURED, long_mm, short_mm))

    # Drawing.

    def build(self) -> None:
        """Draw the rows of all lesions."""
        if self._inside is not None:
            self._inside.setParent(None)
            self._inside.deleteLater()
        self._fields, self._said = {}, {}
        self._inside = QWidget()
        layout = QVBoxLayout(self._inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        form = self._session.form
        self._drawn = _names(form)
        hint = "Ctrl+T target, Ctrl+G non-target" if form.is_baseline else "Ctrl+L new lesion"
        layout.addWidget(QLabel(f"<b>RECIST 1.1</b>  {hint}"))
        for lesion in sorted(
            form.lesions, key=lambda one: (one.role is not LesionRole.TARGET, one.lesion_id)
        ):
            layout.addLayout(self._row(lesion.lesion_id, tuple(self._fields_of(lesion, form.is_baseline))))
            layout.addWidget(self._label(lesion.lesion_id))
        for new in form.new_lesions:
            layout.addLayout(self._row(new.lesion_id, tuple(self._fields_of_new(new))))
            layout.addWidget(self._label(new.lesion_id))
        for name in ("targets", "non_targets"):
            layout.addWidget(self._label(name))
        self._layout.addWidget(self._inside)

    def _row(self, lesion_id: str, fields: Sequence[QWidget]) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        name = QLabel(f"<b>{lesion_id}</b>")
        name.setFixedWidth(40)
        row.addWidget(name)
        for field in fields:
            row.addWidget(field, 1 if isinstance(field, LineField) else 0)
        return row

    def _label(self, name: str) -> QLabel:
        self._said[name] = QLabel()
        self._said[name].setWordWrap(True)
        return self._said[name]

    def _fields_of(self, lesion: Lesion, is_baseline: bool) -> Iterator[QWidget]:
        name, is_target = lesion.lesion_id, lesion.role is LesionRole.TARGET
        if is_baseline:
            kinds = MEASURABLE_KINDS if is_target else NON_TARGET_KINDS
            yield self._add(CycleField(f"{name} organ", ORGANS), self._set_organ)
            yield self._add(CycleField(f"{name} kind", kinds), self._set_kind)
            if is_target:
                yield self._add(LineField(f"{name} size", "long × short, mm"), self._set_size)
            return
        before = self._size_before(lesion.lesion_id)
        yield QLabel(f"{lesion.organ}, {lesion.kind.replace('_', ' ')}{before}")
        if is_target:
            yield self._add(CycleField(f"{name} seen", ("", *Seen)), self._set_seen)
            yield self._add(LineField(f"{name} size", "long × short, mm"), self._set_size)
        else:
            yield self._add(CycleField(f"{name} status", ("", *NonTargetStatus)), self._set_status)
            yield self._add(LineField(f"{name} size", "reason"), self._set_size)

    def _fields_of_new(self, new: NewLesionFinding) -> Iterator[QWidget]:
        name = new.lesion_id
        yield self._add(CycleField(f"{name} organ", ORGANS), self._set_organ)
        yield self._add(CycleField(f"{name} kind", NEW_KINDS), self._set_kind)
        yield self._add(CycleField(f"{name} certainty", tuple(Certainty)), self._set_certainty)

    def _size_before(self, lesion_id: str) -> str:
        """Return what a target measured at the time point before, in words."""
        previous = self._session.desk.previous(self._session.item)
        if previous is None:
            return ""
        measured = self._session.desk.form(previous).measurements
        size = _size_text(next((one for one in measured if one.lesion_id == lesion_id), None), None)
        return f"\nbefore: {size} mm" if size else ""

    def _add(self, field: Field, change: Callable[[str, str], Form]) -> Field:
        lesion_id = field.name.split()[0]
        field.setEnabled(self._session.can_change)
        field.changed.connect(lambda value: self._changed(change(lesion_id, value), field.name))
        field.focused.connect(self._focused)
        self._fields[field.name] = field
        return field

    def refresh(self) -> None:
        """Show the lesions as they are now."""
        form = self._session.form
        if _names(form) != self._drawn:
            self.build()
        for name, field in self._fields.items():
            value = _value(form, name)
            if not (_takes_size(form, name) and _is_same(value, field.value())):
                field.set_value(value)

    def say(self, problems: Sequence[Problem]) -> None:
        """Write what is wrong beside each lesion."""
        for name, label in self._said.items():
            own = [problem for problem in problems if problem.field == name]
            label.setVisible(bool(own))
            if own:
                label.setText(own[0].sentence)
                label.setStyleSheet(f"color:{COLOURS[own[0].fault]}; font-size:12px;")

    # What a field changes.

    def _set_organ(self, lesion_id: str, value: str) -> Form:
        return self._with_lesion(lesion_id, organ=value)

    def _set_kind(self, lesion_id: str, value: str) -> Form:
        return self._with_lesion(lesion_id, kind=LesionKind(value))

    def _with_lesion(self, lesion_id: str, **changes: object) -> Form:
        form = self._session.form
        lesions = tuple(
            replace(one, **changes) if one.lesion_id == lesion_id else one  # type: ignore[arg-type]
            for one in form.lesions
        )
        new = tuple(
            replace(one, **changes) if one.lesion_id == lesion_id else one  # type: ignore[arg-type]
            for one in form.new_lesions
        )
        return replace(form, lesions=lesions, new_lesions=new)

    def _set_certainty(self, lesion_id: str, value: str) -> Form:
        return self._with_lesion(lesion_id, certainty=Certainty(value))

    def _set_seen(self, lesion_id: str, value: str) -> Form:
        form = self._session.form
        if not value:
            return replace(
                form, measurements=tuple(one for one in form.measurements if one.lesion_id != lesion_id)
            )
        return with_measurement(form, Measurement(lesion_id, Seen(value)))

    def _set_status(self, lesion_id: str, value: str) -> Form:
        form = self._session.form
        if not value:
            return replace(
                form, non_targets=tuple(one for one in form.non_targets if one.lesion_id != lesion_id)
            )
        return with_status(form, lesion_id, NonTargetStatus(value))

    def _set_size(self, lesion_id: str, text: str) -> Form:
        """Take what was typed: two axes, or why (or into which lesion) there are none."""
        form = self._session.form
        if not _is_target(form, lesion_id):
            judged = {one.lesion_id: one for one in form.non_targets}.get(lesion_id)
            status = judged.status if judged is not None else NonTargetStatus.NOT_ASSESSED
            return with_status(form, lesion_id, status, reason=text.lstrip())
        found = {one.lesion_id: one for one in form.measurements}.get(lesion_id)
        if found is not None and found.seen is Seen.NOT_ASSESSED:
            return with_measurement(form, replace(found, reason=text.lstrip()))
        if found is not None and found.seen is Seen.MERGED:
            return with_measurement(form, replace(found, merged_into=text.strip().upper()))
        axes = parse_axes(text)
        if axes is None:
            return replace(
                form, measurements=tuple(one for one in form.measurements if one.lesion_id != lesion_id)
            )
        return with_measurement(form, Measurement(lesion_id, Seen.MEASURED, *axes))


def _names(form: Form) -> tuple[str, ...]:
    """Return what decides which fields are drawn."""
    return (
        str(form.is_baseline),
        *(f"{one.lesion_id}" for one in form.lesions),
        *(one.lesion_id for one in form.new_lesions),
    )


def _is_target(form: Form, lesion_id: str) -> bool:
    return any(one.lesion_id == lesion_id and one.role is LesionRole.TARGET for one in form.lesions)


def _takes_size(form: Form, name: str) -> bool:
    """Whether a size is typed into a field, and not why there is none: half of it is left as it is."""
    lesion_id, what = name.split()
    found = next((one for one in form.measurements if one.lesion_id == lesion_id), None)
    says_why = found is not None and found.seen in (Seen.NOT_ASSESSED, Seen.MERGED)
    return what == "size" and _is_target(form, lesion_id) and not says_why


def _value(form: Form, name: str) -> str:
    """Return what a field of the panel shows."""
    lesion_id, what = name.split()
    known: dict[str, Lesion | NewLesionFinding] = {one.lesion_id: one for one in form.lesions}
    known |= {one.lesion_id: one for one in form.new_lesions}
    lesion = known[lesion_id]
    found = next((one for one in form.measurements if one.lesion_id == lesion_id), None)
    judged = next((one for one in form.non_targets if one.lesion_id == lesion_id), None)
    if what == "organ":
        return lesion.organ
    if what == "kind":
        return lesion.kind
    if what == "certainty":
        return lesion.certainty if isinstance(lesion, NewLesionFinding) else ""
    if what == "seen":
        return found.seen if found else ""
    if what == "status":
        return judged.status if judged else ""
    return _size_text(found, judged)


def _size_text(found: Measurement | None, judged: NonTargetFinding | None) -> str:
    if judged is not None:
        return judged.reason
    if found is None:
        return ""
    if found.seen is not Seen.MEASURED:
        return found.reason or found.merged_into
    lengths = (length for length in (found.long_axis_mm, found.short_axis_mm) if length is not None)
    return " x ".join(str(length) for length in lengths)


def _is_same(value: str, typed: str) -> bool:
    """Whether what is typed means what is kept, so that nobody's typing is put in another form."""
    return value == typed or (
        bool(typed) and parse_axes(typed) == parse_axes(value) and bool(value) == bool(parse_axes(typed))
    )
