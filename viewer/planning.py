"""Who reads what, in which order: drawn from a seed, with no file and no clock.

A reader's order is his own. Controls hide which case was flagged; a repeat is a
case that comes again under another code, a good while later, and measures the
reader against himself.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from records.wording import counted
from viewer.pack import PackError

__all__ = ["Candidate", "PlannedCase", "draw_controls", "plan_cases"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patient who can be read: the studies in time order, and whether the screening flagged one."""

    patient_id: str
    study_uids: tuple[str, ...]
    is_flagged: bool


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A place in one reader's worklist."""

    code: str
    patient: Candidate
    repeat_of: str = ""  # the code under which the reader had it before


def draw_controls(candidates: Sequence[Candidate], controls: int, seed: int) -> tuple[Candidate, ...]:
    """Return the flagged patients and so many controls, drawn at random.

    Raises
    ------
    PackError
        If nobody is flagged, or there are fewer controls than asked for.
    """
    ordered = sorted(candidates, key=lambda one: one.patient_id)
    flagged = [one for one in ordered if one.is_flagged]
    others = [one for one in ordered if not one.is_flagged]
    if not flagged:
        raise PackError(
            "no study of the store is flagged (mipc or indeterminate), so there is nothing to confirm"
        )
    if controls > len(others):
        raise PackError(
            f"{counted(controls, 'control was', 'controls were')} asked for, "
            f"the store has {counted(len(others), 'patient')} not flagged"
        )
    return (*flagged, *random.Random(f"{seed} controls").sample(others, controls))


def plan_cases(
    patients: Sequence[Candidate], reader: str, repeats: int, seed: int
) -> tuple[PlannedCase, ...]:
    """Return the worklist of one reader.

    Which patients are repeated is the same for all readers, their order and codes are
    not. Between a case and its repeat lie at least a third of the patients.

    Raises
    ------
    PackError
        If more repeats are asked for than there are patients.
    """
    if repeats > len(patients):
        asked = counted(repeats, "repeat was", "repeats were")
        raise PackError(f"{asked} asked for of {counted(len(patients), 'patient')}")
    ordered = sorted(patients, key=lambda one: one.patient_id)
    again = random.Random(f"{seed} repeats").sample(ordered, repeats)
    draw = random.Random(f"{seed} order {reader}")
    order = draw.sample(ordered, len(ordered))
    gap = len(order) // 3
    worklist = list(order)
    for patient in draw.sample(again, len(again)):
        place = worklist.index(patient)
        if place + gap < len(worklist):
            worklist.insert(draw.randint(place + gap + 1, len(worklist)), patient)
        else:  # too late in the list to come again after it, so it comes before
            worklist.insert(draw.randint(0, place - gap), patient)
    cases: list[PlannedCase] = []
    for number, patient in enumerate(worklist, start=1):
        earlier = next((case.code for case in cases if case.patient is patient), "")
        cases.append(PlannedCase(f"{reader}-{number:03d}", patient, earlier))
    return tuple(cases)
