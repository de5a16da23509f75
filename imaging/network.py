"""A small 3-D convolutional network over the cubes of `imaging.patches`, run by ONNX Runtime.

The graph is data, a fixed list of arithmetic; ONNX has no operator that runs code or opens a file.
Batches are of one size and each runs on one thread, so that the answers do not depend on the number
of threads.
"""

import numpy as np
from numpy.typing import NDArray

from imaging.filters import in_slabs

__all__ = ["BATCH", "Network"]

BATCH = 32
QUARTER_TURNS = (1, 2, 3)
LOOK_AGAIN_LOG_ODDS = 0.0  # with 150 nodules in a scan, what is less likely ends below a probability of 0.11


class Network:
    """A network that gives each candidate the log-odds of being a nodule.

    Parameters
    ----------
    graph : bytes
        An ONNX model from (`BATCH`, CUBES, SIDE, SIDE, SIDE) uint8 `cubes` to (`BATCH`,) float32 `log_odds`.
    """

    def __init__(self, graph: bytes) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def log_odds(self, cubes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the log-odds of (N, CUBES, SIDE, SIDE, SIDE) cubes, (N,)."""
        count = len(cubes)
        batches = -(-count // BATCH)
        out = np.zeros(batches * BATCH)

        def answer(start: int, stop: int) -> None:
            full = np.zeros((BATCH, *cubes.shape[1:]), np.uint8)
            for batch in range(start, stop):
                here = cubes[batch * BATCH : (batch + 1) * BATCH]
                full[: len(here)] = here
                (odds,) = self._session.run(None, {"cubes": full})
                out[batch * BATCH : (batch + 1) * BATCH] = odds

        if count:
            in_slabs(answer, batches)
        return out[:count]

    def log_odds_all_around(self, cubes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the log-odds of N cubes, of those worth it the mean as seen from four sides, (N,).

        It learnt from cubes at every angle about the table, so that no side is the right one, but what it
        says of one candidate differs from side to side by chance, which the mean lessens.
        """
        odds = self.log_odds(cubes)
        again = np.flatnonzero(odds > LOOK_AGAIN_LOG_ODDS)
        for turns in QUARTER_TURNS:
            odds[again] += self.log_odds(np.rot90(cubes[again], turns, axes=(3, 4)))
        odds[again] /= 1 + len(QUARTER_TURNS)
        return odds
