"""A second, slower reading of RECIST 1.1 in fractions, written from the paper: both have to agree.

Nothing is remembered from visit to visit here. Every time point looks back over all the raw measurements, so
that a mistake in what the engine carries along shows. The clarification that a confirmed PR goes on is
switched off on both sides; its rows are in `test_response_targets`.
"""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.response import ResponseProtocol, StayingResponse, follow
from records.reads import Certainty, LesionKind, NewLesionFinding, NonTargetStatus, Response, Seen
from tests.analysis.recist_cases import non_target, read, status, target

CR, PR, SD, PD, NE = Response.CR, Response.PR, Response.SD, Response.PD, Response.NE
NON = Response.NON_CR_NON_PD
PROTOCOL = ResponseProtocol(staying_response=StayingResponse.NEVER)
NEW_WORDS = (None, None, None, None, Certainty.EQUIVOCAL, Certainty.UNEQUIVOCAL)


@st.composite
def patients(draw):
    """Draw which lesions there are, and at each visit what a reader saw of them, in tenths of mm."""
    nodes = draw(st.lists(st.booleans(), max_size=3))
    others = draw(st.lists(st.booleans(), max_size=2))
    baseline = [draw(st.integers(150, 600)) for _ in nodes]
    size = st.one_of(st.sampled_from([None, "faint", 0, 99, 100]), st.integers(0, 700))
    visits = [
        (
            [draw(size) for _ in nodes],
            [draw(st.sampled_from(["gone", "gone", "there", "worse", "unseen"])) for _ in others],
            draw(st.sampled_from(NEW_WORDS)),
        )
        for _ in range(draw(st.integers(1, 5)))
    ]
    return nodes, others, baseline, visits


def millimetres_of(size):
    return None if size is None else Fraction(5) if size == "faint" else Fraction(size, 10)


def second_opinion(nodes, others, baseline, visits):
    """Return the overall response of every visit, from the text of the paper."""
    found = []
    in_complete_response = False
    start = [Fraction(size, 10) for size in baseline]
    for now, (sizes, states, new) in enumerate(visits):
        here = [millimetres_of(size) for size in sizes]
        complete_before = [
            sum(map(millimetres_of, seen), Fraction(0)) for seen, _, _ in visits[:now] if None not in seen
        ]
        nadir = min(
            [sum(start, Fraction(0)), *complete_before]
        )  # 4.3.1: the baseline sum may be the smallest
        measured = sum((size for size in here if size is not None), Fraction(0))
        grown = measured - nadir >= 5 and 5 * (measured - nadir) >= nadir
        diseased = [
            size is not None and (size >= 10 if node else size > 0)
            for size, node in zip(here, nodes, strict=True)
        ]
        if not nodes:
            of_targets = None
        elif None in here:
            of_targets = PD if grown else NE  # 4.4.2
        elif not any(diseased):
            of_targets = CR
        elif grown:
            of_targets = PD
        elif 10 * measured <= 7 * sum(start, Fraction(0)):
            of_targets = PR
        else:
            of_targets = SD
        of_others = None if not others else non_targets_say(states)
        overall = of_all(of_targets, of_others, new is Certainty.UNEQUIVOCAL)
        seen_again = any(diseased) or "there" in states or "worse" in states
        if in_complete_response and seen_again:
            overall = PD  # table 3, footnote a
        in_complete_response = overall is CR or (in_complete_response and overall is not PD)
        found.append(overall)
    return found


def non_targets_say(states):
    if "worse" in states:
        return PD
    if "unseen" in states:
        return NE
    return NON if "there" in states else CR


def of_all(targets, others, has_new):
    """Tables 1 and 2, row by row."""
    if has_new or targets is PD or others is PD:
        return PD
    if targets is None:
        return Response.NED if others is None else others
    if targets is CR and others in (NON, NE):
        return PR
    return targets


def reads_of(nodes, others, baseline, visits):
    targets = [target(f"T{n}", node=node, organ=f"ORGAN {n}") for n, node in enumerate(nodes)]
    rest = [
        non_target(f"NT{n}", LesionKind.LYMPH_NODE if is_node else LesionKind.MILIARY)
        for n, is_node in enumerate(others)
    ]
    word = {
        "gone": NonTargetStatus.ABSENT,
        "there": NonTargetStatus.PRESENT,
        "worse": NonTargetStatus.UNEQUIVOCAL_PROGRESSION,
        "unseen": NonTargetStatus.NOT_ASSESSED,
    }

    def size(value):
        return Seen.TOO_SMALL if value == "faint" else None if value is None else str(value / 10)

    reads = [read(0, lesions=[*targets, *rest], sizes=dict(zip(targets, map(size, baseline), strict=True)))]
    for number, (sizes, states, new) in enumerate(visits, start=1):
        reads.append(
            read(
                number,
                sizes=dict(zip(targets, map(size, sizes), strict=True)),
                non_targets=[
                    status(one.lesion_id, word[state]) for one, state in zip(rest, states, strict=True)
                ],
                new=[NewLesionFinding(f"N{number}", new)] if new else [],
            )
        )
    return reads


@settings(max_examples=400, deadline=None)
@given(patient=patients())
def test_two_readings_of_the_paper_agree_at_every_visit(patient):
    points = follow(reads_of(*patient), PROTOCOL)
    assert [point.overall_response for point in points] == second_opinion(*patient)


@settings(max_examples=100, deadline=None)
@given(patient=patients())
def test_nadir_and_baseline_in_the_table_are_those_of_the_raw_measurements(patient):
    nodes, _, baseline, visits = patient
    points = follow(reads_of(*patient), PROTOCOL)
    sums = [Fraction(sum(baseline), 10)]
    for point, (sizes, _, _) in zip(points, visits, strict=True):
        if not nodes:
            assert (point.sum_mm, point.nadir_mm, point.baseline_mm) == (None, None, None)
            continue
        assert Fraction(point.nadir_mm) == min(sums)
        complete = None not in sizes
        assert (point.sum_mm is not None) is complete
        if complete:
            sums.append(sum(map(millimetres_of, sizes), Fraction(0)))
            assert Fraction(point.sum_mm) == sums[-1]
    assert all(later.nadir_mm <= earlier.nadir_mm for earlier, later in pairwise(points) if nodes)
