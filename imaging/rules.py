"""The rules of the verdict: what is measured, against which threshold, and how it is said in words.

The criteria are those of Wu 2013 (Eur Respir J 41:417, "MIPC image-based criteria"): profuse, tiny,
discrete, round, uniform nodules, diffuse through both lungs, too many to count, most of 5 mm or less; not
one-sided, not ground glass, not lymphangitic. Each rule is a row: a criterion has to hold, an exclusion
must not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from imaging.count import NORMAL_90
from imaging.protocol import Protocol
from records.model import CountSource, Estimate, Finding, Pattern
from records.wording import counted

__all__ = ["CRITERIA", "EXCLUSIONS", "Rule", "compare", "find"]

SURE = 0.9  # probability with which the truth has to lie on one side of a threshold
ENOUGH_NODULES = 8.0  # fewer say nothing about size, shape or spread
MANY, WIDE = 20.0, 4.0  # so many that are all seen have an interval a factor of 2.2 wide, by Poisson's law
SHARES = ("share", "of lung")  # units that sentences tell in per cent
BREATH = 3.0  # times less haze if lungs are breathed out: calibration alone moves it less
THINNER = "a reconstruction of 1.25 mm or less"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    Attributes
    ----------
    threshold : str
        The entry of the protocol it is compared with; its first word names the source.
    at_least : bool
        Whether the miliary side lies from the threshold upward, or down from it.
    measure : callable
        What is compared, with its interval; None if it cannot be measured.
    words : callable
        The sentence about what was measured.
    settled_by : str
        What would settle it where the interval lies astride the threshold.
    needs_nodules : bool
        Whether a handful of nodules says nothing about it.
    """

    name: str
    threshold: str
    unit: str
    at_least: bool
    measure: Callable[[Pattern], Estimate | None]
    words: Callable[[Pattern, Protocol], str]
    settled_by: str
    plain: float  # what plainly miliary disease measures
    needs_nodules: bool = True
    counts: bool = False  # compared by ratio, as counts are
    excludes: bool = False  # then it holds on the other side

    @property
    def section(self) -> str:
        """The section of the protocol that the threshold and its source stand in."""
        return self.threshold.split("_least_")[0].split("_largest_")[0]


def find(rule: Rule, pattern: Pattern, protocol: Protocol) -> Finding:
    """Measure, compare and say it."""
    value = rule.measure(pattern)
    threshold = float(getattr(protocol, rule.threshold))
    holds = compare(rule, value, threshold, pattern)
    sentence = rule.words(pattern, protocol)
    if holds is not None and value is not None and value.low < threshold < value.high:
        side = "above" if value.value >= threshold else "below"
        limit = f"{100 * threshold:g} %" if rule.unit in SHARES else f"{threshold:g}"
        sentence += f" That it lies {side} {limit} is at least {100 * SURE:.0f} % sure."
    return Finding(
        name=rule.name,
        value=value,
        threshold=threshold,
        unit=rule.unit,
        holds=holds,
        sentence=sentence,
        source=protocol.sources.get(rule.section, ""),
        settled_by=rule.settled_by if holds is None else "",
    )


def compare(rule: Rule, value: Estimate | None, threshold: float, pattern: Pattern) -> bool | None:
    """Return whether a rule holds; None if it cannot be told with a probability of `SURE`."""
    if value is None or (rule.needs_nodules and pattern.nodule_count.high < ENOUGH_NODULES):
        return None
    low, high = _ends(rule, value)
    if rule.at_least:
        miliary = True if low >= threshold else False if high < threshold else None
    else:
        miliary = True if high <= threshold else False if low > threshold else None
    return None if miliary is None else miliary is not rule.excludes


def _ends(rule: Rule, value: Estimate) -> tuple[float, float]:
    """Return what is measured at least and at most, each with a probability of `SURE`.

    Told from the 90 % interval as if both its halves were of normal laws, of counts of log-normal ones.
    """
    share = NormalDist().inv_cdf(SURE) / NORMAL_90
    if rule.counts and value.low > 0:
        low, high = value.low / value.value, value.high / value.value
        return value.value * low**share, value.value * high**share
    return value.value - share * (value.value - value.low), value.value + share * (value.high - value.value)


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


def _percent(value: Estimate | None) -> str:
    return "none" if value is None else f"{100 * value.value:.0f} %"


def _count_words(pattern: Pattern, protocol: Protocol) -> str:
    count = pattern.nodule_count
    told = f"{count.value:.0f}"
    how = (
        " They merge, so this is read from the texture of the lungs."
        if pattern.count_source is CountSource.TEXTURE
        else ""
    )
    if count.value >= MANY and count.high > WIDE * count.low:
        how += " Most of them are near the limit of what this scan shows."
    return (
        f"About {told} {'nodule' if told == '1' else 'nodules'} ({count.low:.0f} to {count.high:.0f}), "
        f"{protocol.profuse_least_nodules:.0f} or more are profuse.{how}"
    )


def _tiny_words(pattern: Pattern, protocol: Protocol) -> str:
    if pattern.fraction_le_5mm is None:
        return "There is no nodule to measure."
    return (
        f"{_percent(pattern.fraction_le_5mm)} of them are {protocol.tiny_largest_diameter_mm:g} mm or less."
    )


def _uniform_words(pattern: Pattern, _: Protocol) -> str:
    if pattern.diameter_cv is None:
        return "Too few nodules to tell whether they are uniform."
    return f"Their diameters spread by {_percent(pattern.diameter_cv)} of their mean."


def _round_words(pattern: Pattern, _: Protocol) -> str:
    if pattern.roundness is None:
        return "There is no nodule whose shape could be told."
    return f"Their shortest axis is {pattern.roundness.value:.2f} of the longest at the median."


def _diffuse_words(pattern: Pattern, _: Protocol) -> str:
    return f"{pattern.zones_occupied} of 6 lung zones hold nodules."


def _even_words(pattern: Pattern, _: Protocol) -> str:
    return f"The evenness of the six zones is {pattern.evenness.value:.2f} (1 is even, 0 all in one)."


def _bilateral_words(pattern: Pattern, _: Protocol) -> str:
    return (
        f"About {counted(round(pattern.count_right), 'nodule is', 'nodules are')} right, "
        f"{pattern.count_left:.0f} left; the emptier lung "
        f"has {_percent(pattern.balance)} of the density of the fuller."
    )


def _random_words(pattern: Pattern, _: Protocol) -> str:
    arrangement = pattern.arrangement
    if arrangement is None:
        return "Too few nodules to tell how they are arranged."
    near = arrangement.clustering.value
    if arrangement.clustering.low <= 1.3:
        return f"They lie at random: {near:.1f} times the near pairs that chance gives."
    if arrangement.pleural.low > 1.3:
        kind = "perilymphatic: they crowd at the pleura"
    elif arrangement.pleural.high < 0.6:
        kind = "centrilobular: they spare the pleura"
    else:
        kind = "clustered"
    return f"They are {kind}, with {near:.1f} times the near pairs that chance gives."


def _glass_words(pattern: Pattern, _: Protocol) -> str:
    return f"{_percent(pattern.ground_glass_fraction)} of the nodules are ground glass."


def _haze_words(pattern: Pattern, protocol: Protocol) -> str:
    haze = pattern.haze_fraction
    if haze.high > max(protocol.ground_glass_largest_haze, BREATH * haze.low):
        return (
            f"The lungs are dense all over: {100 * haze.low:.0f} % of them are in ground glass if they are "
            f"breathed out, {100 * haze.high:.0f} % if not."
        )
    return f"{_percent(haze)} of the lungs are in ground glass."


def _septal_words(pattern: Pattern, _: Protocol) -> str:
    return (
        f"{100 * pattern.septal_index.value:.1f} % of the inner lung lies in sheets, as thickened septa do."
    )


CRITERIA = (
    Rule(
        "profuse", "profuse_least_nodules", "nodules", True,
        lambda p: p.nodule_count, _count_words,
        f"{THINNER}, in which more of the small nodules are seen",
        plain=200.0, counts=True, needs_nodules=False,
    ),
    Rule(
        "tiny", "tiny_least_fraction", "share", True,
        lambda p: p.fraction_le_5mm, _tiny_words,
        "the diameters of the largest twenty, measured by hand", needs_nodules=False, plain=1.0,
    ),
    Rule(
        "uniform", "uniform_largest_cv", "sd/mean", False,
        lambda p: p.diameter_cv, _uniform_words, "the diameters of the largest and the smallest, by hand",
        plain=0.3,
    ),
    Rule(
        "round", "round_least_roundness", "ratio", True,
        lambda p: p.roundness, _round_words, f"{THINNER}, in which shape can be told", plain=0.8,
    ),
    Rule(
        "diffuse", "diffuse_least_zones", "of 6 zones", True,
        lambda p: _exactly(float(p.zones_occupied)), _diffuse_words, "a look at the zones that seem empty",
        plain=6.0,
    ),
    Rule(
        "even", "diffuse_least_evenness", "ratio", True,
        lambda p: p.evenness, _even_words, "a look at the zones that seem empty", plain=1.0,
    ),
    Rule(
        "bilateral", "bilateral_least_balance", "ratio", True,
        lambda p: p.balance, _bilateral_words, "a count in the emptier lung, by hand", plain=1.0,
    ),
    Rule(
        "random", "random_largest_clustering", "times chance", False,
        lambda p: p.arrangement.clustering if p.arrangement else None, _random_words,
        "a look whether they follow pleura, fissures and vessels, or fill airways", plain=1.0,
    ),
)  # fmt: skip

EXCLUSIONS = (
    Rule(
        "unilateral", "bilateral_least_balance", "ratio", True,
        lambda p: p.balance, _bilateral_words, "a count in the emptier lung, by hand",
        excludes=True, plain=1.0,
    ),
    Rule(
        "ground_glass", "ground_glass_largest_fraction", "share", False,
        lambda p: p.ground_glass_fraction, _glass_words, f"{THINNER}, in which attenuation can be told",
        excludes=True, plain=0.0,
    ),
    Rule(
        "haze", "ground_glass_largest_haze", "of lung", False,
        lambda p: p.haze_fraction, _haze_words, "a scan in full inspiration",
        needs_nodules=False, excludes=True, plain=0.0,
    ),
    Rule(
        "lymphangitic", "lymphangitic_largest_septal_index", "of lung", False,
        lambda p: p.septal_index, _septal_words, f"{THINNER}, in which septa can be seen",
        needs_nodules=False, excludes=True, plain=0.0,
    ),
)  # fmt: skip
