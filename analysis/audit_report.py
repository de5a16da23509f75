"""The audit of printed tables as a page a reader, or an author, can work through."""

from collections.abc import Iterator

from analysis.comparisons import CountRule
from analysis.consistency import FindingKind
from analysis.publication import Audit
from analysis.recompute import Candidate, Recomputed
from records.wording import counted

__all__ = ["as_markdown"]

RULES = {
    CountRule.EXPECTED_BELOW_5: "uncorrected chi-squared, Fisher's exact test if an expected one is below 5",
    CountRule.OBSERVED_BELOW_5: "chi-squared, Fisher's exact test if an observed count is below 5",
    CountRule.COCHRAN: "chi-squared, Fisher's exact test by Cochran's rule",
    CountRule.CHI_SQUARED: "chi-squared throughout",
    CountRule.FISHER: "Fisher's exact test throughout",
    CountRule.YATES: "chi-squared with Yates's correction throughout",
}
COLUMNS = (Candidate.CHI_SQUARED, Candidate.CHI_SQUARED_YATES, Candidate.FISHER, Candidate.LIKELIHOOD_RATIO)
SECTIONS = (
    (FindingKind.SUM, "Sums that do not add up"),
    (FindingKind.CONTRADICTION, "Numbers that contradict each other"),
    (FindingKind.FRAGILE, "Estimates that rest on very few patients"),
    (FindingKind.NOT_RECOMPUTABLE, "What counts cannot tell"),
    (FindingKind.NOTE, "Notes, and what was found in order"),
)


def as_markdown(audit: Audit) -> str:
    """Return the audit as Markdown."""
    return "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    changed = [p for p in audit.p_values if p.changes_the_conclusion]
    yield f"# Audit of the printed tables: {audit.source}"
    yield ""
    yield f"Rule held against: {RULES[audit.rule]}."
    yield ""
    done = counted(len(audit.p_values), "printed p-value was", "printed p-values were")
    given = counted(sum(bool(p.matches) for p in audit.p_values), "is", "are")
    departing = counted(len(audit.departures), "comes", "come")
    yield (
        f"{done} computed again from counts: {given} given by some test, "
        f"{len(audit.irreproducible)} by none; {departing} from another test than the rule's; "
        f"{len(changed)} would fall on the other side of 0.05 under the rule."
    )
    yield ""
    yield from _p_value_table(audit)
    if audit.departures:
        yield from _section("Departures from the stated rule", [_departure(p) for p in audit.departures])
    if audit.irreproducible:
        yield from _section("p-values that no test gives", [_irreproducible(p) for p in audit.irreproducible])
    misnamed = [p for p in audit.p_values if p.claimed and p.matches and p.claimed not in p.matches]
    if misnamed:
        lines = [f"**{p.place}**: said to be {p.claimed}, the digits are {_used(p)}'s" for p in misnamed]
        yield from _section("Digits of another test than the one named", lines)
    for kind, title in SECTIONS:
        found = audit.of_kind(kind)
        if found:
            yield from _section(title, [f"**{finding.place}**: {finding.sentence}" for finding in found])


def _p_value_table(audit: Audit) -> Iterator[str]:
    yield "| where | printed | " + " | ".join(COLUMNS) + " | smallest expected | rule's test | test used |"
    yield "|---" * (len(COLUMNS) + 5) + "|"
    for p in audit.p_values:
        cells = " | ".join(f"**{_p(p, test)}**" if test in p.matches else _p(p, test) for test in COLUMNS)
        yield (
            f"| {p.place} | {p.printed.text} | {cells} | {p.smallest_expected:.2f} | "
            f"{p.rule_test} | {_used(p)} |"
        )
    yield ""
    yield "Bold: rounds to the printed digits."
    yield ""


def _p(p: Recomputed, test: Candidate) -> str:
    places = max(4, p.printed.decimals + 1)
    return f"{p.by_test[test]:.{places}f}"


def _used(p: Recomputed) -> str:
    return p.used.value if p.used else "none"


def _departure(p: Recomputed) -> str:
    expected = p.by_test[p.rule_test]
    verdict = " **The conclusion at 0.05 changes.**" if p.changes_the_conclusion else ""
    return (
        f"**{p.place}**: printed {p.printed.text} is {_used(p)}'s; smallest expected count "
        f"{p.smallest_expected:.2f}, so the rule asks for {p.rule_test}, p {expected:.4f}.{verdict}"
    )


def _irreproducible(p: Recomputed) -> str:
    rows = " / ".join(" ".join(str(n) for n in row) for row in p.table)
    verdict = " **The conclusion at 0.05 changes.**" if p.changes_the_conclusion else ""
    return (
        f"**{p.place}**: printed {p.printed.text}; counts {rows} give {p.by_test[p.rule_test]:.4f} by "
        f"{p.rule_test}, at the nearest {p.by_test[p.nearest]:.4f} by {p.nearest}.{verdict}"
    )


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from (f"- {line}" for line in lines)
    yield ""
