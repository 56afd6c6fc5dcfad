"""From a graph to a program: layouts, fusion, instructions.

The planner goes through the nodes once. For each it decides a layout and adds `Work`: an instruction to be made when
the addresses are known, with the buffers that it reads and writes. Elementwise nodes are gathered into chains.
Then the work is put into steps and buffers get addresses (schedule.py), and the instructions are made.

Work that follows from weights alone, such as packing them, is put into a program of its own, which runs only after a
weight has changed.

What is decided here depends on shapes and types alone: never on the number of threads or on time measured.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...graph import LEAVES, Graph
from ...graph.variable import aligned_empty
from . import buffers as memory
from . import schedule
from .buffers import FIXED, Buffer, Lanes
from .chains import Chains
from .recompute import Recompute

# Ops that work with samples in the lanes.
IMAGE_OPS = {"conv", "conv_input_gradient", "conv_kernel_gradient", "max_pool", "max_pool_gradient", "avg_pool",
             "avg_pool_gradient"}
FILLED = (0.75, 0.65)           # of the lanes, without gradients for kernels: of one block, and of several


class Work:
    """An instruction to be. `blocks`: its tasks are blocks of samples; otherwise 0."""

    __slots__ = ("make", "reads", "writes", "blocks", "cost", "step", "index", "updates", "waits", "node", "lazy",
                 "sliced", "slices", "run", "rows", "far", "replaces")

    def __init__(self, make, reads, writes, blocks=0, cost=1000.0, updates=False, rows=None):
        self.make, self.reads, self.writes = make, list(reads), list(writes)
        self.rows = rows         # buffers.Rows, if its blocks are of rows of plain arrays
        blocks = rows.blocks if rows else blocks
        self.blocks, self.cost, self.updates = blocks, cost, updates
        self.step = self.index = None
        self.waits = ()
        self.lazy = False        # wanted as late as possible
        self.sliced = None       # slices.Sliced: it can go through a block by ranges of channels
        self.slices, self.run = 1, None
        self.far = set()         # ids of the results that nobody reads soon (schedule.find_far)
        self.replaces = ()       # (result, what it may take the place of), the better ones first


class Planner:
    """Compiles one graph. `lowering` maps the name of an op to a function (planner, node)."""

    def __init__(self, graph: Graph, kernels, lowering):
        self.graph, self.kernels, self.lowering = graph, kernels, lowering
        self.nodes = graph.nodes()
        self.trains = any(node.op == "conv_kernel_gradient" for node in self.nodes)
        self.image_layout = self._image_layout()
        self.products = {}             # id of a node -> operations, where the algorithm takes fewer than the definition
        self.twice = None              # the planner's notes on what is computed again (see recompute.py)
        if self.image_layout:
            self.twice = Recompute(graph, self.image_layout[0])
            self.graph = graph = self.twice.graph_anew()
            self.nodes = graph.nodes()
        self.work: list[Work] = []
        self.now = 0                   # position of the node being lowered
        self.reps: dict = {}           # id of a tensor -> {layout: Buffer}; the first layout is the native one
        self.done: set = set()         # nodes that a fused neighbour has taken over
        self.spots: dict = {}          # id of a tensor -> Buffer: where the maxima of its pooling are
        self.messages: list = []       # errors that kernels can report
        self.arrays: list = []         # constants and tables to be kept alive
        self.homes: list = []          # buffers that are the storage of variables
        self.consumers: dict = {}
        for node in self.nodes:
            for tensor in node.inputs:
                self.consumers.setdefault(id(tensor), []).append(node)
        for tensor in graph.results:
            self.consumers.setdefault(id(tensor), []).append(None)
        self.chains = Chains(self)
        changing = {id(variable) for variable, _ in graph.updates}
        self._settled: set = set()     # tensors that come from constants and variables that this program leaves alone
        for node in self.nodes:
            if node.op == "constant" or node.op == "variable" and id(node.attrs["variable"]) not in changing \
                    or node.op not in LEAVES and node.inputs and all(id(t) in self._settled for t in node.inputs):
                self._settled.update(map(id, node.outputs))

    # Layouts ------------------------------------------------------------------------------------------------

    def _image_layout(self):
        """How images enter the program: (batch, order function) if some op works in lanes, else None."""
        for node in self.nodes:
            if node.op in IMAGE_OPS:
                x = node.inputs[0]
                lanes = self.kernels.lanes[x.dtype]
                if self.fills(x.shape[0], lanes):
                    return x.shape[0], node.attrs["channels_last"], lanes
        return None

    def fills(self, batch, lanes) -> bool:
        """Whether a batch fills enough of the lanes for samples in them to be worth it.

        Forward the plain layout takes as long for a sample as full lanes, or a little more; gradients for kernels take
        twice as long.
        """
        blocks = -(-batch // lanes)
        return batch > 1 and batch > (0.5 if self.trains else FILLED[blocks > 1]) * blocks * lanes

    @staticmethod
    def channels_first(rank, channels_last, lanes) -> Lanes:
        """The lanes layout of convolutions for a tensor of `rank` axes."""
        features = rank - 1
        order = (features - 1, *range(features - 1)) if channels_last else tuple(range(features))
        return Lanes(order, lanes)

    def layout(self, tensor):
        """The layout that the tensor has by itself."""
        return next(iter(self._reps(tensor)))

    def rep(self, tensor, layout=None) -> Buffer:
        """The tensor in a layout; converted if need be."""
        reps = self._reps(tensor)
        if layout not in reps:
            reps[layout] = self._convert(tensor, next(iter(reps)), layout)
        return reps[layout]

    def define(self, tensor, layout=None, buffer=None) -> Buffer:
        """Say that the tensor will be in this layout; returns its (new) buffer."""
        buffer = buffer or Buffer.for_tensor(tensor.shape, tensor.dtype, layout)
        self.reps[id(tensor)] = {layout: buffer}
        return buffer

    def settled(self, tensor) -> bool:
        """Whether the tensor comes from weights alone, so that what follows from it is not computed in each run."""
        return id(tensor) in self._settled

    def known(self, tensor) -> bool:
        """Whether the tensor can be read by now."""
        return id(tensor) in self.reps or tensor.node.op in LEAVES

    def add(self, make, reads, writes, **options) -> Work:
        reads, writes = [b.home for b in reads], [b.home for b in writes]
        work = Work(make, reads, writes, **options)
        work.index, work.node = (self.now, len(self.work)), self.nodes[self.now] if self.nodes else None
        self.work.append(work)
        for buffer in reads:
            buffer.readers.append(work)
        for buffer in writes:
            buffer.writers.append(work)
        return work

    def table(self, values, dtype=np.int32):
        """An array of numbers that instructions keep."""
        wide = np.array(values, np.int64)
        if wide.size and max(-int(wide.min()), int(wide.max())) > np.iinfo(dtype).max:
            node = self.nodes[self.now]
            raise ValueError(f"{node.op} of {' and '.join(str(t.shape) for t in node.inputs)}: the samples are too "
                             f"large for the CPU kernels, which count the elements of a block of samples in 31 bits. "
                             f"Use smaller images, or fewer channels or more groups.")
        return wide.astype(dtype)

    def _reps(self, tensor) -> dict:
        """layout -> Buffer of the tensor. Leaves get theirs when they are first asked for."""
        known = self.reps.get(id(tensor))
        if known is not None:
            return known
        node = tensor.node
        if node.op == "variable":
            self.reps[id(tensor)] = {None: self.home(node.attrs["variable"])}
        elif node.op == "constant":
            value = node.attrs["value"].array
            array = aligned_empty(value.shape, value.dtype)
            array[...] = value
            self.arrays.append(array)
            self.reps[id(tensor)] = {None: Buffer.of_array(array)}
        elif node.op == "placeholder":
            self._enter(tensor)
        else:
            raise AssertionError(f"{node} was not computed")
        return self.reps[id(tensor)]

    def home(self, variable) -> Buffer:
        """The storage of a variable."""
        buffer = Buffer.of_array(variable.peek())
        self.homes.append(buffer)
        return buffer

    def _enter(self, tensor):
        """Copy an input of the program into memory of its own, picking rows if asked to."""
        shape, item = tensor.shape, np.dtype(tensor.dtype).itemsize
        source, rows = self.inputs[id(tensor)], self.rows
        if self.image_layout and len(shape) >= 3 and shape[0] == self.image_layout[0]:
            layout = self.channels_first(len(shape), *self.image_layout[1:])
            buffer = self.define(tensor, layout)
            order = self.feature_order(shape, layout)
            self.add(lambda: self.kernels.layout.to_lanes(
                item, source, buffer.at(), samples=shape[0], features=int(np.prod(shape[1:])), lanes=layout.lanes,
                order=order, rows=rows), [], [buffer], blocks=buffer.blocks, cost=buffer.nbytes / 4)
            return
        buffer = self.define(tensor)
        count = shape[0] if shape else 1
        size = int(np.prod(shape[1:])) * item
        rows = rows if shape else None
        if buffer.nbytes:
            self.add(lambda: self.kernels.layout.copy_rows(source, buffer.whole(), rows, size=size, count=count),
                     [], [buffer], cost=buffer.nbytes / 8)

    def feature_order(self, shape, layout):
        """For each logical feature, in C order, where it lies in a block; None if they are in order already."""
        if tuple(layout.order) == tuple(range(len(layout.order))):
            return None
        at = [s // layout.lanes for s in memory.strides(shape, layout)]
        grid = np.zeros(shape[1:], np.int32)
        for axis, step in enumerate(at):
            index = np.arange(shape[1 + axis], dtype=np.int32) * step
            grid += index.reshape([-1 if i == axis else 1 for i in range(len(at))])
        return self.table(grid.ravel())

    def _convert(self, tensor, old, new) -> Buffer:
        shape, item = tensor.shape, np.dtype(tensor.dtype).itemsize
        source, target = self.reps[id(tensor)][old], Buffer.for_tensor(shape, tensor.dtype, new)
        if not target.nbytes:
            return target
        if old is not None and new is not None:
            if old.lanes != new.lanes:
                source, old = self.rep(tensor, None), None
            else:
                sizes, a = shape[1:], memory.strides(shape, old)
                b = memory.strides(shape, new)
                self.copy(source, target, item, sizes, a, b, lanes=old.lanes)
                return target
        layout, plain, blocked = (new, source, target) if old is None else (old, target, source)
        move = self.kernels.layout.to_lanes if old is None else self.kernels.layout.from_lanes
        order = self.feature_order(shape, layout)
        self.add(lambda: move(item, plain.whole(), blocked.at(), samples=shape[0],
                              features=int(np.prod(shape[1:])), lanes=layout.lanes, order=order),
                 [source], [target], blocks=blocked.blocks, cost=blocked.nbytes / 4)
        return target

    def copy(self, source, target, item, sizes, a, b, *, lanes=0, source_start=0, target_start=0, spread=False):
        """Copy elements between strides (in elements) a and b; with `lanes`, within each block.

        spread: the source is one number, for all lanes too.
        """
        sizes, a, b = list(sizes), [s * item for s in a], [s * item for s in b]
        if lanes:
            sizes, a, b = [*sizes, lanes], [*a, 0 if spread else item], [*b, item]
        if 0 in sizes:
            return

        def make():
            def shifted(operand, start):
                return (operand[0] + start * item, *operand[1:])
            x, y = source.at() if lanes and not spread else source.whole(), target.at() if lanes else target.whole()
            return self.kernels.layout.copy(item, shifted(x, source_start), shifted(y, target_start), sizes, a, b,
                                            blocks=target.blocks if lanes else 0)
        self.add(make, [source], [target], blocks=target.blocks if lanes else 0,
                 cost=float(np.prod(sizes)) / 2 * (target.blocks if lanes else 1))

    def fill_idle(self, source, target, item, sizes, strides, start):
        """Put the first number of `source` where kernels read what they then drop: elements of `target` from `start`.

        What was in memory may be subnormal, and some processors take twenty times as long for a product with that. The
        number is one of the weights, so that this is done ahead of the runs wherever copying the weights is.
        """
        self.copy(source, target, item, sizes, [0] * len(sizes), strides, target_start=start)

    def number(self, value, dtype) -> Buffer:
        """A number in memory."""
        array = aligned_empty((), dtype)
        array[...] = value
        self.arrays.append(array)
        return Buffer.of_array(array)

    def fill(self, target, dtype, value=0):
        """Set a whole buffer to a number."""
        if not target.nbytes:
            return
        source, item = self.number(value, dtype), np.dtype(dtype).itemsize
        count = (target.block_bytes if target.blocks else target.nbytes) // item

        def make():
            return self.kernels.layout.copy(item, source.whole(), target.at() if target.blocks else target.whole(),
                                            [count], [0], [item], blocks=target.blocks)
        self.add(make, [source], [target], blocks=target.blocks, cost=target.nbytes / 8).lazy = bool(target.blocks)

    def combine(self, op, dtype, partial, target, count, parts=0):
        """Join the partial results of the blocks, or of `parts` that lie side by side, in their order."""
        step = count if parts else partial.block_bytes // np.dtype(dtype).itemsize
        parts = parts or partial.blocks
        partial.shared = True
        self.add(lambda: self.kernels.reduction.reduce(
            dtype, op, partial.whole(), target.whole(), kept=[(1, 0)], reduced=[(parts, step)], across=True,
            run=count, chunk=1), [partial], [target], cost=count * parts / 8 + 50)

    def message(self, text) -> int:
        """Register an error message; returns the code that kernels report (0 means no error)."""
        self.messages.append(text)
        return len(self.messages)

    # Fusion of bias and relu into what produces their input ------------------------------------------------

    def epilogue(self, node, axis):
        """What follows `node` and can be done while its result is in registers.

        axis: that of the channels, of which a bias has one number each. Returns (last tensor, bias, relu).
        """
        tensor, bias = node.output, None
        following = self.only_consumer(tensor)
        if following is not None and following.op == "add":
            a, b = following.inputs
            other = b if a is tensor else a
            rank = len(tensor.shape)
            padded = (1,) * (rank - len(other.shape)) + tuple(other.shape)
            along = tuple(n if i == axis else 1 for i, n in enumerate(tensor.shape))
            if padded == along and other is not tensor and self.known(other) and self.layout(other) is None:
                self.done.add(id(following))
                tensor, bias = following.output, other
                following = self.only_consumer(tensor)
        if following is not None and following.op == "relu":
            self.done.add(id(following))
            return following.output, bias, True
        return tensor, bias, False

    def epilogue_and_sum(self, node, axis, fits, layout=None):
        """The same with a tensor of the result's shape that is added before relu, if it fits: (..., relu, other).

        layout: that of the result, which the other one must have too.
        """
        tensor, bias, relu = self.epilogue(node, axis)
        following = None if relu or not fits else self.only_consumer(tensor)
        if following is not None and following.op == "add":
            a, b = following.inputs
            other = b if a is tensor else a
            if other is not tensor and other.spec == following.output.spec == tensor.spec and self.known(other) \
                    and self.layout(other) == layout:
                self.done.add(id(following))
                tensor, following = following.output, self.only_consumer(following.output)
                if following is not None and following.op == "relu":
                    self.done.add(id(following))
                    return following.output, bias, True, other
                return tensor, bias, False, other
        return tensor, bias, relu, None

    def only_consumer(self, tensor):
        """The node that reads a tensor if it is the only one, else None."""
        users = self.consumers.get(id(tensor), [])
        return users[0] if len(users) == 1 else None

    # The whole ---------------------------------------------------------------------------------------------

    def compile(self):
        """Returns (executor's program, arrays that the outputs are, arena).

        Afterwards `preparation` is (executor's program, the variables that it reads, its arena), or None: it is to be
        run before the first run and whenever one of these has changed.
        """
        from .executor import Program
        self.program = Program(len(self.graph.inputs))
        self.inputs = {id(t): (self.program.slot(i), 0, memory.SLOT) for i, t in enumerate(self.graph.inputs)}
        self.rows = (self.program.slot(len(self.graph.inputs)), 0, memory.SLOT)
        empty = {id(t) for node in self.nodes for t in node.outputs if 0 in t.shape}
        for self.now, node in enumerate(self.nodes):
            if node.op in LEAVES or id(node) in self.done:
                continue
            if empty and all(id(t) in empty for t in node.outputs):
                for tensor in node.outputs:
                    self.define(tensor)
            elif empty and any(id(t) in empty for t in node.inputs) and node.op not in ("pad", "concatenate"):
                # Sums over nothing: every op but these two gives zeros if an input is empty and its result is not.
                for tensor in node.outputs:
                    self.fill(self.define(tensor), tensor.dtype)
            elif node.op in self.chains.OPS:
                self.chains.take(node)
            else:
                self.lowering[node.op](self, node)
        changing = {id(v.peek()) for v, _ in self.graph.updates}
        outputs = [self._readable(t, changing) for t in self.graph.outputs]
        self.news = [self._readable(t, changing) for _, t in self.graph.updates]
        self.chains.emit()
        order = schedule.ordered(self.work)
        order += self._updates(order)
        self.preparation, order = self._prepared(order, changing, outputs)
        steps = schedule.in_steps(order)
        self.listing = self._listed(steps)
        arena, local = schedule.places(self.listing, outputs, self.image_layout is not None)
        schedule.find_far(steps)
        self.program.load(self._made(steps), local)
        results = [self._view(b, t, arena) for b, t in zip(outputs, self.graph.outputs, strict=True)]
        for buffer in self.homes:
            buffer.array = None       # only those who may write to a variable's storage hold it
        return self.program, results, arena

    @staticmethod
    def _listed(steps):
        """All work in the order of the instructions."""
        return [w for runs, free in steps for works in (*runs, free) for w in works]

    def _made(self, steps):
        """The steps as the executor takes them."""
        return [([[w.make() for w in run] for run in runs], [run[0].slices for run in runs], [w.make() for w in free],
                 sum(w.cost for w in [*itertools.chain(*runs), *free])) for runs, free in steps]

    def _prepared(self, order, changing, outputs):
        """Take out of the work what follows from constants and from variables that this program leaves as they are.

        Returns (`preparation`, the rest). What is computed stays in memory of its own; so what is much larger than the
        weights, such as a number spread over a batch, is computed in each run.
        """
        results = set(map(id, outputs))

        def may_be(work):
            return work.reads and not (work.blocks or work.updates or work.lazy) \
                and not any(id(b.array) in changing for b in work.reads) \
                and all(b.array is None and id(b) not in results for b in work.writes) \
                and sum(b.nbytes for b in work.writes) <= 16 * sum(b.nbytes for b in work.reads) + 4096
        ahead, before = {id(w): w for w in order if may_be(w)}, None
        while len(ahead) != before:
            before = len(ahead)
            ahead = {key: w for key, w in ahead.items() if all(
                b.array is not None or self._all_in(b.writers, ahead) for b in (*w.reads, *w.writes))}
        if not ahead:
            return None, order
        from .executor import Program
        first, rest = list(ahead.values()), [w for w in order if id(w) not in ahead]
        steps, program = schedule.in_steps(first), Program(0)
        kept = {id(b): b for w in rest for b in w.reads if self._all_in(b.writers, ahead) and b.writers}
        store, local = schedule.places(self._listed(steps), kept.values(), self.image_layout is not None)
        for work in first:
            for buffer in work.writes:
                buffer.array = store
        for work in rest:
            work.waits = [w for w in work.waits if id(w) not in ahead]
        program.load(self._made(steps), local)
        homes = {id(b.array) for w in first for b in w.reads}
        variables = [n.attrs["variable"] for n in self.nodes if n.op == "variable"]
        return (program, [v for v in variables if id(v.peek()) in homes], store), rest

    @staticmethod
    def _all_in(works, chosen) -> bool:
        return all(id(w) in chosen for w in works)

    def details(self) -> list:
        """(nodes, bytes, whether it is the main one of its node, products of a fast algorithm) of each instruction."""
        chains = {id(c.work): tuple(c.nodes) or (c.sums[0].node,) for c in dict.fromkeys(self.chains.by_index)}
        main: dict = {}               # id of a node -> the instruction with most work
        for work in self.listing:
            if id(work) not in chains and work.cost > getattr(main.get(id(work.node)), "cost", 0):
                main[id(work.node)] = work
        return [(chains.get(id(w), (w.node,)),
                 sum({id(b): b.nbytes for b in [*w.reads, *w.writes] if b.place == FIXED}.values()),
                 id(w) in chains or main.get(id(w.node)) is w,
                 self.products.get(id(w.node), 0) if main.get(id(w.node)) is w else 0) for w in self.listing]

    def _readable(self, tensor, changing) -> Buffer:
        """The plain tensor in memory that no update changes: old values of variables are copied first."""
        buffer = self.rep(tensor)
        if id(buffer.array) not in changing:
            return buffer
        copy = Buffer.for_tensor(tensor.shape, tensor.dtype, None)
        if copy.nbytes:
            self.copy(buffer, copy, 1, [copy.nbytes], [1], [1])
        return copy

    def _view(self, buffer, tensor, arena):
        """The array that an output is, inside the arena or a constant or variable."""
        if buffer.array is not None:
            return buffer.array.reshape(tensor.shape)
        if not buffer.nbytes:
            return np.empty(tensor.shape, tensor.dtype)
        start = buffer.base - arena.ctypes.data
        return arena[start:start + buffer.nbytes].view(tensor.dtype).reshape(tensor.shape)

    def _updates(self, order):
        """See to it that the new values end up in the variables; returns the copies that this takes.

        An elementwise chain writes its result straight into the variable if nothing that comes later, or beside it,
        still reads the old value.
        """
        targets = [(v, t, b) for (v, t), b in zip(self.graph.updates, self.news, strict=True)
                   if t.node.attrs.get("variable") is not v and v.peek().nbytes]
        roots = {id(chain.work) for chain in map(self.chains.producer, (t for _, t, _ in targets)) if chain}
        late = set()                   # work that follows from a new value
        for work in order:
            if id(work) in roots or any(id(w) in late for w in work.waits):
                late.add(id(work))
        copies, reads = [], {}
        for node in self.nodes:
            if node.op == "variable":
                reads.setdefault(id(node.attrs["variable"]), []).append(node.output)
        for variable, tensor, buffer in targets:
            home = self.home(variable)
            chain = self.chains.producer(tensor)
            readers = [w for t in reads.get(id(variable), ()) for b in self.reps.get(id(t), {}).values()
                       for w in b.readers]
            if chain and buffer.array is None and chain.writes_through(variable) \
                    and all(w is chain.work or id(w) not in late for w in readers):
                buffer.array, buffer.base = home.array, home.base
                self.homes.append(buffer)
                chain.in_place.add(id(buffer))
                chain.work.updates = True
            else:
                self.copy(buffer, home, 1, [home.nbytes], [1], [1])
                self.work[-1].updates = "commit"
                self.work[-1].waits = list(buffer.writers)
                copies.append(self.work[-1])
        return copies
