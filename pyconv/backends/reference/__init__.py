"""The reference backend: NumPy, slow and obvious, any float type. It judges every other backend."""

from __future__ import annotations

import numpy as np

from ...graph import LEAVES, Graph
from ...utils.locks import Lock
from ..base import Backend, Program
from . import kernels_sampling as _kernels_sampling  # noqa: F401  (adds to the table)
from .kernels import KERNELS

__all__ = ["load", "KERNELS"]


class ReferenceProgram(Program):
    """Computes the nodes one after the other."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.order = [n for n in graph.nodes() if n.op not in LEAVES]
        self.leaves = [n for n in graph.nodes() if n.op in LEAVES]
        self.lock = Lock()

    def __call__(self, arrays, rows=None):
        with self.lock:
            values = {}
            for leaf in self.leaves:
                if leaf.op == "constant":
                    values[id(leaf.output)] = leaf.attrs["value"].array
                elif leaf.op == "variable":
                    values[id(leaf.output)] = leaf.attrs["variable"].peek()
            for tensor, array in zip(self.graph.inputs, arrays, strict=True):
                values[id(tensor)] = np.asarray(array if rows is None else array[rows])
            for node in self.order:
                results = KERNELS[node.op](*(values[id(t)] for t in node.inputs), **node.attrs)
                results = results if isinstance(results, tuple) else (results,)
                for tensor, result in zip(node.outputs, results, strict=True):
                    result = np.asarray(result)
                    if (result.shape, result.dtype.name) != tensor.spec:
                        raise AssertionError(f"the reference kernel of {node.op} gave {result.dtype} "
                                             f"{result.shape}; its rule says {tensor.dtype} {tensor.shape}")
                    values[id(tensor)] = result
            outputs = [values[id(t)].copy() for t in self.graph.outputs]
            new = [(variable, values[id(t)].copy()) for variable, t in self.graph.updates]
            for variable, value in new:
                variable.array[...] = value
            return outputs


class ReferenceBackend(Backend):
    name = "reference"

    def supports(self, name):
        return name in KERNELS

    def make(self, graph):
        return ReferenceProgram(graph)


def load():
    return ReferenceBackend()
