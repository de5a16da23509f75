"""Momentum with orthogonal steps, for weights that are matrices.

A step of Adam is led by few directions of a matrix. Here all directions of the momentum are made equally
long, which reaches as good a network in a fraction of the steps: what counts where a processor has to take
them (docs/model.md). PyTorch has the same as `torch.optim.Muon`, but reckons in bfloat16, in which most
processors are so slow that a step takes four times as long as all else.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Muon"]

MOMENTUM = 0.9
SLOPES = (
    3.4445,
    -4.7750,
    2.0315,
)  # of the odd polynomial: Jordan et al. 2024, kellerjordan.github.io/posts/muon
STEPS = 5
SMALLEST = 1e-7


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, whose singular values are about 1 (0.7 to 1.2).

    The polynomial is applied to the Gram matrix of the shorter side, and to the matrix but once: the same by
    algebra, with a fraction of the multiplications.

    Parameters
    ----------
    matrix : (M, N) tensor
    """
    a, b, c = SLOPES
    matrix = matrix / (matrix.norm() + SMALLEST)
    is_tall = matrix.shape[0] > matrix.shape[1]
    gram = matrix.T @ matrix if is_tall else matrix @ matrix.T
    turned = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(STEPS):
        step = c * gram @ gram + b * gram
        step.diagonal().add_(a)
        turned = step @ turned
        gram = step @ gram @ step
    return matrix @ turned if is_tall else turned @ matrix


class Muon(torch.optim.Optimizer):
    """Take orthogonal steps.

    Parameters
    ----------
    weights : iterable of Parameter
        Of two axes and more; the first is that of the outputs.
    lr : float
        Length of a step, per singular value.
    weight_decay : float
        Share of the weights that a step of length 1 takes away.
    """

    def __init__(self, weights: Iterable[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                past = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                past.lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(past, MOMENTUM).flatten(1)  # Nesterov
                longer = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(ahead).view_as(weight), alpha=-group["lr"] * longer)
