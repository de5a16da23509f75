"""The convolutional network: grown in PyTorch, written as an ONNX graph.

Two trunks of valid convolutions, one over the fine cubes and one over the coarse one, meet in a small
dense head. A third of each batch is nodules, a third other candidates at random, and a third others drawn
by how likely the network last took them for nodules: of a thousand candidates that reach it in a scan,
the four that are wrong with most confidence decide how good it is.
"""

from collections.abc import Callable
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

WIDTHS = (24, 32, 64, 128)
KERNELS = (4, 3, 3, 3)
STRIDES = (2, 1, 1, 1)  # 16 samples become 7, 5, 3, 1
HEAD = 128
FINE = CUBES - 1
BATCH_SIZE = 64
DRAWN_AT_ONCE = 256  # batches whose hard candidates are chosen together
MUON_RATE, DECAY = 0.04, 2e-3  # of what are matrices
ADAM_RATE = 3e-3  # of norms, biases and the last layer, which are vectors
WARMING = 0.1  # of the steps, in which the rate rises; then it falls as a cosine
BRIGHTER, SHIFTED = 0.1, 0.03  # random change of contrast and of level
SMOOTHED = 0.02  # labels are not certain
LEAST_DOUBT = 0.01


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


def grow_network(
    cubes: NDArray[np.uint8],
    label: NDArray[np.int8],
    samples: int,
    *,
    seed: int = 1,
    threads: int = 1,
    device: str = "cpu",
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
    seed, threads : int
        The same of both give the same network on a CPU.
    device : str
        Of PyTorch.
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
    nodules, others = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    third = BATCH_SIZE // 3
    hard_ones = BATCH_SIZE - 2 * third
    wanted = torch.zeros(BATCH_SIZE, device=device)
    wanted[:third] = 1.0
    wanted = wanted * (1 - 2 * SMOOTHED) + SMOOTHED
    doubt = np.full(len(others), 0.5)
    steps = max(1, samples // BATCH_SIZE)
    held = torch.from_numpy(cubes) if device == "cpu" else torch.from_numpy(cubes).to(device)
    net = _Net().to(device)
    matrices = [weights for weights in net.parameters() if len(weights) > 1 and weights.ndim > 1]
    vectors = [weights for weights in net.parameters() if len(weights) == 1 or weights.ndim == 1]
    optimizers = (Muon(matrices, MUON_RATE, DECAY), torch.optim.Adam(vectors, lr=ADAM_RATE))
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step / steps)) for o in optimizers]
    for step in range(steps):
        if step % DRAWN_AT_ONCE == 0:
            hard = rng.choice(len(others), (DRAWN_AT_ONCE, hard_ones), p=doubt / doubt.sum())
        drawn = np.concatenate([rng.integers(len(others), size=third), hard[step % DRAWN_AT_ONCE]])
        rows = np.concatenate([nodules[rng.integers(len(nodules), size=third)], others[drawn]])
        batch = _changed(held[torch.from_numpy(rows).to(held.device)], rng)
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            odds = net(batch).float()
        loss = nn.functional.binary_cross_entropy_with_logits(odds, wanted)
        net.zero_grad()
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        shown(BATCH_SIZE)
        doubt[drawn] = torch.sigmoid(odds.detach())[third:].cpu().numpy() + LEAST_DOUBT
    return _as_onnx(net.cpu().eval())


def _folded(convolution: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights and bias of a convolution with the batch normalisation after it multiplied in."""
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * scale[:, None, None, None, None]
        bias = norm.bias - norm.running_mean * scale
    return weight.contiguous().numpy(), bias.numpy()


def _as_onnx(net: _Net) -> bytes:
    """Write the trained network as an ONNX graph."""
    nodes: list[Any] = []
    held: list[Any] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        held.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(name: str, values: NDArray[np.float32]) -> str:
        """Hold weights in half precision, which halves the file and moves no answer by 0.01."""
        constant(f"{name}_half", values.astype(np.float16))
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
        return name

    nodes.append(helper.make_node("Cast", ["cubes"], ["grey"], to=TensorProto.FLOAT))
    unit = constant("scale", np.array(1 / 255, np.float32))
    nodes.append(helper.make_node("Mul", ["grey", unit], ["unit"]))
    sizes = constant("sizes", np.array([FINE, CUBES - FINE], np.int64))
    nodes.append(helper.make_node("Split", ["unit", sizes], ["fine_0", "coarse_0"], axis=1))
    for name, trunk in (("fine", net.fine), ("coarse", net.coarse)):
        for n, stride in enumerate(STRIDES):
            weight, bias = _folded(trunk[3 * n], trunk[3 * n + 1])
            inputs = [f"{name}_{n}", weights(f"{name}_w{n}", weight), constant(f"{name}_b{n}", bias)]
            nodes.append(helper.make_node("Conv", inputs, [f"{name}_c{n}"], strides=[stride] * 3))
            nodes.append(helper.make_node("Relu", [f"{name}_c{n}"], [f"{name}_{n + 1}"]))
        nodes.append(helper.make_node("Flatten", [f"{name}_{len(STRIDES)}"], [f"{name}_flat"]))
    nodes.append(helper.make_node("Concat", ["fine_flat", "coarse_flat"], ["both"], axis=1))
    for n, (layer, source, target) in enumerate(((0, "both", "hidden"), (2, "active", "odds"))):
        linear: Any = net.head[layer]
        weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        inputs = [source, weights(f"head_w{n}", weight), constant(f"head_b{n}", bias)]
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
