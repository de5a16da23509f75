"""The verdict: each criterion and exclusion measured, compared and said in words.

The criteria are those of Wu 2013 (Eur Respir J 41:417, "MIPC image-based
criteria"): profuse, tiny, discrete, round, uniform nodules, diffuse through both lungs, too many
to count, most of 5 mm or less; not one-sided, not ground glass, not lymphangitic.
"""

from math import exp, log

from imaging.protocol import Protocol
from records.errors import Reason
from records.model import Estimate, Finding, Pattern, Verdict, VerdictLabel

__all__ = ["judge", "not_evaluable"]

ENOUGH_NODULES = 8.0  # fewer say nothing about size, shape or spread
PLAIN_SHARE = 3.0  # a thick scan whose upper count is this far under the cut is plainly empty
SHARPNESS = 4.0  # of the probability about a threshold, in units of log measured over threshold


def judge(pattern: Pattern, protocol: Protocol, slice_mm: float) -> Verdict:
    """Judge a pattern.

    Parameters
    ----------
    pattern : Pattern
        From `describe_pattern`.
    protocol : Protocol
        The thresholds.
    slice_mm : float
        The larger of slice thickness and slice spacing.
    """
    criteria = _criteria(pattern, protocol)
    exclusions = _exclusions(pattern, protocol)
    probability = _probability(pattern, protocol)
    failed = [f for f in criteria if f.holds is False]
    excluded = [f for f in exclusions if f.holds]
    unsure = [f for f in (*criteria, *exclusions) if f.holds is None]
    too_thick = slice_mm > protocol.quality_largest_slice_mm
    plainly_few = PLAIN_SHARE * pattern.nodule_count.high < protocol.profuse_least_nodules
    reason: Reason | None = None
    if too_thick and not plainly_few:
        label, reason = VerdictLabel.INDETERMINATE, Reason.POOR_QUALITY
        sentence = (
            f"Slices of {slice_mm:.1f} mm average nodules of 5 mm or less away "
            f"(limit {protocol.quality_largest_slice_mm:.1f} mm): a thinner reconstruction would settle it."
        )
    elif failed or excluded:
        label = VerdictLabel.NOT_MIPC
        sentence = "Not miliary carcinomatosis: " + " ".join(f.sentence for f in (*failed, *excluded))
    elif unsure:
        label, reason = VerdictLabel.INDETERMINATE, Reason.NEAR_THRESHOLD
        sentence = "Too near a threshold to tell: " + " ".join(f.sentence for f in unsure)
    else:
        label = VerdictLabel.MIPC
        sentence = "Meets all image criteria of miliary carcinomatosis: " + " ".join(
            f.sentence for f in criteria
        )
    return Verdict(label, probability, criteria, exclusions, reason, sentence)


def not_evaluable(reason: Reason, sentence: str) -> Verdict:
    """Return the verdict of a study that can't be judged."""
    return Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), reason, sentence)


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


def _at_least(value: Estimate, threshold: float) -> bool | None:
    return True if value.low >= threshold else False if value.high < threshold else None


def _criteria(pattern: Pattern, protocol: Protocol) -> tuple[Finding, ...]:
    count = pattern.nodule_count
    some = count.high >= ENOUGH_NODULES
    share, cv, roundness = pattern.fraction_le_5mm, pattern.diameter_cv, pattern.roundness
    tiny = protocol.tiny_largest_diameter_mm
    return (
        Finding(
            "profuse",
            count,
            protocol.profuse_least_nodules,
            "nodules",
            _at_least(count, protocol.profuse_least_nodules),
            f"About {count.value:.0f} nodules ({count.low:.0f} to {count.high:.0f}), "
            f"{protocol.profuse_least_nodules:.0f} or more are profuse.",
            protocol.sources.get("profuse", ""),
        ),
        Finding(
            "tiny",
            share,
            protocol.tiny_least_fraction,
            "share",
            None if share is None else _at_least(share, protocol.tiny_least_fraction),
            "There is no nodule to measure."
            if share is None
            else f"{100 * share.value:.0f} % of the nodules are {tiny:.0f} mm or less.",
            protocol.sources.get("tiny", ""),
        ),
        Finding(
            "uniform",
            None if cv is None else _exactly(cv),
            protocol.uniform_largest_cv,
            "sd/mean",
            None if cv is None or not some else cv <= protocol.uniform_largest_cv,
            "Too few nodules to tell whether they are uniform."
            if cv is None
            else f"The diameters spread by {100 * cv:.0f} % of their mean.",
            protocol.sources.get("uniform", ""),
        ),
        Finding(
            "round",
            None if roundness is None else _exactly(roundness),
            protocol.round_least_roundness,
            "ratio",
            None if roundness is None or not some else roundness >= protocol.round_least_roundness,
            "There is no nodule whose shape could be told."
            if roundness is None
            else f"Shortest over longest axis is {roundness:.2f} at the median.",
            protocol.sources.get("round", ""),
        ),
        Finding(
            "diffuse",
            _exactly(float(pattern.zones_occupied)),
            protocol.diffuse_least_zones,
            "of 6 zones",
            pattern.zones_occupied >= protocol.diffuse_least_zones
            and pattern.evenness >= protocol.diffuse_least_evenness
            if some
            else None,
            f"{pattern.zones_occupied} of 6 lung zones hold nodules, evenness {pattern.evenness:.2f}.",
            protocol.sources.get("diffuse", ""),
        ),
        Finding(
            "bilateral",
            _exactly(pattern.balance),
            protocol.bilateral_least_balance,
            "ratio",
            pattern.balance >= protocol.bilateral_least_balance if some else None,
            f"About {pattern.count_right:.0f} nodules are right, {pattern.count_left:.0f} left.",
            protocol.sources.get("bilateral", ""),
        ),
    )


def _exclusions(pattern: Pattern, protocol: Protocol) -> tuple[Finding, ...]:
    some = pattern.nodule_count.high >= ENOUGH_NODULES
    least_balance = protocol.bilateral_least_balance
    return (
        Finding(
            "unilateral",
            _exactly(pattern.balance),
            least_balance,
            "ratio",
            some
            and pattern.nodule_count.value >= protocol.profuse_least_nodules
            and pattern.balance < least_balance,
            f"The emptier lung has {100 * pattern.balance:.0f} % of the density of the fuller one.",
            protocol.sources.get("bilateral", ""),
        ),
        Finding(
            "ground_glass",
            _exactly(pattern.ground_glass_fraction),
            protocol.ground_glass_largest_fraction,
            "share",
            some and pattern.ground_glass_fraction > protocol.ground_glass_largest_fraction,
            f"{100 * pattern.ground_glass_fraction:.0f} % of the nodules are ground glass.",
            protocol.sources.get("ground_glass", ""),
        ),
        Finding(
            "lymphangitic",
            _exactly(pattern.septal_index),
            protocol.lymphangitic_largest_septal_index,
            "share",
            pattern.septal_index > protocol.lymphangitic_largest_septal_index,
            f"{100 * pattern.septal_index:.1f} % of the inner lung lies in plate-like structures.",
            protocol.sources.get("lymphangitic", ""),
        ),
    )


def _probability(pattern: Pattern, protocol: Protocol) -> float:
    """Return the product of how surely each measured quantity is on the miliary side of its threshold."""

    def over(value: float, threshold: float) -> float:
        return 1.0 / (1.0 + exp(-SHARPNESS * log(max(value, 1e-3) / max(threshold, 1e-3))))

    share = pattern.fraction_le_5mm.value if pattern.fraction_le_5mm else 0.0
    product = over(pattern.nodule_count.value, protocol.profuse_least_nodules)
    product *= over(share, protocol.tiny_least_fraction)
    product *= over(pattern.balance, protocol.bilateral_least_balance)
    product *= over(pattern.zones_occupied, protocol.diffuse_least_zones - 1)
    product *= over(pattern.roundness or 0.0, protocol.round_least_roundness / 1.5)
    product *= over(protocol.ground_glass_largest_fraction, max(pattern.ground_glass_fraction, 0.05))
    product *= over(protocol.lymphangitic_largest_septal_index, max(pattern.septal_index, 0.01))
    return product
