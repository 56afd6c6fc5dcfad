"""Writes the section "On paper" of docs/cuda.md: what each family of kernels takes, and the least time it can need.

    python docs/roofline.py            # after a kernel or its launches were changed
    python docs/roofline.py --check    # fails if the section is not what would be written

Nothing is measured, and no GPU is needed: the sources are compiled for sm_90 by NVRTC (``pip install
'pyconv-nn[nvrtc]'``, whose version decides about registers), and the launches are those that the planner makes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "cuda.md")
BEGIN, END = "<!-- written by docs/roofline.py -->", "<!-- end of what docs/roofline.py writes -->"
sys.path.insert(0, os.path.dirname(HERE))

# One H100 SXM, from its data sheet; for each multiprocessor, compute capability 9.0 in the CUDA programming guide.
ARCHITECTURE, BANDWIDTH, PEAK, TENSOR_PEAK, MULTIPROCESSORS = 90, 3.35e12, 67e12, 989e12, 132
REGISTERS, THREADS, BLOCKS, SHARED = 65536, 2048, 32, 228 * 1024
PER_WARP, PER_BLOCK, SHARED_UNIT = 256, 1024, 128     # registers come in these units, shared memory has 1 KiB more


def occupancy(threads, registers, shared) -> int:
    """How many blocks are on a multiprocessor at once."""
    warps = -(-threads // 32)
    by_registers = REGISTERS // (-(-registers * 32 // PER_WARP) * PER_WARP * warps) if registers else BLOCKS
    by_shared = SHARED // (-(-shared // SHARED_UNIT) * SHARED_UNIT + PER_BLOCK)
    return min(BLOCKS, THREADS // (32 * warps), by_registers, by_shared)


def least_time(traffic, work, blocks, peak=PEAK) -> tuple:
    """Seconds, and what they go to. The busiest multiprocessor has the most blocks: work does not divide further."""
    memory, arithmetic = traffic / BANDWIDTH, work / peak
    arithmetic *= -(-blocks // MULTIPROCESSORS) * MULTIPROCESSORS / blocks
    return max((memory, "memory"), (arithmetic, "arithmetic"))


class Names:
    """In the place of a Driver while a graph is planned: the kernels are names of what is to be compiled."""

    def kernel(self, family, expression, before=""):
        return family, expression

    def kernel_of_source(self, source, name):
        return source, name

    def matmul(self, a, b, out):
        raise AssertionError("nothing runs while a graph is planned")


def workloads() -> list:
    """(title, function, shapes of its inputs, floating-point operations of the first launch, float type)."""
    from pyconv import ops
    from pyconv.ops.base import apply
    image, deep = (32, 56, 56, 64), (32, 14, 14, 256)

    def conv(name, shape, kernel, groups=1):
        pads = {"strides": (1, 1), "dilation": (1, 1), "padding": ((kernel[0] // 2,) * 2,) * 2, "groups": groups,
                "channels_last": True}
        out = (*shape[:3], kernel[3])
        work = 2 * math.prod(shape[:3]) * math.prod(kernel)
        channels = f"{kernel[2]} to {kernel[3]} channels" if groups == 1 else f"{groups} channels"
        what = f"{kernel[0]}×{kernel[1]} {'depthwise ' * (groups > 1)}convolution, {shape[1]}×{shape[2]}, {channels}"
        if name == "conv":
            return what, lambda x, k: apply("conv", x, k, **pads), (shape, kernel), work
        if name == "input":
            return (f"{what}: gradient for the input", lambda g, k: apply(
                "conv_input_gradient", g, k, shape=shape, **pads), (out, kernel), work)
        return (f"{what}: gradient for the kernel", lambda x, g: apply(
            "conv_kernel_gradient", x, g, shape=kernel, **pads), (shape, out), work)
    n = math.prod(image)
    half = [conv("conv", image, (3, 3, 64, 64)), conv("input", image, (3, 3, 64, 64)),
            conv("kernel", image, (3, 3, 64, 64)), conv("conv", deep, (3, 3, 256, 256)),
            conv("conv", image, (1, 1, 64, 256)), conv("conv", (32, 28, 28, 1), (5, 5, 1, 6)),
            ("64 products of 256 by 256", ops.matmul, ((64, 256, 256),) * 2, 2 * 64 * 256**3),
            ("relu(a + b), 56×56, 64 channels", lambda a, b: ops.relu(a + b), (image, image), 2 * n)]
    single = [
        conv("conv", image, (3, 3, 64, 64)), conv("input", image, (3, 3, 64, 64)),
        conv("kernel", image, (3, 3, 64, 64)), conv("conv", deep, (3, 3, 256, 256)),
        conv("conv", image, (1, 1, 64, 256)), conv("conv", (32, 28, 28, 1), (5, 5, 1, 6)),
        *[conv(name, image, (k, k, 1, 64), 64) for k in (3, 5) for name in ("conv", "input", "kernel")],
        ("largest of 2×2, 56×56, 64 channels", lambda x: ops.max_pool(x, 2), (image,), n),
        ("mean of 2×2, 56×56, 64 channels", lambda x: ops.average_pool(x, 2), (image,), n),
        ("sum over images and pixels, 64 channels", lambda x: ops.sum(x, axis=(0, 1, 2)), (image,), n),
        ("sum of rows, 4096 of 4096", lambda x: ops.sum(x, axis=1), ((4096, 4096),), 4096**2),
        ("relu(a + b), 56×56, 64 channels", lambda a, b: ops.relu(a + b), (image, image), 2 * n),
        ("transposition of 4096 by 4096", ops.transpose, ((4096, 4096),), 0),
        ("64 products of 256 by 256", ops.matmul, ((64, 256, 256),) * 2, 2 * 64 * 256**3),
        ("dense layer, 256 to 128, bias, relu, batch of 128", lambda x, k, b: ops.relu(ops.matmul(x, k) + b),
         ((128, 256), (256, 128), (1, 128)), 2 * 128 * 256 * 128),
        ("order of 1024 rows of 1000 (each compared with each)", lambda x: ops.argsort(x, axis=-1), ((1024, 1000),),
         1024 * 1000**2),
        ("every second row and column of 56×56, 64 channels", lambda x: x[:, ::2, ::2], (image,), 0),
        ("gradient of the largest of 2×2", lambda x, g: apply(
            "max_pool_gradient", x, g, window=(2, 2), strides=(2, 2), dilation=(1, 1), padding=((0, 0),) * 2,
            channels_last=True), (image, (32, 28, 28, 64)), n),
        ("cross-entropy of 4096 rows of 1000", ops.sparse_softmax_cross_entropy, ((4096, 1000), (4096,)), 3 * 4096000),
    ]
    return [(*row, "float32") for row in single] + [(f"{row[0]}, float16", *row[1:], "float16") for row in half]


def launches():
    """(title, kernel, grid, threads, bytes, operations) of the launches of all workloads."""
    from pyconv.backends.cuda.halves import prepare
    from pyconv.backends.cuda.lowering import LOWERING
    from pyconv.backends.cuda.memory import CONSTANT, Table, View
    from pyconv.backends.cuda.planner import Planner
    from pyconv.graph import simplify, trace
    for title, function, shapes, work, dtype in workloads():
        graph, _ = trace(function, [(s, "int32" if len(s) == 1 else dtype) for s in shapes])
        graph = prepare(simplify(graph), ("float16", "bfloat16"))
        found = [launch for launch in Planner(graph, Names(), LOWERING).plan().launches
                 if isinstance(launch.kernel, tuple) and launch.kernel[1] != "no_error"]
        entries = [[e for a in launch.args for e in (a.entries if isinstance(a, Table) else (a,))] for launch in found]
        traffic = [sum({id(e.buffer): e.buffer.nbytes for e in some
                        if isinstance(e, View) and e.buffer.area != CONSTANT}.values()) for some in entries]
        for launch, nbytes in zip(found, traffic, strict=True):
            yield (title if launch is found[0] else "", launch.kernel, math.prod(launch.grid), math.prod(launch.block),
                   nbytes, work if nbytes == max(traffic) else 0)     # the others prepare or add up


def usages(rows) -> dict:
    """Kernel -> what NVRTC says that it takes."""
    from tests.cuda import nvrtc
    wanted: dict = {}
    for family, expression in {row[1] for row in rows}:
        wanted.setdefault(family, []).append(expression)
    out = {}
    for family, names in wanted.items():
        generated = "__global__" in family
        found = nvrtc.compiled(family if generated else nvrtc.source_of(family), () if generated else sorted(names),
                               ARCHITECTURE)
        out.update({(family, name): found[name] for name in names})
    return out


def table() -> list:
    rows = list(launches())
    taken = usages(rows)
    titles = ["work", "kernel", "registers", "shared memory", "blocks at once", "occupancy", "blocks", "MB",
              "GFLOP", "at least", "of"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for title, kernel, blocks, threads, traffic, work in rows:
        use = taken[kernel]
        at_once = occupancy(threads, use.registers, use.shared)
        seconds, what = least_time(traffic, work, blocks, TENSOR_PEAK if kernel[0] == "tensor" else PEAK)
        spilled = f" (+{use.spilled} B spilled)" if use.spilled else ""
        cells = [title, f"`{kernel[1]}`", f"{use.registers}{spilled}", f"{use.shared / 1024:.1f} KiB", at_once,
                 f"{at_once * threads / THREADS:.0%}", blocks, f"{traffic / 1e6:.1f}", f"{work / 1e9:.2f}",
                 f"{1e6 * seconds:.1f} µs", what]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def section() -> str:
    head = f"""{BEGIN}
## On paper

**Everything here is computed, nothing is measured.** Registers and shared memory are what NVRTC's assembler says for
sm_{ARCHITECTURE}; grids are those that the planner launches. The rest is arithmetic for one H100 SXM: {MULTIPROCESSORS}
multiprocessors, {BANDWIDTH / 1e12:.2f} TB/s, {PEAK / 1e12:.0f} TFLOP/s in float32 without tensor cores,
{TENSOR_PEAK / 1e12:.0f} in float16 with them (for bfloat16 all is the same).
*Blocks at once* is how many fit into a multiprocessor, *occupancy* their share of its {THREADS:,} threads.
*At least* is the larger of two times: that of moving every array that the kernel takes once between the device's
memory and the chip (arrays that still lie in its 50 MB of cache come faster), and that of the operations of the
multiprocessor with the most blocks. Expect more than that: the bandwidth of shared memory and of the caches, arrays
that are read again, the arithmetic of addresses, latencies, and the launch itself (microseconds, without a CUDA graph)
are left out. Products of two large matrices are cuBLAS's and not listed.
"""
    return "\n".join([head, *table(), "", END])


def page(text) -> str:
    """The page with the section as it is now."""
    before, rest = text.split(BEGIN)
    return before + section() + rest.split(END)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the section is not up to date")
    with open(PAGE, encoding="utf-8") as file:
        old = file.read()
    new = page(old)
    if parser.parse_args().check:
        if new != old:
            raise SystemExit("docs/cuda.md is not up to date: python docs/roofline.py")
    elif new != old:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(new)


if __name__ == "__main__":
    main()
