"""Single layers, on one core: convolutions in their three directions, pooling and normalizations.

What is measured is the layer as it is inside of a network, its input and output in the library's own layout. pyconv's
part is read off the times of the program's instructions; the others' operations are called by themselves.
"""

from __future__ import annotations

from typing import NamedTuple

DIRECTIONS = ("forward", "input gradient", "kernel gradient")


class Convolution(NamedTuple):
    batch: int
    channels: int
    size: int
    filters: int
    kernel: int
    stride: int = 1

    @property
    def title(self):
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        return f"{self.batch}, {self.channels}, {self.size}², {self.filters}, {self.kernel}×{self.kernel}{stride}"

    @property
    def padding(self):
        return self.kernel // 2

    @property
    def outputs(self):
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def flops(self):
        """Of the direct algorithm, in one direction: two for each product."""
        return 2 * self.batch * self.filters * self.outputs ** 2 * self.channels * self.kernel ** 2


CONVOLUTIONS = [Convolution(32, 20, 14, 50, 5), Convolution(16, 64, 56, 64, 3), Convolution(16, 128, 28, 128, 3),
                Convolution(16, 256, 14, 256, 3), Convolution(16, 512, 7, 512, 3), Convolution(16, 64, 56, 256, 1),
                Convolution(16, 3, 224, 64, 7, 2), Convolution(128, 16, 32, 32, 3)]

MAPS = (32, 64, 56, 56)         # batch, channels, height, width: 25.7 MB
BYTES = 4 * 32 * 64 * 56 * 56
OTHERS = ("max pooling 2×2", "max pooling 3×3 stride 2", "average pooling 2×2", "average pooling 3×3 stride 2",
          "batch norm", "layer norm", "instance norm", "group norm, 8 groups", "ReLU", "GELU", "SiLU")
PASSES = ("forward", "forward and backward")


def tasks(quick):
    """One task per layer and direction or pass."""
    repeats = 3 if quick else 10
    for i, layer in enumerate(CONVOLUTIONS):
        for direction in DIRECTIONS:
            yield {"kind": "layer", "title": f"{layer.title}: {direction}", "convolution": i, "what": direction,
                   "count": repeats}
    for name in OTHERS:
        for what in PASSES:
            yield {"kind": "layer", "title": f"{name}: {what}", "other": name, "what": what, "count": repeats}


PEAK = r"""
#include <time.h>
typedef float V __attribute__((vector_size(%d)));
double peak(void) {
    V a[12]; double best = 0;
    _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) a[i] = (V){0} + (float)i;
    for (int round = 0; round < 20; round++) {
        struct timespec s, e;
        clock_gettime(CLOCK_MONOTONIC, &s);
        for (long n = 0; n < 1000000; n++) {
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) {
                a[i] = a[i] * 0.999f + 0.001f;
                __asm__ volatile("" : "+x"(a[i]));  /* neither left out nor joined with others */
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &e);
        double t = (e.tv_sec - s.tv_sec) + 1e-9 * (e.tv_nsec - s.tv_nsec), flops = 1e6 * 12 * 2 * sizeof(V) / 4;
        if (flops / t > best) best = flops / t;
    }
    return best;
}
"""


def peak() -> float | None:
    """FLOP/s of one core, float32, multiply and add in one: measured; None without a C compiler."""
    import os
    import subprocess
    import sys
    import tempfile
    best = None
    for flags, size in ((["-mavx512f"], 64), (["-mavx2", "-mfma"], 32)):
        with tempfile.TemporaryDirectory() as folder:
            source, library = os.path.join(folder, "peak.c"), os.path.join(folder, "peak.so")
            with open(source, "w") as f:
                f.write(PEAK.replace("%d", str(size)).replace('"+x"', '"+v"' if size == 64 else '"+x"'))
            command = ["cc", "-O3", "-ffast-math", "-shared", "-fPIC", *flags, source, "-o", library]
            try:
                subprocess.run(command, check=True, capture_output=True)
                # In a process of its own: an instruction that the processor lacks ends it.
                code = f"import ctypes; f = ctypes.CDLL({library!r}).peak; f.restype = ctypes.c_double; print(f())"
                done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
                best = max(best or 0, float(done.stdout))
            except (OSError, subprocess.CalledProcessError):
                continue
    return best


def copy_speed() -> float:
    """Bytes a second that one core reads and writes when it copies an array as large as the maps."""
    import time

    import numpy as np
    a, b, best = np.ones(BYTES // 4, "float32"), np.empty(BYTES // 4, "float32"), 0.0
    for _ in range(20):
        start = time.perf_counter()
        np.copyto(b, a)
        best = max(best, 2 * BYTES / (time.perf_counter() - start))
    return best


def rates() -> dict:
    """What one core can do: FLOP/s, or None without a C compiler, and bytes/s of a copy."""
    return {"flops": peak(), "bytes": copy_speed()}


def least_bytes(title, what) -> float:
    """The least that any algorithm moves: what goes in and what comes out, of both passes, each once."""
    quarter = "pooling" in title
    forward, backward = (1.25, 2.5 if "max" in title else 1.25) if quarter else (2, 3)
    return BYTES * (forward + (backward if "backward" in what else 0))
