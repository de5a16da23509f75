"""iRECIST (Seymour 2017, Lancet Oncol 18:e143): tables 2 and 3, and EORTC's clarifications."""

from datetime import timedelta
from decimal import Decimal

import pytest

from analysis.response import (
    ImmuneResponse,
    best_immune_response,
    follow_immune,
    immune_progression_day,
)
from records.reads import Certainty, LesionKind, NewLesionFinding, NonTargetStatus
from tests.analysis.recist_cases import START, non_target, read, status, sums, target

ICR, IPR, ISD = ImmuneResponse.ICR, ImmuneResponse.IPR, ImmuneResponse.ISD
IUPD, ICPD, NE, NON = (
    ImmuneResponse.IUPD,
    ImmuneResponse.ICPD,
    ImmuneResponse.NE,
    ImmuneResponse.NON_ICR_NON_IUPD,
)


def responses(reads):
    return [point.response for point in follow_immune(reads)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param((100, 70), [IPR], id="without-progression-as-recist"),
        pytest.param((100, 120), [IUPD], id="first-progression-is-unconfirmed"),
        pytest.param((100, 120, 125), [IUPD, ICPD], id="further-5-mm-confirms"),
        pytest.param((100, 120, "124.9"), [IUPD, IUPD], id="further-4.9-mm-does-not"),
        pytest.param((100, 120, 124, 126), [IUPD, IUPD, ICPD], id="growth-adds-up-over-visits"),
        pytest.param((100, 120, 120), [IUPD, IUPD], id="no-change-stays-unconfirmed"),
        pytest.param((100, 120, 110), [IUPD, ISD], id="shrinkage-sets-the-bar-back"),
        pytest.param((100, 120, 70), [IUPD, IPR], id="response-after-pseudoprogression"),
        pytest.param((100, 120, 110, 120, 126), [IUPD, ISD, IUPD, ICPD], id="a-new-episode-starts-anew"),
        pytest.param((100, 120, None, 126), [IUPD, NE, ICPD], id="a-missed-scan-between"),
        pytest.param((100, 120, 126, 60), [IUPD, ICPD, ICPD], id="confirmed-is-final"),
    ],
)
def test_targets(sizes, expected):
    assert responses(sums(*sizes)) == expected


@pytest.mark.parametrize(
    ("gap_days", "expected", "words"),
    [
        pytest.param(27, IUPD, "only 27 days", id="27-days-is-too-early"),
        pytest.param(28, ICPD, "28 days after", id="28-days"),
        pytest.param(56, ICPD, "56 days after the iUPD", id="56-days"),
        pytest.param(57, ICPD, "later than the 8 weeks", id="57-days-is-late-and-said"),
    ],
)
def test_confirmation_comes_after_four_to_eight_weeks(gap_days, expected, words):
    lesion = target("T01")
    day = START + timedelta(days=42)
    reads = [
        read(0, lesions=[lesion], sizes={lesion: 100}),
        read(1, sizes={lesion: 120}, day=day),
        read(2, sizes={lesion: 126}, day=day + timedelta(days=gap_days)),
    ]
    point = follow_immune(reads)[-1]
    assert point.response is expected
    assert words in point.rule


def with_new_lesions(*visits, kind=LesionKind.SOFT_TISSUE, targets=None):
    """Follow a stable target and, a visit each, new lesions by name and size in mm."""
    lesion = target("T01")
    sizes = targets or [100] * len(visits)
    reads = [read(0, lesions=[lesion], sizes={lesion: 100})]
    for visit, (found, size) in enumerate(zip(visits, sizes, strict=True), start=1):
        new = [
            NewLesionFinding(
                name,
                Certainty.UNEQUIVOCAL,
                kind,
                organ=organ,
                long_axis_mm=Decimal(mm) if mm else None,
                short_axis_mm=Decimal(mm) if mm else None,
                grew_since_last=grew,
            )
            for name, organ, mm, grew in found
        ]
        reads.append(read(visit, sizes={lesion: size}, new=new))
    return responses(reads)


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        pytest.param(
            ([("N1", "LIVER", 12, False)], [("N1", "LIVER", 17, False)]), [IUPD, ICPD], id="measured-up-5-mm"
        ),
        pytest.param(
            ([("N1", "LIVER", 12, False)], [("N1", "LIVER", "16.9", False)]),
            [IUPD, IUPD],
            id="measured-up-4.9-mm",
        ),
        pytest.param(
            ([("N1", "LIVER", 5, False)], [("N1", "LIVER", 6, True)]),
            [IUPD, ICPD],
            id="not-measurable-any-growth",
        ),
        pytest.param(
            ([("N1", "LIVER", 5, False)], [("N1", "LIVER", 5, False)]), [IUPD, IUPD], id="no-change"
        ),
        pytest.param(
            (
                [("N1", "LIVER", 12, False)],
                [("N1", "LIVER", 12, False), ("N2", "BRAIN", 4, False)],
            ),
            [IUPD, ICPD],
            id="one-more-confirms",
        ),
        pytest.param(([("N1", "LIVER", 12, False)], []), [IUPD, ISD], id="gone-again"),
    ],
)
def test_new_lesions(visits, expected):
    assert with_new_lesions(*visits) == expected


def test_new_lesion_does_not_forbid_a_response_when_targets_shrink_further():
    """EORTC, scenario B: iPR although the new lesion is still there."""
    same = [("N1", "LIVER", 12, False)]
    assert with_new_lesions(same, same, targets=[90, 60]) == [IUPD, IPR]


def test_new_lesions_are_measured_five_in_all_two_an_organ():
    """The third in the liver is followed as a non-target: 5 mm more there confirm nothing by themselves."""
    before = [(f"N{index}", "LIVER", size, False) for index, size in enumerate((30, 20, 15))]
    third = [*before[:2], ("N2", "LIVER", 20, False)]
    second = [before[0], ("N1", "LIVER", 25, False), before[2]]
    assert with_new_lesions(before, third) == [IUPD, IUPD]
    assert with_new_lesions(before, second) == [IUPD, ICPD]


FIRST, SECOND = ("N1", "LIVER", 20, False), ("N2", "BRAIN", 20, False)


@pytest.mark.parametrize(
    ("last_visit", "expected"),
    [
        pytest.param([FIRST, SECOND], ISD, id="both-back-unchanged"),
        pytest.param([FIRST, SECOND, ("N3", "BONE", 4, False)], IUPD, id="one-more"),
        pytest.param([FIRST, ("N2", "BRAIN", 28, False)], IUPD, id="sum-up-a-fifth-from-40-to-48-mm"),
        pytest.param([FIRST, ("N2", "BRAIN", "27.9", False)], ISD, id="sum-up-to-47.9-mm"),
    ],
)
def test_new_lesions_of_a_passed_episode(last_visit, expected):
    """EORTC: after iSD only further new lesions, or growth that RECIST calls progression, are news."""
    both = [FIRST, SECOND]
    assert with_new_lesions(both, both, last_visit, targets=[100, 95, 95]) == [IUPD, ISD, expected]


def test_new_lesions_of_all_passed_episodes_are_accounted_for():
    visits = ([FIRST], [], [SECOND], [], [FIRST, SECOND])
    sizes = [100, 99, 99, 98, 98]
    assert with_new_lesions(*visits, targets=sizes)[:4] == [IUPD, ISD, IUPD, ISD]
    assert with_new_lesions([FIRST, SECOND], [FIRST, SECOND], [FIRST], targets=[100, 95, 95]) == [
        IUPD,
        ISD,
        ISD,
    ]


def miliary(*findings):
    lesion = non_target("NT01")
    reads = [read(0, lesions=[lesion])]
    reads += [
        read(visit, non_targets=[status("NT01", word, grew_since_last=grew)])
        for visit, (word, grew) in enumerate(findings, start=1)
    ]
    return responses(reads)


WORSE, THERE = NonTargetStatus.UNEQUIVOCAL_PROGRESSION, NonTargetStatus.PRESENT


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        pytest.param([(THERE, False)], [NON], id="non-target-only-persists"),
        pytest.param([(WORSE, True), (WORSE, True)], [IUPD, ICPD], id="any-further-growth-confirms"),
        pytest.param([(WORSE, True), (WORSE, False)], [IUPD, IUPD], id="unchanged-stays-unconfirmed"),
        pytest.param([(WORSE, True), (THERE, False)], [IUPD, NON], id="shrunk-again"),
    ],
)
def test_non_targets(findings, expected):
    assert miliary(*findings) == expected


def test_progression_in_another_category_confirms():
    lesion, other = target("T01"), non_target("NT01")
    reads = [
        read(0, lesions=[lesion, other], sizes={lesion: 100}),
        read(1, sizes={lesion: 120}, non_targets=[status("NT01", THERE)]),
        read(2, sizes={lesion: 120}, non_targets=[status("NT01", WORSE)]),
    ]
    assert responses(reads) == [IUPD, ICPD]


def dated(*words):
    return [(START + timedelta(days=42 * index), ImmuneResponse(word)) for index, word in enumerate(words, 1)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [  # table 3 of Seymour 2017
        pytest.param(("iCR", "iPR", "NE", "iUPD", "iCPD"), ICR, id="example-1"),
        pytest.param(("iUPD", "iPR", "iCR", "NE", "iSD"), ICR, id="example-2-iPR"),
        pytest.param(("iUPD", "iSD", "iCR"), ICR, id="example-2-iSD"),
        pytest.param(("iUPD", "NE", "iCR"), ICR, id="example-2-NE"),
        pytest.param(("iUPD", "iPR", "iSD", "iUPD", "iCPD"), IPR, id="example-3"),
        pytest.param(("iUPD", "iSD", "iPR", "NE"), IPR, id="example-4-iSD"),
        pytest.param(("iUPD", "NE", "iPR", "iSD"), IPR, id="example-4-NE"),
        pytest.param(("iUPD", "iSD", "iSD", "iUPD", "iCPD"), ISD, id="example-5"),
        pytest.param(("iUPD", "iCPD", "iCR"), ICPD, id="example-6-nothing-counts-after-iCPD"),
        pytest.param(("iUPD", "iUPD", "iCPD"), ICPD, id="example-7"),
        pytest.param(("iUPD", "NE", "NE", "NE", "NE"), IUPD, id="example-8"),
    ],
)
def test_best_response(words, expected):
    assert best_immune_response(dated(*words), START).response is expected


@pytest.mark.parametrize(
    ("words", "expected", "on_day"),
    [  # disease has to be stable for six weeks (RECIST 1.1, 4.4.3)
        pytest.param(("iSD",), NE, 21, id="too-early"),
        pytest.param(("iSD", "iSD"), ISD, 42, id="stable-for-long-enough-then"),
        pytest.param(("iSD", "iUPD", "iCPD"), ICPD, 63, id="early-then-progression"),
        pytest.param(("NON-iCR/NON-iUPD",), NE, 21, id="without-targets"),
        pytest.param(("iPR",), IPR, 21, id="a-response-needs-no-duration"),
    ],
)
def test_disease_that_was_stable_for_less_than_six_weeks_is_no_best_response(words, expected, on_day):
    said = [(START + timedelta(days=21 * n), ImmuneResponse(word)) for n, word in enumerate(words, 1)]
    best = best_immune_response(said, START)
    assert best.response is expected
    assert best.day == START + timedelta(days=on_day)


@pytest.mark.parametrize(
    ("words", "visit"),
    [
        pytest.param(("iSD", "iUPD", "iCPD"), 2, id="confirmed-dates-from-the-first-iUPD"),
        pytest.param(("iUPD", "iUPD", "iCPD"), 1, id="first-of-several-iUPD"),
        pytest.param(("iUPD", "iSD", "iUPD", "iCPD"), 3, id="an-episode-that-passed-does-not-count"),
        pytest.param(("iSD", "iUPD"), 2, id="no-later-scan"),
        pytest.param(("iUPD", "NE", "NE"), 1, id="no-later-scan-that-could-tell"),
        pytest.param(("iUPD", "iPR"), None, id="followed-by-response"),
        pytest.param(("iSD", "iPR"), None, id="none"),
    ],
)
def test_progression_day(words, visit):
    expected = None if visit is None else START + timedelta(days=42 * visit)
    assert immune_progression_day(dated(*words)) == expected
