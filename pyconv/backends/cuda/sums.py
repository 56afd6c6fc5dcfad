"""Sums over axes: several at once, together with the elementwise ops that give what is summed (kernels/sums.cu)."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from .elementwise import TYPES, Group
from .memory import strides

__all__ = ["PARTS", "joined", "power_of_two", "shared_out", "split", "split_axes", "sums"]

PARTS = 256                 # blocks that a reduction is spread over, if it is long enough
MOST = 6                    # sums of one launch: shared memory, registers
SOURCE = (Path(__file__).parent / "kernels" / "sums.cu").read_text()
NUMPY = {"int": np.int32, "i64": np.int64}
NULL = np.uint64(0)


def joined(axes) -> list:
    """(size, stride) pairs, outermost first, without axes of one element, those that can be walked as one joined."""
    out = []
    for n, stride in axes:
        if n == 1:
            continue
        if out and out[-1][1] == n * stride:
            out[-1] = (out[-1][0] * n, stride)
        else:
            out.append((n, stride))
    return out or [(1, 1)]


def power_of_two(n, most) -> int:
    """The largest power of two that is not above n, nor `most`."""
    return 1 << (min(max(int(n), 1), most).bit_length() - 1)


def split(n, most, least) -> tuple:
    """Into how many parts n is split, at most `most`, each of at least `least`; and the size of a part."""
    size = -(-n // max(1, min(most, n // least)))
    return -(-n // size), size


def split_axes(node) -> tuple:
    """The axes of a reduction's input that stay and those that do not, each as `joined` gives them."""
    x, axes = node.inputs[0], node.attrs["axes"]
    pairs = list(zip(x.shape, strides(x.shape), strict=True))
    return (joined([p for i, p in enumerate(pairs) if i not in axes]),
            joined([p for i, p in enumerate(pairs) if i in axes]))


def shared_out(kept, reduced) -> tuple:
    """How a reduction is shared out: (neighbouring threads have neighbouring results?, threads a result, blocks for
    the results, parts of the elements, elements of a part)."""
    outputs, count = (math.prod(n for n, _ in axes) for axes in (kept, reduced))
    columns = kept[-1][1] == 1 and outputs > 1 and reduced[-1][1] != 1
    if columns:
        lanes = max(8, 256 // (2 * power_of_two(outputs, 128)))
        lanes = min(lanes, 2 * power_of_two(count, 128))
    else:
        lanes = power_of_two(count, 256)
    blocks = -(-outputs // (256 // lanes))
    return columns, lanes, blocks, *split(count, PARTS // blocks, lanes * 16)


def sums(planner, node):
    """Sum, and with it whatever is summed alike of what the same elementwise ops read and compute."""
    if ("summed", id(node)) in planner.found:
        return
    x, axes = planner.root(node.inputs[0]), split_axes(node)
    planner.unhosted(x)
    group = planner.waiting(x) or Group(math.prod(x.shape), planner.root)
    mates = [node]
    for tensor in [x, *(n.output for n in group.nodes), *group.outside.values()]:
        for other in planner.consumers(tensor):
            if other is not None and other.op == "sum" and all(other is not m for m in mates) \
                    and ("summed", id(other)) not in planner.found and other.output.dtype == node.output.dtype \
                    and math.prod(tensor.shape) == group.count and split_axes(other) == axes and len(mates) < MOST:
                mates.append(other)
    planner.found.update({("summed", id(m)): True for m in mates})
    body, views, words = planner.ready(group, absorbed=mates, wanted=[m.inputs[0] for m in mates])
    kept, reduced = axes
    columns, lanes, blocks, parts, each = shared_out(kept, reduced)
    outputs, count = (math.prod(n for n, _ in pairs) for pairs in axes)
    number, dtype, k = NUMPY[body.index], node.output.dtype, len(mates)
    between = planner.temporary(k * parts * outputs, dtype) if parts > 1 else NULL
    arrived = planner.zeros(blocks, "uint32") if parts > 1 else NULL
    tables = [planner.constant([v for column in zip(*pairs, strict=True) for v in column], number) for pairs in axes]

    def host(after, others):
        after = after.renamed("e")
        name = f"sums_{body.name.removeprefix('chain_')}_{after.name.removeprefix('chain_')}".rstrip("_")
        both = [b for b in (body, after) if b.status]
        status = [planner.status_view()] if both else []
        args = [*views, *others, *status, *map(number, body.numbers.values()), *map(number, after.numbers.values()),
                between, arrived, tables[0], np.int32(len(kept)), tables[1], np.int32(len(reduced)), number(outputs),
                number(count), number(each), np.int32(lanes), np.int32(columns)]
        writes = [*views[len(body.inputs):], *others[len(after.inputs):],
                  *(v for v in (between, arrived) if v is not NULL),
                  *(status if any(b.status.startswith("i64*") for b in both) else [])]
        planner.generated(source(name, body, words, after, dtype), name, (blocks, parts), args, writes)
    planner.offer(mates, host, stored=[n.output for n in body.outputs])


def source(name, body, words, after, dtype) -> str:
    """kernels/sums.cu for one body, of which the values called `words` are summed, and another one for the sums."""
    statuses = sorted({b.status for b in (body, after) if b.status}, reverse=True)      # one that is written, if any
    parameters = [*body.pointers, *after.pointers, *statuses[:1], *(f"I {k}" for k in (*body.numbers, *after.numbers))]
    element = " ".join([*body.text.split("\n"), *(f"value[{s}] = (T){w};" for s, w in enumerate(words))])
    result = re.sub(r"\bv(\d+)\b", r"total[\1]", " ".join(after.text.split("\n")))
    return (f"typedef {TYPES[dtype]} T;\ntypedef {body.index} I;\n#define SUMS {len(words)}\n"
            f"#define PARAMETERS {' '.join(p + ',' for p in parameters)}\n"
            f"#define ELEMENT {element}\n#define RESULT {result}\n#line 1\n{SOURCE.replace('NAME', name)}")
