"""An ensemble of networks in one ONNX graph, whose answer is the mean of theirs.

Networks that began differently err differently (Hansen and Salamon 1990, IEEE PAMI 12:993). What an ensemble
of two gains stands in docs/model.md.
"""

from typing import Any

import onnx
from onnx import helper

__all__ = ["averaged"]


def averaged(graphs: list[bytes]) -> bytes:
    """Return one graph for `imaging.network.Network` that answers with the mean of several.

    Parameters
    ----------
    graphs : list of bytes
        ONNX models with the same input `cubes` and output `log_odds`.

    Returns
    -------
    bytes
        An ONNX model with that input and output.
    """
    models = [onnx.load_from_string(graph) for graph in graphs]
    nodes: list[Any] = []
    held: list[Any] = []
    for n, model in enumerate(models):
        for node in model.graph.node:
            inputs = [name if name == "cubes" else _of(n, name) for name in node.input]
            mine = helper.make_node(node.op_type, inputs, [_of(n, name) for name in node.output])
            mine.attribute.extend(node.attribute)
            nodes.append(mine)
        for weights in model.graph.initializer:
            weights.name = _of(n, weights.name)
            held.append(weights)
    answers = [_of(n, "log_odds") for n in range(len(models))]
    nodes.append(helper.make_node("Mean", answers, ["log_odds"]))
    first = models[0]
    graph = helper.make_graph(nodes, first.graph.name, first.graph.input, first.graph.output, held)
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _of(network: int, name: str) -> str:
    return f"{name}_of_{network}"
