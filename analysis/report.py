"""Write an analysis: tables as CSV, HTML and Word, figures, data sets, one offline page."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from analysis.analyse import Analysis
from analysis.figures import new_figure, save
from analysis.printed_tables import PrintedTable
from analysis.side_by_side import CellComparison, side_by_side
from analysis.tables import write_csv, write_docx
from records.cells import TableWriter, guarded
from records.wording import counted

__all__ = ["summary_of", "write_analysis"]


def write_analysis(
    analysis: Analysis, out: Path, *, source: str, printed: Sequence[PrintedTable] = ()
) -> tuple[CellComparison, ...]:
    """Write everything under a folder; return the comparison with printed tables, if any.

    Parameters
    ----------
    analysis : Analysis
    out : Path
        Made if it is not there.
    source : str
        What was read, with its hashes and versions, for the page.
    printed : sequence of PrintedTable
        A paper's tables to be laid beside ours.
    """
    for folder in (out / "tables", out / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    for table in analysis.tables:
        write_csv(table, out / "tables" / f"{table.name}.csv")
    write_docx(analysis.tables, out / "tables.docx")
    drawings = _draw(analysis, out / "figures")
    _write_rows(out / "problems.csv", [asdict(p) for p in analysis.problems],
                ["row", "patient_id", "column", "value", "sentence"])  # fmt: skip
    _guarded_frame(analysis.cohort).to_csv(out / "analysis_dataset.csv", index=False)
    (out / "flow.txt").write_text(analysis.flow.as_text(), encoding="utf-8")
    (out / "methods.txt").write_text(analysis.methods + "\n", encoding="utf-8")
    plan = {key: value for key, value in asdict(analysis.plan).items() if key != "source"}
    (out / "plan.json").write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    cells = side_by_side(printed, analysis.tables) if printed else ()
    if printed:
        names = ["table", "row", "column", "printed", "ours", "is_same", "reason"]
        _write_rows(out / "side_by_side.csv", [asdict(cell) for cell in cells], names)
    _write_page(analysis, out / "analysis.html", source, drawings, cells)
    return cells


def summary_of(cells: Sequence[CellComparison]) -> str:
    """Return one sentence about a comparison."""
    same = sum(cell.is_same for cell in cells)
    explained = sum(not cell.is_same and cell.reason != "differs" for cell in cells)
    rest = len(cells) - same - explained
    why = f"{counted(explained, 'differs', 'differ')} for a stated reason, {rest} without"
    return f"{counted(len(cells), 'printed cell')}: {same} the same, {why}."


def _draw(analysis: Analysis, folder: Path) -> list[dict[str, object]]:
    drawings: list[dict[str, object]] = []
    for figure in analysis.figures:
        canvas, axes = new_figure(*figure.size)
        figure.draw(axes)
        axes.set_title(figure.title, fontsize=10)
        formats = dict.fromkeys((*analysis.plan.formats, "svg"))
        save(canvas, folder / figure.name, tuple(formats))
        text = (folder / f"{figure.name}.svg").read_text(encoding="utf-8")
        # Our own drawing, its texts escaped by matplotlib: safe to put into the page as it is.
        svg = Markup(text[text.index("<svg") :])
        drawings.append({"title": figure.title, "svg": svg})
    return drawings


def _write_page(
    analysis: Analysis,
    path: Path,
    source: str,
    drawings: list[dict[str, object]],
    cells: Sequence[CellComparison],
) -> None:
    environment = Environment(loader=PackageLoader("analysis"), autoescape=select_autoescape(["html"]))
    page = environment.get_template("analysis.html").render(
        provenance=f"{source}; plan {analysis.plan.name}; mipc {version('mipc')}.",
        methods=analysis.methods,
        flow=analysis.flow.as_text(),
        problems=analysis.problems,
        tables=[Markup(table.as_html()) for table in analysis.tables],
        figures=drawings,
        comparison=cells,
        comparison_summary=summary_of(cells) if cells else "",
    )
    path.write_text(page, encoding="utf-8")


def _guarded_frame(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.copy()
    texts = shown.select_dtypes(["object", "string"]).columns
    shown[texts] = shown[texts].map(guarded)
    return shown.rename(columns=guarded)


def _write_rows(path: Path, rows: list[dict[str, object]], names: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file, lineterminator="\r\n")
        writer.writerow(names)
        writer.writerows([guarded(row[name]) for name in names] for row in rows)
