import json

import pytest

from analysis.reader_agreement import as_text, as_values, judge_agreement
from records.paired import PairedClasses, PairedReads, PairedSizes

CASES = tuple(f"P{number}" for number in range(50))
# Cohen 1960-style table of 50 grants judged by two readers: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no;
# agreement 0.70, kappa 0.40 (the worked example of many textbooks, by hand: (0.7 - 0.5) / (1 - 0.5)).
FIRST = ("yes",) * 25 + ("no",) * 25
SECOND = ("yes",) * 20 + ("no",) * 5 + ("yes",) * 10 + ("no",) * 15


def pair(**changes):
    question = PairedClasses("label", ("yes", "no"), False, CASES, FIRST, SECOND)
    # Means 10, 20, 30 mm; the second reader 1 mm more each time.
    size = PairedSizes("largest_mm", CASES[:3], (10.0, 20.0, 30.0), (11.0, 21.0, 31.0))
    return PairedReads("A", "B", changes.get("classes", (question,)), changes.get("sizes", (size,)))


def test_every_question_has_its_coefficients():
    (question,) = judge_agreement(pair()).questions
    found = {one.name: one.value for one in question.coefficients}
    assert found["agreement"] == pytest.approx(0.70)
    assert found["kappa"] == pytest.approx(0.40)
    assert found["PABAK"] == pytest.approx(0.40)  # 2 x 0.7 - 1
    assert question.table == ((20, 5), (10, 15))
    assert len(question.discordant) == 15


def test_a_constant_difference_is_a_bias_without_spread():
    (size,) = judge_agreement(pair()).sizes
    assert (size.limits.bias, size.limits.low, size.limits.high) == pytest.approx((1.0, 1.0, 1.0))


def test_grades_are_weighted_too():
    grades = PairedClasses("grade", ("0", "1", "2"), True, CASES[:3], ("0", "1", "2"), ("0", "1", "1"))
    (question,) = judge_agreement(pair(classes=(grades,))).questions
    assert [one.name for one in question.coefficients][-1] == "quadratic kappa"


def test_what_nobody_answered_is_left_out():
    empty = PairedClasses("label", ("yes", "no"), False, (), (), ())
    few = PairedSizes("largest_mm", CASES[:2], (1.0, 2.0), (1.0, 2.0))
    judged = judge_agreement(pair(classes=(empty,), sizes=(few,)))
    assert (judged.questions, judged.sizes) == ((), ())
    assert as_text([judged]) == "Reader A and B\n  no case is signed by both yet"


def test_kappa_of_one_class_is_said_to_be_undefined():
    same = PairedClasses("label", ("yes", "no"), False, CASES[:4], ("yes",) * 4, ("yes",) * 4)
    judged = judge_agreement(pair(classes=(same,), sizes=()))
    assert "kappa not defined" in as_text([judged])
    assert json.loads(json.dumps(as_values([judged]), allow_nan=False))[0]["questions"][0]["name"] == "label"


def test_two_cases_that_agree_are_not_called_certain():
    two = PairedClasses("label", ("yes", "no"), False, CASES[:2], ("yes", "no"), ("yes", "no"))
    judged = judge_agreement(pair(classes=(two,), sizes=()))
    text = as_text([judged])
    assert "agreement 1.00 (0.16 to 1.00)" in text  # R: binom.test(2, 2), 0.158
    assert "kappa 1.00 (-0.35 to 1.00)" in text  # R: vcd, confint(Kappa(diag(2) + 0.5)), -0.349
    assert "PABAK 1.00 (-0.68 to 1.00)" in text
    assert "1.00 to 1.00" not in text
    (kappa,) = (
        one for one in as_values([judged])[0]["questions"][0]["coefficients"] if one["name"] == "kappa"
    )
    assert (kappa["value"], kappa["standard_error"], kappa["high"]) == (1, None, 1)


def test_the_page_names_discordant_cases():
    text = as_text([judge_agreement(pair())])
    assert "kappa 0.40 (" in text
    assert "discordant: P20, P21" in text
    one = PairedClasses("label", ("yes", "no"), False, CASES[:1], ("yes",), ("yes",))
    assert text.startswith("Reader A and B; in brackets: 95 % intervals\n")
    assert "(1 case)" in as_text([judge_agreement(pair(classes=(one,), sizes=()))])


def test_bias_and_limits_are_told_with_their_intervals():
    sizes = PairedSizes("largest_mm", CASES[:4], (2.0, 3.0, 4.0, 5.0), (2.5, 4.0, 5.5, 7.0))
    text = as_text([judge_agreement(pair(sizes=(sizes,)))])
    # Differences of 0.5, 1, 1.5 and 2 mm: R, t.test(c(0.5, 1, 1.5, 2)), 0.223 to 2.277.
    assert "bias +1.2 mm (+0.2 to +2.3)" in text
    (limits,) = (line for line in text.splitlines() if "limits of agreement" in line)
    assert limits.count(" to ") == 2


def test_cases_of_one_size_have_limits_but_no_icc():
    same = PairedSizes("largest_mm", CASES[:3], (2.5,) * 3, (3.0,) * 3)
    (size,) = judge_agreement(pair(sizes=(same,))).sizes
    assert size.icc is None
    assert size.limits.bias == pytest.approx(0.5)
    assert "ICC" not in as_text([judge_agreement(pair(sizes=(same,)))])
