"""Reads side by side, for the analysis to judge how far they agree."""

from collections.abc import Iterable
from dataclasses import replace

from records.model import VerdictLabel
from records.paired import PairedClasses, PairedDates, PairedReads, PairedSizes
from records.reads import Response
from records.responses import Disputed, ReaderResponse
from viewer.collecting import Collection, evaluator_of
from viewer.outcomes import final_responses
from viewer.questions import BASELINE, Kind
from viewer.reading import Form

__all__ = ["pair_readers", "pair_repeats"]


# What measurements can come to; deaths and missing scans are no reader's finding.
BEST_RESPONSES = tuple(one for one in Response if one not in (Response.EARLY_DEATH, Response.MISSING))


def pair_readers(collection: Collection, responses: Iterable[ReaderResponse]) -> tuple[PairedReads, ...]:
    """Return the reads of each two independent readers side by side, repeats left out.

    Parameters
    ----------
    responses : iterable of ReaderResponse
        What the analysis made of `collection.recist_reads()`.
    """
    packs = collection.key.readers
    by_reader = {
        pack.reader: {
            read.patient_id: read.form
            for read in collection.reads
            if read.reader == pack.reader and read.time_point == 1 and not read.repeat_of
        }
        for pack in packs
    }
    known = {
        (one.subject_id, one.reader): one
        for final in final_responses(collection, responses)
        for one in final.responses
    }
    return tuple(
        _with_responses(
            _pair(one.reader, other.reader, by_reader[one.reader], by_reader[other.reader]), known
        )
        for place, one in enumerate(packs)
        for other in packs[place + 1 :]
    )


def pair_repeats(collection: Collection) -> tuple[PairedReads, ...]:
    """Return each reader's hidden repeats beside his first reads of the same cases.

    A repeat that was read after the machine's marks of the patient were shown is left out.
    """
    pairs = []
    for pack in collection.key.readers:
        own = [read for read in collection.reads if read.reader == pack.reader and read.time_point == 1]
        again = {read.patient_id: read.form for read in own if read.repeat_of and not read.saw_marks}
        first = {
            read.patient_id: read.form for read in own if not read.repeat_of and read.patient_id in again
        }
        if again:
            pairs.append(_pair(pack.reader, f"{pack.reader} again", first, again))
    return tuple(pairs)


def _with_responses(pair: PairedReads, known: dict[tuple[str, str], ReaderResponse]) -> PairedReads:
    """Return a pair of readers with what their measurements come to."""
    ours, theirs = (evaluator_of(reader).label for reader in (pair.first, pair.second))
    cases = tuple(sorted(patient for patient, reader in known if reader == ours))
    both = [(known[case, ours].values, known[case, theirs].values) for case in cases]
    best, *dates = (
        (what.replace(" ", "_"), tuple(one[what] for one, _ in both), tuple(other[what] for _, other in both))
        for what in Disputed
    )
    classes = PairedClasses(best[0], BEST_RESPONSES, False, cases, *best[1:])
    paired_dates = tuple(PairedDates(name, cases, first, second) for name, first, second in dates)
    return replace(pair, classes=(*pair.classes, classes), dates=paired_dates)


def _pair(first: str, second: str, ours: dict[str, Form], theirs: dict[str, Form]) -> PairedReads:
    cases = sorted(ours.keys() & theirs.keys())
    labels = PairedClasses(
        "label", tuple(VerdictLabel), False, tuple(cases),
        tuple(ours[case].label or "" for case in cases), tuple(theirs[case].label or "" for case in cases),
    )  # fmt: skip
    classes, sizes = [labels], []
    for question in BASELINE:
        name = question.name
        both = [case for case in cases if ours[case].answer(name) and theirs[case].answer(name)]
        if question.kind is Kind.CHOICE:
            values = tuple(choice.value for choice in question.choices)
            given = (tuple(form[case].answer(name) for case in both) for form in (ours, theirs))
            classes.append(PairedClasses(name, values, values[0].isdigit(), tuple(both), *given))
        elif question.kind is Kind.MILLIMETRES:
            lengths = (
                tuple(float(form[case].size_mm(name) or 0) for case in both) for form in (ours, theirs)
            )
            sizes.append(PairedSizes(name, tuple(both), *lengths))
    return PairedReads(first, second, tuple(classes), tuple(sizes))
