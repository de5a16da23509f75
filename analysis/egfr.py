"""Read EGFR results as laboratories write them: HGVS of protein or cDNA, or free text.

Exons 18 to 21 code for the tyrosine kinase domain. Numbering follows
NM_005228.5 / NP_005219.2 (HGVS, den Dunnen 2016, Hum Mutat 37:564). What is
said not to be there is not taken for present, and compound results keep all
their parts: the wish is to lose nothing that a table of types could need.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["EgfrResult", "EgfrStatus", "EgfrType", "Mutation", "parse_egfr"]


class EgfrStatus(StrEnum):
    """Whether the gene was found mutated."""

    MUTATED = "mutation"
    WILD_TYPE = "wild_type"
    NOT_TESTED = "not_tested"  # or tested without a result


class EgfrType(StrEnum):
    """The kinds of a table of mutation types."""

    L858R = "l858r"
    DEL_19 = "del19"
    OTHER = "other"
    UNSPECIFIED = "unspecified"  # "mutant" and no more
    WILD_TYPE = "wild_type"
    NOT_TESTED = "not_tested"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: its usual name and its exon (None if not said)."""

    name: str
    exon: int | None
    kind: EgfrType


@dataclass(frozen=True, slots=True)
class EgfrResult:
    """A result and all its parts."""

    status: EgfrStatus
    mutations: tuple[Mutation, ...]

    @property
    def type(self) -> EgfrType:
        """The row of a table of types: T790M and rare partners do not hide L858R or del-19."""
        if self.status is EgfrStatus.WILD_TYPE:
            return EgfrType.WILD_TYPE
        if self.status is EgfrStatus.NOT_TESTED:
            return EgfrType.NOT_TESTED
        kinds = {mutation.kind for mutation in self.mutations}
        common = kinds & {EgfrType.L858R, EgfrType.DEL_19}
        if len(common) == 1:
            return common.pop()
        if kinds == {EgfrType.UNSPECIFIED} or not kinds:
            return EgfrType.UNSPECIFIED
        return EgfrType.OTHER

    @property
    def is_compound(self) -> bool:
        """Whether there is more than one mutation."""
        return len(self.mutations) > 1

    @property
    def has_t790m(self) -> bool:
        """Whether the resistance mutation T790M is among them."""
        return any(mutation.name == "T790M" for mutation in self.mutations)


EXON_CODONS = {18: (688, 728), 19: (729, 761), 20: (762, 823), 21: (824, 875)}
EXON_BASES = {18: (2062, 2184), 19: (2185, 2283), 20: (2284, 2469), 21: (2470, 2625)}
THREE_LETTERS = {
    "ala": "A", "arg": "R", "asn": "N", "asp": "D", "cys": "C", "gln": "Q", "glu": "E", "gly": "G",
    "his": "H", "ile": "I", "leu": "L", "lys": "K", "met": "M", "phe": "F", "pro": "P", "ser": "S",
    "thr": "T", "trp": "W", "tyr": "Y", "val": "V", "ter": "*",
}  # fmt: skip
CDNA_NAMES = {  # substitutions that laboratories report by cDNA alone
    "2573t>g": "L858R", "2573_2574delinsgt": "L858R", "2573_2574tg>gt": "L858R", "2582t>a": "L861Q",
    "2369c>t": "T790M", "2303g>t": "S768I", "2155g>a": "G719S", "2155g>t": "G719C", "2156g>c": "G719A",
}  # fmt: skip

NO_RESULT = re.compile(
    r"^\s*(|-|\.|n/?a|nan|none|unknown|pending|missing|not (tested|done|collected|available|performed|known"
    r"|assessed|recorded)|untested|no (test|tissue|specimen|result)s?|insufficient.*|inadequate.*"
    r"|(test |analysis )?failed|not evaluable|indeterminate|inconclusive|cannot be assessed)\s*$"
)
WILD = re.compile(
    r"\bwild[\s-]*types?\b|\bwildtype\b|\bwt\b|\bnegative\b|\bno (egfr )?mutations?\b|\bnormal\b"
    r"|\bmutations? (is |was |were )?(not (found|detected|seen)|absent)\b|\bunmutated\b"
    r"|\bnone detected\b|\b(not|non)[\s-]*mutat(ed|ion)\b|\b(mut(ation|ant|ated)?|egfr)\s*(-|\(-\))\s*$"
)
NEGATIVE_FOR = re.compile(r"\bnegative for\b")
PREFIX_NO = re.compile(r"\b(no evidence of|absence of|without|not|no)\b(?!\s*[,;.]|$)")
SUFFIX_NO = re.compile(
    r"\b(negative|not (detected|found|seen|present|identified|mutated)|absent|undetected|wild[\s-]*type)\b"
)
MUTATED = re.compile(r"\bmut(ant|ated|ation|\+)?\b|\bpositive\b|\bactivating\b|\bsensiti[sz]ing\b"
                     r"|\begfr\s*(\+|\(\+\))\s*$")  # fmt: skip
UNTESTED = re.compile(  # a part that says so says nothing else, whatever it names
    r"\b(unknown|pending|untested|failed|insufficient|inadequate|inconclusive|indeterminate"
    r"|not (yet )?(tested|done|available|assessed|performed|collected|known|evaluated|examined|determined"
    r"|recorded)"
    r"|no (egfr )?(mutation )?(tests?|testing|analysis|results?|data))\b"
)
KIND_UNKNOWN = re.compile(
    r"\b(sub)?(type|exon|variant|kind)s?( is| was)? (unknown|not (known|specified|available|recorded))\b"
)
OTHER_GENE = re.compile(r"\b([kn]-?ras|braf|alk|ros-?1|her-?2|erbb2|c-?met|met|ret|pik3ca|tp53|stk11)\b")
SILENT = re.compile(r"\b(silent|synonymous)\b|\bpolymorphism|\bq787q?\b|\b(c\.)?2361g>a\b")  # rs1050171
NO_EXON = re.compile(r"\s*(egfr )?mutations? (in|of|at) (ex(on)?s?[\s-]*)?\d")
SENTENCE = re.compile(r"[;\n]|\.\s|\bbut\b|\bhowever\b|\balthough\b")
AFTER_POSITIVE = re.compile(r"(?<!not )(\b(?:positive|detected|present|found)\b)")

DELETION_19 = re.compile(
    r"\bex(on)?[\s-]*19[\s:,(-]*(in-?frame[\s-]*)?(micro)?del(etion|ins)?s?\b|\b(in-?frame[\s-]*)?del(etion)?s?[\s-]*"
    r"((in|of|at)[\s-]*)?(ex(on)?[\s-]*)?19\b|\b19[\s-]*del(etion)?s?\b|\be19del\b|\bdele746|\bdell747"
    r"|\be746[_\s-]*a750\b"
)
INSERTION_20 = re.compile(
    r"\bex(on)?[\s-]*20[\s-]*ins(ertion)?s?\b|\bins(ertion)?s?[\s-]*((in|of|at)[\s-]*)?(ex(on)?[\s-]*)?20\b"
    r"|\b20[\s-]*ins(ertion)?s?\b"
)
PROTEIN_SPAN = re.compile(r"\b(?:p\.\(?)?([a-z])(\d{3})_([a-z])(\d{3})(delins|del|ins|>|dup)([a-z]*)")
PROTEIN_ONE = re.compile(r"\b(?:p\.\(?)?([a-z])(\d{3})([a-z]|\*|del|dup)(?![a-z0-9])")
CDNA = re.compile(r"\b(?:c\.)?(\d{4})(?:_(\d{4}))?(delins|del|ins|dup|[acgt]+>)([acgt]*|\d*)")
UNSPELT = re.compile(r"\bg719x\b")


def parse_egfr(text: str | None) -> EgfrResult | None:
    """Read one result.

    Parameters
    ----------
    text : str or None
        What the table holds; None or blank is not tested.

    Returns
    -------
    EgfrResult or None
        None if the text cannot be understood, so that a person may look.

    Examples
    --------
    >>> parse_egfr("p.Leu858Arg and c.2369C>T").type.value
    'l858r'
    >>> parse_egfr("exon 19 deletion, T790M not detected").mutations[0].name
    'del19'
    """
    lowered = _plain(text or "")
    if NO_RESULT.match(lowered):
        return EgfrResult(EgfrStatus.NOT_TESTED, ())
    present: list[Mutation] = []
    told, untested = _what_is_told(lowered)
    denied = False
    for sentence in told:
        said, negated = _split_negation(sentence)
        denied = denied or negated
        for mutation in _mutations(said):
            if mutation.name not in [known.name for known in present]:
                present.append(mutation)
    if present:
        return EgfrResult(EgfrStatus.MUTATED, tuple(present))
    if denied or any(map(WILD.search, told)):
        return EgfrResult(EgfrStatus.WILD_TYPE, ())
    if any(map(MUTATED.search, told)):
        unnamed = Mutation("unspecified", None, EgfrType.UNSPECIFIED)
        return EgfrResult(EgfrStatus.MUTATED, (unnamed,))
    return EgfrResult(EgfrStatus.NOT_TESTED, ()) if untested else None


def _what_is_told(lowered: str) -> tuple[list[str], bool]:
    """Return the sentences without the parts that speak of no result, or of another gene; whether any did.

    A kind that is unknown is a mutation all the same; a silent change is none.
    """
    text = KIND_UNKNOWN.sub(" ", lowered)
    text = re.sub(r"\(([^()]*)\)", lambda m: f",{m[1]}," if UNTESTED.search(m[1]) else m[0], text)
    told, untested = [], False
    for sentence in SENTENCE.split(text):
        kept = []
        for part in sentence.split(","):
            if UNTESTED.search(part):
                untested = True
            elif SILENT.search(part) or (
                OTHER_GENE.search(part) and "egfr" not in part and not _mutations(part)
            ):
                continue
            else:
                kept.append(part)
        told.append(",".join(kept))
    return told, untested


def _plain(text: str) -> str:
    """Lower case, plain dashes, one-letter amino acids."""
    lowered = text.lower().replace("–", "-").replace("−", "-").replace("δ", "del").replace("∆", "del")
    lowered = re.sub(r"\b(c\.|p\.)\s+", r"\1", lowered)
    for three, one in THREE_LETTERS.items():
        lowered = re.sub(rf"(?<![a-z]){three}(?=\d{{3}})", one.lower(), lowered)
        lowered = re.sub(rf"(?<=\d{{3}}){three}(?![a-z])", one.lower(), lowered)
        lowered = re.sub(rf"(?<=_){three}(?=\d{{3}})", one.lower(), lowered)
    return re.sub(r"(?<=[a-z]\d{3})-(?=[a-z]\d{3})", "_", lowered)


def _split_negation(sentence: str) -> tuple[str, bool]:
    """Return what a sentence affirms, and whether it denies something."""
    denied = False
    list_of = NEGATIVE_FOR.search(sentence)
    if list_of:  # "negative for A, B": all of it, up to what is said to be there
        tail = sentence[list_of.end() :]
        there = AFTER_POSITIVE.search(tail)
        end = len(tail) if there is None else max(tail.rfind(",", 0, there.start()), 0)
        denied, sentence = True, sentence[: list_of.start()] + tail[end:]
    before = PREFIX_NO.search(sentence)
    if before and not SUFFIX_NO.match(sentence[before.start() :]):
        after = sentence[before.end() :]
        denied = denied or bool(_mutations(after)) or "mutation" in after
        # "No mutation in exon 19, L858R": an exon is denied up to the comma, a list of changes all of it.
        rest = after.partition(",")[2] if NO_EXON.match(after) else ""
        sentence = ",".join(part for part in (sentence[: before.start()], rest) if part)
    kept = []
    for clause in AFTER_POSITIVE.sub(r"\1,", sentence).split(","):
        if SUFFIX_NO.search(clause):
            denied = True
        else:
            kept.append(clause)
    return ",".join(kept), denied


def _mutations(text: str) -> list[Mutation]:
    found: list[Mutation] = []
    rest = text
    for pattern, read in ((PROTEIN_SPAN, _span), (CDNA, _cdna), (PROTEIN_ONE, _one)):
        for match in pattern.finditer(rest):
            mutation = read(match)
            if mutation is not None and mutation.name not in [known.name for known in found]:
                found.append(mutation)
        rest = pattern.sub(" ", rest)
    named_19 = any(m.kind is EgfrType.DEL_19 for m in found)
    if DELETION_19.search(rest) and not named_19:
        found.append(Mutation("del19", 19, EgfrType.DEL_19))
    if INSERTION_20.search(rest) and not any(m.exon == 20 and "ins" in m.name for m in found):
        found.append(Mutation("ins20", 20, EgfrType.OTHER))
    if UNSPELT.search(rest):
        found.append(Mutation("G719X", 18, EgfrType.OTHER))
    # cDNA and protein names of one change: a laboratory writes both.
    if len({m.exon for m in found if m.kind is EgfrType.DEL_19}) and len(found) > 1:
        deletions = [m for m in found if m.kind is EgfrType.DEL_19]
        named = next((m for m in deletions if m.name[0].isalpha() and "_" in m.name), deletions[0])
        found = [m for m in found if m.kind is not EgfrType.DEL_19 or m is named]
    return found


def _span(match: re.Match[str]) -> Mutation | None:
    first, low, second, high, change, inserted = match.groups()
    exon = _exon(int(low), EXON_CODONS)
    if exon is None:
        return None
    change = "delins" if change == ">" else change
    name = f"{first.upper()}{low}_{second.upper()}{high}{change}{inserted.upper()}"
    loses = change == "del" or (change == "delins" and len(inserted) < int(high) - int(low) + 1)
    return Mutation(name, exon, EgfrType.DEL_19 if exon == 19 and loses else EgfrType.OTHER)


def _one(match: re.Match[str]) -> Mutation | None:
    first, codon, second = match.groups()
    exon = _exon(int(codon), EXON_CODONS)
    if exon is None or first == second:
        return None
    name = f"{first.upper()}{codon}{second.upper() if len(second) == 1 else second}"
    if name == "L858R":
        return Mutation(name, 21, EgfrType.L858R)
    return Mutation(name, exon, EgfrType.DEL_19 if second == "del" and exon == 19 else EgfrType.OTHER)


def _cdna(match: re.Match[str]) -> Mutation | None:
    low, high, change, tail = match.groups()
    exon = _exon(int(low), EXON_BASES)
    if exon is None:
        return None
    span = f"{low}_{high}" if high else low
    known = CDNA_NAMES.get(f"{span}{change}{tail}")
    if known is not None:
        kind = EgfrType.L858R if known == "L858R" else EgfrType.OTHER
        return Mutation(known, exon, kind)
    width = int(high or low) - int(low) + 1
    inserted = len(tail) if change == "delins" else 0
    loses = change in ("del", "delins") and width - inserted > 0
    kind = EgfrType.DEL_19 if exon == 19 and loses else EgfrType.OTHER
    return Mutation(f"c.{span}{change}{tail.upper() if change != 'del' else ''}", exon, kind)


def _exon(place: int, ranges: dict[int, tuple[int, int]]) -> int | None:
    return next((exon for exon, (low, high) in ranges.items() if low <= place <= high), None)
