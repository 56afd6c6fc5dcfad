"""From a graph to a list of launches over one arena of device memory.

The planner goes through the nodes once. Elementwise nodes wait in groups (`elementwise.Group`) until something else
needs their results: each group becomes one kernel. All other nodes are lowered at once (`lowering.py`). Launches run
in this order on one stream, so a buffer's life is the range of launches that use it, and buffers whose lives do not
overlap share places.

Updates of variables come last, and only if no launch reported an error.
"""

from __future__ import annotations

import math

import numpy as np

from ...graph import LEAVES, Graph, Node, Spec
from ...graph.dtypes import as_dtype, itemsize
from . import memory
from .elementwise import BLOCK, EXPRESSIONS, Body, Group, Parts, epilogue
from .expansion import expand
from .memory import ARENA, CONSTANT, INPUT, OUTPUT, VARIABLE, Buffer, Table, View
from .together import Task, together

__all__ = ["Launch", "Planner", "blocks_for"]

# Ops whose result has the same elements in the same order as their input: no work at all.
ALIASES = ("reshape", "stop_gradient")
MOST_BLOCKS = 1 << 14               # of a kernel that strides over its elements
MOST_WAITING = 32 << 20             # bytes of parts that wait to be added up: they should still lie in the cache then


def blocks_for(n, each=BLOCK) -> tuple:
    """The grid for n elements, `each` to a block."""
    return (max(1, min(-(-n // each), MOST_BLOCKS)),)


def in_bits(array, dtype) -> np.ndarray:
    """The array as the device has it: numbers of bfloat16, which the host has in float32, in 16 bits."""
    return (array.view("uint32") >> 16).astype("uint16") if dtype == "bfloat16" else array


class Launch:
    """A kernel with its grid and arguments; `View`s among them are buffers that have no place yet."""

    __slots__ = ("kernel", "grid", "block", "args", "reads", "writes")

    def __init__(self, kernel, grid, block, args, writes):
        self.kernel, self.grid, self.block, self.args = kernel, grid, block, args
        entries = [e for a in args for e in (a.entries if isinstance(a, Table) else (a,))]
        buffers = [e.buffer for e in entries if isinstance(e, View)]
        self.writes = list(writes)
        self.reads = [b for b in buffers if all(b is not w for w in self.writes)]


class Planner:
    """Plans one graph. `lowering`: name of an op -> function (planner, node)."""

    def __init__(self, graph: Graph, driver, lowering):
        self.graph, self.driver, self.lowering = (graph := expand(graph)), driver, lowering
        self.nodes = graph.nodes()
        self.launches: list[Launch] = []
        self.messages: list = []            # of errors; code 1 is the first
        self.constants = bytearray()        # what the area of constants will hold
        self.found: dict = {}               # what lowerings leave for others: key -> View
        self._offsets: dict = {}            # bytes of a constant -> its offset
        self._buffers: dict = {}            # id of a root tensor -> Buffer
        self._roots: dict = {}              # id of a tensor -> the tensor that holds its elements
        self._pending: dict = {}            # id of a tensor -> Group that will compute it
        self._beside: dict = {}             # id of a tensor -> a node of a waiting group whose kernel stores it
        self._parts: list = []              # groups that add up parts, and the bytes of these
        self._consumers: dict = {}          # id of a root tensor -> nodes that read it; None stands for the results
        self.status = Buffer(8, OUTPUT)     # grows by a number for each message
        for node in self.nodes:
            if self._is_alias(node):
                self._roots[id(node.output)] = self.root(node.inputs[0])
                continue
            for tensor in node.inputs:
                self._consumers.setdefault(id(self.root(tensor)), []).append(node)
        for tensor in graph.results:
            self._consumers.setdefault(id(self.root(tensor)), []).append(None)

    # Tensors -----------------------------------------------------------------------------------------------

    @staticmethod
    def _is_alias(node) -> bool:
        return node.op in ALIASES or node.op in ("cast", "broadcast_to") and node.inputs[0].spec == node.output.spec

    def root(self, tensor):
        """The tensor whose elements these are, seen through reshapes."""
        return self._roots.get(id(tensor), tensor)

    def buffer(self, tensor) -> Buffer:
        """Where the tensor is, in C order; waiting groups that compute it are launched first."""
        tensor = self.root(tensor)
        if id(tensor) in self._pending:
            self._emit(self._pending[id(tensor)])
        self._store(tensor)
        if id(tensor) not in self._buffers:
            self._buffers[id(tensor)] = self._leaf(tensor)
        return self._buffers[id(tensor)]

    def _store(self, tensor):
        """Launch the waiting kernel that stores the tensor besides what it computes, if there is one."""
        node = self._beside.pop(id(tensor), None)
        if node is not None and id(node.output) in self._pending:
            self._emit(self._pending[id(node.output)])

    def define(self, tensor) -> Buffer:
        """New memory for a node's result."""
        made = self._buffers[id(tensor)] = Buffer.of(tensor.shape, tensor.dtype)
        return made

    def view(self, tensor, dtype=None, shape=None, swapped=False) -> View:
        """A tensor as an argument of a kernel: its result if it has been defined, else its value."""
        return View(self.buffer(tensor), dtype or tensor.dtype, shape, swapped)

    def temporary(self, count, dtype) -> View:
        return View(Buffer(count * itemsize(dtype)), dtype)

    def _leaf(self, tensor) -> Buffer:
        node = tensor.node
        if node.op == "constant":
            return self.constant(in_bits(node.attrs["value"].array, tensor.dtype)).buffer
        if node.op == "variable":
            return self._home(node.attrs["variable"])
        raise AssertionError(f"{node} was not computed")

    @staticmethod
    def _home(variable) -> Buffer:
        nbytes = math.prod(variable.shape) * itemsize(variable.dtype)
        return Buffer(nbytes, VARIABLE, variable=variable)

    def constant(self, values, dtype=None) -> View:
        """Numbers that the kernels read: they are copied to the device once."""
        array = np.ascontiguousarray(values, dtype)
        content = array.tobytes()
        if content not in self._offsets:
            self.constants += bytes(-len(self.constants) % memory.ALIGNMENT)
            self._offsets[content] = len(self.constants)
            self.constants += content
        return View(Buffer(len(content), CONSTANT, self._offsets[content]), array.dtype.name)

    def zeros(self, count, dtype) -> View:
        """Numbers that are 0 before the first run, and that kernels leave so after each."""
        self.constants += bytes(-len(self.constants) % memory.ALIGNMENT)
        offset, nbytes = len(self.constants), count * np.dtype(dtype).itemsize
        self.constants += bytes(nbytes)
        return View(Buffer(nbytes, CONSTANT, offset), dtype)

    # Launches ----------------------------------------------------------------------------------------------

    def launch(self, family, expression, grid, block, args, writes, before=""):
        """Add a kernel of kernels/`family`.cu. `writes`: the arguments that it writes; the others are read.

        before: text in front of the source.
        """
        self.launches.append(Launch(self.driver.kernel(family, expression, before), grid, block, tuple(args),
                                    [w.buffer for w in writes]))

    def hosting(self, family, expression, grid, block, args, node, place):
        """Add a kernel for a node of floats that does the elementwise ops after it as well, once these are known.

        The kernel writes by the macros EPILOGUE(index, value) and EPILOGUE_SOME, and has EPILOGUE_PARAMETERS at the end
        of its parameters (kernels/convolution.cu). args[place] is its result: null if the epilogue does more than to
        store the value there.
        """
        def host(body, views):
            if body.plain:
                own = list(args)
                own[place] = views[0]
                self.launch(family, expression, grid, block, own, views)
                return
            number = NUMPY[body.index]
            status = [self.status_view()] if body.status else []
            writes = views[len(body.inputs):] + (status if body.status.startswith("i64*") else [])
            self.launch(family, expression, grid, block,
                        (*args[:place], NULL, *args[place + 1:], *views, *status, *map(number, body.numbers.values())),
                        writes, epilogue(body))
        self.offer([node], host)

    def generated(self, source, name, grid, args, writes):
        """Add a kernel of a source of its own, with blocks of BLOCK threads."""
        self.launches.append(Launch(self.driver.kernel_of_source(source, name), grid, (BLOCK,), tuple(args),
                                    [w.buffer for w in writes]))

    def call(self, function, args, writes):
        """Add a call of a library's function on arrays."""
        def kernel(grid, block, arrays):
            function(*arrays)
        self.launches.append(Launch(kernel, (1,), (1,), tuple(args), [w.buffer for w in writes]))

    def message(self, text) -> int:
        """Register an error message; returns the code that kernels report."""
        self.messages.append(text)
        self.status.nbytes += 8
        return len(self.messages)

    def status_view(self) -> View:
        return View(self.status, "int64")

    def fill(self, target: View, value):
        """Set all elements of a buffer."""
        item = itemsize(target.dtype)
        bits, index = f"uint{8 * item}", self.index(target.buffer.nbytes // item)
        n = target.buffer.nbytes // item
        value = self.constant(in_bits(as_dtype(np.array(value), target.dtype), target.dtype).reshape(1).view(bits))
        self.launch("copy", f"fill<{UNSIGNED[item]}, {index}>", blocks_for(n), (BLOCK,),
                    (value, target._replace(dtype=bits), NUMPY[index](n)), [target])

    def copy(self, source: View, target: View, sizes, a, b, first_a=0, first_b=0):
        """Copy a block of `sizes` from strides a and place first_a to strides b and place first_b, in elements."""
        item = itemsize(source.dtype)
        axes = [(n, x, y) for n, x, y in zip(sizes, a, b, strict=True) if n != 1]
        joined = axes[:1]
        for n, x, y in axes[1:]:        # two axes that can be walked as one
            m, p, q = joined[-1]
            if p == n * x and q == n * y:
                joined[-1] = (m * n, x, y)
            else:
                joined.append((n, x, y))
        n = math.prod(sizes)
        if not n:
            return
        bits = f"uint{8 * item}"
        index = self.index(max(source.buffer.nbytes, target.buffer.nbytes) // item)
        table = self.constant([v for column in zip(*joined, strict=True) for v in column] or [0], NUMPY[index])
        self.launch("copy", f"copy<{UNSIGNED[item]}, {index}>", blocks_for(n), (BLOCK,),
                    (source._replace(dtype=bits), target._replace(dtype=bits), table, np.int32(len(joined)),
                     NUMPY[index](first_a), NUMPY[index](first_b), NUMPY[index](n)), [target])

    @staticmethod
    def index(n) -> str:
        """The C type that counts n elements, with room for the steps of a grid."""
        return "int" if n < 2**31 - MOST_BLOCKS * BLOCK else "i64"

    # Groups of elementwise nodes ---------------------------------------------------------------------------

    def _join(self, node):
        """Put an elementwise node into a waiting group, or a new one."""
        count, groups = math.prod(node.output.shape), []
        for tensor in map(self.root, node.inputs):
            self._store(tensor)
        for tensor in map(self.root, node.inputs):
            group = self._pending.get(id(tensor))
            if group is None or any(group is g for g in groups):
                continue
            if group.count != count or math.prod(tensor.shape) != count:
                self._emit(group)
            else:
                groups.append(group)
        groups.sort(key=lambda g: g.host is None)
        for other in [g for g in groups[1:] if g.host is not None]:
            self._emit(other)
            groups.remove(other)
        while groups and not groups[0].fits(*groups[1:]):
            self._emit(groups.pop())
        target = groups[0] if groups else Group(count, self.root)
        for other in groups[1:]:
            target.absorb(other)
            for n in other.nodes:
                self._pending[id(n.output)] = target
        target.add(node)
        self._pending[id(node.output)] = target

    def _emit(self, group):
        """Launch a group's kernel; what is needed outside of it is stored."""
        body, views, _ = self.ready(group)
        if group.host is not None:
            group.host(body, views)
            return
        number = NUMPY[body.index]
        status = [self.status_view()] if body.status else []
        writes = views[len(body.inputs):] + (status if body.status.startswith("i64*") else [])
        args = (*views, *status, *map(number, body.numbers.values()), number(group.count))
        self.generated(body.source(), body.name, blocks_for(group.count // body.each), args, writes)

    def offer(self, nodes, host, stored=()):
        """Let the elementwise ops after these nodes become the epilogue of the kernel that computes them.

        host: as for `Group`. Nothing is launched yet, so all that the kernel reads must have been computed.
        stored: tensors that the kernel computes and stores besides.
        """
        group = Group(math.prod(nodes[0].output.shape), self.root, host, nodes)
        self._pending.update({id(n.output): group for n in nodes})
        self._beside.update({id(t): nodes[0] for t in stored})

    def in_parts(self, tensor, parts, dtype) -> View:
        """Memory for the parts of a tensor, to be written by a kernel that is launched next.

        They are added up by whatever elementwise kernel needs the tensor: the update of all parameters, for gradients.
        """
        held = Node("parts", (), {}, [Spec((parts, *tensor.shape), dtype)], None).output
        view, group = View(self.define(held), dtype), Group(math.prod(tensor.shape), self.root)
        if sum(n for _, n in self._waiting_parts()) + view.buffer.nbytes > MOST_WAITING:
            self._launch_together([(g, {}) for g, _ in self._parts])
        group.add(Parts((held,), tensor))
        self._pending[id(tensor)] = group
        self._parts.append((group, view.buffer.nbytes))
        return view

    def _waiting_parts(self) -> list:
        """Of the groups that add up parts, those that wait and do nothing else, with the bytes of the parts."""
        self._parts = [(g, n) for g, n in self._parts
                       if self._pending.get(id(g.nodes[0].output)) is g and len(g.nodes) == 1]
        return self._parts

    def waiting(self, tensor):
        """The group that will compute the tensor, if it was not launched yet."""
        return self._pending.get(id(self.root(tensor)))

    def unhosted(self, tensor):
        """See to it that the group that computes a tensor is not the epilogue of another kernel, but can be taken along
        by the sums that need it: they read more often what is cheap to compute, and it need not be stored."""
        group = self.waiting(tensor)
        if group is None or group.host is None:
            return
        rest = Group(group.count, self.root)
        for node in group.nodes[len(group.seeds):]:
            rest.add(node)
            self._pending[id(node.output)] = rest
        self._emit(Group(group.count, self.root, group.host, group.seeds))

    def consumers(self, tensor) -> list:
        """The nodes that read a tensor's elements; None stands for the graph's results."""
        return self._consumers.get(id(self.root(tensor)), [])

    def ready(self, group, through=None, absorbed=(), wanted=()) -> tuple:
        """A waiting group's body, the arrays that it works on, and the C names of the `wanted` tensors' elements.

        through: id of a node -> the variable that its result goes to at once, see `_write_through`.
        absorbed: nodes that the same kernel computes, for which nothing need be stored.
        """
        through = through or {}
        inside = {id(n) for n in (*group.nodes, *absorbed)}
        for node in group.nodes:
            del self._pending[id(node.output)]
        stored = [n for n in group.nodes if any(c is None or id(c) not in inside
                                                for c in self._consumers.get(id(n.output), ()))]
        codes = {id(n): self.message(n.attrs["message"]) for n in group.nodes if n.op == "check_finite"}
        body, words = group.body(stored, codes, through, wanted)
        views = [self.view(t) for t in body.inputs]
        views += [View(self._home(through[id(n)]) if id(n) in through else self.define(n.output), n.output.dtype)
                  for n in body.outputs]
        return body, views, words

    def _launch_together(self, groups):
        """Launch waiting groups that do not need each other as one kernel. groups: each with its `through`."""
        tasks, writes = [], []
        for group, through in groups:
            body, views, _ = self.ready(group, through)
            tasks.append(Task(body, tuple(views), group.count))
            writes += views[len(body.inputs):] + [View(self._home(v), v.dtype) for v in through.values()]
        if tasks:
            self._emit_together(tasks, writes)

    def _emit_together(self, tasks, writes):
        """Launch tasks that do not need each other as one kernel. writes: the views that it writes."""
        source, name, table, which, status = together(tasks)
        args = (table, self.constant(which), *([self.status_view()] if status else []))
        self.generated(source, name, (len(which),), args, writes)

    def _write_through(self):
        """Launch what waits last, as nothing but new values of variables needs it; these go to the variables at once.

        Not those whose old value is still needed by others, and not where the group itself reports errors: an error
        must be known before the first element is written.
        """
        news, sources = {}, set()           # id of a tensor -> variables that take its value; variables given to others
        for variable, tensor in self.graph.updates:
            root = self.root(tensor)
            news.setdefault(id(root), []).append(variable)
            sources.add(id(root.node.attrs.get("variable")))
        for group in {id(g): g for g in self._pending.values() if g.host is not None}.values():
            self.unhosted(group.seeds[0].output)
        waiting = list({id(g): g for g in self._pending.values()}.values())
        reporting = [g for g in waiting if any(n.op == "check_finite" for n in g.nodes)]
        for group in reporting:
            self._emit(group)
        waiting = [g for g in waiting if all(g is not r for r in reporting)]
        written, tasks = set(), []
        for group in waiting:
            inside, through = {id(n) for n in group.nodes}, {}
            for node in group.nodes:
                variables = news.get(id(node.output), ())
                outside = [c for c in self._consumers[id(node.output)] if c is None or id(c) not in inside]
                if len(variables) != 1 or outside != [None] or id(variables[0]) in sources:
                    continue
                (variable,) = variables
                # All these groups run at once.
                others = [t.node.attrs.get("variable") for g in waiting if g is not group for t in g.outside.values()]
                if group.reads_once(variable) and all(v is not variable for v in others):
                    through[id(node)] = variable
                    written.add(id(variable))
            tasks.append((group, through))
        self._launch_together(tasks)
        return written

    # The whole ---------------------------------------------------------------------------------------------

    def plan(self):
        """Make the launches, and give every buffer its place."""
        self.launch("copy", "no_error", (1,), (1,), (self.status_view(),), [self.status_view()])
        self.inputs_size = 0
        for tensor in self.graph.inputs:
            buffer = self.define(tensor)
            buffer.area, buffer.offset = INPUT, self.inputs_size
            self.inputs_size += memory.aligned(buffer.nbytes)
        for node in self.nodes:
            if node.op in LEAVES or self._is_alias(node):
                continue
            if all(0 in t.shape for t in node.outputs):
                for tensor in node.outputs:
                    self.define(tensor)
            elif node.op in EXPRESSIONS:
                self._join(node)
            elif any(0 in t.shape for t in node.inputs) and node.op not in ("pad", "concatenate", "slice_gradient"):
                # Sums over nothing: all other ops give zeros if an input is empty and the result is not.
                for tensor in node.outputs:
                    self.fill(View(self.define(tensor), tensor.dtype), 0)
            else:
                self.lowering[node.op](self, node)
        results = {id(self.root(t)) for t in self.graph.outputs}
        self._launch_together([(g, {}) for g, _ in self._waiting_parts() if id(g.nodes[0].output) in results])
        self.outputs = [self._kept(t) for t in self.graph.outputs]
        self._updates()
        self._memory()
        return self

    def _kept(self, tensor) -> Buffer:
        """The tensor in the area of outputs."""
        buffer = self.buffer(tensor)
        if buffer.area not in (ARENA, OUTPUT):
            buffer = self._copied(tensor, buffer)
        buffer.area = OUTPUT
        return buffer

    def _copied(self, tensor, buffer):
        copy = Buffer(buffer.nbytes)
        n = math.prod(tensor.shape)
        if n:
            self.copy(View(buffer, tensor.dtype), View(copy, tensor.dtype), [n], [1], [1])
        return copy

    def _updates(self):
        """See to it that new values come into the variables, after all that reads the old ones."""
        changing = {id(v) for v, _ in self.graph.updates}
        written = self._write_through()
        self.updated, pairs = [], []
        for variable, tensor in self.graph.updates:
            if id(variable) in written:
                self.updated.append(variable)
                continue
            buffer = self.buffer(tensor)
            if buffer.area == VARIABLE and buffer.variable is variable or not buffer.nbytes:
                continue
            if buffer.area == VARIABLE and id(buffer.variable) in changing:
                buffer = self._copied(tensor, buffer)
            pairs.append((variable, tensor, buffer))
        tasks = []
        for variable, tensor, buffer in pairs:
            self.updated.append(variable)
            item = itemsize(tensor.dtype)
            bits, n = f"uint{8 * item}", buffer.nbytes // item
            body = Body("commit", self.index(n), (f"const {UNSIGNED[item]}* __restrict__ x", f"{UNSIGNED[item]}* y"),
                        [], [], {}, "const i64* __restrict__ status", "if (fine) y[i] = x[i];", True)
            tasks.append(Task(body, (View(buffer, bits), View(self._home(variable), bits)), n))
        if tasks:
            self._emit_together(tasks, [task.views[1] for task in tasks])

    def _memory(self):
        for i, launch in enumerate(self.launches):
            for buffer in (*launch.reads, *launch.writes):
                buffer.first = i if buffer.first is None else buffer.first
                buffer.last = i
        self.tables = [a for launch in self.launches for a in launch.args if isinstance(a, Table)]
        used = {id(b): b for launch in self.launches for b in (*launch.reads, *launch.writes)}
        self.arena_size = memory.place([b for b in used.values() if b.area == ARENA and b.nbytes])
        self.outputs_size = memory.aligned(self.status.nbytes)
        for buffer in {id(b): b for b in self.outputs}.values():
            buffer.offset = self.outputs_size
            self.outputs_size += memory.aligned(buffer.nbytes)


NULL = np.uint64(0)             # a pointer to nothing; for None, earlier versions of CuPy give the driver no argument
UNSIGNED = {1: "unsigned char", 2: "unsigned short", 4: "unsigned", 8: "u64"}
NUMPY = {"int": np.int32, "i64": np.int64}
