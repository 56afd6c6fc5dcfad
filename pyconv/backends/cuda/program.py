"""A planned graph with its memory, ready to run."""

from __future__ import annotations

import math

import numpy as np

from ...graph import Graph
from ...graph.dtypes import itemsize, stored
from ..base import Program
from . import memory
from .memory import ARENA, CONSTANT, INPUT, OUTPUT, VARIABLE, Table, View

__all__ = ["CUDAProgram"]

NO_ERROR = 0x7FFFFFFF       # as in kernels/copy.cu


class _Run:
    """A run that was launched: where its results are to be, then these, or the error."""

    def __init__(self, on_device, out):
        self.on_device, self.out, self.error = on_device, out, None


class CUDAProgram(Program):
    """Launches over an arena. Several threads may call it at once; one run at a time uses the device.

    The first run launches the kernels one by one, which also lets the libraries set themselves up. The second captures
    them into a CUDA graph, which is replayed from then on; PYCONV_CUDA_GRAPHS=0 leaves that out. Where the capture
    fails, `uncaptured` has the reason, and the kernels go on being launched one by one.

    A run that is told which batch comes next, or is given a function that says so, brings it to the device while it
    computes: from `staging` to `landing`, on a stream of its own. The next run waits for that, on the device, and
    copies it to where the launches read their inputs; the copy after that into `landing` waits until that is done.
    """

    looks_ahead = True

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
        self.tables = [driver.empty(8 * len(table.entries)).view(np.dtype("uint64")) for table in plan.tables]
        self.staging = driver.host(plan.inputs_size)
        self.result = driver.host(plan.outputs_size)
        # For the next batch: its place; when `staging` has been read, and `landing`; (arrays, rows) of what is there.
        self.landing, self.ahead, self.read, self.taken = None, None, None, None
        self.rows, self.pending = None, None        # numbers of rows to take on the device; the run under way
        self.inputs, self.places, offset = [], [], 0
        for tensor in graph.inputs:
            nbytes = math.prod(tensor.shape) * itemsize(tensor.dtype)
            self.inputs.append(self.staging[offset:offset + nbytes].view(tensor.dtype).reshape(tensor.shape))
            self.places.append(slice(offset, offset + nbytes))
            offset += memory.aligned(nbytes)
        self.results = [slice(b.offset, b.offset + b.nbytes) for b in plan.outputs]
        self.outputs = [self.result[place].view(t.dtype).reshape(t.shape)
                        for place, t in zip(self.results, graph.outputs, strict=True)]
        self.status = self.result[:plan.status.nbytes].view(np.int64)

    def release(self):
        """Let go of the arena, and of all that has its address."""
        self.launches, self.captured, self.runs = None, None, 0

    def _bind(self):
        """Find the arrays that the launches work on."""
        for variable in (*self.variables, *self.updated):
            self.driver.storage(variable)       # before the arena, which may have to make room for them
        areas, tables = {**self.areas, ARENA: self.driver.arena(self)}, iter(self.tables)

        def argument(given):
            if isinstance(given, Table):
                return self._filled(next(tables), given, areas)
            return self._array(given, areas) if isinstance(given, View) else given
        self.launches = [(launch.kernel, launch.grid, launch.block, tuple(map(argument, launch.args)))
                         for launch in self.plan]

    def _filled(self, target, table, areas):
        """Write a table's numbers to the device; the addresses are those that the views have now."""
        numbers = [self._array(e, areas).data.ptr if isinstance(e, View) else e for e in table.entries]
        self.driver.upload(target, np.array(numbers, np.uint64))
        self.driver.stream.synchronize()
        return target

    def _array(self, view, areas):
        """The device array that an argument stands for."""
        buffer = view.buffer
        area = self.driver.storage(buffer.variable).array if buffer.area == VARIABLE else areas[buffer.area]
        array = area[buffer.offset:buffer.offset + buffer.nbytes].view(stored(view.dtype))
        if view.shape is not None:
            array = array.reshape(view.shape)
        return array.swapaxes(-1, -2) if view.swapped else array

    def __call__(self, arrays, rows=None, ahead=None, on_host=False, out=None):
        """Run on NumPy arrays, or on CuPy's of this device; results lie where any of these do, unless `on_host`.

        ahead: (arrays, rows) of the next run of this program, if known; the arrays must not change until then. Or a
        function that gives them or None, which is called while the device computes. It may do what it likes, also wait
        for other threads that use the device.
        out: CuPy arrays for the results.
        """
        run = self._start(arrays, rows, ahead is not None, on_host, out)
        following = ahead() if callable(ahead) else ahead
        return self._finish(run, following)

    def _start(self, arrays, rows, looking, on_host, out):
        """Launch a run. Its results are there once it is settled."""
        driver = self.driver
        there = [isinstance(a, driver.cupy.ndarray) for a in arrays]
        on_device = out is not None or (any(there) and not on_host)
        with driver.lock, driver.device:
            self._settle()              # a run of another thread, or of one that `ahead` calls within
            for variable in (*self.variables, *self.updated):
                driver.refresh(variable)
            if self.launches is None:
                self._bind()
            if on_device and out is None:
                out = [driver.array(t.shape, t.dtype) for t in self.graph.outputs]
            if looking and self.landing is None and not any(there):     # before the launches, as all memory
                self.landing = driver.spare(self.staging.nbytes, driver.copies)
            if out or any(there):
                driver.follow()
            self._bring(arrays, rows, there)
            with driver.stream:
                self._launch()
                for target, place in zip(out or (), self.results, strict=bool(out)):
                    if target.nbytes:
                        driver.copy(target, self.areas[OUTPUT][place])
            self.runs += 1
            # Whoever asks for a variable from now on waits for the run; if it fails, they are what they were.
            for variable in self.updated:
                driver.changed(variable)
            self.pending = _Run(on_device, out)
            return self.pending

    def _finish(self, run, ahead):
        """The results of a run, while the next batch is on its way."""
        with self.driver.lock, self.driver.device:
            if run is self.pending:
                if ahead is not None and self.landing is not None:
                    self._bring_ahead(*ahead)
                self._settle()
        if run.error is not None:
            raise run.error
        return run.out

    def _settle(self):
        """Wait for the run that is under way, if one is, and take its results."""
        run, self.pending = self.pending, None
        if run is None:
            return
        shown = self.status.nbytes if run.on_device else self.result.nbytes
        self.driver.download(self.areas[OUTPUT][:shown], self.result[:shown])
        code = int(self.status[0])
        if code != NO_ERROR:
            run.error = ValueError(self.messages[code - 1].format(value=int(self.status[code])))
        elif not run.on_device:
            run.out = [output.copy() for output in self.outputs]

    def _bring(self, arrays, rows, there):
        """Put the inputs where the launches read them."""
        driver, area = self.driver, self.areas[INPUT]
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            if rows is ahead[1] and len(arrays) == len(ahead[0]) \
                    and all(a is b for a, b in zip(arrays, ahead[0], strict=True)):
                driver.stream.wait_event(self.read)
                driver.copy(area, self.landing)
                self.taken = driver.stream.record(self.taken)
                return
            self.read.synchronize()             # another batch came instead: `staging` may not have been read yet
        if not any(there):
            self._fill(arrays, rows)
            if self.inputs:
                driver.upload(area, self.staging)
                self.read = driver.stream.record(self.read)
            return
        picked = None if rows is None else self._picked(rows, [a for a, t in zip(arrays, there, strict=True) if t])
        for array, on_device, place, own in zip(arrays, there, self.places, self.inputs, strict=True):
            if place.start == place.stop:
                continue
            if not on_device:
                self._fill_one(own, array, rows)
                driver.upload(area[place], self.staging[place])
            elif picked is None or not own.ndim:
                driver.copy(area[place], array)
            else:
                driver.take(area[place], array, picked)

    def _picked(self, rows, arrays):
        """The numbers of rows on the device."""
        for array in arrays:
            if not self._inside(rows, array.shape[0]):
                raise IndexError(f"Rows up to {rows.max()} were asked for of an array with {array.shape[0]}.")
        if self.rows is None:
            there = self.driver.empty(4 * len(rows)).view(np.dtype("int32"))
            self.rows = self.driver.host(4 * len(rows)).view("int32"), there
        numbers, there = self.rows
        numbers[...] = rows
        self.driver.upload(there, numbers)
        return there

    def _bring_ahead(self, arrays, rows):
        """Copy the next batch to the device while this one is computed. What goes wrong here will again then."""
        driver = self.driver
        if not self.inputs or any(isinstance(a, driver.cupy.ndarray) for a in arrays):
            return
        try:
            if self.read is not None:
                self.read.synchronize()         # of this batch; the launches go on
            self._fill(arrays, rows)
            if self.taken is not None:
                driver.copies.wait_event(self.taken)
            driver.upload(self.landing, self.staging, driver.copies)
            self.read = driver.copies.record(self.read)
            self.ahead = arrays, rows
        except Exception:
            self.ahead = None

    def _fill(self, arrays, rows):
        """Gather the inputs in memory that the device copies from, in the types that they have."""
        for place, array in zip(self.inputs, arrays, strict=True):
            self._fill_one(place, array, rows)

    def _fill_one(self, place, array, rows):
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
