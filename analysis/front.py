"""Where the analysis meets the command line: files and exit codes in, text out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.publication import Audit

__all__ = ["run_audit"]

NOTHING_USABLE = 1


@contextmanager
def foreseen_errors() -> Iterator[None]:
    """Turn an error in the input into one sentence and exit status 1."""
    try:
        yield
    except AnalysisError as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        typer.echo(f"{error.problem}: {error.sentence}{notes}", err=True)
        raise typer.Exit(NOTHING_USABLE) from error


def run_audit(folder: Path, claims: Path | None, rule: str, out: Path | None, as_json: bool) -> None:
    """Audit a folder of printed tables and print or write the report."""
    from analysis.audit_report import as_markdown
    from analysis.comparisons import CountRule
    from analysis.publication import audit_folder, read_claims

    if rule not in list(CountRule):
        raise typer.BadParameter(f"rule is one of {', '.join(CountRule)}", param_hint="--rule")
    with foreseen_errors():
        given = None if claims is None else read_claims(claims.read_text(encoding="utf-8"))
        audit = audit_folder(folder, claims=given, rule=CountRule(rule))
    text = json.dumps(_audit_as_dict(audit), indent=2) if as_json else as_markdown(audit)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"{len(audit.p_values)} p-values computed again: {out}")


def _audit_as_dict(audit: "Audit") -> dict[str, object]:
    return {
        "source": audit.source,
        "rule": audit.rule.value,
        "p_values": [
            {
                "place": p.place,
                "printed": p.printed.text,
                "counts": p.table,
                "by_test": p.by_test,
                "smallest_expected": p.smallest_expected,
                "rule_test": p.rule_test,
                "test_used": p.used,
                "departs_from_rule": p.departs_from_rule,
                "changes_the_conclusion": p.changes_the_conclusion,
            }
            for p in audit.p_values
        ],
        "findings": [{"kind": f.kind, "place": f.place, "sentence": f.sentence} for f in audit.findings],
    }
