"""The convolutional network: grown in PyTorch, written as an ONNX graph.

Two trunks of valid convolutions, one over the fine cubes and one over the coarse one, meet in a small
dense head. A third of each batch is nodules, a third other candidates at random, and a third others drawn
by how likely the network last took them for nodules: of a thousand candidates that reach it in a scan,
the four that are wrong with most confidence decide how good it is.
"""

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from imaging.network import BATCH
from imaging.patches import CUBES, SIDE

__all__ = ["best_device", "grow_network"]

WIDTHS = (24, 48, 64, 96)
STRIDES = (1, 2, 1, 1)  # 16 samples become 14, 6, 4, 2
HEAD = 128
DROPPED = 0.3
FINE = CUBES - 1
BATCH_SIZE = 512
DRAWN_AT_ONCE = 64  # batches whose hard candidates are chosen together
RATE, DECAY = 3e-3, 2e-3
WARMING = 0.1  # of the steps, in which the rate rises; then it falls as a cosine
BRIGHTER, SHIFTED = 0.1, 0.03  # random change of contrast and of level
SMOOTHED = 0.02  # labels are not certain
LEAST_DOUBT = 0.01


def best_device() -> str:
    """Return where PyTorch trains fastest here: "cuda" or "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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


def _changed(cubes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Turn a batch of grey cubes, and change contrast and level of each."""
    gain = 1 + rng.uniform(-BRIGHTER, BRIGHTER, (len(cubes), 1, 1, 1, 1))
    shift = rng.uniform(-SHIFTED, SHIFTED, (len(cubes), 1, 1, 1, 1))
    gain_there, shift_there = (torch.from_numpy(a).float().to(cubes.device) for a in (gain, shift))
    return _turned(cubes.float() / 255.0, rng) * gain_there + shift_there


def _rate(done: float) -> float:
    """Return the learning rate after a share of the steps."""
    if done < WARMING:
        return RATE * done / WARMING
    return RATE * 0.5 * (1 + float(np.cos(np.pi * (done - WARMING) / (1 - WARMING))))


def grow_network(
    cubes: NDArray[np.uint8],
    label: NDArray[np.int8],
    samples: int,
    *,
    seed: int = 1,
    threads: int = 1,
    device: str = "cpu",
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
    net = _Net().to(device).to(memory_format=torch.channels_last_3d)
    adam = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    for step in range(steps):
        if step % DRAWN_AT_ONCE == 0:
            hard = rng.choice(len(others), (DRAWN_AT_ONCE, hard_ones), p=doubt / doubt.sum())
        drawn = np.concatenate([rng.integers(len(others), size=third), hard[step % DRAWN_AT_ONCE]])
        rows = np.concatenate([nodules[rng.integers(len(nodules), size=third)], others[drawn]])
        batch = _changed(held[torch.from_numpy(rows).to(held.device)], rng)
        for group in adam.param_groups:
            group["lr"] = _rate(step / steps)
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            odds = net(batch.contiguous(memory_format=torch.channels_last_3d)).float()
        loss = nn.functional.binary_cross_entropy_with_logits(odds, wanted)
        adam.zero_grad()
        loss.backward()
        adam.step()
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
    for n, (layer, source, target) in enumerate(((1, "both", "hidden"), (4, "active", "odds"))):
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
