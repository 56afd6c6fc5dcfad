"""The CPU backend: compiled kernels, planned ahead."""

from __future__ import annotations

from typing import NamedTuple

from ...config import num_threads
from ...graph import Graph, Variable
from ...utils.locks import Lock
from ..base import Backend, Program
from .variants import Kernels, choose

__all__ = ["load", "CPUBackend"]


class Instruction(NamedTuple):
    """One instruction of a profiled run.

    node: the last of `nodes`, those that it computes. blocks: its tasks are so many blocks of samples, or 0. bytes: the
    size of the arrays in shared memory that it reads and writes. main: False if it only prepares what another computes.
    products: multiplications and additions in the products of an algorithm that takes fewer than the definition does,
    such as Winograd's, without its transforms; otherwise 0.
    """

    step: int
    node: object
    blocks: int
    nanoseconds: int
    nodes: tuple
    bytes: int
    main: bool
    products: int


class CPUProgram(Program):
    """A planned graph. Several threads may call it at once; one runs at a time."""

    def __init__(self, graph: Graph, kernels):
        from .lowering import TABLE
        from .planner import Planner
        planner = Planner(graph, kernels, TABLE)
        self.program, self.outputs, self.arena = planner.compile()
        self.messages, self.arrays = planner.messages, planner.arrays
        self.preparation, self.sources, self.store = planner.preparation or (None, (), None)
        self.seen = self.versions = None       # `Variable.latest`, and the sources' versions, at the last preparation
        self.listing = [(w.step, w.node, w.blocks) for w in planner.listing]
        self.details = planner.details()
        self.graph = graph          # keeps the variables alive, whose addresses the instructions hold
        self.lock = Lock()
        self.variables = [n.attrs["variable"] for n in graph.nodes() if n.op == "variable"]
        self.updated = [v for v, _ in graph.updates]

    def __call__(self, arrays, rows=None):
        with self.lock.now:
            if Variable.travelling:
                self._bring_home()
            if self.preparation is not None and (Variable.latest != self.seen or Variable.lent):
                self._prepare()
            try:
                failure = self.program.run(arrays, rows, num_threads())
            finally:
                if self.updated:
                    Variable.touch(self.updated)
            if failure is not None:
                self._fail(failure)
            outputs = self.outputs
            return [outputs[0].copy()] if len(outputs) == 1 else [output.copy() for output in outputs]

    def _fail(self, failure):
        raise ValueError(self.messages[failure[0]].format(value=failure[1]))

    def _prepare(self):
        """Compute what follows from weights alone, unless none has changed since that was done last."""
        latest = Variable.settle()
        if latest == self.seen:
            return
        versions = [v.version for v in self.sources]
        if versions != self.versions:
            self.seen = self.versions = None
            failure = self.preparation.run((), None, num_threads())
            if failure is not None:
                self._fail(failure)
        self.seen, self.versions = latest, versions

    def _bring_home(self):
        """Values that a device has changed come to the storage; those that will change here are new to the device."""
        for variable in self.variables:
            variable.peek()
        Variable.touch(self.updated)         # new to the device

    def profile(self, arrays, rows=None):
        """Run once on one thread; returns an `Instruction` for each, in their order."""
        with self.lock:
            if self.preparation is not None:
                self._prepare()
            times = self.program.profile(arrays, rows)
        return [Instruction(*entry, time, *details)
                for entry, time, details in zip(self.listing, times, self.details, strict=True)]


class CPUBackend(Backend):
    name = "cpu"
    prepares = True

    def __init__(self, variant):
        super().__init__()
        self.kernels = Kernels(variant)

    @property
    def variant(self) -> str:
        """The instruction set in use: "v2", "v3", "v4" (x86-64 levels), "zen3", "zen4" (v3, v4 tuned) or "generic"."""
        return self.kernels.variant

    def supports(self, name: str) -> bool:
        """Whether there is a kernel for the op."""
        from .chain_code import OPERATIONS
        from .lowering import TABLE
        return name in TABLE or name == "cast" or name in OPERATIONS

    def make(self, graph):
        return CPUProgram(graph, self.kernels)


def load():
    return CPUBackend(choose())

