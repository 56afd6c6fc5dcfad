"""Gathering elementwise nodes into chains, each of which becomes one instruction."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...graph import aligned_empty, is_float
from . import buffers as memory
from . import chain_code
from .buffers import Lanes
from .chain_code import AT_ONCE, OPERATIONS, PAST_CACHES, WHEN_DONE, code_of, collapse
from .slices import Sliced

CHUNK = 16384          # positions of a task in the plain layout
NEAR = 24              # nodes between those that share a chain only because they read the same
MOST_SUMS = 2048       # results of a block that are kept in a thread's memory while a chain adds them up


def compute_type(node) -> str:
    """The type that a node is computed in: a float type, or int64 for all integers."""
    types = {t.dtype for t in node.inputs} if node.op != "where" else {node.inputs[1].dtype}
    if node.op == "cast":
        types.add(node.output.dtype)
    return max(filter(is_float, types), default="int64")


class Chain:
    """Nodes over the same positions, in the same type."""

    def __init__(self, index, dtype, shape, layout, level):
        self.index, self.dtype, self.shape, self.layout, self.level = index, dtype, shape, layout, level
        self.nodes = []
        self.outside = []         # tensors that are read from memory
        self.inside = set()       # ids of the tensors that the chain computes
        self.stored = {}          # id of a tensor -> (tensor, buffer)
        self.sums = []            # ChainSum: what is added up on the way
        self.failure = 0
        self.work = None
        self.in_place = set()     # ids of buffers that are also read
        self.latest = 0           # position of the node that was added last
        self.needs = 0            # bit set of the chains that it comes after, those included that these come after
        self.bits = 1 << index    # itself, and the chains that were merged into it

    def writes_through(self, variable) -> bool:
        """Whether a result may be stored in the variable: each position is read, if at all, just before."""
        return self.layout is None and not any(t.node.attrs.get("variable") is variable and t.shape != self.shape
                                               for t in self.outside)


class ChainSum(NamedTuple):
    """The sum of a tensor that a chain reads or computes; the rest of it needs no pass through memory of its own."""

    node: object
    tensor: object
    buffer: memory.Buffer
    count: int | None         # of results in a block; None: one for each vector
    strides: list             # results from one index to the next, per axis of the layout's order, and 0 for the lanes
    samples: int              # if samples are summed: how many there are


class Chains:
    """All chains of a program."""

    def __init__(self, planner):
        self.planner = planner
        self.codes = code_of(planner.kernels).of
        self.OPS = {*OPERATIONS, "cast"}
        self.by_index: list[Chain] = []
        self.needed = 0               # bit set of the chains that any come after
        self.of: dict = {}            # id of a tensor -> its chain
        self.depends: dict = {}       # id of a tensor -> bit set of the chains that it comes after
        self.adding: dict = {}        # id of a tensor -> a chain that sums it, but does not compute it
        self.forms: dict = {}         # see `_code`

    def producer(self, tensor):
        return self.of.get(id(tensor))

    def after(self, tensor) -> int:
        """Bit set of the chains that must run before the tensor exists."""
        known = self.depends.get(id(tensor))
        if known is None:
            known = 0
            for source in tensor.node.inputs:
                known |= self.after(source)
            chain = self.of.get(id(tensor))
            if chain is not None:
                known |= 1 << chain.index
            self.depends[id(tensor)] = known
        return known

    def take(self, node):
        """Add an elementwise node to a chain, or begin one with it."""
        out = node.output
        layout = self._layout(node)
        dtype = compute_type(node)
        level = self._level(node, out, layout)
        chain = self._joinable(node, dtype, layout, level) or self._new(dtype, out.shape, layout, level)
        chain.nodes.append(node)
        chain.latest = self.planner.now
        chain.inside.add(id(out))
        for tensor in node.inputs:
            self._read(chain, tensor)
        if node.op == "check_finite":
            chain.failure = self.planner.message(node.attrs["message"])
        self.of[id(out)] = chain
        buffer = self.planner.define(out, layout)
        chain.stored[id(out)] = (out, buffer)

    def _level(self, node, tensor, layout):
        """Chains over samples are of one level: nothing of theirs waits because a part comes later."""
        twice = self.planner.twice
        return 0 if twice is None or layout is None and not twice.large(tensor) else twice.level[id(node)]

    def _new(self, dtype, shape, layout, level):
        chain = Chain(len(self.by_index), dtype, shape, layout, level)
        self.by_index.append(chain)
        return chain

    def _read(self, chain, tensor):
        if id(tensor) not in chain.inside:
            self._need(chain, self.after(tensor))
            if not any(tensor is t for t in chain.outside):
                chain.outside.append(tensor)

    def take_sum(self, node, layout) -> bool:
        """Let a chain add up the input of `node`, which is in this lanes layout; False if that cannot be."""
        planner, x, out, axes = self.planner, node.inputs[0], node.output, node.attrs["axes"]
        kept = [a for a in layout.order if 1 + a not in axes and x.shape[1 + a] != 1]
        seen = [a for a in layout.order if x.shape[1 + a] != 1]
        count = math.prod(x.shape[1 + a] for a in kept)
        # The samples alone are summed: each vector has a result, whatever the order.
        each = 0 in axes and kept == seen and count > layout.lanes
        # Otherwise what is kept must be numbered in one order, by the layout and in the result, and lie outermost.
        if not each and (seen[:len(kept)] != kept or kept != sorted(kept) or count > MOST_SUMS):
            return False
        chain = self.of.get(id(x)) or self.adding.get(id(x))
        if chain is None or chain.dtype != x.dtype or chain.shape != x.shape or chain.layout != layout \
                or len(chain.sums) >= planner.kernels.elementwise.MAX_SUMS:
            if id(x) in self.of:
                return False
            level = self._level(node, x, layout)
            chain = self._beside([x], x.dtype, x.shape, layout, level, 2 * NEAR)
            if chain is None or len(chain.sums) >= planner.kernels.elementwise.MAX_SUMS:
                chain = self._new(x.dtype, x.shape, layout, level)
        if id(x) not in self.of:
            self.adding[id(x)] = chain
        self._read(chain, x)
        size, strides = 1, {}
        for a in reversed(kept):
            strides[a] = size
            size *= x.shape[1 + a]
        item = np.dtype(x.dtype).itemsize
        blocks = -(-x.shape[0] // layout.lanes)
        if 0 in axes:
            buffer, samples = memory.Buffer(count * item, blocks), x.shape[0]
        else:
            buffer = planner.define(out, Lanes(tuple(range(len(out.shape) - 1)), layout.lanes))
            samples = 0
        chain.sums.append(ChainSum(node, x, buffer, None if each else count,
                                   [0 if each else strides.get(a, 0) for a in layout.order] + [0], samples))
        self.depends[id(out)] = self.after(x) | chain.bits
        if samples and kept == sorted(kept):
            planner.combine("sum", x.dtype, buffer, planner.define(out), count)
        elif samples:
            total = memory.Buffer(count * item)
            planner.combine("sum", x.dtype, buffer, total, count)
            step = memory.strides(x.shape[1:], None)
            planner.copy(total, planner.define(out), item, [x.shape[1 + a] for a in layout.order],
                         [strides.get(a, 0) for a in layout.order], [step[a] for a in layout.order])
        return True

    def _layout(self, node):
        """Lanes if an operand with this batch is in lanes; then in the order of the largest."""
        out, best = node.output, None
        if not out.shape:
            return None
        # Lanes without a sample hold garbage, which may not be finite; only those of an input are surely zero.
        if node.op == "check_finite" and node.inputs[0].node.op != "placeholder":
            return None
        for tensor in node.inputs:
            layout = self.planner.layout(tensor)
            if layout is not None and len(tensor.shape) == len(out.shape) and tensor.shape[0] == out.shape[0]:
                if best is None or math.prod(tensor.shape) > math.prod(best[0]):
                    best = tensor.shape, layout
        return None if best is None else best[1]

    def _joinable(self, node, dtype, layout, level):
        """The chain that the node can be added to; chains that it brings together become one."""
        if dtype == "int64":
            return None          # integers wrap at the width of their own type when they are stored
        found = None
        for tensor in reversed(node.inputs):
            chain = self.of.get(id(tensor)) or self.adding.get(id(tensor))
            if chain is None or chain is found or chain.dtype != dtype or chain.shape != node.output.shape \
                    or chain.layout != layout or chain.level != level \
                    or len(chain.nodes) >= 24 or len(chain.outside) > 16:
                continue
            if node.op == "check_finite" and chain.failure:
                continue
            # Values of another type get their precision and range from being stored.
            if any(id(t) in chain.inside and t.dtype not in (dtype, "bool") for t in node.inputs):
                continue
            outside = [self.after(t) for t in node.inputs
                       if id(t) not in chain.inside and (found is None or id(t) not in found.inside)]
            if any(self._closure(bits) & chain.bits for bits in outside):
                continue
            if found is None:
                found = chain
            elif self._mergeable(found, chain):
                self._merge(found, chain)
        other = self._beside(node.inputs, dtype, node.output.shape, layout, level)
        if found is None or other is None or other is found:
            return found or other
        if self._mergeable(found, other):
            self._merge(found, other)
        return found

    def _beside(self, tensors, dtype, shape, layout, level, near=NEAR):
        """A chain that reads one of the large tensors too, close by and independently, so that they are read once."""
        planner = self.planner
        if planner.twice is None or layout is None:
            return None
        for tensor in tensors:
            if tensor.shape != shape or not planner.twice.large(tensor):
                continue
            for chain in reversed(dict.fromkeys(self.by_index[-2 * NEAR:])):
                if (chain.dtype, chain.shape, chain.layout, chain.level) == (dtype, shape, layout, level) \
                        and planner.now - chain.latest <= near and len(chain.nodes) < 24 and len(chain.outside) < 16 \
                        and any(tensor is t for t in chain.outside) \
                        and not any(self._closure(self.after(t)) & chain.bits for t in tensors):
                    return chain
        return None

    def _mergeable(self, a, b) -> bool:
        return not (self._closure(a.needs) & b.bits or self._closure(b.needs) & a.bits or (a.failure and b.failure)
                    or len(a.nodes) + len(b.nodes) > 24 or len(a.outside) + len(b.outside) > 16
                    or len(a.sums) + len(b.sums) > self.planner.kernels.elementwise.MAX_SUMS)

    def _merge(self, a, b):
        """Put what b does before what a does; neither needs the other."""
        a.nodes = b.nodes + a.nodes
        a.outside += [t for t in b.outside if not any(t is o for o in a.outside)]
        a.inside |= b.inside
        a.stored.update(b.stored)
        a.failure = a.failure or b.failure
        a.needs |= b.needs
        a.bits |= b.bits
        self._pass_on(a)
        for index in _set_bits(b.bits):
            self.by_index[index] = a
        self.of.update((key, a) for key in b.inside)
        self.adding.update((id(s.tensor), a) for s in b.sums if self.adding.get(id(s.tensor)) is b)
        a.sums += b.sums

    def _closure(self, bits) -> int:
        """The chains in the set and all that they come after. Chains grow, so this is found anew each time."""
        seen = 0
        while left := bits & ~seen:
            chain = self.by_index[left.bit_length() - 1]
            seen |= chain.bits | chain.needs
        return seen

    def _need(self, chain, bits):
        """Say that a chain comes after those of the set."""
        new = self._closure(bits) & ~chain.needs
        if new:
            chain.needs |= new
            self._pass_on(chain)

    def _pass_on(self, chain):
        """What a chain comes after, all that come after it do as well."""
        for other in self.by_index if self.needed & chain.bits else ():
            if other.needs & chain.bits:
                other.needs |= chain.bits | chain.needs
        self.needed |= chain.needs

    def emit(self):
        """Turn the chains into work."""
        planner = self.planner
        positions = {id(n): i for i, n in enumerate(planner.nodes)}
        for chain in dict.fromkeys(self.by_index):
            members = [*chain.nodes, *(s.node for s in chain.sums)]
            planner.now = positions[id(members[max(0, len(chain.nodes) - 1)])]
            own = set(map(id, members))
            # Results that nobody outside needs stay in registers.
            for key, (tensor, _) in list(chain.stored.items()):
                users = planner.consumers.get(id(tensor), [])
                inside = all(u is not None and id(u) in own for u in users)
                other = planner.reps[id(tensor)]
                if inside and len(other) == 1:
                    del chain.stored[key]
            loads = [(t, self._operand(chain, t)) for t in chain.outside]
            self._add(chain, loads, *self._code(chain, loads))

    def _operand(self, chain, tensor):
        """(buffer, strides over the chain's positions) of a tensor that is read from memory."""
        planner, shape, layout = self.planner, chain.shape, chain.layout
        lead = len(shape) - len(tensor.shape)
        if layout is None:
            step = memory.strides(tensor.shape, None)
            return planner.rep(tensor, None), [0] * lead + [0 if n == 1 else s
                                                            for n, s in zip(tensor.shape, step, strict=True)]
        if lead == 0 and tensor.shape[0] == shape[0]:
            wanted = Lanes(layout.order, layout.lanes)
            own = planner.layout(tensor)
            if own is not None and own.lanes == layout.lanes and any(n == 1 for n in tensor.shape[1:]):
                wanted = own         # broadcast over features: any order will do
            step = [0 if n == 1 else s
                    for n, s in zip(tensor.shape[1:], memory.strides(tensor.shape, wanted), strict=True)]
            return planner.rep(tensor, wanted), [*(step[a] for a in layout.order), 1]
        # Without the batch: one number for all samples.
        step = memory.strides(tensor.shape, None)
        features = ([0] * lead + [0 if n == 1 else s for n, s in zip(tensor.shape, step, strict=True)])[1:]
        return planner.rep(tensor, None), [*(features[a] for a in layout.order), 0]

    def _code(self, chain, loads):
        """Instructions, the number of registers, where things are, and which results may take whose place.

        Chains of the same form, such as the optimizer's for each weight, are translated once: `forms`.
        """
        number, dtypes, zeros = {}, [], []         # id of a tensor -> its number in the chain
        for tensor in (*(t for t, _ in loads), *(n.output for n in chain.nodes)):
            if number.setdefault(id(tensor), len(dtypes)) == len(dtypes):
                dtypes.append(tensor.dtype)
                zeros.append(is_zero(tensor))
        form = (len(loads), *dtypes, *zeros, *[number[key] for key in chain.stored], None,
                *[number[id(s.tensor)] for s in chain.sums],
                *[(n.op, number[id(n.output)], *[number[id(t)] for t in n.inputs]) for n in chain.nodes])
        found = self.forms.get(form)
        if found is None:
            code, count, zero, *places = self._translated(chain, loads)
            places = [{number[key]: value for key, value in place.items()} for place in places]
            found = self.forms[form] = code, count, zero, *places
        code, count, zero, *places = found
        ids = list(number)
        where, made, last = [{ids[i]: value for i, value in place.items()} for place in places]
        return code, count, (where, zero), self._replaces(chain, loads, made, last)

    def _translated(self, chain, loads):
        """Instructions, the number of registers, that of zero, and by tensor: its register, and the lines that make it
        and that read it last.

        Registers of results that nobody reads any more are used again.
        """
        lines = fused(chain)
        last = {id(t): i for i, (_, _, sources) in enumerate(lines) for t in sources}
        last.update((id(s.tensor), len(lines)) for s in chain.sums)
        where = {id(t): r for r, (t, _) in enumerate(loads)}
        count, free, code = len(loads), [], []
        for key in chain.stored:
            where[key] = count
            count += 1
        zero = None
        for i, (op, out, operands) in enumerate(lines):
            sources = [where[id(t)] for t in operands]
            if op == "cast":
                # To bool, or from float to integer inside a register: the store does the rest.
                op = "truth" if out.dtype == "bool" and operands[0].dtype != "bool" else "copy"
            if op == "truth":
                if zero is None:
                    zero = count
                    count += 1
                sources.append(zero)
            free += dict.fromkeys(where[id(t)] for t in operands
                                  if last[id(t)] == i and id(t) in chain.inside and id(t) not in chain.stored)
            key = id(out)
            if key not in where:
                where[key] = free.pop() if free else count
                count += where[key] == count
            sources += [sources[0]] * (4 - len(sources))
            code.append((self.codes[op], where[key], *sources))
        made = {id(out): i for i, (_, out, _) in enumerate(lines)}
        return code, count, zero, where, made, last

    @staticmethod
    def _replaces(chain, loads, made, last):
        """(buffer of a result, buffer that it may be written over, whether as it is computed), the latter first.

        made, last: the line that makes a result, and the last one to read something.
        """
        buffers, pairs = [b for _, (b, _) in loads], []
        for x, (old, step) in loads:
            if x.shape != chain.shape or x.dtype != chain.dtype or last.get(id(x), -1) >= len(made) \
                    or sum(b is old for b in buffers) > 1:
                continue
            if chain.layout is not None:
                dense = memory.strides(chain.shape, chain.layout)
                if step != [0 if chain.shape[1 + a] == 1 else dense[a] for a in chain.layout.order] + [1]:
                    continue
            pairs += [(new, old, made[id(t)] >= last.get(id(x), -1)) for t, new in chain.stored.values()
                      if t.dtype == x.dtype]
        return sorted(pairs, key=lambda pair: not pair[2])

    def _add(self, chain, loads, code, registers, where, replaces):
        planner, (where, zero) = self.planner, where
        rows = self._rows(chain, [(t, buffer) for t, (buffer, _) in loads])
        if rows:
            shape, blocks = [rows.each, chain.shape[-1]], rows.blocks
            loads = [(t, (b, [t.shape[-1] if rowwise(chain, t) else 0, int(t.shape[-1:] > (1,))]))
                     for t, (b, _) in loads]
        elif chain.layout is None:
            shape = list(chain.shape)
            blocks = 0
        else:
            shape = [chain.shape[1 + a] for a in chain.layout.order] + [chain.layout.lanes]
            blocks = -(-chain.shape[0] // chain.layout.lanes)
        operands = [(buffer, t.dtype, where[id(t)], step) for t, (buffer, step) in loads]
        if zero is not None:
            array = aligned_empty((), "float64")
            array[...] = 0
            planner.arrays.append(array)
            number = memory.Buffer.of_array(array)
            operands.append((number, "float64", zero, [0] * len(shape)))
        stores = [(buffer, t.dtype, where[id(t)]) for t, buffer in chain.stored.values()]
        shape, steps = collapse(shape, [*(o[3] for o in operands), *(s.strides for s in chain.sums)],
                                chain.layout.lanes if chain.layout else 0, len(operands))

        def make():
            def at(buffer):
                if rows:
                    return buffer.at_rows(rows) if id(buffer) in split else buffer.whole()
                return buffer.at() if blocks and buffer.blocks else buffer.whole()
            return chain_code.instruction(
                planner.kernels, chain.dtype, shape,
                [(at(b), d, r, s) for (b, d, r, _), s in zip(operands, steps, strict=False)],
                [(at(b), d, r, way(b)) for b, d, r in stores], code, registers=registers,
                blocks=blocks, chunk=0 if blocks else CHUNK, failure=chain.failure,
                rest=rows.count * chain.shape[-1] if rows else 0,
                sums=[(s.buffer.at(), where[id(s.tensor)], s.count, step, s.samples)
                      for s, step in zip(chain.sums, steps[len(operands):], strict=True)])

        def way(b):
            if b.instead is not None:
                return AT_ONCE if (b, b.instead, True) in replaces else WHEN_DONE
            return WHEN_DONE if id(b) in chain.in_place else PAST_CACHES if id(b) in chain.work.far else AT_ONCE
        split = {id(b) for t, (b, _) in loads if rows and rowwise(chain, t)} | {id(s[0]) for s in stores}
        positions, twice = math.prod(chain.shape), planner.twice
        writes = [*(s[0] for s in stores), *(s.buffer for s in chain.sums)]
        chain.work = planner.add(make, [o[0] for o in operands], writes, blocks=blocks, rows=rows,
                                 cost=positions * (len(code) + len(operands)) / 10)
        chain.work.replaces = [pair[:2] for pair in replaces]
        chain.work.sliced = sliced(chain, [b for t, (b, _) in loads if t.shape == chain.shape] + writes)
        chain.work.lazy = twice is not None and bool(chain.layout) and not chain.sums \
            and all(id(n) in twice.lazy for n in chain.nodes)


    @staticmethod
    def _rows(chain, loads):
        """The blocks of rows in which the chain is computed, if something that it reads or writes is taken in them."""
        if chain.layout is not None or len(chain.shape) < 2 or chain.dtype == "int64":
            return None
        count, stores = math.prod(chain.shape[:-1]), [b for _, b in chain.stored.values()]
        found = {b.rows for b in (*(b for _, b in loads), *stores) if b.rows and b.rows.count == count}
        for rows in found:
            # What is the same for all rows is read as a whole: it must not come from blocks of them.
            if all(rowwise(chain, t) or b.rows != rows and all(n == 1 for n in t.shape[:-1]) for t, b in loads):
                for buffer in (*(b for t, b in loads if rowwise(chain, t)), *stores):
                    buffer.in_rows(rows)
                return rows
        return None


def _set_bits(bits):
    """The numbers of the bits that are set."""
    while bits:
        yield (index := bits.bit_length() - 1)
        bits ^= 1 << index


def rowwise(chain, tensor) -> bool:
    """Whether a tensor has numbers, or one, for each row of the chain's positions."""
    return tensor.shape[:-1] == chain.shape[:-1] and tensor.shape[-1] in (1, chain.shape[-1])


def sliced(chain, buffers):
    """How the chain can go through a block slice by slice: along its outermost axis, if each sum keeps that."""
    if not chain.layout or len(chain.shape) < 2 or any(not s.strides[0] for s in chain.sums):
        return None
    return Sliced(chain.shape[1 + chain.layout.order[0]], frozenset(map(id, buffers)))


# Operations that become one with that which alone reads their result.
MERGED = {("add", "relu"), ("subtract_multiply_add", "relu"), ("sigmoid", "multiply"), ("multiply", "erf"),
          ("multiply", "multiply"), ("multiply_multiply", "multiply"), ("subtract_multiply", "multiply"),
          ("add_multiply", "multiply"), ("multiply", "negative"), ("multiply_negative", "exp"),
          ("add", "maximum"), ("maximum", "minimum"), ("add_maximum", "minimum"), ("relu", "minimum"),
          ("equal", "where")}


def is_zero(tensor) -> bool:
    return tensor.node.op == "constant" and tensor.shape == () and not tensor.node.attrs["value"].array


def fused(chain) -> list:
    """The chain's instructions as (operation, result, operands), with some pairs of nodes made one.

    A product that is only added to something becomes `multiply_add`; sums and differences that are only factors become
    part of the products, and so on (`MERGED`). What a mask of positive numbers chooses between needs no mask: `choose`,
    and `gate` for relu's gradient, which looks at what relu read, so that relu itself is left out where only the mask
    needed it.
    """
    lines = [(n.op, n.output, list(n.inputs)) for n in chain.nodes]
    made = {id(out): (op, sources) for op, out, sources in lines}
    wanted = {*chain.stored, *(id(s.tensor) for s in chain.sums)}

    def read(lines):
        uses = {}               # id of a tensor -> the lines that read it
        for k, (_, _, sources) in enumerate(lines):
            for t in sources:
                uses.setdefault(id(t), []).append(k)
        return uses

    def alive(lines):
        uses = {id(t) for _, _, sources in lines for t in sources}
        kept = [line for line in lines if id(line[1]) in wanted or id(line[1]) in uses or line[0] == "check_finite"]
        return kept if len(kept) == len(lines) else alive(kept)

    if len(lines) < 2:
        return alive(lines)
    readers = read(lines)
    line_of = {id(out): k for k, (_, out, _) in enumerate(lines)}

    def alone(tensor):
        """Whether only one instruction reads the tensor, once."""
        return id(tensor) not in wanted and len(readers.get(id(tensor), ())) == 1

    for k, (op, out, sources) in enumerate(lines):
        if op == "where":
            below, operands = made.get(id(sources[0]), (None, None))
            if below == "greater" and is_zero(operands[1]) and operands[0].dtype == sources[1].dtype:
                x = operands[0]
                if not is_zero(sources[2]):
                    lines[k] = ("choose", out, [x, *sources[1:]])
                    continue
                if id(x) not in wanted and made.get(id(x), (None,))[0] == "relu":
                    (x,) = made[id(x)][1]
                lines[k] = ("gate", out, [x, sources[1]])
        elif op == "add":
            for product, other in (sources, sources[::-1]):
                below, operands = made.get(id(product), (None, None))
                if product is other or not alone(product):
                    continue
                if below == "multiply":
                    lines[k] = ("multiply_add", out, [*operands, other])
                    break
                # (a b + c d) + e is a b + (c d + e).
                at = line_of.get(id(product))
                if below == "add" and lines[at][0] == "multiply_add" and line_of.get(id(other), -1) < at:
                    *factors, term = lines[at][2]
                    below, operands = made.get(id(term), (None, None))
                    if below == "multiply" and alone(term):
                        lines[at] = ("multiply_add", product, [*operands, other])
                        lines[k] = ("multiply_add", out, [*factors, product])
                        break
    lines = alive(lines)
    readers = read(lines)

    def is_factor(k, tensor, products):
        op, _, sources = lines[k]
        return op in products and sum(t is tensor for t in sources) == 1 and any(t is tensor for t in sources[:2])

    for op, out, terms in list(lines):
        products = {"add": {"multiply"}, "subtract": {"multiply", "multiply_add"}}.get(op)
        if products and id(out) not in wanted and all(is_factor(k, out, products) for k in readers[id(out)]):
            for k in readers[id(out)]:
                product, result, (a, b, *rest) = lines[k]
                lines[k] = (f"{op}_{product}", result, [*terms, b if a is out else a, *rest])
    lines = alive(lines)
    readers = read(lines)
    for i in range(len(lines)):
        op, out, sources = lines[i]
        if alone(out):
            (k,) = readers[id(out)]
            user, result, others = lines[k]
            rest = [t for t in others if t is not out]
            if user == "where" and others[0] is not out:
                continue
            if (op, user) in MERGED or (op, user) == ("multiply", "multiply_add") and others[2] is not out:
                lines[k] = (f"{op}_{user}", result, sources + rest)
            elif (op, user) == ("multiply", "add_multiply") and others[2] is out:
                lines[k] = ("add_multiply_multiply", result, rest + sources)
    lines = alive(lines)
    readers = read(lines) if any(op in ("erf", "multiply_erf") for op, _, _ in lines) else {}
    for op, out, sources in list(lines):
        if op not in ("erf", "multiply_erf") or not alone(out):
            continue
        (k,) = readers[id(out)]
        user, result, others = lines[k]
        if user != "add_multiply_multiply" or all(t is not out for t in others[:2]):
            continue
        term, *factors = (t for t in others if t is not out)
        if op == "erf":
            lines[k] = ("erf_add_multiply_multiply", result, [*sources, term, *factors])
        else:
            for a, b in (sources, sources[::-1]):
                if any(a is t for t in factors):
                    lines[k] = ("gelu", result, [a, b, term, factors[factors[0] is a]])
    return alive(lines)
