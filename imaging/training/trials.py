"""What lungs are put to the test with, to learn how a model answers: nodules, emphysema, noise.

Nodules of all sizes and contrasts tell which are found. Crowds have sizes and contrasts as of one disease:
they tell how far a census of such disease is off. Emphysema and noise tell which marks are none.
"""

from dataclasses import dataclass

import numpy as np

from imaging.disease.canvas import Canvas
from imaging.disease.opacities import add_noise, emphysema
from imaging.insertion import InsertedNodule, random_direction
from imaging.training.examples import APART_MM
from imaging.training.response import Condition

__all__ = ["PLAIN_TESTS", "Test", "paint", "tests_of"]

TEST_SEED = 10_000
DIAMETER_MM = (1.2, 6.0)  # alike by ratio
HU = (-250.0, 60.0)  # fainter ones are found as if their visibility were up to a tenth less
ELONGATION = (1.0, 1.2)
PLAIN_TESTS = {0: 1, 30: 2, 150: 2, 900: 1}  # nodules in a scan, and such scans of each lung
CROWDS = 3  # of each lung, in which sizes and contrasts are as of one disease
CROWD_NODULES = (100, 1200)  # alike by ratio
CROWD_MEDIAN_MM, CROWD_SPREAD = (1.9, 3.6), (0.12, 0.35)  # the spread of the logarithm
CROWD_HU, CROWD_HU_WIDTH = (-150.0, 0.0), 60.0  # soft tissue; what the blur takes is taken besides
EMPHYSEMA = (500, 1000)  # holes in a scan without nodules
NOISE_HU = (35.0, 60.0)  # added to one


@dataclass(frozen=True, slots=True)
class Test:
    """One scan to test on."""

    scan: str
    slices: int  # averaged into one
    nodules: int
    seed: int
    condition: Condition = Condition.PLAIN
    amount: float = 0.0  # holes or HU


def _drawn(canvas: Canvas, count: int) -> list[InsertedNodule]:
    rng, drawn = canvas.rng, []
    low, high = np.log(DIAMETER_MM)
    for x, y, z in canvas.sites(canvas.chest.labels > 0, count, APART_MM).tolist():
        direction = random_direction(rng)
        size, hu, long = np.exp(rng.uniform(low, high)), rng.uniform(*HU), rng.uniform(*ELONGATION)
        drawn.append(InsertedNodule((x, y, z), float(size), float(hu), float(long), direction))
    return drawn


def _crowd(canvas: Canvas, count: int) -> list[InsertedNodule]:
    """Return nodules whose sizes and contrasts lie about those of one disease."""
    rng = canvas.rng
    median_mm, spread = np.exp(rng.uniform(*np.log(CROWD_MEDIAN_MM))), rng.uniform(*CROWD_SPREAD)
    middle_hu = rng.uniform(*CROWD_HU)
    drawn = []
    for x, y, z in canvas.sites(canvas.chest.labels > 0, count, APART_MM).tolist():
        size = median_mm * np.exp(spread * rng.standard_normal())
        hu = middle_hu + rng.uniform(-CROWD_HU_WIDTH, CROWD_HU_WIDTH)
        drawn.append(InsertedNodule((x, y, z), float(size), float(hu), float(rng.uniform(*ELONGATION))))
    return drawn


def paint(canvas: Canvas, test: Test) -> None:
    """Put into a scan what a test asks for."""
    if test.condition is Condition.EMPHYSEMA:
        emphysema(canvas, int(test.amount))
    if test.condition is Condition.NOISE:
        add_noise(canvas, test.amount)
    if test.condition is Condition.CROWD:
        canvas.put_many(_crowd(canvas, test.nodules))
    elif test.nodules:
        canvas.put_nodules(_drawn(canvas, test.nodules))


def tests_of(scan: str, slices: int) -> list[Test]:
    """Return what each lung is tested with, each test with a seed of its own."""
    rng = np.random.default_rng([TEST_SEED, *scan.encode(), slices])
    fewest, most = np.log(CROWD_NODULES)
    crowds = np.exp(rng.uniform(fewest, most, CROWDS)).astype(int).tolist()
    plain = [nodules for nodules, times in PLAIN_TESTS.items() for _ in range(times)]
    wanted = [(nodules, Condition.PLAIN, 0.0) for nodules in plain]
    wanted += [(nodules, Condition.CROWD, 0.0) for nodules in crowds]
    wanted += [(0, Condition.EMPHYSEMA, float(holes)) for holes in EMPHYSEMA]
    wanted += [(0, Condition.NOISE, hu) for hu in NOISE_HU]
    return [
        Test(scan, slices, nodules, TEST_SEED + n, condition, amount)
        for n, (nodules, condition, amount) in enumerate(wanted)
    ]
