"""What is computed twice rather than kept: cheap elementwise results that are needed again much later.

A node's *level* counts the sums over large arrays that it comes after. Nodes of one level can share a pass over them;
what a later level reads has to lie in memory until then. The output of a normalization, for example, is
needed by the next layer at once, and by that layer's gradients much later. By then it is computed again, from the
convolution's output, which is kept anyway: that takes less time than to write and read it, and half the memory.
Sums whose array is read at a later level anyway wait for that.
"""

from __future__ import annotations

import math

from ...graph import LEAVES, Graph, Node

# Elementwise ops that take little longer than reading their operands.
CHEAP = {"add", "subtract", "multiply", "negative", "square", "relu", "maximum", "minimum", "where", "equal",
         "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not",
         "broadcast_to", "absolute", "sign"}
SUMS = {"sum", "variance", "max", "min"}
LONGEST = 8            # nodes of a recipe
SMALLEST = 1 << 14     # elements; smaller arrays are simply kept


class Recompute:
    """Finds the recipes in a graph whose images have `batch` samples, and writes the graph anew."""

    def __init__(self, graph: Graph, batch: int):
        self.graph, self.batch = graph, batch
        self.level: dict = {}         # id of a node -> its level
        self.lazy: set = set()        # ids of the nodes that compute something again
        self.length: dict = {}        # id of a tensor with a recipe -> nodes in it
        self.base: dict = {}          # id of a tensor with a recipe -> the large tensor that it starts from, if any
        self.new: dict = {}           # id of an old tensor -> its tensor in the new graph
        self.again: dict = {}         # (id of a tensor, level) -> the same, computed again for that level
        self.nodes = graph.nodes()
        self._find_levels()
        self._find_recipes()

    def large(self, tensor) -> bool:
        shape = tensor.shape
        return len(shape) > 1 and shape[0] == self.batch and math.prod(shape) >= SMALLEST

    def _find_levels(self):
        self.couples = {id(node): self._couples(node) for node in self.nodes}
        self._assign_levels({})
        late = self._late_sums()
        if late:
            self._assign_levels(late)

    def _assign_levels(self, least):
        """Each node as early as it can be, but not before its level in `least`, by id."""
        self.furthest: dict = {}      # id of a tensor -> the highest level of those that read it
        furthest, following = self.furthest, {}     # id of a node -> the first level at which it can be read
        for node in self.nodes:
            key, level = id(node), least.get(id(node), 0)
            for tensor in node.inputs:
                if following[id(tensor.node)] > level:
                    level = following[id(tensor.node)]
            self.level[key], following[key] = level, level + self.couples[key]
            for tensor in node.inputs:
                if level >= furthest.get(id(tensor), 0):
                    furthest[id(tensor)] = level
        for tensor in self.graph.results:
            self.furthest[id(tensor)] = len(self.nodes)

    def _late_sums(self) -> dict:
        """Sums over an array that at a later level is read anyway, where nobody waits for the sum yet, and that is not
        at theirs: id -> that level. So one pass does for all sums that the gradient of a normalization needs."""
        readers, waits, needed, seen, late = {}, {}, {}, {}, {}
        for node in self.nodes:
            for tensor in node.inputs:
                readers.setdefault(id(tensor), []).append(node)
        for node in reversed(self.nodes):        # waits: id of a node -> the first level at which its result is needed
            waits[id(node)] = min([needed[id(n)] for t in node.outputs for n in readers.get(id(t), ())],
                                  default=len(self.nodes))
            at_once = self.couples[id(node)] or any(map(self.large, node.outputs))
            needed[id(node)] = self.level[id(node)] if at_once else waits[id(node)]

        def sources(tensor):
            return [t for t in tensor.node.inputs if self.large(t)] if tensor.node.op in CHEAP else []

        def levels(tensor):
            """Where the tensor is read by chains, but for sums; what is cheap is computed where it is wanted."""
            if id(tensor) not in seen:
                seen[id(tensor)] = set()
                for node in readers.get(id(tensor), ()):
                    if node.op in CHEAP and len(sources(node.output)) == 1:
                        seen[id(tensor)] |= levels(node.output)
                    elif node.op in CHEAP | SUMS - {"sum"}:
                        seen[id(tensor)].add(self.level[id(node)])
            return seen[id(tensor)]

        for node in self.nodes:
            if node.op == "sum" and self.couples[id(node)]:
                x, level = node.inputs[0], self.level[id(node)]
                while len(sources(x)) == 1:
                    (x,) = sources(x)
                later = [n for n in levels(x) if level < n < waits[id(node)]]
                if x.node.op not in CHEAP and later and level not in levels(x):
                    late[id(node)] = min(later)
        return late

    def _couples(self, node) -> bool:
        """Whether what follows from the node waits for a pass over a large array: it brings samples, or a sample's
        elements, together."""
        if node.op in LEAVES or not any(self.large(t) for t in node.inputs):
            return False
        if node.op in SUMS:
            return not self.large(node.output)
        return not any(t.shape[:1] == (self.batch,) for t in node.outputs)

    def _find_recipes(self):
        for node in self.nodes:
            if node.op not in CHEAP or not self.large(node.output):
                continue
            sources = [t for t in node.inputs if self.large(t)]
            bases = {id(b): b for b in (self.base.get(id(t), t) for t in sources) if b is not None}
            length = 1 + sum(self.length.get(id(t), 0) for t in sources)
            if len(bases) > 1 or length > LONGEST:
                continue
            if not bases:         # small arrays spread over a large shape
                self.base[id(node.output)], self.length[id(node.output)] = None, length
                continue
            (base,) = bases.values()
            level = self.level[id(base.node)]
            if base.node.op not in LEAVES and (level < self.level[id(node)] or level < self.furthest[id(base)]):
                self.base[id(node.output)], self.length[id(node.output)] = base, length

    def graph_anew(self) -> Graph:
        """The new graph; `level` and `lazy` know its nodes too."""
        kept = []
        for node in self.nodes:
            if node.op in LEAVES:
                self.new.update((id(t), t) for t in node.outputs)
                continue
            level = self.level[id(node)]
            inputs, made = tuple([self._at(t, level) if id(t) in self.base else self.new[id(t)]
                                  for t in node.inputs]), node
            if inputs != node.inputs:
                made = Node(node.op, inputs, node.attrs, [t.spec for t in node.outputs], node.layer)
                kept.append(made)         # so that no other gets its id
                self.level[id(made)] = level
            self.new.update((id(a), b) for a, b in zip(node.outputs, made.outputs, strict=True))
        self.kept = kept
        return Graph(self.graph.inputs, [self.new[id(t)] for t in self.graph.outputs],
                     [(v, self.new[id(t)]) for v, t in self.graph.updates])

    def _at(self, tensor, level):
        """The tensor as nodes of a level read it."""
        if id(tensor) not in self.base or self.level[id(tensor.node)] >= level:
            return self.new[id(tensor)]
        key = id(tensor), level
        if key not in self.again:
            node = tensor.node
            made = Node(node.op, [self._at(t, level) for t in node.inputs], node.attrs, [tensor.spec], node.layer)
            self.level[id(made)] = level
            self.lazy.add(id(made))
            self.again[key] = made.output
        return self.again[key]
