"""Tables as records, and as CSV, HTML and Word files.

A row is known by (variable, level) and a column by a short key; both follow the
names in which printed tables are kept for `mipc audit-tables`, so that ours and
a paper's can be laid side by side cell by cell.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from records.cells import TableWriter, guarded

__all__ = ["Row", "Table", "format_interval", "format_p", "write_csv", "write_docx"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is called, what it is known by, and its cells by column key.

    `values` holds what was printed as text once more as numbers, where there are any.
    """

    label: str
    key: tuple[str, str]
    cells: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `columns` are (key, heading) in order; conventions go below as notes."""

    name: str
    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def as_html(self) -> str:
        """Return the table as an HTML fragment, every text escaped."""
        head = "".join(f"<th>{html.escape(heading)}</th>" for _, heading in self.columns)
        body = []
        for row in self.rows:
            cells = "".join(f"<td>{html.escape(row.cells.get(key, ''))}</td>" for key, _ in self.columns)
            style = " class='heading'" if row.is_heading else ""
            name = f"<th{style}>{html.escape(row.label)}</th>"
            body.append(f"<tr>{name}{cells}</tr>")
        notes = "".join(f"<p class='note'>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<table id='{html.escape(self.name)}'><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>{notes}"
        )


def format_p(p_value: float) -> str:
    """Return a p-value with three decimals, or `<0.001`."""
    if p_value != p_value:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def format_interval(value: float, low: float, high: float, *, decimals: int = 2) -> str:
    """Return `value (low–high)`; an unknown limit is NR, not reached."""

    def one(x: float) -> str:
        if x != x:
            return "NR"
        return f"{x:.{decimals}f}" if abs(x) < 1e5 else f"{x:.2g}"

    return f"{one(value)} ({one(low)}–{one(high)})"


def write_csv(table: Table, path: Path) -> None:
    """Write a table with its keys, title and notes; a text that a spreadsheet would run is quoted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file, lineterminator="\r\n")
        writer.writerow(["variable", "level", "label", *(key for key, _ in table.columns)])
        for row in table.rows:
            cells = (row.cells.get(key, "") for key, _ in table.columns)
            writer.writerow(map(guarded, (*row.key, row.label, *cells)))


def write_docx(tables: tuple[Table, ...], path: Path) -> None:
    """Write tables as a Word document, one after another with their notes."""
    from docx import Document
    from docx.shared import Pt

    document: Any = Document()
    document.core_properties.author = "mipc"
    for table in tables:
        document.add_heading(table.title, level=2)
        grid = document.add_table(rows=1, cols=1 + len(table.columns), style="Light List")
        for cell, text in zip(
            grid.rows[0].cells, ["", *(heading for _, heading in table.columns)], strict=True
        ):
            cell.text = text
        for row in table.rows:
            texts = [row.label, *(row.cells.get(key, "") for key, _ in table.columns)]
            for cell, text in zip(grid.add_row().cells, texts, strict=True):
                cell.text = text
        for note in table.notes:
            paragraph = document.add_paragraph(note)
            paragraph.runs[0].font.size = Pt(8)
    document.save(str(path))
