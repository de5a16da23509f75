"""Whose measurements of a patient stand: the readers', where they agree, or those an adjudicator chose.

The responses are computed by the analysis and handed in; the viewer compares
them, and never shows them to a reader.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from records.reads import Response
from records.responses import Disputed, ReaderResponse, disputes
from viewer.collecting import Basis, Collection, decision, evaluator_of
from viewer.studykey import KeyCase

__all__ = ["FinalResponse", "adjudicated", "final_responses", "standing"]


@dataclass(frozen=True, slots=True)
class FinalResponse:
    """One patient with follow-ups.

    Attributes
    ----------
    stands : str
        The reader whose measurements stand, the first where all agree; "" while it is open.
    disputed : tuple of Disputed
        What the readers came to differently.
    responses : tuple of ReaderResponse
        In the order of the readers; empty while reads are missing.
    """

    patient_id: str
    basis: Basis
    stands: str
    disputed: tuple[Disputed, ...]
    responses: tuple[ReaderResponse, ...]


def final_responses(collection: Collection, responses: Iterable[ReaderResponse]) -> tuple[FinalResponse, ...]:
    """Return what stands for each patient that has a follow-up.

    Parameters
    ----------
    collection : Collection
    responses : iterable of ReaderResponse
        Made by the analysis from `collection.recist_reads()`.

    Raises
    ------
    PackError
        If two adjudicators chose different readers for a patient.
    """
    if not collection.asks_recist:
        return ()
    known = {(one.subject_id, one.reader): one for one in responses}
    first = collection.key.readers[0]
    cases = [case for case in first.cases if len(case.time_points) > 1 and not case.repeat_of]
    return tuple(
        _final_response(collection, case, known) for case in sorted(cases, key=lambda case: case.patient_id)
    )


def standing(finals: Iterable[FinalResponse]) -> dict[str, str]:
    """Return, by patient, the reader whose measurements stand."""
    return {one.patient_id: one.stands for one in finals if one.stands}


def adjudicated(finals: Iterable[FinalResponse]) -> frozenset[str]:
    """Return the patients of whom an adjudicator chose the reader."""
    return frozenset(one.patient_id for one in finals if one.basis is Basis.ADJUDICATED)


def _final_response(
    collection: Collection, case: KeyCase, known: dict[tuple[str, str], ReaderResponse]
) -> FinalResponse:
    patient, readers = case.patient_id, [pack.reader for pack in collection.key.readers]
    signed = [read.reader for read in collection.reads if read.patient_id == patient and not read.repeat_of]
    if any(signed.count(reader) < len(case.time_points) for reader in readers):
        return FinalResponse(patient, Basis.INCOMPLETE, "", (), ())
    labels = [evaluator_of(reader).label for reader in readers]
    # A reader whose baseline could not be judged has no reads to compare, and so no response.
    own = tuple(
        known.get((patient, label)) or ReaderResponse(patient, label, Response.NE, "", "") for label in labels
    )
    found = {what for other in own[1:] for what in disputes(own[0], other)}
    disputed = tuple(what for what in Disputed if what in found)
    if not disputed:
        return FinalResponse(patient, Basis.AGREED, readers[0], (), own)
    chosen_by = {
        read.reader: read.chosen for read in collection.reads if read.chosen and read.patient_id == patient
    }
    if not chosen_by:
        return FinalResponse(patient, Basis.DISCORDANT, "", disputed, own)
    stands = decision(patient, "response", chosen_by)
    return FinalResponse(patient, Basis.ADJUDICATED, stands, disputed, own)
