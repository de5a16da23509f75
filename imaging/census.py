"""How many nodules there are, told from all marks, the doubtful ones too.

Whether a nodule is found depends on how far it stands out: on its mass (contrast times volume; at sizes
near the blur nothing else can be seen of it) over the noise that a filter matched to the scanner's blur
leaves. Its cube root grows like a diameter and is called visibility: a bright nodule of 2 mm and a faint one
of 2.5 mm are found alike, and so they are on coarse and fine voxels. Each mark has a visibility, as measured,
and its evidence, the log-odds that the model gives it whatever else is in the scan. The marks of a scan are
sorted into cells of both. What each cell should hold,

    number of nodules * share of them that is marked in this cell + false marks of such cells,

was measured on unseen lungs (`imaging.training.calibrate`) up to what differs from patient to patient: the
median size and the spread of sizes, how sharp-eyed the model is on this scan, and how many false marks these
lungs make and how large they look. All that they might be are tried on a grid, each with its probability
(Poisson counts, Bayes' theorem); what is left of the number of nodules is its estimate and interval. Nodules
too small to leave marks are counted by the sizes of those that do: the fewer of them show, the wider the
interval.

In grain or emphysema there are many doubtful marks and hardly a certain one, as if there were thousands of
nodules too small to be seen. That can be neither told nor ruled out: of the nodules that are told, at least
one in `MOST_EACH` has to be reported, and the upper end of the interval stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from imaging.count import INTERVAL
from imaging.nodules import LEAST_EVIDENCE, LEAST_PROBABILITY
from imaging.prior import log_odds
from imaging.resolution import Resolution
from records.model import CountSource, Estimate, Nodule

__all__ = ["Census", "Marks", "Response", "Sight", "estimate", "take_census"]

Floats = NDArray[np.float64]

PARENCHYMA_HU = -850.0  # the lungs measured -848 to -876; a contrast is good to 4 %, a visibility to 1 %
SOLID_HU = 0.0
USUAL_MASS_HU_MM3 = 60.0  # the least mass of a scan of 2.5 mm slices at usual dose
LEAST_CONTRAST_HU = 10.0
VISIBILITIES = np.geomspace(1.5, 30.0, 26)  # of nodules: from what is never seen to what always is
MARK_EDGES = np.array([0.01, 3.0, 3.5, 4.0, 4.6, 5.3, 6.2, 7.5, 9.5, 40.0])  # of marks
LARGEST_MM = 8.0  # larger ones are plain, and counted one by one

# What may differ from patient to patient, and how likely each is beforehand.
MEDIANS_MM = np.geomspace(1.1, 6.5, 20)
# Single miliary nodules have 1 to 4 mm (Fleischner glossary, Bankier 2024); crowds, a median of 1.6 to 4.2.
USUAL_MM, MEDIAN_SPREAD = 2.6, 0.25  # the spread of the logarithm
SIZE_SPREADS = (0.1, 0.2, 0.3, 0.45)  # of the logarithm: all alike ... a few doubling the rest
NORMAL_STEPS = np.array([-1.6, -0.8, 0.0, 0.8, 1.6])  # standard deviations
SHARPNESS = 0.10  # between scans, of the visibility at which half is found
FALSE_STEPS = np.linspace(-2.2, 2.2, 7)
FALSE_SIZES = np.array([-1.2, 0.0, 1.2])  # standard deviations
FALSE_SIZE_SPREAD = 0.12  # of the logarithm of the visibility false marks have: 0.11 between seven scans
NUMBERS = np.geomspace(0.5, 40_000.0, 92)
RARER = 0.8  # by this power of the number: 2.4 % of chests hold over 50, as miliary patients are in Wu 2013
LIKELY = 0.5
MOST_EACH = 10.0  # nodules that a reported mark may stand for
LEAST_RATE = 1e-3  # of false marks in a cell: anything happens
LEAST = 1.0  # a smaller number is none
UNEXPLAINED = 0.12  # relative: sizes follow no law exactly, nor do the shares found


@dataclass(frozen=True, slots=True)
class Sight:
    """What a scan can show.

    Attributes
    ----------
    least_mass_hu_mm3 : float
        Contrast times volume of the point that a filter matched to the blur shows at one standard
        deviation of white noise: noise * sqrt(voxel volume / integral of the squared point-spread function).
    """

    least_mass_hu_mm3: float

    @classmethod
    def of(cls, resolution: Resolution, spacing_mm: tuple[float, float, float], noise_hu: float) -> "Sight":
        """Return what a scan of this blur, grid and noise of single voxels can show."""
        # A box of the slice thickness, its ends smoothed over a quarter of it.
        along_mm = resolution.slice_thickness_mm * np.sqrt(1 / 12 + 1 / 16)
        blur_mm3 = 8 * np.pi**1.5 * resolution.in_plane_sigma_mm**2 * along_mm
        return cls(noise_hu * float(np.sqrt(np.prod(spacing_mm) * blur_mm3)))

    def visibility(self, diameter_mm: Floats, hu: Floats) -> Floats:
        """Return how far balls stand out: the cube root of their mass over the least mass."""
        contrast = np.maximum(hu - PARENCHYMA_HU, LEAST_CONTRAST_HU)
        mass = contrast * np.pi / 6 * np.asarray(diameter_mm) ** 3
        return np.asarray(np.cbrt(mass / self.least_mass_hu_mm3))

    @property
    def clutter(self) -> float:
        """How much else a scan shows, as against a usual one.

        The finer a scan, the smaller the forks of vessels that stand out in it; with every halving of the
        mass there are twice as many, since vessels branch alike at every size. Seven scans of five patients:
        the logarithms of their false marks spread by 0.70, divided by this by 0.53.
        """
        return USUAL_MASS_HU_MM3 / self.least_mass_hu_mm3


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """How the model answers to nodules and to lungs without any.

    Attributes
    ----------
    edges : (B,) ndarray
        Evidence from which each band of marks begins, ascending.
    found : (V, B) ndarray
        Share of the nodules of each of `VISIBILITIES` whose mark lies in each band.
    bias, spread : (V,) ndarray
        Of the logarithm of measured over true visibility.
    false_marks : (B, M) ndarray
        A scan whose least mass is `USUAL_MASS_HU_MM3`, by band and `MARK_EDGES`.
    false_spread : float
        Of the logarithm of their number, between lungs.
    """

    edges: Floats
    found: Floats
    bias: Floats
    spread: Floats
    false_marks: Floats
    false_spread: float

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "Response":
        """Return what a model's card tells."""
        told = card["response"]
        names = ("edges", "found", "bias", "spread", "false_marks")
        tables = {name: np.array(told[name], float) for name in names}
        return cls(**tables, false_spread=float(told["false_spread"]))

    def false_of(self, step: float, size: float) -> Floats:
        """Return the false marks of a lung with more of them, and larger ones, by so many spreads each."""
        edges = np.log(MARK_EDGES)
        below = np.pad(np.cumsum(self.false_marks, axis=1), ((0, 0), (1, 0)))
        moved = [np.interp(edges - size * FALSE_SIZE_SPREAD, edges, band) for band in below]
        return np.asarray(np.exp(step * self.false_spread) * np.diff(moved, axis=1) + LEAST_RATE)

    def share_found(self, visibility: Floats) -> Floats:
        """Return the share of nodules of each visibility that leave a mark."""
        return np.asarray(np.interp(np.log(visibility), np.log(VISIBILITIES), self.found.sum(axis=1)))

    def marked(self, medians: Floats, sharpness: float) -> Floats:
        """Return the share of nodules marked in each cell, (K, B, M), for K median visibilities and spreads.

        Parameters
        ----------
        medians : (K, 2) ndarray
            Logarithm of the median, and spread about it.
        sharpness : float
            Logarithm by which nodules are found as if they were more visible.
        """
        true = np.log(VISIBILITIES)
        off = (true[None] - medians[:, :1]) / medians[:, 1:]
        drawn = np.exp(-0.5 * off**2)
        drawn /= drawn.sum(axis=1, keepdims=True)
        found = np.stack([np.interp(true + sharpness, true, band) for band in self.found.T], axis=1)
        below = ndtr((np.log(MARK_EDGES)[None] - (true + self.bias)[:, None]) / self.spread[:, None])
        return np.asarray(np.einsum("kv,vb,vm->kbm", drawn, found, np.diff(below, axis=1)))


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


def take_census(nodules: Sequence[Nodule], commonness: float, sight: Sight, response: Response) -> Census:
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
    """
    is_small = np.array([n.diameter_mm.value < LARGEST_MM for n in nodules], bool)
    reported = np.array([n.reported for n in nodules], bool)
    small = [n for n, one in zip(nodules, is_small, strict=True) if one]
    count, probability = estimate(Marks.of(small, commonness, sight), sight, response)
    large = int(np.count_nonzero(reported & ~is_small))
    worth = np.where(reported, 1.0, 0.0)
    worth[is_small] = probability * count.value / max(float(probability.sum()), 1e-9)
    likely = np.zeros(len(nodules), bool)
    likely[is_small] = probability >= LIKELY
    total = Estimate(count.value + large, count.low + large, count.high + large)
    most = MOST_EACH * int(np.count_nonzero(reported))
    backed = Estimate(min(total.value, most), min(total.low, most), total.high)
    return Census(backed, worth, reported | likely)


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
    return _estimate(left.sum(axis=(0, 1))), np.where(band >= 0, share[np.maximum(band, 0), place], 0.0)


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
    logs = []
    for some in false.astype(np.float32):
        rate = true + some
        logs.append(np.log(rate) @ marks - rate @ whole)
    fit = np.array(logs, np.float64) + beforehand[:, :, None] - RARER * np.log(NUMBERS)
    left = np.exp(fit - fit.max())
    return np.asarray(left / left.sum())


def _tried(sight: Sight, response: Response) -> tuple[Floats, Floats, Floats]:
    """Return the log medians (mm), the steps of sharpness, and the shares marked (K, cells) of all tried."""
    solid = float(sight.visibility(np.ones(1), np.full(1, SOLID_HU))[0])  # of 1 mm
    sizes = np.array([(np.log(mm), spread) for mm in MEDIANS_MM for spread in SIZE_SPREADS])
    in_visibility = sizes + np.array([np.log(solid), 0.0])
    marked = [response.marked(in_visibility, step * SHARPNESS) for step in NORMAL_STEPS]
    medians = np.tile(sizes[:, 0], len(NORMAL_STEPS))
    return medians, np.repeat(NORMAL_STEPS, len(sizes)), np.concatenate(marked).reshape(len(medians), -1)


def _estimate(probability: Floats) -> Estimate:
    """Return the median of the number and its interval, blurred by what no grid explains."""
    step = float(np.log(NUMBERS[1] / NUMBERS[0]))
    away = np.arange(-8, 9) * step / UNEXPLAINED
    blurred = np.convolve(probability, np.exp(-0.5 * away**2), mode="same")
    below = np.cumsum(blurred) / blurred.sum()
    wanted = ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2)
    low, value, high = np.interp(wanted, below, NUMBERS).tolist()
    low, value = (0.0 if number < LEAST else number for number in (low, value))
    return Estimate(value, low, high)
