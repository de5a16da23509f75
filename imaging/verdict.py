"""The verdict: every rule of `imaging.rules` measured, the weakest one deciding, and said in words."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

from imaging.pattern import TINY_MM, share_at_most
from imaging.protocol import Protocol
from imaging.rules import CRITERIA, EXCLUSIONS, Rule, find
from records.errors import Reason
from records.model import Finding, Nodule, Pattern, Verdict, VerdictLabel

__all__ = ["judge", "label_of", "margin", "measured_for", "not_evaluable"]

PLAIN_SHARE = 3.0  # a noisy scan whose upper count is this far under the cut is plainly empty
FARTHEST = 3.0  # on the wrong side; beyond it makes no difference


def judge(pattern: Pattern, protocol: Protocol, slice_mm: float, noise_hu: float = 0.0) -> Verdict:
    """Judge a pattern.

    Parameters
    ----------
    pattern : Pattern
        From `describe_pattern`.
    protocol : Protocol
        The thresholds.
    slice_mm : float
        The larger of slice thickness and slice spacing.
    noise_hu : float
        Standard deviation of fine detail in the lungs (`LungSummary`).
    """
    criteria = tuple(find(rule, pattern, protocol) for rule in CRITERIA)
    exclusions = tuple(find(rule, pattern, protocol) for rule in EXCLUSIONS)
    plainly_few = PLAIN_SHARE * pattern.nodule_count.high < protocol.profuse_least_nodules
    poor = _too_thick(slice_mm, protocol) or ("" if plainly_few else _too_noisy(noise_hu, protocol))
    reason: Reason | None = None
    label = label_of(criteria, exclusions)
    if poor:
        label, reason, sentence = VerdictLabel.INDETERMINATE, Reason.POOR_QUALITY, poor
    elif label is VerdictLabel.NOT_MIPC:
        against = [*(f for f in criteria if f.holds is False), *(f for f in exclusions if f.holds)]
        sentence = "Not miliary carcinomatosis. " + _paragraph(against)
    elif label is VerdictLabel.INDETERMINATE:
        unsure = [f for f in (*criteria, *exclusions) if f.holds is None]
        reason = Reason.NEAR_THRESHOLD
        sentence = f"Too near a threshold to tell. {_paragraph(unsure)} To settle it: {_settling(unsure)}."
    else:
        sentence = "Meets all image criteria of miliary carcinomatosis. " + _paragraph(criteria)
    probability = _probability(margin(pattern, protocol), protocol)
    return Verdict(label, probability, criteria, exclusions, reason, sentence + _beside(pattern))


def label_of(criteria: Sequence[Finding], exclusions: Sequence[Finding]) -> VerdictLabel:
    """Return what findings add up to: one plain no decides, then one doubt, then all agree."""
    if any(f.holds is False for f in criteria) or any(f.holds for f in exclusions):
        return VerdictLabel.NOT_MIPC
    if any(f.holds is None for f in (*criteria, *exclusions)):
        return VerdictLabel.INDETERMINATE
    return VerdictLabel.MIPC


def measured_for(pattern: Pattern, nodules: Sequence[Nodule], protocol: Protocol) -> Pattern:
    """Return the pattern to judge, with the share of tiny nodules as the protocol defines tiny.

    What is kept of a study is the pattern itself, so that another protocol can be asked afterwards.
    """
    if protocol.tiny_largest_diameter_mm == TINY_MM:
        return pattern
    return replace(pattern, fraction_le_5mm=share_at_most(nodules, protocol.tiny_largest_diameter_mm))


def not_evaluable(reason: Reason, sentence: str) -> Verdict:
    """Return the verdict of a study that can't be judged."""
    return Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), reason, sentence)


def margin(pattern: Pattern, protocol: Protocol) -> float:
    """Return how far the weakest rule lies on the miliary side of its threshold.

    Counted in steps from the threshold (0) to what plainly miliary disease measures (1); less than nothing
    on the other side. A chain is as strong as its weakest link: what is profuse but one-sided is as far from
    miliary disease as its balance.
    """
    return min(_distance(rule, pattern, protocol) for rule in (*CRITERIA, *EXCLUSIONS))


def _distance(rule: Rule, pattern: Pattern, protocol: Protocol) -> float:
    measured = rule.measure(pattern)
    if measured is None:  # nothing to measure it on: the count says so, and stronger
        return 1.0
    threshold, value, plain = float(getattr(protocol, rule.threshold)), measured.value, rule.plain
    if rule.counts:  # from 50 nodules to 200 is as far as from 50 to 12
        threshold, value, plain = (log(max(x, 1.0)) for x in (threshold, value, plain))
    beyond = value - threshold if rule.at_least else threshold - value
    way = abs(plain - threshold)  # a protocol may ask for more than plainly miliary disease measures
    if way == 0:
        return 1.0 if beyond >= 0 else -FARTHEST
    return max(-FARTHEST, min(1.0, beyond / way))


def _probability(weakest: float, protocol: Protocol) -> float:
    """Return the probability: a logistic curve over the margin, moved to the prevalence.

    The curve stands for studies half of which are miliary (`benchmarks.patterns --fit`), so the odds it gives
    are multiplied by the odds of the population that is screened (Bayes).
    """
    odds = log(protocol.probability_prevalence / (1 - protocol.probability_prevalence))
    logit = protocol.probability_offset + protocol.probability_slope * weakest + odds
    return 1 / (1 + exp(-max(-30.0, min(30.0, logit))))


def _too_thick(slice_mm: float, protocol: Protocol) -> str:
    """Return why these slices settle nothing, and what would; nothing if they do.

    Not even an empty scan does: of eight simulated miliary studies on slices of 3.75 and 5 mm, two were
    estimated at 0 and 4 nodules.
    """
    if slice_mm <= protocol.quality_largest_slice_mm:
        return ""
    return (
        f"Slices of {slice_mm:.1f} mm average nodules of 5 mm or less away "
        f"(limit {protocol.quality_largest_slice_mm:.1f} mm): a thinner reconstruction would settle it."
    )


def _too_noisy(noise_hu: float, protocol: Protocol) -> str:
    if noise_hu <= protocol.quality_largest_noise_hu:
        return ""
    return (
        f"Noise of {noise_hu:.0f} HU hides small nodules and looks like them (limit "
        f"{protocol.quality_largest_noise_hu:.0f} HU): a softer kernel or a higher dose would settle it."
    )


def _paragraph(findings: Sequence[Finding]) -> str:
    return " ".join(dict.fromkeys(finding.sentence for finding in findings))


def _settling(unsure: list[Finding]) -> str:
    return "; ".join(dict.fromkeys(finding.settled_by for finding in unsure))


def _beside(pattern: Pattern) -> str:
    """Name what lies beside the micronodules and does not decide: masses, airless lung."""
    words = ""
    if pattern.lesions_ge_10mm:
        one = pattern.lesions_ge_10mm == 1
        words += (
            f" {pattern.lesions_ge_10mm} {'lesion' if one else 'lesions'} of 10 mm or more "
            f"{'is a candidate' if one else 'are candidates'} for the primary tumour (RECIST-measurable)."
        )
    return words
