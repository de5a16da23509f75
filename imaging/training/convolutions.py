"""The convolutional network: grown in PyTorch, written as an ONNX graph.

Two trunks of valid convolutions, one over the fine cubes and one over the coarse one, meet in a small
dense head. A third of each batch is nodules, a third other candidates at random, and a third others drawn
by how likely the network last took them for nodules: of a thousand candidates that reach it in a scan,
the four that are wrong with most confidence decide how good it is.

It is taught in two lessons. In the first labels are smoothed (Szegedy 2016, CVPR), which keeps single
examples from leading it; but a network that may be no surer than 0.98 says 0.98 of all that is clear, and
which of them is clearest is chance. In the second the labels are what they are, the steps small, and the
surest come apart again. The mean of the weights after the one and after the other (Wortsman 2022, CVPR:
fine-tuning in weight space) does better than either: docs/model.md.

A network that is gone on from has had both. It is shown little, in steps five times shorter than those of the
second lesson: as long ones take more of what it knew than they teach.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from imaging.network import BATCH
from imaging.patches import CUBES, SIDE
from imaging.training.muon import Muon

__all__ = ["best_device", "grow_network"]

Weights = NDArray[np.float32]

WIDTHS = (24, 32, 64, 128)
KERNELS = (4, 3, 3, 3)
STRIDES = (2, 1, 1, 1)  # 16 samples become 7, 5, 3, 1
HEAD = 128
FINE = CUBES - 1
DRAWN_AT_ONCE = 16_384  # cubes among which hard candidates are chosen together
DECAY = 2e-3  # of what are matrices
ADAM_SHARE = 0.075  # of the rate, for norms, biases and the last layer, which are vectors
WARMING = 0.1  # of the steps, in which the rate rises; then it falls as a cosine
BRIGHTER, SHIFTED = 0.1, 0.03  # random change of contrast and of level
LEAST_DOUBT = 0.01
STATISTICS_OF = 3000  # cubes, for the norms of a network that is gone on from


@dataclass(frozen=True, slots=True)
class _Lesson:
    share: float  # of the cubes
    label_smoothing: float  # how far labels are from 0 and 1
    learning_rate: float  # length of a step, per singular value of about 1


LESSONS = (_Lesson(0.7, 0.02, 0.04), _Lesson(0.3, 0.0, 0.01))
GOING_ON = _Lesson(1.0, 0.0, 0.002)


def best_device() -> str:
    """Return where PyTorch trains fastest here: "cuda" or "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class _Halving(nn.Conv3d):
    """A convolution in steps of two, reckoned over blocks of 2 x 2 x 2 samples.

    The same sums with more channels and a smaller kernel, whose gradients a processor has much sooner.
    """

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        weight = _blocks(self.weight, self.kernel_size[0] // 2)
        return nn.functional.conv3d(_blocks(cubes, cubes.shape[-1] // 2), weight)


def _blocks(cubes: torch.Tensor, side: int) -> torch.Tensor:
    """Turn (N, C, 2 side, 2 side, 2 side) into (N, 8 C, side, side, side)."""
    count, channels = cubes.shape[:2]
    split = cubes.reshape(count, channels, side, 2, side, 2, side, 2)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(count, 8 * channels, side, side, side)


def _trunk(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, kernel, stride in zip(WIDTHS, KERNELS, STRIDES, strict=True):
        kind = _Halving if stride == 2 else nn.Conv3d
        layers += [kind(channels, width, kernel, stride, bias=False), nn.BatchNorm3d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten())


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = _trunk(FINE), _trunk(CUBES - FINE)
        self.head = nn.Sequential(nn.Linear(2 * WIDTHS[-1], HEAD), nn.ReLU(), nn.Linear(HEAD, 1))

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.fine(cubes[:, :FINE]), self.coarse(cubes[:, FINE:])], 1)
        answer: torch.Tensor = self.head(both)[:, 0]
        return answer


def _turned(cubes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Apply one of the sixteen symmetries that keep the slices slices."""
    flips = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
    cubes = torch.flip(cubes, flips) if flips else cubes
    return cubes.transpose(3, 4) if rng.random() < 0.5 else cubes


def _changed(cubes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Turn a batch of grey cubes, and change contrast and level of each."""
    gain = (1 + rng.uniform(-BRIGHTER, BRIGHTER, (len(cubes), 1, 1, 1, 1))) / 255.0
    shift = rng.uniform(-SHIFTED, SHIFTED, (len(cubes), 1, 1, 1, 1))
    gain_there, shift_there = (torch.from_numpy(a).float().to(cubes.device) for a in (gain, shift))
    return _turned(cubes, rng).float().mul_(gain_there).add_(shift_there)


def _rate(done: float) -> float:
    """Return what the learning rate is multiplied by after a share of the steps."""
    if done < WARMING:
        return done / WARMING
    return 0.5 * (1 + float(np.cos(np.pi * (done - WARMING) / (1 - WARMING))))


class _Draws:
    """Batches: a third nodules, a third other candidates, a third hard ones among these."""

    def __init__(self, label: NDArray[np.int8], batch_size: int, rng: np.random.Generator) -> None:
        self._nodules, self._others = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
        self._doubt = np.full(len(self._others), 0.5)
        self._rng = rng
        self.nodules = batch_size // 3
        self._hard_ones = batch_size - 2 * self.nodules
        self._together = max(1, DRAWN_AT_ONCE // batch_size)
        self._hard = np.zeros((0, self._hard_ones), np.int64)
        self._drawn = np.zeros(0, np.int64)
        self._batches = 0

    def next_rows(self) -> NDArray[np.int64]:
        """Return the rows of a batch, nodules first."""
        if self._batches % self._together == 0:
            likely, shape = self._doubt / self._doubt.sum(), (self._together, self._hard_ones)
            self._hard = self._rng.choice(len(self._others), shape, p=likely)
        plain = self._rng.integers(len(self._others), size=self.nodules)
        self._drawn = np.concatenate([plain, self._hard[self._batches % self._together]])
        self._batches += 1
        nodules = self._nodules[self._rng.integers(len(self._nodules), size=self.nodules)]
        return np.concatenate([nodules, self._others[self._drawn]])

    def learn_doubt(self, odds: torch.Tensor) -> None:
        """Keep how likely the network took the others of the last batch for nodules."""
        self._doubt[self._drawn] = torch.sigmoid(odds)[self.nodules :].cpu().numpy() + LEAST_DOUBT


def _even(net: _Net) -> None:
    """Give the matrix before each norm singular values of about 1.

    The norm undoes it, but for what keeps it from dividing by nothing: answers move by less than 0.02.
    """
    with torch.no_grad():
        for trunk in (net.fine, net.coarse):
            for convolution, norm in zip(trunk[:-1:3], trunk[1:-1:3], strict=True):
                matrix = convolution.weight.flatten(1)
                length = matrix.norm() / min(matrix.shape) ** 0.5
                convolution.weight.div_(length)
                norm.running_mean.div_(length)
                norm.running_var.div_(length**2)


def _recall(net: _Net, start: bytes, cubes: torch.Tensor) -> None:
    """Give a network the weights of an ONNX graph from `_as_onnx`.

    A graph has no norms. They are set so that they change nothing where the statistics are those of `cubes`,
    (N, CUBES, SIDE, SIDE, SIDE) from 0 to 1.
    """
    graph = onnx.load_from_string(start).graph
    kept = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()).float() for t in graph.initializer}
    held = {name.removesuffix("_half"): weights.to(cubes.device) for name, weights in kept.items()}
    with torch.no_grad():
        for name, trunk, image in (
            ("fine", net.fine, cubes[:, :FINE]),
            ("coarse", net.coarse, cubes[:, FINE:]),
        ):
            for n in range(len(STRIDES)):
                convolution: Any = trunk[3 * n]
                norm: Any = trunk[3 * n + 1]
                convolution.weight.copy_(held[f"{name}_w{n}"])
                sums = convolution(image)
                mean, variance = sums.mean((0, 2, 3, 4)), sums.var((0, 2, 3, 4), unbiased=False)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
                norm.weight.copy_(torch.sqrt(variance + norm.eps))
                norm.bias.copy_(held[f"{name}_b{n}"] + mean)
                image = torch.relu(sums + held[f"{name}_b{n}"][:, None, None, None])
        for n, layer in enumerate(net.head[::2]):
            layer.weight.copy_(held[f"head_w{n}"])
            layer.bias.copy_(held[f"head_b{n}"])


def grow_network(
    cubes: NDArray[np.uint8],
    label: NDArray[np.int8],
    samples: int,
    *,
    batch_size: int = 64,
    seed: int = 1,
    threads: int = 1,
    device: str = "cpu",
    start: bytes | None = None,
    shown: Callable[[int], object] = lambda cubes: None,
) -> bytes:
    """Train a network that tells label 1 from label 0.

    Parameters
    ----------
    cubes : (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
    label : (N,) int8 ndarray
        A label of -1 is not learnt from.
    samples : int
        Cubes shown in all, each as often as it is drawn.
    batch_size : int
        Cubes of a step.
    seed, threads : int
        The same of both give the same network on a CPU.
    device : str
        Of PyTorch.
    start : bytes, optional
        A network of the same shape, an ONNX model, to go on from by one short lesson; what comes out
        has the mean of its weights and of what the lesson made of them.
    shown : callable
        Is told how many cubes have been shown since it was told last.

    Returns
    -------
    bytes
        An ONNX model for `imaging.network.Network`.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(device == "cpu")
    rng = np.random.default_rng(seed)
    draws = _Draws(label, batch_size, rng)
    held = torch.from_numpy(cubes) if device == "cpu" else torch.from_numpy(cubes).to(device)
    net = _Net().to(device)
    lessons: tuple[_Lesson, ...] = LESSONS
    learnt = []
    if start is not None:
        rows = torch.from_numpy(rng.choice(np.flatnonzero(label >= 0), STATISTICS_OF))
        _recall(net, start, held[rows.to(held.device)].float() / 255.0)
        lessons, learnt = (GOING_ON,), [_weights(net)]
    for lesson in lessons:
        steps = max(1, round(lesson.share * samples / batch_size))
        wanted = torch.full((batch_size,), lesson.label_smoothing, device=device)
        wanted[: draws.nodules] = 1 - lesson.label_smoothing
        _even(net)
        take_step = _steps(net, lesson.learning_rate, steps)
        for _ in range(steps):
            rows = torch.from_numpy(draws.next_rows())
            batch = _changed(held[rows.to(held.device)], rng)
            with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
                odds = net(batch).float()
            net.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(odds, wanted).backward()
            take_step()
            draws.learn_doubt(odds.detach())
            shown(batch_size)
        learnt.append(_weights(net))
    return _as_onnx({name: np.mean([weights[name] for weights in learnt], axis=0) for name in learnt[0]})


def _steps(net: _Net, rate: float, steps: int) -> Callable[[], None]:
    """Return what moves the weights: by orthogonal steps those that are matrices, by Adam's the others."""
    matrices = [weights for weights in net.parameters() if len(weights) > 1 and weights.ndim > 1]
    vectors = [weights for weights in net.parameters() if len(weights) == 1 or weights.ndim == 1]
    optimizers = (Muon(matrices, rate, DECAY), torch.optim.Adam(vectors, lr=ADAM_SHARE * rate))
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step / steps)) for o in optimizers]

    def take_step() -> None:
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()

    return take_step


def _folded(convolution: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[Weights, Weights]:
    """Return weights and bias of a convolution with the batch normalisation after it multiplied in."""
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * scale[:, None, None, None, None]
        bias = norm.bias - norm.running_mean * scale
    return weight.contiguous().cpu().numpy(), bias.cpu().numpy()


def _weights(net: _Net) -> dict[str, Weights]:
    """Return the weights (`w`) and biases (`b`) of all layers, without norms."""
    held = {}
    for name, trunk in (("fine", net.fine), ("coarse", net.coarse)):
        for n in range(len(STRIDES)):
            held[f"{name}_w{n}"], held[f"{name}_b{n}"] = _folded(trunk[3 * n], trunk[3 * n + 1])
    for n, layer in enumerate(net.head[::2]):
        held[f"head_w{n}"] = layer.weight.detach().cpu().numpy().copy()
        held[f"head_b{n}"] = layer.bias.detach().cpu().numpy().copy()
    return held


def _as_onnx(trained: dict[str, Weights]) -> bytes:
    """Write a trained network as an ONNX graph."""
    nodes: list[Any] = []
    held: list[Any] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        held.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(name: str) -> str:
        """Hold weights in half precision, which halves the file and moves no answer by 0.01."""
        constant(f"{name}_half", trained[name].astype(np.float16))
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
        return name

    nodes.append(helper.make_node("Cast", ["cubes"], ["grey"], to=TensorProto.FLOAT))
    unit = constant("scale", np.array(1 / 255, np.float32))
    nodes.append(helper.make_node("Mul", ["grey", unit], ["unit"]))
    sizes = constant("sizes", np.array([FINE, CUBES - FINE], np.int64))
    nodes.append(helper.make_node("Split", ["unit", sizes], ["fine_0", "coarse_0"], axis=1))
    for name in ("fine", "coarse"):
        for n, stride in enumerate(STRIDES):
            bias = constant(f"{name}_b{n}", trained[f"{name}_b{n}"])
            inputs = [f"{name}_{n}", weights(f"{name}_w{n}"), bias]
            nodes.append(helper.make_node("Conv", inputs, [f"{name}_c{n}"], strides=[stride] * 3))
            nodes.append(helper.make_node("Relu", [f"{name}_c{n}"], [f"{name}_{n + 1}"]))
        nodes.append(helper.make_node("Flatten", [f"{name}_{len(STRIDES)}"], [f"{name}_flat"]))
    nodes.append(helper.make_node("Concat", ["fine_flat", "coarse_flat"], ["both"], axis=1))
    for n, (source, target) in enumerate((("both", "hidden"), ("active", "odds"))):
        inputs = [source, weights(f"head_w{n}"), constant(f"head_b{n}", trained[f"head_b{n}"])]
        nodes.append(helper.make_node("Gemm", inputs, [target], transB=1))
        if target == "hidden":
            nodes.append(helper.make_node("Relu", ["hidden"], ["active"]))
    flat = constant("flat", np.array([-1], np.int64))
    nodes.append(helper.make_node("Reshape", ["odds", flat], ["log_odds"]))
    graph = helper.make_graph(
        nodes,
        "micronodules",
        [helper.make_tensor_value_info("cubes", TensorProto.UINT8, [BATCH, CUBES, SIDE, SIDE, SIDE])],
        [helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, [BATCH])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written
