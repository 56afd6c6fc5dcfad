"""Elementwise work on many arrays in one launch: the update of all parameters, above all.

Each task is a body (`elementwise.Body`) with its arrays and numbers. Tasks whose code is the same are of one kind, and
the kernel has the code of each kind once. Where the arrays are and what their sizes are stands in a table of 64-bit
numbers on the device, one row a task: its kind, the addresses, the numbers, the count. Blocks of threads have CHUNK
elements each; `which` says for each of them the place of its task's row, and the how-manieth of the task it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .elementwise import BLOCK, FINE, Body
from .memory import Table

__all__ = ["Task", "together"]

CHUNK = 4 * BLOCK


class Task(NamedTuple):
    """Work on `count` elements. views: the arrays of the body's pointers."""

    body: Body
    views: tuple
    count: int


def together(tasks) -> tuple:
    """One kernel for all tasks: (source, name, its table, which blocks do what, whether it has the status)."""
    kinds, entries, which = {}, [], []
    for body, views, count in tasks:
        key = body._replace(inputs=None, outputs=None, name=None, numbers=tuple(body.numbers))
        kind = kinds.setdefault(key, (len(kinds), body))[0]
        which += [(len(entries), i) for i in range(-(-count // CHUNK))]
        entries += [kind, *views, *body.numbers.values(), count]
    name = "together_" + "_".join(body.name.removeprefix("chain_") for _, body in kinds.values())[:40].rstrip("_")
    status = any(body.status for _, body in kinds.values())
    cases = "".join(_case(k, body) for k, body in kinds.values())
    guarded = any(body.guarded for _, body in kinds.values())
    source = f"""extern "C" __global__ void __launch_bounds__({BLOCK}) {name}(const u64* __restrict__ table,
    const int* __restrict__ which{", i64* status" if status else ""})
{{
    {FINE if guarded else ""}
    const u64* row = table + which[2 * blockIdx.x];
    switch ((int)row[0]) {{{cases}
    }}
}}
"""
    return source, name, Table(tuple(entries)), np.array(which, np.int32), status


def _case(kind, body) -> str:
    at, lines = 1, []
    for declaration in body.pointers:
        kept = declaration.split("*")[0] + "*"
        lines.append(f"{declaration} = ({kept})row[{at}];")
        at += 1
    for number in (*body.numbers, "n"):
        lines.append(f"const {body.index} {number} = ({body.index})row[{at}];")
        at += 1
    declared = "\n        ".join(lines)
    return f"""
    case {kind}: {{
        {declared}
        const {body.index} first = ({body.index})which[2 * blockIdx.x + 1] * {CHUNK};
        const {body.index} last = first + {CHUNK} < n ? first + {CHUNK} : n;
    {body.loop(f"first / {body.each} + threadIdx.x", "last", BLOCK)}
        break;
    }}"""
