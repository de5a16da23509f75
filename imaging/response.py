"""How a model answers to nodules, and to lungs without any: the tables that a census is read by.

They are measured on unseen lungs (`imaging.training.calibrate`) and stand in the model's card.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["MARK_EDGES", "VISIBILITIES", "Response"]

Floats = NDArray[np.float64]

VISIBILITIES = np.geomspace(1.5, 30.0, 26)  # of nodules: from what is never seen to what always is
MARK_EDGES = np.array([0.01, 2.9, 3.3, 3.8, 4.3, 4.9, 5.6, 6.4, 7.5, 9.5, 40.0])  # of marks
STRAY = 0.06  # share of marks whose visibility is partly another thing's
STRAY_SPREAD = 0.3  # how far off that is, of the logarithm
FALSE_SIZE_SPREAD = 0.12  # of the logarithm of the visibility false marks have: 0.11 between seven scans
LEAST_RATE = 1e-3  # of false marks in a cell: anything happens


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What a model leaves of nodules, and where there are none.

    Attributes
    ----------
    edges : (B,) ndarray
        Evidence from which each band of marks begins, ascending.
    found : (V, B) ndarray
        Share of the nodules of each of `VISIBILITIES` whose mark lies in each band.
    behind : (C,) ndarray
        Logarithm by which nodules are found as if they were more visible, by the class of what lies behind
        them (`imaging.background`).
    bias, spread : (V, B) ndarray
        Of the logarithm of measured over true visibility.
    false_marks : (B, M) ndarray
        Of a scan of usual clutter, by band and `MARK_EDGES`.
    false_spread : float
        Of the logarithm of their number, between lungs.
    unexplained : float
        Of the logarithm of the number of nodules, between scans, that no table accounts for.
    """

    edges: Floats
    found: Floats
    behind: Floats
    bias: Floats
    spread: Floats
    false_marks: Floats
    false_spread: float
    unexplained: float

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "Response":
        """Return what a model's card tells."""
        told = card["response"]
        names = ("edges", "found", "behind", "bias", "spread", "false_marks")
        tables = {name: np.array(told[name], float) for name in names}
        return cls(**tables, false_spread=float(told["false_spread"]), unexplained=float(told["unexplained"]))

    def within(self, background: Floats) -> "Response":
        """Return the response in lungs of which so much, (C,), lies in each class of `imaging.background`."""
        shares = background / max(float(background.sum()), 1e-9)
        found = sum(share * self.sharper(step) for share, step in zip(shares, self.behind, strict=True))
        return replace(self, found=np.asarray(found))

    def sharper(self, step: float) -> Floats:
        """Return what is found where nodules are by so much, in logarithm, more visible, (V, B)."""
        true = np.log(VISIBILITIES)
        return np.stack([np.interp(true + step, true, band) for band in self.found.T], axis=1)

    def false_of(self, step: float, size: float) -> Floats:
        """Return the false marks of a lung with more of them, and larger ones, by so many spreads each."""
        edges = np.log(MARK_EDGES)
        below = np.pad(np.cumsum(self.false_marks, axis=1), ((0, 0), (1, 0)))
        moved = [np.interp(edges - size * FALSE_SIZE_SPREAD, edges, band) for band in below]
        return np.asarray(np.exp(step * self.false_spread) * np.diff(moved, axis=1) + LEAST_RATE)

    def share_found(self, visibility: Floats) -> Floats:
        """Return the share of nodules of each visibility that leave a mark."""
        return np.asarray(np.interp(np.log(visibility), np.log(VISIBILITIES), self.found.sum(axis=1)))

    def marked(self, crowds: Floats, sharpness: float) -> Floats:
        """Return the share of nodules marked in each cell, (K, B, M), of K crowds.

        Parameters
        ----------
        crowds : (K, V) ndarray
            Share of the nodules that have each of `VISIBILITIES`.
        sharpness : float
            Logarithm by which nodules are found as if they were more visible.
        """
        centre = (np.log(VISIBILITIES)[:, None] + self.bias)[..., None]
        off = np.log(MARK_EDGES) - centre
        below = (1 - STRAY) * ndtr(off / self.spread[..., None]) + STRAY * ndtr(off / STRAY_SPREAD)
        cells = self.sharper(sharpness)[..., None] * np.diff(below, axis=2)
        return np.asarray(np.einsum("kv,vbm->kbm", crowds, cells))
