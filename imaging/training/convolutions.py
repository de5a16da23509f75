"""The convolutional network: grown in PyTorch, written as an ONNX graph.

Two trunks of valid convolutions, one over the fine cubes and one over the coarse one, meet in a small
dense head. Every second negative is drawn by how likely the network last took it for a nodule: of two
thousand candidates that reach it in a scan, the four that are wrong with most confidence decide how
good it is.
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

__all__ = ["grow_network"]

WIDTHS = (12, 24, 32, 48)
STRIDES = (1, 2, 1, 1)  # 16 samples become 14, 6, 4, 2
HEAD = 64
DROPPED = 0.3
FINE = CUBES - 1
BATCH_SIZE = 128
NEGATIVES = 2.0  # for each nodule, in an epoch
RATE, DECAY = 3e-3, 1e-3
BRIGHTER, SHIFTED = 0.05, 0.02  # random change of contrast and of level
SMOOTHED = 0.02  # labels are not certain: a nodule inside a vessel can't be seen


def _trunk(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        layers += [nn.Conv3d(channels, width, 3, stride, bias=False), nn.BatchNorm3d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten())


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = _trunk(FINE), _trunk(CUBES - FINE)
        self.head = nn.Sequential(
            nn.Dropout(DROPPED),
            nn.Linear(2 * 8 * WIDTHS[-1], HEAD),
            nn.ReLU(),
            nn.Dropout(DROPPED),
            nn.Linear(HEAD, 1),
        )

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.fine(cubes[:, :FINE]), self.coarse(cubes[:, FINE:])], 1)
        answer: torch.Tensor = self.head(both)[:, 0]
        return answer


def _turned(cubes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Apply one of the sixteen symmetries that keep the slices slices."""
    flips = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
    cubes = torch.flip(cubes, flips) if flips else cubes
    return cubes.transpose(3, 4) if rng.random() < 0.5 else cubes


def grow_network(
    cubes: NDArray[np.uint8],
    label: NDArray[np.int8],
    epochs: int,
    *,
    seed: int = 1,
    threads: int = 1,
    after_epoch: Callable[[int, float], None] | None = None,
) -> bytes:
    """Train a network that tells label 1 from label 0.

    Parameters
    ----------
    cubes : (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
    label : (N,) int8 ndarray
    epochs : int
        Each sees every nodule once, and `NEGATIVES` times as many of the others.
    seed, threads : int
        The same of both give the same network.
    after_epoch : callable, optional
        Is told the epoch and its mean loss.

    Returns
    -------
    bytes
        An ONNX model for `imaging.network.Network`.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(seed)
    nodules, others = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    doubt = np.full(len(others), 0.5)
    an_epoch = int(min(NEGATIVES * len(nodules), len(others)))
    steps = epochs * -(-(len(nodules) + an_epoch) // BATCH_SIZE)
    net = _Net().to(memory_format=torch.channels_last_3d)
    adam = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        plain = rng.choice(len(others), an_epoch // 2, replace=False)
        hard = rng.choice(len(others), an_epoch - len(plain), p=doubt / doubt.sum())
        drawn = np.concatenate([plain, hard])
        rows = np.concatenate([nodules, others[drawn]])
        place = np.concatenate([np.full(len(nodules), -1), drawn])
        order = rng.permutation(len(rows))
        losses = []
        net.train()
        for start in range(0, len(order), BATCH_SIZE):
            part = order[start : start + BATCH_SIZE]
            batch = torch.from_numpy(cubes[rows[part]]).float() / 255.0
            batch = _turned(batch, rng)
            gain = 1 + rng.uniform(-BRIGHTER, BRIGHTER, (len(part), 1, 1, 1, 1))
            shift = rng.uniform(-SHIFTED, SHIFTED, (len(part), 1, 1, 1, 1))
            batch = batch * torch.from_numpy(gain).float() + torch.from_numpy(shift).float()
            odds = net(batch.contiguous(memory_format=torch.channels_last_3d))
            wanted = torch.from_numpy(label[rows[part]]).float()
            loss = nn.functional.binary_cross_entropy_with_logits(
                odds, wanted * (1 - 2 * SMOOTHED) + SMOOTHED
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
            losses.append(float(loss.detach()))
            is_other = place[part] >= 0
            doubt[place[part][is_other]] = torch.sigmoid(odds.detach()).numpy()[is_other] + 0.01
        if after_epoch:
            after_epoch(epoch, float(np.mean(losses)))
    return _as_onnx(net.eval())


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

    nodes.append(helper.make_node("Cast", ["cubes"], ["grey"], to=TensorProto.FLOAT))
    unit = constant("scale", np.array(1 / 255, np.float32))
    nodes.append(helper.make_node("Mul", ["grey", unit], ["unit"]))
    sizes = constant("sizes", np.array([FINE, CUBES - FINE], np.int64))
    nodes.append(helper.make_node("Split", ["unit", sizes], ["fine_0", "coarse_0"], axis=1))
    for name, trunk in (("fine", net.fine), ("coarse", net.coarse)):
        for n, stride in enumerate(STRIDES):
            weight, bias = _folded(trunk[3 * n], trunk[3 * n + 1])
            inputs = [f"{name}_{n}", constant(f"{name}_w{n}", weight), constant(f"{name}_b{n}", bias)]
            nodes.append(helper.make_node("Conv", inputs, [f"{name}_c{n}"], strides=[stride] * 3))
            nodes.append(helper.make_node("Relu", [f"{name}_c{n}"], [f"{name}_{n + 1}"]))
        nodes.append(helper.make_node("Flatten", [f"{name}_{len(STRIDES)}"], [f"{name}_flat"]))
    nodes.append(helper.make_node("Concat", ["fine_flat", "coarse_flat"], ["both"], axis=1))
    for n, (layer, source, target) in enumerate(((1, "both", "hidden"), (4, "active", "odds"))):
        linear: Any = net.head[layer]
        weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        inputs = [source, constant(f"head_w{n}", weight), constant(f"head_b{n}", bias)]
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
