"""Target lesions (RECIST 1.1, 4.2 and 4.3.1): a row a rule, both sides of every boundary.

The expected answers are read off Eisenhauer 2009 (Eur J Cancer 45:228) and the
EORTC clarifications, with paper and pencil.
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.response import ResponseProtocol, StayingResponse, follow
from records.reads import Measurement, NonTargetStatus, Response, Seen, millimetres
from tests.analysis.recist_cases import last, measured, non_target, read, status, sums, target

CR, PR, SD, PD, NE = Response.CR, Response.PR, Response.SD, Response.PD, Response.NE


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # partial response: 30 % below baseline, inclusive
        pytest.param((100, 70), PR, id="exactly-30-percent-below-baseline"),
        pytest.param((100, "70.1"), SD, id="just-under-30-percent-below-baseline"),
        pytest.param((100, 69), PR, id="more-than-30-percent-below-baseline"),
        pytest.param(("23.7", "16.59"), PR, id="exactly-30-percent-below-in-tenths"),
        pytest.param(("0.1", 0.07), PR, id="exactly-30-percent-below-in-floats"),
        # progression: 20 % above the nadir and 5 mm, both inclusive
        pytest.param((100, 120), PD, id="exactly-20-percent-above-baseline-as-nadir"),
        pytest.param((100, "119.9"), SD, id="just-under-20-percent"),
        pytest.param((100, 50, 60), PD, id="progression-counts-from-the-nadir"),
        pytest.param((100, 50, "59.9"), PR, id="just-under-20-percent-above-the-nadir"),
        pytest.param((30, 36), PD, id="20-percent-and-6-mm"),
        pytest.param((25, 30), PD, id="exactly-5-mm-and-20-percent"),
        pytest.param((24, "28.9"), SD, id="20-percent-but-only-4.9-mm"),
        pytest.param((18, 10, 14), SD, id="40-percent-but-only-4-mm"),
        pytest.param((100, 105), SD, id="5-mm-but-only-5-percent"),
        pytest.param((100, 26.0, 31.2), PD, id="exactly-20-percent-in-floats"),
        pytest.param((100, 60, 71, 73), PD, id="slow-growth-adds-up-from-the-nadir"),
        pytest.param((100, 110, 119), SD, id="nadir-includes-baseline"),
        pytest.param((100, 80, 90, 96), PD, id="nadir-is-the-smallest-not-the-last"),
        pytest.param((100, 40, 60), PD, id="progression-goes-before-partial-response"),
        # stable disease is compared with baseline for shrinkage, with the nadir for growth
        pytest.param((100, 75, 80), SD, id="stable-is-neither"),
        pytest.param((165, 63, 65), PR, id="eortc-165-63-65-goes-on-as-pr"),
        # nadir of zero
        pytest.param((20, 0, 5), PD, id="back-at-5-mm-after-all-gone"),
        pytest.param((20, 0, "4.9"), PR, id="back-at-4.9-mm-after-all-gone"),
        # only complete sums make a nadir
        pytest.param((50, None, 61), PD, id="nadir-passes-over-a-missed-measurement"),
    ],
)
def test_target_response(sizes, expected):
    assert last(sums(*sizes)).target_response is expected


@pytest.mark.parametrize(
    ("sizes", "node", "expected"),
    [
        pytest.param((20, 0), False, CR, id="gone"),
        pytest.param((20, 1), False, PR, id="a-millimetre-left-is-not-gone"),
        pytest.param((20, Seen.ABSENT), False, CR, id="recorded-as-absent"),
        pytest.param((20, Seen.TOO_SMALL), False, PR, id="too-small-to-measure-is-not-gone"),
        pytest.param((20, "9.9"), True, CR, id="node-of-9.9-mm"),
        pytest.param((20, 10), True, PR, id="node-of-10-mm"),
        pytest.param((20, Seen.TOO_SMALL), True, CR, id="node-too-small-counts-5-mm-and-is-normal"),
        pytest.param((16, 6, 9), True, CR, id="node-growing-from-6-to-9-mm-is-still-cr"),
    ],
)
def test_complete_response(sizes, node, expected):
    assert last(sums(*sizes, node=node)).target_response is expected


def test_complete_response_of_mixed_targets_keeps_the_size_of_normal_nodes():
    lung, node = target("T01"), target("T02", node=True)
    first = read(0, lesions=[lung, node], sizes={lung: 30, node: 18})
    point = last([first, read(1, sizes={lung: 0, node: 8})])
    assert point.target_response is CR
    assert point.sum_mm == 8
    assert "8 mm" in point.rule


def test_sum_takes_longest_diameters_and_short_axes_of_nodes():
    lung, node = target("T01"), target("T02", node=True)
    both = Measurement("T02", Seen.MEASURED, Decimal(31), Decimal(18))
    first = read(0, lesions=[lung, node], sizes={lung: 30, node: both})
    assert last([first, read(1, sizes={lung: 30, node: 18})]).baseline_mm == 48


@pytest.mark.parametrize(
    ("size", "counted_mm"),
    [
        pytest.param(3, 3, id="true-millimetres-under-5"),
        pytest.param(Seen.TOO_SMALL, 5, id="faint-counts-5"),
        pytest.param(Seen.ABSENT, 0, id="gone-counts-0"),
    ],
)
@pytest.mark.parametrize("node", [False, True], ids=["mass", "node"])
def test_small_lesions_count(size, counted_mm, node):
    assert last(sums(20, size, node=node)).sum_mm == counted_mm


def test_split_lesion_counts_the_sum_of_its_pieces():
    lesion = target("T01")
    pieces = Measurement("T01", Seen.MEASURED, fragments_mm=(millimetres(12), millimetres("9.5")))
    reads = [read(0, lesions=[lesion], sizes={lesion: 20}), read(1, sizes={lesion: pieces})]
    assert last(reads).sum_mm == Decimal("21.5")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(("9.9", "8"), CR, id="each-under-10-mm-is-normal"),
        pytest.param((10, 3), SD, id="one-of-10-mm-is-disease"),
    ],
)
def test_node_in_pieces_is_judged_piece_by_piece(pieces, expected):
    """Appendix II adds the pieces up; each is a node, normal under 10 mm."""
    node = target("T01", node=True)
    found = Measurement("T01", Seen.MEASURED, fragments_mm=tuple(millimetres(size) for size in pieces))
    point = last([read(0, lesions=[node], sizes={node: 16}), read(1, sizes={node: found})])
    assert point.sum_mm == sum(millimetres(size) for size in pieces)
    assert point.target_response is expected


def test_merged_lesions_count_the_whole_once():
    one, other = target("T01"), target("T02")
    first = read(0, lesions=[one, other], sizes={one: 20, other: 15})
    merged = Measurement("T02", Seen.MERGED, merged_into="T01")
    point = last([first, read(1, sizes={one: 33, other: merged})])
    assert (point.sum_mm, point.target_response) == (33, SD)


def test_touching_lesions_with_a_plane_between_them_are_measured_each():
    one, other = target("T01"), target("T02")
    first = read(0, lesions=[one, other], sizes={one: 20, other: 15})
    assert last([first, read(1, sizes={one: 19, other: 14})]).sum_mm == 33


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param((40, 40, None), PD, id="the-papers-50-mm-baseline-two-lesions-make-80"),
        pytest.param((30, 30, None), PD, id="measured-part-exactly-20-percent-above"),
        pytest.param((30, "29.9", None), NE, id="measured-part-just-under-20-percent"),
        pytest.param((0, 0, None), NE, id="no-response-without-all-targets"),
        pytest.param((None, None, None), NE, id="nothing-measured"),
    ],
)
def test_missing_targets(later, expected):
    """RECIST 1.1, 4.4.2: baseline 50 mm in three lesions, two of them 80 mm later: PD."""
    lesions = [target(name) for name in ("T01", "T02", "T03")]
    first = read(0, lesions=lesions, sizes=dict(zip(lesions, (20, 20, 10), strict=True)))
    point = last([first, read(1, sizes=dict(zip(lesions, later, strict=True)))])
    assert point.target_response is expected
    assert point.sum_mm is None


def test_incomplete_sum_is_no_nadir():
    lesions = [target("T01"), target("T02")]
    first = read(0, lesions=lesions, sizes=dict(zip(lesions, (30, 30), strict=True)))
    gap = read(1, sizes={lesions[0]: 10, lesions[1]: None})
    point = last([first, gap, read(2, sizes=dict(zip(lesions, (30, 30), strict=True)))])
    assert (point.nadir_mm, point.target_response) == (60, SD)


@pytest.mark.parametrize(
    ("staying", "sizes", "expected"),
    [
        pytest.param(StayingResponse.ONCE_CONFIRMED, (100, 70, 70, 80), PR, id="confirmed-pr-goes-on"),
        pytest.param(StayingResponse.ONCE_CONFIRMED, (100, 70, 80), SD, id="unconfirmed-pr-does-not"),
        pytest.param(StayingResponse.ONCE_CONFIRMED, (100, 70, 70, 84), PD, id="confirmed-pr-ends-with-pd"),
        pytest.param(StayingResponse.ONCE_CONFIRMED, (100, 70, 80, 70, 80), SD, id="broken-run-starts-anew"),
        pytest.param(StayingResponse.AT_ONCE, (100, 70, 80), PR, id="no-confirmation-asked-goes-on-at-once"),
        pytest.param(StayingResponse.NEVER, (100, 70, 70, 80), SD, id="compared-anew-each-time"),
    ],
)
def test_pr_that_stays_above_the_nadir(staying, sizes, expected):
    """EORTC, "managing PR when measurements change slightly": 100, 70, 70, 80, 80, 80 is PR throughout."""
    assert last(sums(*sizes), ResponseProtocol(staying_response=staying)).target_response is expected


@pytest.mark.parametrize(
    ("back", "node", "expected"),
    [
        pytest.param(2, False, PD, id="2-mm-back-after-complete-response"),
        pytest.param("9.9", True, CR, id="node-back-at-9.9-mm-is-normal"),
        pytest.param(10, True, PD, id="node-back-at-10-mm-is-disease"),
    ],
)
def test_disease_back_after_complete_response(back, node, expected):
    """RECIST 1.1, table 3 footnote a, and EORTC on nodes: after a true CR any disease is PD."""
    assert last(sums(30, 8 if node else 0, back, node=node)).overall_response is expected


def test_one_target_back_is_no_progression_while_others_persisted():
    gone, there = target("T01"), target("T02")
    first = read(0, lesions=[gone, there], sizes={gone: 20, there: 60})
    reads = [first, read(1, sizes={gone: 0, there: 60}), read(2, sizes={gone: 6, there: 60})]
    assert last(reads).overall_response is SD


def test_targets_gone_and_back_while_a_non_target_persisted_follow_the_sum():
    lesion, other = target("T01"), non_target("NT01")
    there = status("NT01", NonTargetStatus.PRESENT)
    first = read(0, lesions=[lesion, other], sizes={lesion: 20})
    reads = [first, read(1, sizes={lesion: 0}, non_targets=[there])]
    four = last([*reads, read(2, sizes={lesion: 4}, non_targets=[there])])
    five = last([*reads, read(2, sizes={lesion: 5}, non_targets=[there])])
    assert (four.overall_response, five.overall_response) == (PR, PD)


def test_rule_says_the_numbers_that_decided():
    point = last(sums(100, 50, 60))
    assert "20 %" in point.rule
    assert "10 mm" in point.rule
    assert "nadir of 50 mm (WEEK 6)" in point.rule


def test_rule_does_not_round_up_to_the_limit():
    point = last(sums(100, 50, "59.9999"))
    assert point.target_response is PR
    assert "19.99 %" in last(sums(100, 99, "118.799")).rule


# Laws


tenths = st.integers(0, 2000).map(lambda tenth: Decimal(tenth) / 10)


@given(nadir=st.integers(250, 3000))
def test_a_fifth_more_is_progression_for_every_nadir_in_tenths(nadir):
    """20 % of 25.0 to 300.0 mm is 5 mm and more; binary floats miss 220 of the 551 that are in tenths."""
    size = Decimal(nadir) / 10
    above = size * Decimal("1.2")
    assert last(sums(size, above)).target_response is PD
    assert last(sums(size, above - Decimal("0.001"))).target_response is SD


@given(
    baseline=st.lists(tenths.filter(bool), min_size=1, max_size=5),
    later=st.lists(tenths, min_size=5, max_size=5),
)
def test_order_of_lesions_changes_nothing(baseline, later):
    lesions = [target(f"T{index}") for index in range(len(baseline))]
    pairs = list(zip(lesions, baseline, later, strict=False))

    def judged(ordered):
        first = read(
            0, lesions=[lesion for lesion, _, _ in ordered], sizes={lesion: b for lesion, b, _ in ordered}
        )
        return last([first, read(1, sizes={lesion: size for lesion, _, size in ordered})])

    forth, back = judged(pairs), judged(pairs[::-1])
    assert (forth.overall_response, forth.sum_mm) == (back.overall_response, back.sum_mm)


@given(sizes=st.lists(tenths.filter(lambda size: size >= 10), min_size=3, max_size=6), order=st.randoms())
def test_order_of_reads_changes_nothing(sizes, order):
    reads = list(sums(*sizes))
    shuffled = reads[:]
    order.shuffle(shuffled)
    assert follow(shuffled) == follow(reads)


@given(
    sizes=st.lists(tenths.filter(lambda size: size >= 10), min_size=2, max_size=5), other=st.integers(10, 50)
)
def test_a_lesion_that_never_changes_never_makes_things_worse(sizes, other):
    """A constant added to every sum makes relative changes smaller: no new PD, and no PR out of an SD."""
    lone = follow(sums(*sizes))
    lesion, constant = target("T01"), target("T02")
    reads = [
        read(visit, lesions=[lesion, constant] if visit == 0 else [], sizes={lesion: size, constant: other})
        for visit, size in enumerate(sizes)
    ]
    both = follow(reads)
    for before, after in zip(lone, both, strict=True):
        assert after.sum_mm - before.sum_mm == other
        assert not (after.target_response is PD and before.target_response is not PD)
        assert not (after.target_response is PR and before.target_response is SD)


@given(sizes=st.lists(tenths, min_size=2, max_size=6).filter(lambda sizes: sizes[0] > 0))
def test_every_answer_is_one_of_four_and_the_nadir_never_rises(sizes):
    points = follow(sums(*sizes))
    assert {point.target_response for point in points} <= {CR, PR, SD, PD}
    nadirs = [point.nadir_mm for point in points]
    assert nadirs == sorted(nadirs, reverse=True)
    assert measured(target("T01"), sizes[0]).long_axis_mm == points[0].baseline_mm
