"""What the machine of kernels/elementwise.pyx runs: the numbers of its instructions, and chains as it takes them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

# The operations that chains take -> instruction, where its name is another. int64 chains have some of them.
OPERATIONS = {
    **{name: name for name in (
        "negative", "square", "absolute", "sign", "relu", "add", "subtract", "multiply", "maximum", "minimum", "equal",
        "not_equal", "less", "less_equal", "greater", "greater_equal", "where", "divide", "sigmoid", "exp", "expm1",
        "log", "log1p", "sqrt", "floor", "tanh", "erf", "power", "isfinite", "sin", "cos", "arctan2", "round")},
    "stop_gradient": "copy", "broadcast_to": "copy", "logical_not": "not", "logical_and": "and", "logical_or": "or",
    "round_float16": "round_f16", "round_bfloat16": "round_bf16", "check_finite": "check",
}
# Instruction -> the same with operands of other kinds: V, a strip of vectors; H, the same vector throughout a strip; E,
# one number for each vector.
KINDS = {
    "subtract_multiply_add": {"VHHH": "subtract_multiply_add_hhh", "VHHV": "subtract_multiply_add_hh"},
    "subtract_multiply_add_relu": {"VHHH": "subtract_multiply_add_relu_hhh"},
    "subtract_multiply": {"VHH": "subtract_multiply_hh"},
    "multiply_add": {"VHH": "multiply_add_hh", "VEE": "multiply_add_ee"},
    "multiply": {"VE": "multiply_e"},
    "subtract_multiply_multiply": {"VHHV": "subtract_multiply_multiply_hhv"},
    "multiply_multiply_add": {"VEHH": "multiply_multiply_add_ehh"},
}
LONG = ("exp", "expm1", "erf", "gelu", "sigmoid", "tanh", "log", "log1p", "sin", "cos", "power")     # or parts of names
SYMMETRIC = ("multiply", "multiply_add", "multiply_multiply_add")       # in the first two operands
BYTES = {"float32": 4, "float64": 8, "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4,
         "int32": 4, "int64": 8}
TYPES = {name: code for code, name in enumerate(BYTES)}
COMPUTED = {"float32": 0, "float64": 1, "int64": 2}
ALIGNED = 128                   # the least length of a last axis that strips keep to
FAR = 1 << 22                   # elements and bytes of them that surely come from beyond the cache of a core
AT_ONCE, WHEN_DONE, PAST_CACHES = range(3)      # how a strip is written, see `instruction`


class Code:
    """The instructions' numbers in a build of the kernels."""

    def __init__(self, names):
        self.number = {name: i for i, name in enumerate(names)}
        self.of = {**self.number, **{op: self.number[name] for op, name in OPERATIONS.items()},
                   "truth": self.number["not_equal"]}
        self.kinds = {self.number[name]: {pattern: self.number[other] for pattern, other in kinds.items()}
                      for name, kinds in KINDS.items()}
        self.long = {number for name, number in self.number.items() if set(LONG) & set(name.split("_"))}
        self.symmetric = {self.number[name] for name in SYMMETRIC}
        # (instruction, i): its i-th operand is one number for each vector; beyond the last one are copies of the first.
        self.few = {(code, i) for kinds in self.kinds.values() for pattern, code in kinds.items() for i in range(4)
                    if (pattern + pattern[0] * 4)[i] == "E"}

    def of_kinds(self, code, held, few):
        """The code with instructions for operands that are `held`, or of which there are `few`: registers.

        Returns it, and the registers of which a few are enough for all instructions that read them.
        """
        while True:
            found = [self._best(line, held, few) if line[0] in self.kinds else line for line in code]
            wrong = {r for op, _, *sources in found for i, r in enumerate(sources)
                     if r in few and (op, i) not in self.few}
            if not wrong:
                break
            few = few - wrong
        return found, few

    def _best(self, line, held, few):
        op, to, *sources = line
        for pattern, other in self.kinds[op].items():
            for order in (sources, [sources[1], sources[0], *sources[2:]])[:1 + (op in self.symmetric)]:
                if all(p == "E" if r in few else p == "V" or p == "H" and r in held
                       for p, r in zip(pattern, order, strict=False)):
                    count = len(pattern)
                    return [other, to, *order[:count], *[order[0]] * (4 - count)]
        return line

    def with_sums(self, code, held, sums, like, registers):
        """Products and their factors that are added up become one instruction, as normalizations' gradients need them.

        sums: (register, whether each vector has a result); like: the first of the same numbers, for each. Changes the
        code in place, and returns the registers of those sums that it then has, which are new ones, from `registers`.
        """
        inside = {}
        for k, (op, to, a, b, c, _) in enumerate(code):
            if op != self.number["subtract_multiply"] or b not in held:
                continue
            product, factor = ([i for i, (r, each) in enumerate(sums) if r == register and (not each or r == to)
                                and like[i] == i] for register in (to, c))
            if len(product) == len(factor) == 1 and not sums[product[0]][1] \
                    and not {*product, *factor} & set(inside) and all(to not in line[2:] for line in code[k + 1:]):
                first, second = registers + len(inside), registers + len(inside) + 1
                inside[product[0]], inside[factor[0]] = first, second
                code[k] = self.number["gradient_sums"], first, a, b, c, second
        return inside


@cache
def of_names(names) -> Code:
    return Code(names)


def code_of(kernels) -> Code:
    return of_names(kernels.elementwise.NAMES)


def instruction(kernels, dtype, shape, loads, stores, code, *, registers, blocks=0, chunk=0, rest=0, failure=0,
                sums=()):
    """A fused chain over positions of `shape`.

    dtype: "float32", "float64" or "int64", the type that it computes in.
    loads: (operand, type, register, strides in elements per axis of shape; along the last axis -1 means the same vector
    again and again, and -1 - s one number for each vector, s elements from the next).
    stores: (operand, type, register, how). How a strip is written: AT_ONCE, as it is computed; WHEN_DONE, as a load
    reads the same array; PAST_CACHES, the same, as nobody reads it soon. Each has a register of its own; loads and
    stores have the first ones.
    code: a list of instructions, six ints each. blocks: number of tasks in the lanes layout, or of blocks of rows,
    which have `rest` positions together; else ranges of `chunk` positions.
    failure: message (index plus one) of check_finite.
    sums: (operand, register, results, strides in results per axis of shape, samples), in the lanes layout, whose last
    axis is that of the lanes or joined with others; samples is 0 if each lane keeps its own sums. Results None: each
    vector has one, the sum of its lanes.
    """
    module, total, dense = kernels.elementwise, 1, []
    for n in reversed(shape):
        dense.insert(0, 0 if n == 1 else total)
        total *= n
    steps = [[0 if n == 1 else s for s, n in zip(strides, shape, strict=True)] for *_, strides in loads]
    kinds = [0 if not any(s) else 1 if s == dense else 2 for s in steps]
    aligned = bool(shape) and (any(s < 0 for each in steps for s in each)
                               or shape[-1] >= ALIGNED and (2 in kinds or bool(sums)))
    strip = module.MAX_STRIP
    if dtype != "int64" and not aligned and (chunk or rest):
        # Short rows that repeat one: strips of whole rows, of which that is read once.
        unit = math.lcm(shape[-1], kernels.lanes[dtype]) if shape else 0
        if unit and strip // unit and any(kind == 2 and not any(s[:-1]) for kind, s in zip(kinds, steps, strict=True)):
            kinds = [3 if kind == 2 and not any(s[:-1]) else kind for kind, s in zip(kinds, steps, strict=True)]
            strip, chunk = strip // unit * unit, chunk and max(1, chunk // unit) * unit
    lasts = [s[-1] if s else 0 for s in steps]
    held, few, inside = set(), set(), {}
    if dtype != "int64":
        for (_, type_, register, _), kind, last in zip(loads, kinds, lasts, strict=True):
            if kind == 0 or aligned and kind == 2 and last in (0, -1):
                held.add(register)
            elif aligned and kind == 2 and last == -2 and type_ == dtype:
                few.add(register)
    code = list(code)
    if held or few:
        code, few = code_of(kernels).of_kinds(code, held, few - {register for _, register, *_ in sums})
    like = [next((j for j in range(i) if one[2] is not None and sums[j][1:4] == one[1:4]), i)
            for i, one in enumerate(sums)]
    if aligned and held and sums and registers + len(sums) <= module.MAX_REGISTERS:
        inside = code_of(kernels).with_sums(code, held, [(s[1], s[2] is None) for s in sums], like, registers)
        registers += len(inside)
    # With the widest vectors the processor itself asks in time for what is only added up (unless vector by vector), for
    # a single stream, and for what is computed on for long.
    streams = sum(kind > 0 and last == 1 for kind, last in zip(kinds, lasts, strict=True))
    alone = kernels.lanes["float32"] == 16 and (
        not stores and all(count is not None for _, _, count, _, _ in sums)
        or streams == 1 and all(how == AT_ONCE for *_, how in stores)
        or any(op in code_of(kernels).long for op, *_ in code))
    return module.chain(
        COMPUTED[dtype], shape,
        [(at, TYPES[type_], BYTES[type_], register, kind, register in few, strides)
         for (at, type_, register, _), kind, strides in zip(loads, kinds, steps, strict=True)],
        [(at, TYPES[type_], BYTES[type_], register, WHEN_DONE if how == PAST_CACHES and type_ != dtype else how)
         for at, type_, register, how in stores],
        np.array(code, np.int32).ravel(),
        [(at, inside.get(i, register), count is None, i in inside, like[i], count or 0, samples, strides)
         for i, (at, register, count, strides, samples) in enumerate(sums)],
        registers=registers, aligned=aligned, tasks=blocks or (-(-total // chunk) if total else 0), chunk=chunk,
        strip=strip, rest=rest, failure=failure,
        far=total * (blocks or 1) * (len(loads) + len(stores)) >= FAR // 4 and not alone)


PERIODIC = -1          # as a step: the same vector again and again; PERIODIC - s: one number a vector, s elements apart


def collapse(shape, steps, lanes=0, operands=0):
    """Join neighbouring axes that every operand steps through as one.

    lanes: the length of the last axis if it is that of the lanes. It is joined too, where each of the first `operands`
    is either contiguous, or the same for all lanes, or one vector (`PERIODIC`) along the axis before it; the others are
    sums.
    """
    last = []
    if lanes:
        shape, last, steps = shape[:-1] or [1], [s[-1] for s in steps], [s[:-1] or [0] for s in steps]
    shape, steps = list(shape), [list(s) for s in steps]
    axis = len(shape) - 1
    while axis > 0:
        n = shape[axis]
        if n == 1 or shape[axis - 1] == 1 or all(s[axis - 1] == s[axis] * n for s in steps):
            for s in steps:
                s[axis - 1] = s[axis] if shape[axis - 1] == 1 else s[axis - 1] if n == 1 else s[axis]
                del s[axis]
            shape[axis - 1] *= n
            del shape[axis]
        axis -= 1
    if not lanes:
        return shape, steps
    fits = ((lanes, 1), (0, 1))
    if shape[-1] == 1 or all((s[-1], step) in fits or (step == 0 and s[-1] >= 0) if i < operands else s[-1] == 0
                             for i, (s, step) in enumerate(zip(steps, last, strict=True))):
        for i, (s, step) in enumerate(zip(steps, last, strict=True)):
            if i >= operands or shape[-1] == 1:
                s[-1] = 0 if i >= operands else step
            else:
                s[-1] = 1 if step and s[-1] else PERIODIC - s[-1] if step or s[-1] else 0
        shape[-1] *= lanes
        return shape, steps
    return [*shape, lanes], [[*s, step] for s, step in zip(steps, last, strict=True)]
