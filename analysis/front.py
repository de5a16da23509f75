"""Where the analysis meets the command line: files and exit codes in, text out."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from analysis.csvtable import text_of
from analysis.errors import AnalysisError
from records.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from analysis.clinical import Clinical, ClinicalMapping
    from analysis.publication import Audit

__all__ = ["run_analysis", "run_audit", "run_demo"]

NOTHING_USABLE = 1
MADE_BY = ("program_version", "model_version", "protocol")  # columns of studies.csv
MOST_PROBLEMS = 5  # of a table that cannot be analysed are shown


@contextmanager
def foreseen_errors() -> Iterator[None]:
    """Turn an error in the input into one sentence and exit status 1."""
    try:
        yield
    except AnalysisError as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        typer.echo(f"mipc: {error.sentence}{notes}", err=True)
        raise typer.Exit(NOTHING_USABLE) from error


def run_audit(folder: Path, claims: Path | None, rule: str | None, out: Path | None, as_json: bool) -> None:
    """Audit a folder of printed tables and print or write the report."""
    from analysis.audit_report import as_markdown
    from analysis.comparisons import CountRule
    from analysis.publication import audit_folder, read_claims

    if rule is not None and rule not in list(CountRule):
        raise typer.BadParameter(f"rule is one of {', '.join(CountRule)}", param_hint="--rule")
    with foreseen_errors():
        given = None if claims is None else read_claims(text_of(claims))
        audit = audit_folder(folder, claims=given, rule=None if rule is None else CountRule(rule))
        text = json.dumps(_audit_as_dict(audit), indent=2) if as_json else as_markdown(audit)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text, encoding="utf-8")
    if out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"{counted(len(audit.p_values), 'p-value')} computed again: {out}")


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


def run_demo(seed: int, out: Path) -> None:
    """Write the synthetic cohort."""
    from analysis.demo_cohort import demo_cohort

    table = demo_cohort(seed)
    with foreseen_errors():
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(out, index=False)
    typer.echo(f"{len(table)} synthetic patients, seed {seed}: {out}")


def run_analysis(
    table: Path,
    labels: str | None,
    mapping: str | None,
    plan: str | None,
    paper: Path | None,
    out: Path,
    responses: Path | None = None,
    evaluator: str | None = None,
) -> None:
    """Analyse a clinical table and write everything under a folder."""
    for where, option, shipped in (
        (mapping, "--mapping", "nsclc_radiogenomics"),
        (plan, "--plan", "wu2013"),
        (labels, "--labels", None),
    ):
        if where not in (None, shipped) and "://" not in str(where) and not Path(str(where)).is_file():
            raise typer.BadParameter(f"File '{where}' does not exist.", param_hint=option)
    if evaluator is not None and responses is None:
        raise typer.BadParameter("whose responses? give their folder, --responses", param_hint="--evaluator")
    from analysis.analyse import analyse, with_labels
    from analysis.clinical import read_clinical, read_table
    from analysis.derivations import derive
    from analysis.plan import read_plan
    from analysis.printed_tables import read_tables
    from analysis.report import summary_of, write_analysis
    from analysis.responses import with_responses

    with foreseen_errors():
        wanted = read_plan(plan)
        clinical = derive(read_clinical(read_table(table), _mapping(mapping)))
        sources = [_hashed(table.name, table)]
        if mapping is not None:
            sources.append(f"mapping {_hashed(mapping, Path(mapping))}")
        if labels is not None:
            name, verdicts = _labels(labels)
            clinical = with_labels(clinical, verdicts)
            sources.append(f"labels {name}{_made_by(verdicts)}")
        if responses is not None:
            clinical = with_responses(clinical, responses, evaluator=evaluator)
            whose = f", evaluator {evaluator}" if evaluator else ""
            sources.append(f"responses {_hashed(str(responses), *sorted(responses.glob('*.csv')))}{whose}")
        printed = () if paper is None else read_tables(paper)
        _say_where_one_looks(f"Analysing {counted(len(clinical.frame), 'patient')} ...")
        try:
            found = analyse(clinical, wanted)
        except AnalysisError as error:
            for sentence in _first_problems(clinical):
                error.add_note(sentence)
            raise
        figures, tables = counted(len(found.figures), "figure"), counted(len(found.tables), "table")
        _say_where_one_looks(f"Drawing {figures}, writing {tables} ...")
        cells = write_analysis(found, out, source="; ".join(sources), printed=printed)
    typer.echo(found.flow.as_text(), nl=False)
    problems = counted(len(found.problems), "problem")
    typer.echo(f"{problems} in the data, {tables}, {figures}: {out / 'analysis.html'}")
    if cells:
        typer.echo(summary_of(cells))


def _say_where_one_looks(sentence: str) -> None:
    """Say what takes the next seconds, on a terminal; a log needs no such lines."""
    if sys.stderr.isatty():
        typer.echo(sentence, err=True)


def _first_problems(clinical: "Clinical") -> list[str]:
    """Return the first of what is wrong with the data: likely why nothing can be analysed."""
    shown = [
        f"row {p.row}, {p.patient_id}, {p.column} {p.value!r}: {p.sentence}"
        for p in clinical.problems[:MOST_PROBLEMS]
    ]
    more = len(clinical.problems) - len(shown)
    return [*shown, f"and {counted(more, 'more problem')} in the data"] if more > 0 else shown


def _mapping(where: str | None) -> "ClinicalMapping | None":
    """Return the mapping of a TOML file, or of a shipped name."""
    from importlib import resources

    from analysis.clinical import read_mapping

    if where is None:
        return None
    if where == "nsclc_radiogenomics":
        text = resources.files("analysis").joinpath("nsclc_radiogenomics.toml").read_text(encoding="utf-8")
        return read_mapping(text)
    return read_mapping(text_of(Path(where)))


def _hashed(name: str, *files: Path) -> str:
    """Name what was read, with the first digits of the SHA-256 of its files, one after the other."""
    there = [file for file in files if file.is_file()]  # a shipped mapping is none
    content = b"".join(file.read_bytes() for file in there)
    return f"{name} (sha256 {hashlib.sha256(content).hexdigest()[:12]})" if there else name


def _made_by(labels: "pd.DataFrame") -> str:
    """Say which program, model and thresholds gave the labels, where they were screened."""
    if not set(MADE_BY) <= set(labels.columns):
        return ""
    made = Counter(labels[list(MADE_BY)].itertuples(index=False, name=None))
    named = [
        (f"mipc {program}, model {model}, {protocol}", count)
        for (program, model, protocol), count in sorted(made.items())
    ]
    if len(named) == 1:
        return f", {named[0][0]}"
    return ", not all studies screened alike: " + " and ".join(f"{count} by {name}" for name, count in named)


def _labels(where: str) -> "tuple[str, pd.DataFrame]":
    """Name and read verdicts of studies.csv or labels.csv, or of a study database by path or URL."""
    import pandas as pd

    from analysis.clinical import read_table

    path = Path(where)
    if path.suffix.lower() in (".csv", ".xlsx"):
        return _hashed(path.name, path), read_table(path)
    from records.errors import StoreError
    from records.store import open_kept_store

    try:
        with open_kept_store(where) as store:
            rows = [
                (
                    one.study.patient_id,
                    one.verdict.label.value,
                    one.provenance.program_version,
                    one.provenance.model_version,
                    one.provenance.protocol_label,
                )
                for one in store.all_screenings()
            ]
            name = store.name
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="--labels") from error
    return name, pd.DataFrame(rows, columns=["patient_id", "verdict", *MADE_BY])
