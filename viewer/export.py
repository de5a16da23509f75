"""Collected reads as the files that the analysis takes."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from records.cells import TableWriter, guarded
from records.files import replace_file
from records.reads import reads_to_json
from records.responses import ReaderResponse
from viewer.collecting import Collection, SignedRead, evaluator_of
from viewer.outcomes import adjudicated, final_responses, standing
from viewer.questions import BASELINE, CHOICE

__all__ = ["write_collection"]

LABELS = ("patient_id", "study_uid", "verdict", "basis")  # as studies.csv has them: `mipc analyse --labels`
HISTORY = tuple("patient_id reader is_adjudicator version label after_marks signed_at ledger_hash".split())
RESPONSES = tuple("patient_id reader best_response responded progressed basis stands disputed".split())
READS = tuple(
    "reader code patient_id study_uid time_point repeat_of version label after_marks changed_by_marks".split()
)


def write_collection(collection: Collection, out: Path, responses: Iterable[ReaderResponse]) -> None:
    """Write what the analysis takes.

    `labels.csv` holds final labels only (`mipc analyse --labels`), `label_history.csv` the reads
    they rest on, `reads.csv` every answer, `recist_reads.json` what `mipc respond` judges, the
    reads that stand marked as accepted, and `response_history.csv` how it was come to that.

    Parameters
    ----------
    responses : iterable of ReaderResponse
        What the analysis made of `collection.recist_reads()`.
    """
    finals = final_responses(collection, responses)
    labels = collection.labels()
    _write_csv(
        out / "labels.csv",
        LABELS,
        ((one.patient_id, one.study_uid, one.label, one.basis) for one in labels if one.label),
    )
    _write_csv(
        out / "label_history.csv",
        HISTORY,
        (
            (one.patient_id, read.reader, read.is_adjudicator, read.version, read.label, read.changed_mind_to,
             read.signed_at, read.hash)
            for one in labels
            for read in one.reads
        ),
    )  # fmt: skip
    questions = tuple(question.name for question in (*BASELINE, *CHOICE))
    _write_csv(
        out / "reads.csv",
        (*READS, *questions),
        (
            (read.reader, read.code, read.patient_id, read.study_uid, read.time_point, read.repeat_of,
             read.version, read.label, _after_marks(read), "; ".join(read.changed_by_marks),
             *({**read.form.told, "accepted_reads": read.chosen}.get(name, "") for name in questions))
            for read in collection.reads
        ),
    )  # fmt: skip
    reads = collection.recist_reads(standing(finals), adjudicated(finals))
    replace_file(out / "recist_reads.json", _encoded(reads_to_json(reads)))
    _write_csv(
        out / "response_history.csv",
        RESPONSES,
        (
            (final.patient_id, one.reader, one.best, one.responded, one.progressed, final.basis,
             one.reader == evaluator_of(final.stands).label, "; ".join(final.disputed))
            for final in finals
            for one in final.responses
        ),
    )  # fmt: skip


def _after_marks(read: SignedRead) -> str:
    """Say whether the reader changed his mind once he saw the machine's marks; "" if he was not shown any."""
    if read.second is None:
        return ""
    return "changed" if read.changed_by_marks else "unchanged"


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = TableWriter(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(guarded, row) for row in rows)
    replace_file(path, _encoded(text.getvalue()))


def _encoded(text: str) -> bytes:
    """Return text as UTF-8; half a character, which a reader's comment may hold, is spelled out."""
    return text.encode(errors="backslashreplace")
