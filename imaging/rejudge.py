"""A stored cohort judged again by other thresholds, without one pixel read, and who changed side and why."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imaging.console import FEW, Display
from imaging.legible import legible
from imaging.outlet import writing_to
from imaging.protocol import Protocol, load_protocol
from imaging.report import CohortRow, write_cohort_page, write_study_page
from imaging.tables import MADE_BY, Tables, made_by, text_cell, write_atomically
from imaging.verdict import judge, measured_for
from records.cells import TableWriter
from records.errors import StoreError
from records.model import Finding, Screening, Verdict, VerdictLabel
from records.store import Store, StoredStudy, open_kept_store, open_store
from records.wording import counted

__all__ = ["Change", "rejudge", "rejudge_command", "why_changed"]

CHANGE_COLUMNS = ("study_uid", "patient_id", "study_date", "before", "after", "why", *MADE_BY)


@dataclass(frozen=True, slots=True)
class Change:
    """A study that changed side."""

    study_uid: str
    patient_id: str
    study_date: str
    before: VerdictLabel
    after: VerdictLabel
    why: str
    made_by: tuple[str, str, str]


def rejudge(screening: Screening, protocol: Protocol) -> Screening:
    """Return a screening judged by other thresholds; what was not evaluable stays so."""
    made = replace(screening.provenance, protocol_name=protocol.name, protocol_sha256=protocol.sha256)
    pattern, series, lungs = screening.pattern, screening.series, screening.lungs
    if pattern is None or series is None or lungs is None:
        return replace(screening, provenance=made)
    # `slice_mm` of the volume that was read is the same: both numbers come from its headers.
    slice_mm = max(series.slice_thickness_mm or 0.0, series.slice_spacing_mm or 0.0)
    judged = measured_for(pattern, screening.nodules, protocol)
    verdict = judge(judged, protocol, slice_mm, lungs.noise_hu)
    return replace(screening, verdict=verdict, provenance=made)


def why_changed(before: Verdict, after: Verdict) -> str:
    """Return a sentence for each rule that is answered otherwise."""
    old = {f.name: f for f in (*before.criteria, *before.exclusions)}
    moved = [
        f for f in (*after.criteria, *after.exclusions) if f.name in old and old[f.name].holds != f.holds
    ]
    if not moved:
        return after.sentence
    return " ".join(
        f"{f.name}: {_answer(old[f.name])} by {old[f.name].threshold:g}, {_answer(f)} by {f.threshold:g} "
        f"({f.sentence})"
        for f in moved
    )


def rejudge_command(store: str | Path, protocol_file: Path | None, out: Path, *, prints_json: bool) -> int:
    """Judge what is in a store by a protocol, write store, tables and report to `out`, say who changed.

    Returns
    -------
    int
        Exit status: 0, or 1 if the store is empty.

    Raises
    ------
    ProtocolError, StoreError
        If the protocol, the store or the folder `out` cannot be used.
    """
    protocol = load_protocol(protocol_file)
    changes: list[Change] = []
    labels: Counter[VerdictLabel] = Counter()
    with open_kept_store(store) as old, writing_to(out):
        target = out / "mipc.db"
        if target.exists() and Path(old.name).exists() and target.samefile(old.name):
            raise StoreError(f"{out} holds the store that is to be judged again: choose another folder")
        rows: list[CohortRow] = []
        made = None
        uids = [screening.study.uid for screening in old.all_screenings()]
        with open_store(target) as new, Tables(out) as tables, Display() as display:
            for number, (before, after) in enumerate(_judged(old, uids, protocol), start=1):
                new.save(after)
                screening = after.screening
                made = screening.provenance
                labels[after.verdict] += 1
                tables.add(screening)
                write_study_page(after, new, out)
                rows.append(CohortRow.of(screening))
                if before.verdict is not after.verdict:
                    changes.append(_change(before, after))
                line = f"{number}/{len(uids)} studies · {len(changes)} changed side"
                display.show("Judging again", number, len(uids), line)
        if made is None:
            print(f"mipc: there is no study in {old.name}", file=sys.stderr)
            return 1
        write_cohort_page(rows, out, made)
        _write_changes(changes, out / "changes.csv")
    _say(changes, labels, protocol, out, prints_json=prints_json)
    return 0


def _judged(
    store: Store, uids: Sequence[str], protocol: Protocol
) -> Iterator[tuple[StoredStudy, StoredStudy]]:
    for before in store.studies(uids):
        after = rejudge(before.screening, protocol)
        yield before, StoredStudy.of(after, before.fingerprint, store.pictures(before.study_uid))


def _change(before: StoredStudy, after: StoredStudy) -> Change:
    study = after.screening.study
    why = why_changed(before.screening.verdict, after.screening.verdict)
    made = made_by(after.screening)
    return Change(study.uid, study.patient_id, study.study_date, before.verdict, after.verdict, why, made)


def _answer(finding: Finding) -> str:
    return {True: "yes", False: "no", None: "cannot be told"}[finding.holds]


def _write_changes(changes: list[Change], path: Path) -> None:
    with write_atomically(path) as file:
        writer = TableWriter(file, lineterminator="\n")
        writer.writerow(CHANGE_COLUMNS)
        for change in changes:
            writer.writerow(
                [
                    text_cell(change.study_uid), text_cell(change.patient_id), text_cell(change.study_date),
                    change.before.value, change.after.value, text_cell(change.why), *change.made_by,
                ]
            )  # fmt: skip


def _say(
    changes: list[Change], labels: Counter[VerdictLabel], protocol: Protocol, out: Path, *, prints_json: bool
) -> None:
    if prints_json:
        values = {
            "protocol": {"name": protocol.name, "sha256": protocol.sha256},
            "verdicts": {label.value: count for label, count in sorted(labels.items())},
            "changes": [
                {
                    "study_uid": c.study_uid, "patient_id": c.patient_id, "study_date": c.study_date,
                    "before": c.before.value, "after": c.after.value, "why": c.why,
                }
                for c in changes
            ],
            "report": str(out / "report.html"),
        }  # fmt: skip
        print(json.dumps(values, indent=2))
        return
    studies = counted(sum(labels.values()), "study", "studies")
    print(f"{len(changes)} of {studies} changed side by the protocol {protocol.name}.")
    for change in changes[:FEW]:
        who = legible(change.patient_id, 40) or legible(change.study_uid, 64)
        day = legible(change.study_date, 10) or "no date"
        print(f"  {who}, {day}: {change.before.value} -> {change.after.value}. {legible(change.why, 400)}")
    if len(changes) > FEW:
        print(f"  and {len(changes) - FEW} more, in {out / 'changes.csv'}")
    print(f"Report: {out / 'report.html'}")
