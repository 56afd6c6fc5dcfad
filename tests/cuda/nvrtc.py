"""Compiles the backend's sources with NVRTC, which needs no driver and no GPU."""

from __future__ import annotations

import re
from typing import NamedTuple

from pyconv.backends.cuda import driver
from pyconv.backends.cuda.driver import OPTIONS
from pyconv.backends.cuda.elementwise import PRELUDE

FOLDER = driver.FOLDER
# What CuPy adds of its own accord, see test_cupy_api.py. The first of these sets float32 numbers below 2**-126 to zero.
ADDED = ("-ftz=true", "--device-as-default-execution-space")


class Usage(NamedTuple):
    """What a kernel takes: registers of a thread, bytes that did not fit into them, shared memory of a block."""

    registers: int
    spilled: int
    shared: int = 0


class Recorder:
    """Stands in the place of a Driver while a graph is planned, and notes which kernels it would need."""

    tensor_cores = ("float16", "bfloat16")

    def __init__(self):
        self.instances: dict = {}       # family -> set of name expressions
        self.sources: set = set()       # generated ones
        self.epilogues: set = set()     # (family, expression, text in front of the source)

    def kernel(self, family, expression, before=""):
        self.instances.setdefault(family, set()).add(expression)
        if before:
            self.epilogues.add((family, expression, before))

    def kernel_of_source(self, source, name):
        self.sources.add(source)

    def matmul(self, a, b, out):
        raise AssertionError("nothing runs while a graph is planned")


def compiled(source, names, architecture):
    """Compile; returns {kernel: Usage} as the assembler says. AssertionError with its log if that fails."""
    from cupy_backends.cuda.libs import nvrtc
    program = nvrtc.createProgram(PRELUDE + source, "kernel.cu", (), ())
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(program, (*OPTIONS, *ADDED, f"-arch=sm_{architecture}", "--ptxas-options=-v"))
        except nvrtc.NVRTCError as error:
            raise AssertionError(f"sm_{architecture}: {nvrtc.getProgramLog(program)}") from error
        log, cubin = nvrtc.getProgramLog(program), nvrtc.getCUBIN(program)
        lowered = {nvrtc.getLoweredName(program, name): name for name in names}
    finally:
        nvrtc.destroyProgram(program)
    assert cubin
    warnings = [line for line in log.splitlines() if "warning" in line]
    assert not warnings, warnings
    found = {}
    for name, spilled, registers, rest in re.findall(
            r"Compiling entry function '(\w+)'.*?(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", log, re.S):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[lowered.get(name, name)] = Usage(int(registers), int(spilled), int(shared[1]) if shared else 0)
    return found


def source_of(family) -> str:
    return driver.source_of(family)


def kernels_in(source) -> list:
    """The names of the kernels that a source defines."""
    return re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(", source)
