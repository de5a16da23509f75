"""How much the judge's and the network's log-odds count, by logistic regression."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from imaging.classifier import Verdicts

__all__ = ["learn_verdicts"]


def learn_verdicts(
    judge: NDArray[np.float64], network: NDArray[np.float64], label: NDArray[np.int8]
) -> Verdicts:
    """Fit the weights of two log-odds by maximum likelihood, neither of them negative.

    Parameters
    ----------
    judge, network : (N,) float ndarray
        Log-odds on examples that neither was taught.
    label : (N,) int8 ndarray
        1 nodule, 0 not.
    """
    design = np.stack([np.ones(len(label)), judge, network], axis=1)
    sign = 2.0 * label - 1.0

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (design @ weights)
        slope = -sign / (1.0 + np.exp(margin))
        return float(np.logaddexp(0.0, -margin).mean()), design.T @ slope / len(label)

    bounds = [(None, None), (0.0, None), (0.0, None)]
    fitted = minimize(loss, np.array([0.0, 0.5, 0.5]), jac=True, bounds=bounds)
    constant, judged, seen = fitted.x.tolist()
    return Verdicts(constant, judged, seen, float(np.mean(label)))
