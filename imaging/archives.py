"""What `mipc pacs` does, said once: ask archives, fetch from them, send to them."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imaging.console import Display
from imaging.dicom.meta import is_dicom
from imaging.dicom.nodes import Nodes
from imaging.dicom.pacs import open_archive, push
from imaging.dicom.pull import Pulled, find, pull, write_missing
from imaging.dicom.query import Query, StudyMatch, read_registry
from imaging.legible import legible
from records.wording import counted

__all__ = [
    "PACS",
    "check_command",
    "fetch",
    "fetch_inputs",
    "find_command",
    "pull_command",
    "push_command",
    "questions",
    "send",
]

PACS = "pacs:"  # before the name of a node, where a folder is expected

DONE, NOTHING_USABLE = 0, 1  # exit statuses; 2 is wrong usage
FEW = 12  # missing series that are named one by one


def questions(query: Query, registry: Path | None) -> list[Query]:
    """Return the query, or one for each patient of a registry's list.

    Raises
    ------
    PacsError
        If the list cannot be read.
    """
    if registry is None:
        return [query]
    return [replace(query, patient_id=number) for number in read_registry(registry)]


def check_command(nodes: Nodes, name: str) -> int:
    """Ask an archive whether it is there and lets us in."""
    with open_archive(nodes, name) as archive:
        archive.echo()
    print(f"{name} answers.")
    return DONE


def find_command(nodes: Nodes, name: str, asked: Sequence[Query], *, prints_json: bool) -> int:
    """Print the studies that an archive has of what is asked."""
    with open_archive(nodes, name) as archive, Display() as display:
        found = find(archive, asked, progress=_shown(display))
        display.close()
    if prints_json:
        print(json.dumps([asdict(match) for match in found], indent=2))
    else:
        Console().print(_table(found), counted(len(found), "study", "studies"), sep="\n")
    return DONE if found else NOTHING_USABLE


def pull_command(
    nodes: Nodes, name: str, asked: Sequence[Query], out: Path, *, prints_json: bool = False
) -> int:
    """Fetch studies into a folder and say what is missing."""
    done = fetch(nodes, name, asked, out, out / "not_delivered.csv")
    if prints_json:
        print(json.dumps(asdict(done), indent=2))
    else:
        studies = counted(done.studies, "study", "studies")
        are = "is" if done.images == 1 else "are"
        print(f"{counted(done.images, 'image')} of {studies} {are} in {out}, {done.fetched} of them new.")
    return DONE if done.images else NOTHING_USABLE


def fetch(nodes: Nodes, name: str, asked: Sequence[Query], folder: Path, missing: Path) -> Pulled:
    """Fetch studies, write the list of what was not delivered, and say so on standard error."""
    with open_archive(nodes, name) as archive, Display() as display:
        done = pull(archive, asked, folder, progress=_shown(display))
        display.close()
    write_missing(done.missing, missing)
    for one in done.missing[:FEW]:
        what = f"patient {legible(one.patient_id, 24)}" + (
            f", series {one.series_uid}" if one.series_uid else ""
        )
        print(f"not delivered: {what}: {legible(one.sentence, 300)}", file=sys.stderr)
    if len(done.missing) > FEW:
        print(f"and {len(done.missing) - FEW} more; {missing} lists them", file=sys.stderr)
    return done


def fetch_inputs(
    inputs: Sequence[Path], out: Path, read_nodes: Callable[[], Nodes], registry: Path | None
) -> list[Path]:
    """Return `inputs` with each `pacs:NODE` replaced by the folder that its studies were fetched to.

    Parameters
    ----------
    out : Path
        Studies go to `pulled/NODE` in it, the list of what is missing to `not_delivered.csv`.
    read_nodes : callable
        Reads the file of nodes; called only if there is one to ask.
    """
    paths = []
    for place in inputs:
        name = str(place).removeprefix(PACS)
        if name == str(place):
            paths.append(place)
        else:
            folder = out / "pulled" / name
            folder.mkdir(parents=True, exist_ok=True)
            fetch(read_nodes(), name, questions(Query(), registry), folder, out / "not_delivered.csv")
            paths.append(folder)
    return paths


def push_command(nodes: Nodes, name: str, inputs: Sequence[Path]) -> int:
    """Send DICOM files that an archive does not have."""
    sent, refused = send(nodes, name, inputs)
    print(f"{name} has {sent} of {counted(sent + refused, 'file')}.")
    return DONE if sent else NOTHING_USABLE


def send(nodes: Nodes, name: str, inputs: Sequence[Path]) -> tuple[int, int]:
    """Send DICOM files, name what is refused on standard error, and count both."""
    paths = [path for place in inputs for path in _files(place)]
    with open_archive(nodes, name) as archive, Display() as display:
        refused = push(
            archive,
            paths,
            progress=lambda done, total: display.show("Sending", done, total, f"{done}/{total} files"),
        )
        display.close()
    for path, why in refused:
        print(f"not taken: {legible(str(path))}: {legible(why, 300)}", file=sys.stderr)
    return len(paths) - len(refused), len(refused)


def _shown(display: Display) -> Callable[[str, int, int], None]:
    """Return what shows the progress of questions and transfers."""

    def show(doing: str, done: int, total: int) -> None:
        display.show(doing, done, total, f"{done}/{total} {'questions' if doing == 'Asking' else 'studies'}")

    return show


def _files(place: Path) -> list[Path]:
    """Return `place`, or the DICOM files in that folder, whatever they are called."""
    return sorted(path for path in place.rglob("*") if _is_sent(path)) if place.is_dir() else [place]


def _is_sent(path: Path) -> bool:
    """Whether a file in a folder is to be sent: all DICOM but the table of contents."""
    if not path.is_file() or path.name == "DICOMDIR":
        return False
    return path.suffix == ".dcm" or is_dicom(path)


def _table(found: Sequence[StudyMatch]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("patient", "date", "description", "modalities", "study"):
        table.add_column(heading, no_wrap=True)
    for match in found:
        cells = (
            match.patient_id, match.study_date, match.description, " ".join(match.modalities), match.study_uid
        )  # fmt: skip
        table.add_row(*(Text(legible(cell, 64)) for cell in cells))
    return table
