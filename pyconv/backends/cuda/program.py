"""A planned graph with its memory, ready to run."""

from __future__ import annotations

import math

import numpy as np

from ...graph import Graph
from ..base import Program
from . import memory
from .memory import ARENA, CONSTANT, INPUT, OUTPUT, VARIABLE, View

__all__ = ["CUDAProgram"]

NO_ERROR = 0x7FFFFFFF       # as in kernels/copy.cu


class CUDAProgram(Program):
    """Launches over an arena. Several threads may call it at once; one run at a time uses the device.

    The first run launches the kernels one by one, which also lets the libraries set themselves up. The second captures
    them into a CUDA graph, which is replayed from then on; PYCONV_CUDA_GRAPHS=0 leaves that out. Where the capture
    fails, `uncaptured` has the reason, and the kernels go on being launched one by one.
    """

    def __init__(self, graph: Graph, driver):
        from .lowering import LOWERING
        from .planner import Planner
        plan = Planner(graph, driver, LOWERING).plan()
        self.driver, self.graph = driver, graph
        self.messages = plan.messages
        self.variables = list({id(n.attrs["variable"]): n.attrs["variable"] for n in graph.nodes()
                               if n.op == "variable"}.values())
        self.updated = plan.updated
        self.uncaptured = None
        self.arena_size, self.plan = plan.arena_size, plan.launches
        self.release()
        self.areas = {INPUT: driver.empty(plan.inputs_size), OUTPUT: driver.empty(plan.outputs_size),
                      CONSTANT: driver.empty(len(plan.constants))}
        if plan.constants:
            driver.upload(self.areas[CONSTANT], np.frombuffer(plan.constants, np.uint8))
            driver.stream.synchronize()
        self.staging = driver.host(plan.inputs_size)
        self.result = driver.host(plan.outputs_size)
        self.inputs, offset = [], 0
        for tensor in graph.inputs:
            nbytes = math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
            self.inputs.append(self.staging[offset:offset + nbytes].view(tensor.dtype).reshape(tensor.shape))
            offset += memory.aligned(nbytes)
        self.outputs = [self.result[b.offset:b.offset + b.nbytes].view(t.dtype).reshape(t.shape)
                        for b, t in zip(plan.outputs, graph.outputs, strict=True)]
        self.status = self.result[:plan.status.nbytes].view(np.int64)

    def release(self):
        """Let go of the arena, and of all that has its address."""
        self.launches, self.captured, self.runs = None, None, 0

    def _bind(self):
        """Find the arrays that the launches work on."""
        areas = {**self.areas, ARENA: self.driver.arena(self)}
        self.launches = [(launch.kernel, launch.grid, launch.block,
                          tuple(self._array(a, areas) if isinstance(a, View) else a for a in launch.args))
                         for launch in self.plan]

    def _array(self, view, areas):
        """The device array that an argument stands for."""
        buffer = view.buffer
        area = self.driver.storage(buffer.variable).array if buffer.area == VARIABLE else areas[buffer.area]
        array = area[buffer.offset:buffer.offset + buffer.nbytes].view(np.dtype(view.dtype))
        if view.shape is not None:
            array = array.reshape(view.shape)
        return array.swapaxes(-1, -2) if view.swapped else array

    def __call__(self, arrays, rows=None):
        driver = self.driver
        with driver.lock:
            self._fill(arrays, rows)
            for variable in (*self.variables, *self.updated):
                driver.refresh(variable)
            if self.launches is None:
                self._bind()
            if self.inputs:
                driver.upload(self.areas[INPUT], self.staging)
            with driver.device, driver.stream:
                self._launch()
            self.runs += 1
            driver.download(self.areas[OUTPUT], self.result)
            code = int(self.status[0])
            if code != NO_ERROR:
                raise ValueError(self.messages[code - 1].format(value=int(self.status[code])))
            for variable in self.updated:
                driver.changed(variable)
            return [output.copy() for output in self.outputs]

    def _fill(self, arrays, rows):
        """Gather the inputs in memory that the device copies from, in the types that they have."""
        for place, array in zip(self.inputs, arrays, strict=True):
            if rows is None or not place.ndim:
                place[...] = array
            elif place.size:
                np.take(array, rows, axis=0, out=place, mode="clip" if self._inside(rows, len(array)) else "raise")

    @staticmethod
    def _inside(rows, count):
        # With mode="raise" NumPy makes a second copy; the check is cheaper.
        return len(rows) == 0 or 0 <= rows.min() and rows.max() < count

    def _launch(self):
        if self.captured is not None:
            self.captured.launch(self.driver.stream)
            return
        if self.runs == 1 and self.driver.graphs:
            self._capture()
            if self.captured is not None:
                self.captured.launch(self.driver.stream)
                return
        for kernel, grid, block, args in self.launches:
            kernel(grid, block, args)

    def _capture(self):
        """Record the launches as a CUDA graph; nothing runs meanwhile."""
        stream = self.driver.stream
        try:
            stream.begin_capture()
            try:
                for kernel, grid, block, args in self.launches:
                    kernel(grid, block, args)
            finally:
                graph = stream.end_capture()
            self.captured = graph
        except Exception as error:
            self.uncaptured = f"{type(error).__name__}: {error}"
