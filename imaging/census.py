"""How many nodules there are, told from all marks, the doubtful ones too.

Each mark has a visibility (`imaging.sight`), as measured, and its evidence, the log-odds that the model
gives it whatever else is in the scan. The marks of a scan are sorted into cells of both. What each cell
should hold,

    number of nodules * share of them that is marked in this cell + false marks of such cells,

was measured on unseen lungs (`imaging.training.calibrate`) up to what differs from patient to patient: the
law of the sizes (`imaging.crowds`), how sharp-eyed the model is on this scan, how many false marks these
lungs make and how large they look. All that they might be are tried on a grid, each with its probability
(Bayes' theorem; counts are Poisson, what a cell should hold is known to a quarter); what is left of the
number of nodules is its estimate and interval. Nodules too small to leave marks are counted by the sizes of
those that do: the fewer of them show, the wider the interval.

What share is marked also depends on the lung behind (`imaging.background`). So it is asked zone by zone
where the marks lie, and a mark in a zone half of which is too dense to show any stands for two.

In grain or emphysema there are many doubtful marks and hardly a certain one, as if there were thousands of
nodules too small to be seen. That can be neither told nor ruled out: of the nodules that are told, at least
one in `MOST_EACH` has to be reported, and the upper end of the interval stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from imaging.count import INTERVAL
from imaging.crowds import crowds
from imaging.nodules import LEAST_EVIDENCE, LEAST_PROBABILITY
from imaging.prior import log_odds
from imaging.response import MARK_EDGES, Response
from imaging.sight import Sight
from imaging.zones import ZONES
from records.model import CountSource, Estimate, Nodule

__all__ = ["USUAL_MM", "Census", "Marks", "estimate", "take_census"]

Floats = NDArray[np.float64]

SOLID_HU = 0.0
LARGEST_MM = 8.0  # larger ones are plain, and counted one by one

# What may differ from patient to patient, and how likely each is beforehand.
# Single miliary nodules have 1 to 4 mm (Fleischner glossary, Bankier 2024); crowds, a median of 1.6 to 4.2.
USUAL_MM, MEDIAN_SPREAD = 2.6, 0.25  # the spread of the logarithm
NORMAL_STEPS = np.array([-1.3, 0.0, 1.3])  # standard deviations
SHARPNESS = 0.06  # between scans and brightness, of the logarithm of the visibility at which half is found
FALSE_STEPS = np.linspace(-2.4, 1.8, 6)
FALSE_SIZES = np.array([-1.2, 0.0, 1.2])  # standard deviations
NUMBERS = np.geomspace(0.5, 40_000.0, 72)
RARER = 0.8  # by this power of the number: 2.4 % of chests hold over 50, as miliary patients are in Wu 2013
TABLES_OFF = 0.25  # relative, of what a cell should hold, between scans
LIKELY = 0.5
MOST_EACH = 10.0  # nodules that a reported mark may stand for
LEAST = 1.0  # a smaller number is none
STEADY = 3.0  # marks: of a zone with so few, the density of both lungs has as much say
LEAST_SEEN = 0.2  # of what the lungs show as a whole: a mark in denser lung stands for no more than five


@dataclass(frozen=True, slots=True, eq=False)
class Census:
    """What the marks add up to.

    Attributes
    ----------
    count : Estimate
        Nodules there are, with a 90 % interval.
    worth : (N,) ndarray
        How many nodules each mark stands for; with hardly one reported they add up to more than are told.
    counts : (N,) bool ndarray
        Whether a mark is reported, or more likely a nodule than not given all others.
    source : CountSource
    """

    count: Estimate
    worth: Floats
    counts: NDArray[np.bool_]
    source: CountSource = CountSource.MARKS


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What is known of marks under `LARGEST_MM`.

    Attributes
    ----------
    evidence, visibility : (N,) ndarray
    told : float
        Evidence down to which all candidates of the scan are among them.
    """

    evidence: Floats
    visibility: Floats
    told: float

    @classmethod
    def of(cls, nodules: Sequence[Nodule], commonness: float, sight: Sight) -> "Marks":
        """Return the evidence and visibility of nodules.

        Parameters
        ----------
        nodules : sequence of Nodule
        commonness : float
            What their probabilities were corrected by, of each log-odds (`imaging.prior`).
        sight : Sight
            Of the scan.
        """
        diameters = np.array([n.diameter_mm.value for n in nodules])
        hu = np.array([n.mean_hu for n in nodules])
        told = min(log(LEAST_PROBABILITY / (1 - LEAST_PROBABILITY)) - commonness, LEAST_EVIDENCE)
        evidence = log_odds(np.array([n.probability for n in nodules])) - commonness
        return cls(evidence, sight.visibility(diameters, hu), told)

    def cells(self, edges: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return band and bin of each mark; band -1 is below the lowest edge."""
        band = np.searchsorted(edges, self.evidence, side="right") - 1
        place = np.searchsorted(MARK_EDGES, self.visibility, side="right") - 1
        return band, np.clip(place, 0, len(MARK_EDGES) - 2)


def take_census(
    nodules: Sequence[Nodule], commonness: float, sight: Sight, response: Response, background: Floats
) -> Census:
    """Estimate the number of nodules from the marks of a scan.

    Parameters
    ----------
    nodules : sequence of Nodule
        All candidates. Those of `LARGEST_MM` and more are counted one by one, if they are reported.
    commonness : float
        What their probabilities were corrected by.
    sight : Sight
        Of the scan.
    response : Response
        Of the model.
    background : (6, C) ndarray
        How much lung of each zone lies in each class (`imaging.background`).
    """
    is_small = np.array([n.diameter_mm.value < LARGEST_MM for n in nodules], bool)
    reported = np.array([n.reported for n in nodules], bool)
    small = [n for n, one in zip(nodules, is_small, strict=True) if one]
    marks = Marks.of(small, commonness, sight)
    zone = np.array([ZONES.index((n.side, n.zone)) for n in small], int)
    # First as if nodules lay alike everywhere, then where they do lie.
    _, probability = estimate(marks, sight, response.within(background.sum(axis=0)))
    seen = _seen(marks, response, background)
    where = _where(probability, zone, seen, background)
    count, probability = estimate(marks, sight, response.within(where @ background))
    large = int(np.count_nonzero(reported & ~is_small))
    worth = np.where(reported, 1.0, 0.0)
    share = probability / np.maximum(seen[zone, np.arange(len(zone))], LEAST_SEEN)
    worth[is_small] = share * count.value / max(float(share.sum()), 1e-9)
    likely = np.zeros(len(nodules), bool)
    likely[is_small] = probability >= LIKELY
    total = Estimate(count.value + large, count.low + large, count.high + large)
    most = MOST_EACH * int(np.count_nonzero(reported))
    backed = Estimate(min(total.value, most), min(total.low, most), total.high)
    return Census(backed, worth, reported | likely)


def _seen(marks: Marks, response: Response, background: Floats) -> Floats:
    """Return what share of nodules like each mark a zone shows, over that of both lungs, (6, N)."""
    whole = response.within(background.sum(axis=0)).share_found(marks.visibility)
    each = [response.within(zone).share_found(marks.visibility) for zone in background]
    return np.array(each) / np.maximum(whole, 1e-9)


def _where(probability: Floats, zone: NDArray[np.int64], seen: Floats, background: Floats) -> Floats:
    """Return how dense nodules lie in each zone, (6,), over what they do in the lungs as a whole."""
    total = max(float(probability.sum()), 1e-9)
    shows = background.sum(axis=1) * (seen @ probability / total if probability.size else 1.0)
    found = np.bincount(zone, probability, len(ZONES))
    return np.asarray((found + STEADY) / (total * shows / max(float(shows.sum()), 1e-9) + STEADY))


def estimate(marks: Marks, sight: Sight, response: Response) -> tuple[Estimate, Floats]:
    """Return how many small nodules there are, and the probability that each mark is one."""
    band, place = marks.cells(response.edges)
    cells = np.zeros((len(response.edges), len(MARK_EDGES) - 1))
    np.add.at(cells, (band[band >= 0], place[band >= 0]), 1.0)
    medians, sharpness, marked = _tried(sight, response)
    beforehand = -0.5 * ((medians - np.log(USUAL_MM)) / MEDIAN_SPREAD) ** 2 - 0.5 * sharpness**2
    tried = [(step, size) for step in FALSE_STEPS for size in FALSE_SIZES]
    false = sight.clutter * np.array([response.false_of(step, size).ravel() for step, size in tried])
    rare = -0.5 * np.square(tried).sum(axis=1)
    # A band that reaches below what is told says nothing.
    is_whole = np.repeat(response.edges >= marks.told, len(MARK_EDGES) - 1)
    left = _posterior(cells.ravel(), is_whole.astype(float), marked, false, rare[:, None] + beforehand)
    true_rate = np.einsum("kn,n,kc->c", left.sum(axis=0), NUMBERS, marked, optimize=True)
    false_rate = left.sum(axis=(1, 2)) @ false
    share = (true_rate / (true_rate + false_rate)).reshape(cells.shape)
    probability = np.where(band >= 0, share[np.maximum(band, 0), place], 0.0)
    return _estimate(left.sum(axis=(0, 1)), response.unexplained), probability


def _posterior(cells: Floats, weight: Floats, marked: Floats, false: Floats, beforehand: Floats) -> Floats:
    """Return the probability of all that was tried, given the marks.

    Parameters
    ----------
    cells, weight : (C,) ndarray
        Marks in each cell, and 1 for cells that count.
    marked : (K, C) ndarray
        Share of nodules marked in each cell, of each law of sizes and sharpness.
    false : (F, C) ndarray
        False marks in each cell, of each number of them that was tried.
    beforehand : (F, K) ndarray
        Log probability of each pair of laws.

    Returns
    -------
    (F, K, N) ndarray
        Of the law of false marks, of sizes, and of each of `NUMBERS`; its sum is 1.
    """
    true = (NUMBERS[None, :, None] * marked[:, None, :]).astype(np.float32)
    marks, whole = (cells * weight).astype(np.float32), weight.astype(np.float32)
    sure = np.float32(1 / TABLES_OFF**2)
    logs = []
    for some in false.astype(np.float32):
        rate = true + some
        # A Poisson law whose mean is a gamma variate: the negative binomial law.
        logs.append(np.log(rate) @ marks - np.log(rate + sure) @ (marks + sure * whole))
    fit = np.array(logs, np.float64) + beforehand[:, :, None] - RARER * np.log(NUMBERS)
    left = np.exp(fit - fit.max())
    return np.asarray(left / left.sum())


def _tried(sight: Sight, response: Response) -> tuple[Floats, Floats, Floats]:
    """Return the log medians (mm), the steps of sharpness, and the shares marked (K, cells) of all tried."""
    solid = float(sight.visibility(np.ones(1), np.full(1, SOLID_HU))[0])  # of 1 mm
    medians, shares = crowds(solid)
    marked = np.concatenate([response.marked(shares, step * SHARPNESS) for step in NORMAL_STEPS])
    steps = np.repeat(NORMAL_STEPS, len(medians))
    return np.tile(medians, len(NORMAL_STEPS)), steps, marked.reshape(len(marked), -1)


def _estimate(probability: Floats, unexplained: float) -> Estimate:
    """Return the median of the number and its interval, blurred by what no grid explains."""
    step = float(np.log(NUMBERS[1] / NUMBERS[0]))
    away = np.arange(-8, 9) * step / unexplained
    blurred = np.convolve(probability, np.exp(-0.5 * away**2), mode="same")
    below = np.cumsum(blurred) / blurred.sum()
    wanted = ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2)
    low, value, high = np.interp(wanted, below, NUMBERS).tolist()
    low, value = (0.0 if number < LEAST else number for number in (low, value))
    return Estimate(value, low, high)
