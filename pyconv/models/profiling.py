"""Where a step's time goes: `Model.profile`."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from .. import backends
from ..graph import LEAVES, flatten, trace
from .data import as_arrays, check_count, check_lengths

__all__ = ["LayerProfile", "measure", "table"]

REST = "loss, optimizer, metrics, data"


class LayerProfile(NamedTuple):
    """What one layer does in a step. Times are those of one thread.

    layer: its name; "" for what belongs to no layer. part: "forward" or "backward". ops: names of the ops, without
    those that were fused into others. milliseconds: the fastest of several runs. gigaflop: floating-point operations
    by the definition, whatever algorithm was used. megabytes: read and written in memory shared by the layers; what
    stays in cache from one op to the next is left out. roofline: the time that the operations, at the rate of a large
    matrix product, or the bytes, at the rate of a large elementwise op, would take at least, divided by the time taken;
    an algorithm with fewer operations, such as Winograd's, can be above 1.
    """

    layer: str
    part: str
    ops: tuple
    milliseconds: float
    gigaflop: float
    megabytes: float
    roofline: float

    @property
    def gigaflops(self) -> float:
        """Floating-point operations a nanosecond."""
        return self.gigaflop / self.milliseconds * 1e3 if self.milliseconds else 0.0


def operations(node) -> float:
    """Floating-point operations of a node by its definition; a multiplication with an addition counts as two."""
    out = math.prod(node.output.shape)
    if node.op == "conv":
        return 2.0 * out * math.prod(node.inputs[1].shape[:-1])
    if node.op == "conv_input_gradient":
        return 2.0 * math.prod(node.inputs[0].shape) * math.prod(node.inputs[1].shape[:-1])
    if node.op == "conv_kernel_gradient":
        return 2.0 * math.prod(node.inputs[1].shape) * math.prod(node.output.shape[:-1])
    if node.op == "matmul":
        return 2.0 * out * node.inputs[0].shape[-2 if node.attrs["transpose_a"] else -1]
    if node.op in ("max_pool", "avg_pool"):
        return float(out * math.prod(node.attrs["window"]))
    if node.op in LEAVES or node.op in ("reshape", "transpose", "pad", "slice", "concatenate", "broadcast_to"):
        return 0.0
    return float(max(out, *(math.prod(t.shape) for t in node.inputs), 0))


def roof(backend) -> tuple:
    """(floating-point operations, bytes) a nanosecond of one thread: of a matrix product of 512 rows and columns, and
    of an elementwise op on 32 MB; the best of a few runs."""
    from .. import ops
    side, rows = 512, (1 << 13, 1 << 10)        # rows, as a batch of single numbers has little to do for each
    found = []
    for function, specs, amount in (
            (ops.matmul, [((side, side), "float32")] * 2, 2.0 * side**3),
            (ops.negative, [(rows, "float32")], 8.0 * math.prod(rows))):
        program = backend.compile(trace(function, specs)[0])
        arrays = [np.ones(shape, dtype) for shape, dtype in specs]
        wanted = max(r.nanoseconds for r in program.profile(arrays))
        for _ in range(4):
            wanted = min(wanted, max(r.nanoseconds for r in program.profile(arrays)))
        found.append(amount / wanted)
    return tuple(found)


def measure(model, x, y, sample_weight, repeat) -> list[LayerProfile]:
    """The profile of a step; see `Model.profile`."""
    repeat = check_count("repeat", repeat) or 1
    backend = backends.current()
    if backend.name != "cpu":
        raise ValueError(f"profile() measures the backend 'cpu', but the current one is {backend.name!r}; choose with "
                         f"pyconv.set_backend('cpu').")
    x, y, sample_weight = as_arrays(x, "x"), as_arrays(y, "y"), as_arrays(sample_weight, "sample_weight")
    check_lengths(x, y, sample_weight)
    if y is None:
        program, arrays = model._functions(x).predict.program((x,))[0], flatten((x,))
    else:
        model._need_compile("profile")
        args = x, y, sample_weight
        program, arrays = model._functions(x).train.program(args)[0], flatten(args)
    updated = [v for v, _ in program.graph.updates]
    before = [v.numpy() for v in updated]
    runs, end = [], time.perf_counter() + 10
    try:
        while len(runs) < repeat and (not runs or time.perf_counter() < end):
            runs.append(program.profile(arrays))
    finally:
        for variable, value in zip(updated, before, strict=True):
            variable.assign(value)
    times = np.min([[r.nanoseconds for r in run] for run in runs], axis=0)
    return _by_layer(runs[0], times, roof(backend))


def _by_layer(instructions, times, rates) -> list[LayerProfile]:
    rows: dict = {}
    for instruction, nanoseconds in zip(instructions, times, strict=True):
        # A chain's time is shared out among its nodes, which may belong to several layers.
        share = 1 / len(instruction.nodes)
        for node in instruction.nodes:
            label = node.layer or ""
            layer = label.rstrip("'")
            row = rows.setdefault((layer, "forward" if layer == label else "backward"), [{}, 0.0, 0.0, 0.0])
            row[0][node.op] = None
            row[1] += nanoseconds * share
            row[2] += operations(node) if instruction.main else 0.0
            row[3] += instruction.bytes * share
    flops, byte_rate = rates
    return [LayerProfile(layer, part, tuple(ops), ns / 1e6, work / 1e9, size / 1e6,
                         max(work / flops, size / byte_rate) / ns if ns else 0.0)
            for (layer, part), (ops, ns, work, size) in rows.items()]


def table(records, batch) -> str:
    """The records as text."""
    total = sum(r.milliseconds for r in records) or 1.0
    width = max([len(r.layer or REST) for r in records] + [5])
    lines = [f"{'Layer':<{width}}  Part      {'ms':>9} {'%':>6} {'GFLOP/s':>8} {'MB':>9} {'Roofline':>9}"]
    lines.append("-" * len(lines[0]))
    for r in records:
        lines.append(f"{r.layer or REST:<{width}}  {r.part if r.layer else '':<8}  {r.milliseconds:9.3f} "
                     f"{100 * r.milliseconds / total:6.1f} {r.gigaflops:8.1f} {r.megabytes:9.2f} {r.roofline:9.0%}")
    lines.append(f"{'Total':<{width}}  {'':<8}  {total:9.3f}  100.0 "
                 f"{sum(r.gigaflop for r in records) / total * 1e3:8.1f} {sum(r.megabytes for r in records):9.2f}")
    lines.append(f"One thread, {batch} samples: {1e3 * total / max(1, batch):.1f} microseconds a sample.")
    return "\n".join(lines)
