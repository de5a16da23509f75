"""EGFR results as laboratories write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.egfr import EgfrStatus, EgfrType, parse_egfr


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        pytest.param("L858R", "l858r", ["L858R"], id="short"),
        pytest.param("p.L858R", "l858r", ["L858R"], id="hgvs-one-letter"),
        pytest.param("p.(Leu858Arg)", "l858r", ["L858R"], id="hgvs-predicted"),
        pytest.param("NM_005228.5:c.2573T>G", "l858r", ["L858R"], id="cdna-with-transcript"),
        pytest.param("c.2573T>G (p.Leu858Arg)", "l858r", ["L858R"], id="both-names-are-one-mutation"),
        pytest.param("c.2573_2574delinsGT", "l858r", ["L858R"], id="two-bases"),
        pytest.param("exon 21 L858R mutation detected", "l858r", ["L858R"], id="free-text"),
        pytest.param("exon 19 deletion", "del19", ["del19"], id="exon-19-deletion"),
        pytest.param("del-19", "del19", ["del19"], id="as-the-paper-writes"),
        pytest.param("19del", "del19", ["del19"], id="19del"),
        pytest.param("in-frame deletion in exon-19", "del19", ["del19"], id="in-frame-deletion"),
        pytest.param("delE746-A750", "del19", ["E746_A750del", "del19"], id="old-style"),
        pytest.param("p.E746_A750del", "del19", ["E746_A750del"], id="commonest"),
        pytest.param("p.Glu746_Ala750del", "del19", ["E746_A750del"], id="three-letters"),
        pytest.param("p.L747_P753delinsS", "del19", ["L747_P753delinsS"], id="delins-that-loses"),
        pytest.param("p.L747_A750>P", "del19", ["L747_A750delinsP"], id="old-delins"),
        pytest.param("c.2235_2249del15", "del19", ["c.2235_2249del"], id="cdna-deletion"),
        pytest.param("c.2236_2250del (p.E746_A750del)", "del19", ["E746_A750del"], id="cdna-and-protein"),
        pytest.param("c.2237_2255delinsT", "del19", ["c.2237_2255delinsT"], id="cdna-delins"),
        pytest.param("G719S", "other", ["G719S"], id="exon-18"),
        pytest.param("G719X", "other", ["G719X"], id="exon-18-any"),
        pytest.param("p.S768I; p.G719C", "other", ["S768I", "G719C"], id="rare-compound"),
        pytest.param("exon 20 insertion", "other", ["ins20"], id="exon-20-insertion"),
        pytest.param("p.D770_N771insSVD", "other", ["D770_N771insSVD"], id="exon-20-insertion-hgvs"),
        pytest.param("L861Q", "other", ["L861Q"], id="exon-21-other"),
        pytest.param("T790M", "other", ["T790M"], id="t790m-alone"),
        pytest.param("L858R + T790M", "l858r", ["L858R", "T790M"], id="with-t790m"),
        pytest.param("del19 / T790M", "del19", ["T790M", "del19"], id="del19-with-t790m"),
        pytest.param("L858R and exon 19 deletion", "other", ["L858R", "del19"], id="two-common-ones"),
        pytest.param("L858R positive, T790M negative", "l858r", ["L858R"], id="one-denied"),
        pytest.param("No T790M; L858R detected", "l858r", ["L858R"], id="denied-first"),
        pytest.param("exon 19 deletion, without T790M", "del19", ["del19"], id="denied-last"),
        pytest.param("Exon 19: deletion; exon 21: wild type", "del19", ["del19"], id="exon-by-exon"),
        pytest.param("no mutation in exon 19, L858R in exon 21", "l858r", ["L858R"], id="one-exon-denied"),
        pytest.param(
            "negative for T790M, positive for L858R", "l858r", ["L858R"], id="negative-then-positive"
        ),
        pytest.param("negative for T790M, L858R detected", "l858r", ["L858R"], id="negative-then-detected"),
        pytest.param("L858R (T790M not tested)", "l858r", ["L858R"], id="a-part-not-tested"),
        pytest.param("exon 19 deletion, T790M unknown", "del19", ["del19"], id="a-part-unknown"),
        pytest.param("L858R, KRAS wild type", "l858r", ["L858R"], id="another-gene-beside"),
        pytest.param("EGFR mutation, exon unknown", "unspecified", ["unspecified"], id="exon-unknown"),
        pytest.param("mutation (type unknown)", "unspecified", ["unspecified"], id="type-unknown"),
        pytest.param("EGFR (+)", "unspecified", ["unspecified"], id="plus"),
        pytest.param("Mutant", "unspecified", ["unspecified"], id="mutant-and-no-more"),
        pytest.param("EGFR mutation positive", "unspecified", ["unspecified"], id="positive-and-no-more"),
    ],
)
def test_mutated_results(text, kind, names):
    found = parse_egfr(text)
    assert found.status is EgfrStatus.MUTATED
    assert found.type == EgfrType(kind)
    if text == "delE746-A750":
        assert {m.kind for m in found.mutations} == {EgfrType.DEL_19}
    else:
        assert [m.name for m in found.mutations] == names


@pytest.mark.parametrize(
    "text",
    [
        "Wildtype",
        "wild type",
        "wild-type",
        "WT",
        "Negative",
        "no mutation",
        "No EGFR mutation detected",
        "mutation not detected",
        "negative for L858R and exon 19 deletion",
        "L858R and T790M not detected",
        "No mutation in exons 18-21",
        "exon 19 deletion: negative, L858R: negative",
        "negative for T790M, L858R, exon 19 deletion",
        "No L858R, T790M or exon 19 deletion",
        "not mutated",
        "non-mutated",
        "EGFR mutation (-)",
        "mut-",
        "EGFR wild type, KRAS mutation",
        "EGFR wild type, ALK not tested",
    ],
)
def test_wild_type_results(text):
    assert parse_egfr(text).status is EgfrStatus.WILD_TYPE


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "Unknown",
        "Not collected",
        "N/A",
        "not tested",
        "Insufficient tissue",
        "failed",
        "pending",
        "EGFR mutation status unknown",
        "EGFR mutation: not tested",
        "EGFR mutation testing not done",
        "mutation analysis failed",
        "No mutation testing",
        "sample insufficient for testing",
        "L858R not tested",
        "T790M unknown",
    ],
)
def test_results_that_are_none(text):
    found = parse_egfr(text)
    assert found.status is EgfrStatus.NOT_TESTED
    assert found.type is EgfrType.NOT_TESTED


@pytest.mark.parametrize(
    "text",
    [
        "KRAS G12D",
        "KRAS mutation",  # of another gene
        "ALK positive",
        "KRAS wild type",
        "c.2361G>A (p.Q787Q)",  # rs1050171: silent, and common
        "silent mutation",
        "see report",
        "42",
        "p.A750",
        "R521K",
    ],
)
def test_what_is_not_understood_is_left_to_a_person(text):
    assert parse_egfr(text) is None


def test_compound_results_keep_all_their_parts():
    found = parse_egfr("p.Leu858Arg (c.2573T>G) and p.Thr790Met (c.2369C>T)")
    assert found.is_compound
    assert found.has_t790m
    assert [(m.name, m.exon) for m in found.mutations] == [("L858R", 21), ("T790M", 20)]


@pytest.mark.parametrize(
    ("codon", "exon"),
    [(688, 18), (728, 18), (729, 19), (761, 19), (762, 20), (823, 20), (824, 21), (875, 21)],
)
def test_codons_lie_in_their_exons(codon, exon):
    """NM_005228.5, Ensembl ENST00000275493."""
    assert parse_egfr(f"p.A{codon}V").mutations[0].exon == exon


@given(low=st.integers(740, 752), width=st.integers(1, 8))
def test_every_in_frame_deletion_of_exon_19_is_one(low, width):
    found = parse_egfr(f"p.A{low}_V{low + width}del")
    assert found.type is EgfrType.DEL_19


@given(st.text(max_size=40))
def test_any_text_is_read_without_error(text):
    found = parse_egfr(text)
    assert found is None or (found.status is EgfrStatus.MUTATED) == bool(found.mutations)
