"""The network's arithmetic against SciPy's, and its answers against the number of threads."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy import signal

from imaging.classifier import MODEL_FILE
from imaging.network import BATCH, LOOK_AGAIN_LOG_ODDS, Network
from imaging.patches import CUBES, SIDE
from imaging.training.averaging import averaged

STRIDES = (2, 1, 1, 1)
ENSEMBLE = 2


@pytest.fixture(scope="module")
def graph() -> bytes:
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        return arrays["network"].tobytes()


@pytest.fixture(scope="module")
def cubes():
    return np.random.default_rng(5).integers(0, 256, (BATCH + 3, CUBES, SIDE, SIDE, SIDE), np.uint8)


def test_answers_do_not_depend_on_threads_or_on_company(graph, cubes, monkeypatch):
    network = Network(graph)
    answers = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MIPC_THREADS", threads)
        answers.append(network.log_odds(cubes).tobytes())
    assert answers[0] == answers[1]
    alone = np.concatenate([network.log_odds(cubes[n : n + 1]) for n in range(4)])
    assert alone == pytest.approx(network.log_odds(cubes)[:4], rel=1e-5, abs=1e-5)


def test_answers_are_those_of_scipy(graph, cubes):
    """Convolutions by `scipy.signal`, dense layers by matrix products, in double precision; then the mean."""
    held = {
        t.name.replace("_half", ""): numpy_helper.to_array(t).astype(float)
        for t in onnx.load_model_from_string(graph).graph.initializer
    }

    def answer(cube, network):
        flat = []
        for name, image in (("fine", cube[:2]), ("coarse", cube[2:])):
            for n, stride in enumerate(STRIDES):
                weights, bias = held[f"{name}_w{n}_of_{network}"], held[f"{name}_b{n}_of_{network}"]
                turned = weights[:, :, ::-1, ::-1, ::-1]
                sums = signal.fftconvolve(image[None], turned, "valid", axes=(2, 3, 4)).sum(axis=1)
                image = np.maximum(sums + bias[:, None, None, None], 0)[:, ::stride, ::stride, ::stride]
            flat.append(image.ravel())
        w0, b0, w1, b1 = (held[f"head_{part}_of_{network}"] for part in ("w0", "b0", "w1", "b1"))
        return float((w1 @ np.maximum(w0 @ np.concatenate(flat) + b0, 0) + b1)[0])

    expected = [np.mean([answer(cube, network) for network in range(ENSEMBLE)]) for cube in cubes[:4] / 255.0]
    # Single precision, sums of a few thousand terms.
    assert Network(graph).log_odds(cubes[:4]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_several_networks_answer_with_their_mean(graph, cubes):
    other = onnx.load_model_from_string(graph)
    for weights in other.graph.initializer:
        if weights.name.startswith("coarse_w0"):
            weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
    graphs = [graph, other.SerializeToString()]
    alone = [Network(one).log_odds(cubes) for one in graphs]
    assert np.abs(alone[0] - alone[1]).min() > 1e-3
    assert Network(averaged(graphs)).log_odds(cubes) == pytest.approx(np.mean(alone, axis=0), abs=1e-5)


def test_what_may_be_a_nodule_is_seen_from_four_sides_and_the_rest_from_one(graph, cubes):
    """A ball on air passes for a nodule, noise does not."""
    p, r, c = np.ogrid[:SIDE, :SIDE, :SIDE]
    for off in (0.0, 1.0, 2.0):
        ball = (p - 7.5) ** 2 + (r - 7.5 - off) ** 2 + (c - 7.5) ** 2 < 3.0**2
        cubes = np.concatenate([cubes, np.where(ball, 200, 20).astype(np.uint8)[None, None].repeat(CUBES, 1)])
    network = Network(graph)
    first = network.log_odds(cubes)
    is_likely = first > LOOK_AGAIN_LOG_ODDS
    assert is_likely.any()
    assert not is_likely.all()
    sides = [network.log_odds(np.rot90(cubes, turns, axes=(3, 4)).copy()) for turns in range(4)]
    expected = np.where(is_likely, np.mean(sides, axis=0), first)
    assert network.log_odds_all_around(cubes) == pytest.approx(expected, abs=1e-4)
    turned = network.log_odds_all_around(np.rot90(cubes[is_likely], 1, axes=(3, 4)).copy())
    assert turned == pytest.approx(expected[is_likely], abs=1e-4)


def test_no_cubes_no_answers(graph, cubes):
    assert Network(graph).log_odds(cubes[:0]).size == 0
    assert Network(graph).log_odds_all_around(cubes[:0]).size == 0
