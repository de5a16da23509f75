"""What the rows of SDTM have said so far, before it becomes reads."""

from dataclasses import dataclass, field
from decimal import Decimal

from analysis.recist.checks import ProblemCode, RowProblem
from records.reads import Lesion, Seen

__all__ = ["Files", "Key", "LesionDraft", "VisitDraft", "parts_of"]

Key = tuple[str, str, str]  # subject, role of the evaluator, identifier


@dataclass(slots=True)
class LesionDraft:
    """What the rows of one lesion at one visit have said so far."""

    source: str
    date: str
    long_axis: Decimal | Seen | None = None  # mm, or how it was found instead
    short_axis: Decimal | Seen | None = None
    state: str = ""
    reason: str = ""
    tests: str = ""  # names of the tests it has, with spaces between


@dataclass(slots=True)
class VisitDraft:
    """A visit, as far as its rows are read."""

    number: Decimal
    name: str
    source: str
    dates: set[str] = field(default_factory=set)
    accepted: bool = False
    adjudicated: bool = False
    lesions: dict[str, LesionDraft] = field(default_factory=dict)
    named: list[Lesion] = field(default_factory=list)


@dataclass(slots=True)
class Files:
    """What has been read so far: visits by patient and evaluator, lesions, problems."""

    visits: dict[Key, dict[Decimal, VisitDraft]] = field(default_factory=dict)
    lesions: dict[Key, dict[str, Lesion]] = field(default_factory=dict)
    problems: list[RowProblem] = field(default_factory=list)

    def visit(self, key: Key, number: Decimal, name: str, source: str) -> VisitDraft:
        """Return the draft of a visit, a new one if there is none."""
        visits = self.visits.get(key)
        if visits is None:
            visits = self.visits[key] = {}
        draft = visits.get(number)
        if draft is None:
            draft = visits[number] = VisitDraft(number, name, source)
        return draft

    def refuse(self, where: str, code: ProblemCode, sentence: str) -> None:
        """Note a problem and go on."""
        self.problems.append(RowProblem(where, code, sentence))


def parts_of(link: str, lesions: dict[str, Lesion]) -> tuple[str, ...]:
    """Return the lesions a link id is a piece of, or a whole of; () for an id of its own."""
    if link in lesions:
        return ()
    parts = tuple(link.split("/")) if "/" in link else (link.rpartition(".")[0],)
    return parts if all(part in lesions for part in parts) else ()
