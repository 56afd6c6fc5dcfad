"""Elementwise ops: their C expressions, and the source of a kernel that computes a whole group of them at once.

A group is made of nodes whose results have the same number of elements, so that element i of each follows from
element i of the others. Inputs from outside are read at i, at a single place, or, where NumPy's broadcasting spreads
them, at a place computed from i. Sizes are arguments of the kernel: one source serves all shapes of a kind.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


from ...graph import Tensor, is_half
from ...graph.halves import EXACT

__all__ = ["BLOCK", "EXPRESSIONS", "FINE", "TYPES", "Body", "Group", "PRELUDE", "Parts", "epilogue"]

PRELUDE = (Path(__file__).parent / "kernels" / "common.cu").read_text() + "\n#line 1\n"

TYPES = {"float32": "float", "float64": "double", "bool": "bool", "uint8": "unsigned char", "int8": "signed char",
         "uint16": "unsigned short", "int16": "short", "int32": "int", "uint32": "unsigned", "int64": "long long",
         "float16": "f16", "bfloat16": "bf16"}
# Halves are floats once they are loaded.
REGISTERS = {**TYPES, "float16": "float", "bfloat16": "float"}

# Op -> its result in C, of inputs {0}, {1}, {2}; {out} is the C type of the result.
EXPRESSIONS = {
    **{name: f"op_{name}({{0}})" for name in (
        "negative", "exp", "expm1", "log", "log1p", "sqrt", "square", "absolute", "sign", "floor", "tanh", "sigmoid",
        "erf", "relu", "isfinite", "sin", "cos", "round")},
    "round_float16": "rounded<f16>({0})", "round_bfloat16": "rounded<bf16>({0})",
    **{name: f"op_{name}({{0}}, {{1}})" for name in ("add", "subtract", "multiply", "maximum", "minimum", "power",
                                                      "arctan2")},
    **{name: f"({{0}} {sign} {{1}})" for name, sign in {
        "divide": "/", "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
        "greater_equal": ">="}.items()},
    "logical_not": "!{0}", "logical_and": "({0} && {1})", "logical_or": "({0} || {1})",
    "where": "({0} ? {1} : {2})",
    "cast": "op_cast<{out}>({0})",
    "broadcast_to": "{0}",
    "check_finite": "checked({0}, status, {code})",
}

BLOCK = 256
MOST_INPUTS, MOST_NODES = 24, 64         # of a group: registers, and the time to compile
MOST_LANES = 48                          # elements that a thread has in registers at once, of all arrays


def collapsed(shape, like) -> tuple:
    """How an array of `shape` is read when it is broadcast to the shape `like`: ((size, stride), ...).

    Axes that can be walked as one are joined; axes of one element are left out.
    """
    shape, axes, step = (1,) * (len(like) - len(shape)) + tuple(shape), [], 1
    for n, wide in zip(reversed(shape), reversed(like), strict=True):
        if wide != 1:
            stride = step if n != 1 else 0
            if axes and stride == axes[-1][0] * axes[-1][1]:
                axes[-1] = (axes[-1][0] * wide, axes[-1][1])
            else:
                axes.append((wide, stride))
        step *= n
    return tuple(reversed(axes))


def fits_four(axes) -> bool:
    """Whether four elements from a multiple of four on are read at one place, or at four neighbouring ones."""
    return all(stride == 0 for _, stride in axes) or axes[-1][0] % 4 == 0 and axes[-1][1] in (0, 1) \
        and (axes[-1][1] == 0 or all(stride % 4 == 0 for _, stride in axes[:-1]))


def runs(axes) -> bool:
    """Whether the innermost axis is read element by element."""
    return any(stride for _, stride in axes) and axes[-1][1] == 1


class Access(NamedTuple):
    """A tensor read by a group, and how: `axes` as `collapsed` gives them."""

    tensor: Tensor
    axes: tuple


class Parts(NamedTuple):
    """In the place of an elementwise node: each element of `output` is the sum of those of the parts, in order.

    inputs: the one tensor that holds the parts, (parts, *output.shape).
    """

    inputs: tuple
    output: Tensor
    op = "add_parts"
    attrs: dict = {}


FINE = "const bool fine = status[0] == 0x7fffffff;"         # no error was reported


class Body(NamedTuple):
    """What a kernel does for element i of `n`, in C."""

    name: str
    index: str              # the type of i and n
    pointers: tuple         # declarations of the arrays: inputs, then outputs
    inputs: list            # the tensors that are read
    outputs: list           # nodes that have an output of their own
    numbers: dict           # name of a further number (sizes and strides, codes of errors) -> its value
    status: str             # declaration of the status, if it is used
    text: str
    guarded: bool           # whether variables are written, if no error was reported
    # The same for four neighbours, if all arrays allow it: what comes before, for each lane, and after.
    four: tuple | None = None

    @property
    def plain(self) -> bool:
        """Whether all that is done is to store the seeds."""
        return all(re.fullmatch(r"\s*y\d+\[i\] = v\d+;", line) for line in self.text.split("\n"))

    def renamed(self, letter) -> Body:
        """The same with other names, for a kernel with two bodies."""
        def new(text):
            return re.sub(r"\b(p?x|[tygar]|code)(\d+)\b", rf"{letter}\1\2", text)
        return self._replace(pointers=tuple(map(new, self.pointers)), text=new(self.text),
                             four=self.four and tuple(map(new, self.four)),
                             numbers={new(k): v for k, v in self.numbers.items()})

    def source(self) -> str:
        """A kernel of this alone: its arguments are the pointers, the status, the numbers, and n."""
        parameters = [*self.pointers, *filter(None, [self.status]), *(f"{self.index} {k}" for k in self.numbers),
                      f"{self.index} n"]
        return f"""extern "C" __global__ void __launch_bounds__({BLOCK}) {self.name}({', '.join(parameters)})
{{
    {FINE if self.guarded else ""}
    const {self.index} first = ({self.index})blockIdx.x * {BLOCK} + threadIdx.x;
    const {self.index} step = ({self.index})gridDim.x * {BLOCK};
    {self.loop("first", "n", "step")}
}}
"""

    @property
    def each(self) -> int:
        """How many elements a thread has at a time."""
        return 4 if self.four else 1

    def loop(self, first, last, step) -> str:
        """The body for threads, each of which begins at its `first`, up to element `last` (both in units of `each`)."""
        if self.four is None:
            return f"""for ({self.index} i = {first}; i < {last}; i += {step}) {{
        {self.text}
    }}"""
        before, lane, after = self.four
        return f"""for ({self.index} q = {first}; q < {last} / 4; q += {step}) {{
        const {self.index} i = 4 * q;
        {before}
#pragma unroll
        for (int lane = 0; lane < 4; ++lane) {{
            {lane}
        }}
        {after}
    }}"""


def epilogue(body) -> str:
    """The macros with which a kernel of another family does a body after what it computes itself."""
    body = body.renamed("e")
    parameters = [*body.pointers, *filter(None, [body.status]), *(f"{body.index} {k}" for k in body.numbers)]
    # What the macros are given may have names of their own.
    head = f"{{ const auto& given = value; const {body.index} ei = index; {{ const {body.index} i = ei;"
    one = f"{head} const auto v0 = given; {body.text} }} }}"
    some = "for (int lane = 0; lane < WIDE; ++lane) EPILOGUE((index) + lane, (value)[lane])"
    if body.four:
        before, lane, after = (re.sub(r"Four<([^<>]+)>", r"Some<\1, WIDE>", t) for t in body.four)
        some = f"{head} {before} for (int lane = 0; lane < WIDE; ++lane) {{ const auto v0 = given[lane]; {lane} }} " \
               f"{after} }} }}"
    return "".join(f"#define {name} {' '.join(text.split())}\n" for name, text in (
        ("EPILOGUE_PARAMETERS", " ".join(f", {p}" for p in parameters)), ("EPILOGUE(index, value)", one),
        ("EPILOGUE_SOME(index, value, WIDE)", some)))


class Group:
    """Elementwise nodes that one kernel will compute, over `count` elements.

    root: a function that sees through reshapes: from a tensor to the one that holds the same elements.
    host: a function (body, views) that launches the kernel of another family, which computes element i of the nodes
    `seeds` as v0, v1, ..., and then does the body: its epilogue.
    """

    def __init__(self, count, root, host=None, seeds=()):
        self.count, self.root, self.host, self.seeds = count, root, host, list(seeds)
        self.nodes: list = list(seeds)
        self.outside: dict = {}         # id of a tensor -> it, for inputs that the group does not compute itself

    def add(self, node):
        self.nodes.append(node)
        made = {id(n.output) for n in self.nodes}
        for tensor in map(self.root, node.inputs):
            if id(tensor) not in made:
                self.outside[id(tensor)] = tensor

    def fits(self, *others) -> bool:
        """Whether the group may grow by these groups and one node."""
        return sum(len(g.nodes) for g in (self, *others)) < MOST_NODES \
            and len(set(self.outside).union(*(g.outside for g in others))) < MOST_INPUTS - 3

    def absorb(self, other):
        """Take in another group, which has no host."""
        for node in other.nodes:
            self.add(node)

    def reads_once(self, variable) -> bool:
        """Whether all that the group reads of a variable for element i is the variable's element i."""
        return all(collapsed(tensor.shape, node.output.shape) in (((self.count, 1),), ())
                   for node in self.nodes for tensor in node.inputs
                   if self.root(tensor).node.attrs.get("variable") is variable)

    def body(self, stored, codes, through, wanted=()) -> tuple:
        """What a kernel does for one element, and the C names of element i of the `wanted` tensors.

        stored: the nodes whose results are kept, in the order of the kernel's outputs. codes: id of a node ->
        its error's code, which becomes an argument. through: id of a node -> the variable that its result is written
        to, if no error was reported; where the group reads that variable too, it is one argument for both.
        """
        index = "int" if self.count < 2**31 - 2**20 else "i64"
        accesses, geometry, loads, at, lines = {}, [], [], {}, []
        names = {id(n.output): f"t{i}" for i, n in enumerate(self.nodes)}
        place_of = {id(n): i for i, n in enumerate(self.nodes)}
        names.update({id(n.output): f"v{i}" for i, n in enumerate(self.seeds)})
        before, fetched = [], []

        def access(key, base):
            name, known = f"x{len(accesses)}", len(loads)
            stored_as, c_type = TYPES[base.dtype], REGISTERS[base.dtype]
            accesses[key] = name, Access(base, key[1])
            place = self._place(key[1], at, geometry, loads)
            before.extend(loads[known:])
            loads.append(f"const {c_type} {name} = p{name}[{place}];")
            if runs(key[1]):
                before.append(f"const Four<{stored_as}> q{name} = *(const Four<{stored_as}>*)(p{name} + {place});")
                fetched.append(f"const {c_type} {name} = q{name}.v[lane];")
            else:
                before.append(loads[-1])

        def add_parts(base):
            name, k, c_type = f"x{len(accesses)}", len(geometry), TYPES[base.dtype]
            accesses[id(base)] = name, Access(base, ((self.count, 1),))
            geometry.extend((base.shape[0], self.count))
            each = f'_Pragma("unroll 8") for (int part = 0; part < g{k}; ++part)'
            loads.append(f"{c_type} {name} = 0; {each} {name} += p{name}[part * g{k + 1} + i];")
            four, place = f"Four<{c_type}>", f"(p{name} + (part * g{k + 1} + i))"
            before.append(f"{four} q{name} = {{}}; {each} {{ const {four} more = *(const {four}*){place}; "
                          f"for (int l = 0; l < 4; ++l) q{name}.v[l] += more.v[l]; }}")
            fetched.append(f"const {c_type} {name} = q{name}.v[lane];")
            return name
        for node in self.nodes[len(self.seeds):]:
            words = [add_parts(node.inputs[0])] if isinstance(node, Parts) else []
            for tensor in node.inputs if not words else ():
                base = self.root(tensor)
                if id(base) in names:
                    words.append(names[id(base)])
                    continue
                key = (id(base), collapsed(tensor.shape, node.output.shape))
                if key not in accesses:
                    access(key, base)
                words.append(accesses[key][0])
            out = REGISTERS[node.output.dtype]
            expression = "{0}" if isinstance(node, Parts) else EXPRESSIONS[node.op]
            expression = expression.format(*words, out=out, code=f"code{place_of[id(node)]}")
            if is_half(node.output.dtype) and node.op not in EXACT:
                expression = f"rounded<{TYPES[node.output.dtype]}>((float)({expression}))"
            lines.append(f"const {out} {names[id(node.output)]} = ({out}){expression};")
        words = []
        for base in map(self.root, wanted):
            if id(base) in names:
                words.append(names[id(base)])
                continue
            key = (id(base), collapsed(base.shape, base.shape))
            if key not in accesses:
                access(key, base)
            words.append(accesses[key][0])
        checks = [i for i, n in enumerate(self.nodes) if id(n) in codes]
        both = {id(v): f"p{name}" for v in through.values() for name, a in accesses.values()
                if a.tensor.node.attrs.get("variable") is v}
        pointers = [f"{TYPES[a.tensor.dtype]}* p{name}" if f"p{name}" in both.values()
                    else f"const {TYPES[a.tensor.dtype]}* __restrict__ p{name}" for name, a in accesses.values()]
        own = [n for n in stored if id(through.get(id(n))) not in both]
        pointers += [f"{TYPES[n.output.dtype]}* __restrict__ y{i}" for i, n in enumerate(own)]
        stores, put, after = [], [], []
        for node in stored:
            target = both.get(id(through.get(id(node)))) or f"y{next(i for i, n in enumerate(own) if n is node)}"
            name, guard, c_type = names[id(node.output)], "if (fine) " * (id(node) in through), TYPES[node.output.dtype]
            stores.append(f"{guard}{target}[i] = {name};")
            before.append(f"Four<{c_type}> w{name};")
            put.append(f"w{name}.v[lane] = {name};")
            after.append(f"{guard}*(Four<{c_type}>*)({target} + i) = w{name};")
        four = None
        if self.count % 4 == 0 and all(fits_four(a.axes) for _, a in accesses.values()) \
                and 4 * max(1, len(pointers)) <= MOST_LANES:
            four = tuple("\n        ".join(lines) for lines in (before, fetched + lines + put, after))
        numbers = {**{f"g{i}": v for i, v in enumerate(geometry)},
                   **{f"code{i}": codes[id(self.nodes[i])] for i in checks}}
        status = "i64* status" if checks else "const i64* __restrict__ status" if through else ""
        name = "chain_" + "_".join(dict.fromkeys(n.op for n in self.nodes[len(self.seeds):]))[:40].rstrip("_")
        return Body(name.rstrip("_"), index, tuple(pointers), [a.tensor for _, a in accesses.values()], own, numbers,
                    status, "\n        ".join(loads + lines + stores), bool(through), four), words

    @staticmethod
    def _place(axes, at, geometry, lines) -> str:
        """C for the place of element i; `at` remembers what was computed already."""
        if len(axes) == 1 and axes[0][1] == 1:
            return "i"
        if all(stride == 0 for _, stride in axes):
            return "0"
        if axes in at:
            return at[axes]
        k = len(at)
        at[axes] = f"a{k}"
        terms, rest = [], f"r{k}"
        lines.append(f"auto {rest} = i; auto a{k} = i - i;")
        for j in range(len(axes) - 1, -1, -1):
            size, stride = axes[j]
            if j:
                geometry.append(size)
                coordinate, size_name = f"{rest} % g{len(geometry) - 1}", f"g{len(geometry) - 1}"
            else:
                coordinate = rest
            if stride == 1:
                terms.append(f"a{k} += {coordinate};")
            elif stride:
                geometry.append(stride)
                terms.append(f"a{k} += ({coordinate}) * g{len(geometry) - 1};")
            if j:
                terms.append(f"{rest} /= {size_name};")
        lines.append(" ".join(terms))
        return at[axes]
