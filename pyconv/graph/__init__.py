"""Symbolic tensors, tracing, differentiation and simplification: no arithmetic, no backend."""

from .differentiate import gradients
from .dtypes import canonical, is_float, is_half, limits, promote
from .folding import fold
from .functional import Call, FunctionalTensor, is_functional, record
from .halves import has_halves, widen
from .nest import flatten, is_nest, map_structure, pack
from .simplify import simplify
from .tensor import LEAVES, REGISTRY, Node, Op, Operators, Spec, Tensor, constant, labelled, make_node, placeholder
from .trace import Graph, Trace, autocast, current_trace, topological, trace
from .variable import Variable, aligned_empty

__all__ = ["Call", "FunctionalTensor", "Graph", "Node", "Op", "Operators", "LEAVES", "REGISTRY", "Spec", "Tensor",
           "Trace", "Variable", "aligned_empty", "autocast", "canonical", "constant", "current_trace", "flatten",
           "fold", "gradients", "has_halves", "is_float", "is_functional", "is_half", "is_nest", "labelled", "limits",
           "make_node", "map_structure", "pack", "placeholder", "promote", "record", "simplify", "topological",
           "trace", "widen"]
