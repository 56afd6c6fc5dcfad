"""Ops that are computed as others: their nodes are replaced before planning, so that these fuse with what is around."""

from __future__ import annotations

import math

import numpy as np

from ...graph import LEAVES, Graph, Node, constant, make_node, simplify

__all__ = ["EXPANSIONS", "expand"]


def variance(x, *, axes, keepdims):
    count = math.prod(x.shape[a] for a in axes)
    share = constant(np.array(1.0 / count), x.dtype)

    def mean(t, keep):
        return make_node("multiply", [make_node("sum", [t], {"axes": axes, "keepdims": keep}), share], {})
    centred = make_node("subtract", [x, mean(x, True)], {})
    return mean(make_node("square", [centred], {}), keepdims)


EXPANSIONS = {"variance": variance}         # name -> function (inputs, attributes) that gives the result's tensor


def expand(graph: Graph) -> Graph:
    """The same computation without the ops above."""
    if not any(n.op in EXPANSIONS for n in graph.nodes()):
        return graph
    new: dict = {}          # id of a tensor -> the tensor in its stead
    for node in graph.nodes():
        inputs = [new[id(t)] for t in node.inputs]
        if node.op in LEAVES or all(a is b for a, b in zip(inputs, node.inputs, strict=True)) \
                and node.op not in EXPANSIONS:
            outputs = node.outputs
        elif node.op in EXPANSIONS:
            outputs = (EXPANSIONS[node.op](*inputs, **node.attrs),)
        else:
            outputs = Node(node.op, inputs, node.attrs, [t.spec for t in node.outputs], node.layer).outputs
        for old, tensor in zip(node.outputs, outputs, strict=True):
            new[id(old)] = tensor
    return simplify(Graph(graph.inputs, [new[id(t)] for t in graph.outputs],
                          [(v, new[id(t)]) for v, t in graph.updates]))
