"""Archives by name: what each speaks is its own affair."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imaging.dicom.headers import HeaderError, broken, read_header
from imaging.dicom.nodes import Nodes, WebNode
from imaging.dicom.query import Archive
from imaging.dicom.sources import Source

__all__ = ["open_archive", "push"]

NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@contextmanager
def open_archive(nodes: Nodes, name: str) -> Iterator[Archive]:
    """Open the archive that the file of nodes calls `name`; it says goodbye at the end.

    Raises
    ------
    PacsError
        If no node is called so. That it cannot be reached shows with the first question.
    """
    node = nodes.named(name)
    archive: Archive
    if isinstance(node, WebNode):
        from imaging.dicom.dicomweb import WebArchive

        archive = WebArchive(node)
    else:
        from imaging.dicom.dimse import DimseArchive

        archive = DimseArchive(node, nodes.ourselves)
    try:
        yield archive
    finally:
        archive.close()


def push(
    archive: Archive, paths: Sequence[Path], *, progress: Callable[[int, int], object] | None = None
) -> list[tuple[Path, str]]:
    """Send files that the archive does not have yet.

    Returns
    -------
    list of (Path, str)
        What was not taken, and why.

    Raises
    ------
    PacsError
        If the archive is gone; what it took it does not get again the next time.
    """
    refused: list[tuple[Path, str]] = []
    absent: list[Path] = []
    there: dict[tuple[str, str], frozenset[str]] = {}
    for path in paths:
        try:
            header = read_header(Source(str(path)))
        except HeaderError as error:
            refused.append((path, error.sentence))
            continue
        fault = header.damage or _lacking(path)
        if fault:
            refused.append((path, fault))
            continue
        place = header.study.uid, header.series.uid
        if place not in there:
            there[place] = archive.find_instances(*place)
        if header.sop_instance_uid not in there[place]:
            absent.append(path)
    if absent:
        for number, (path, why) in enumerate(archive.store(absent), start=1):
            if why:
                refused.append((path, why))
            if progress is not None:
                progress(number, len(absent))
    return refused


def _lacking(path: Path) -> str:
    """Return which attributes a file lacks that tell an archive what it is sent, "" if none."""
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = dcmread(path, specific_tags=list(NEEDED), stop_before_pixels=True)
            lacking = [keyword for keyword in NEEDED if not file.get(keyword)]
            lacking += ["TransferSyntaxUID"] * (not file.file_meta.get("TransferSyntaxUID"))
        except broken():  # no preamble, no meta information
            lacking = ["file meta information"]
    return f"{path.name} lacks what no archive does without: {', '.join(lacking)}" if lacking else ""
