"""Builds CUDA C sources with g++ and launches their kernels on the CPU.

`cuda_names.h` gives g++ the names of CUDA, `runtime.cc` runs blocks one after the other and the threads of a block as
fibers. Built modules are kept in a temporary folder under the hash of all that they are made of.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"pyconv-cuda-emulator-{os.getuid()}"
CODES = {"f4": "float32", "f8": "float64", "i4": "int32", "u4": "uint32", "i8": "int64", "u8": "uint64", "u1": "uint8",
         "i1": "int8", "b1": "bool", "i2": "int16", "u2": "uint16", "f2": "float16",
         "bf2": "uint16"}
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-w", "-fno-strict-aliasing", "-fno-gnu-unique", "-ffp-contract=off",
         "-DPYCONV_EMULATED"]
# The instrumentation of ThreadSanitizer calls functions that runtime.cc defines for itself.
CHECKING = ["-DSHIM_CHECK", "-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0",
            "-fsanitize=bounds-strict,signed-integer-overflow,integer-divide-by-zero,shift,alignment,null", "-g1"]
DYNAMIC = re.compile(r"extern\s+__shared__\s+([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;")
STATIC = re.compile(r"(?<!extern )__shared__\s+((?:__align__\(\d+\)\s+)?[\w:<> ]+?)\s+(\w+)((?:\s*\[[^\]]*\])*)\s*;")
BOUNDS = re.compile(r"__launch_bounds__\s*\(([^),]*)[^)]*\)\s*(\w+)\s*\(")
EXTERN = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')


class LaunchError(RuntimeError):
    """What a GPU would have refused, or done without a word."""


def compiler(*arguments):
    done = subprocess.run(["g++", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"g++ refused the source:\n{done.stderr[:4000]}")


def built(name, content, make):
    """The path of a file in the cache; `make(path)` writes it if it is not there."""
    path = CACHE / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}{name}"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        temporary = path.with_name(f"{os.getpid()}-{path.name}")
        make(temporary)
        try:
            os.replace(temporary, path)
        except OSError:                 # a folder that another process has made meanwhile
            if not path.exists():
                raise
    return path


def precompiled(header, flags):
    """A folder with cuda_names.h and what g++ makes of it ahead: reading it is most of the work for a small kernel."""
    def make(folder):
        folder.mkdir(exist_ok=True)
        (folder / "cuda_names.h").write_text(header)
        compiler(*flags, "-x", "c++-header", folder / "cuda_names.h", "-o", folder / "cuda_names.h.gch")
    return built("-names", header + str(flags), make)


class Module:
    """The kernels of one source. names: those of functions declared extern "C", or template instances."""

    def __init__(self, source, names=(), defines=(), check=False):
        self.check = check
        names = list(names) or EXTERN.findall(source)
        self.bounds = {name: int(n) for n, name in BOUNDS.findall(source)}
        source = DYNAMIC.sub(r"\1* \2 = (\1*)shim::dyn_shared();", source)
        source = STATIC.sub(r'static \1 \2\3; shim::shared_decl(&\2, sizeof(\2), "\2");', source)
        glue = "".join(
            f'extern "C" int go_{i}(void** a, const unsigned* g, const unsigned* b, unsigned d) '
            f'{{ return shim::go(&{name}, a, g, b, d); }}\n'
            f'extern "C" const char* sig_{i}() {{ return shim::sig(&{name}); }}\n' for i, name in enumerate(names))
        header, runtime = ((HERE / f).read_text() for f in ("cuda_names.h", "runtime.cc"))
        flags = FLAGS + [f"-D{d}" for d in defines] + (CHECKING if check else [])
        text = f'#include "cuda_names.h"\n#line 1 "kernel.cu"\n{source}\n{glue}'
        plain = FLAGS + (["-DSHIM_CHECK"] if check else [])
        base = built(".o", header + runtime + str(plain),
                     lambda path: compiler(*plain, "-O2", f"-I{HERE}", "-c", HERE / "runtime.cc", "-o", path))

        def make(path):
            unit = path.with_suffix(".cc")
            unit.write_text(text)
            compiler(*flags, f"-I{precompiled(header, flags)}", "-c", unit, "-o", path.with_suffix(".o"))
            compiler("-shared", "-Wl,-Bsymbolic", path.with_suffix(".o"), base, "-o", path)
            unit.unlink()
            path.with_suffix(".o").unlink()
        self.library = ctypes.CDLL(str(built(".so", text + str(flags) + header + runtime, make)))
        self.library.shim_error.restype = ctypes.c_char_p
        self.library.shim_mode.argtypes = [ctypes.c_int, ctypes.c_uint64]
        if check:
            self.library.shim_buf.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int]
        self.names = names

    def order(self, mode, seed=0):
        """In which order blocks and threads run: 0 as numbered, 1 backwards, 2 shuffled."""
        self.library.shim_mode(mode, seed)

    def function(self, name):
        i = self.names.index(name)
        signature = getattr(self.library, f"sig_{i}")
        signature.restype = ctypes.c_char_p
        return Kernel(self, name, getattr(self.library, f"go_{i}"), signature().decode().split())


class Kernel:
    def __init__(self, module, name, go, signature):
        self.module, self.name, self.go, self.signature = module, name, go, signature

    def _pointer(self, i, array, code):
        wanted = np.dtype(CODES[code.split("*")[1]])
        if isinstance(array, np.uint64) and array == 0:
            return 0            # NULL
        if not isinstance(array, np.ndarray):
            raise LaunchError(f"{self.name}, argument {i}: an array is needed, got {type(array).__name__}")
        if array.dtype != wanted:
            raise LaunchError(f"{self.name}, argument {i}: the kernel takes {wanted}*, got {array.dtype}")
        if not array.flags.c_contiguous:
            raise LaunchError(f"{self.name}, argument {i}: not C-contiguous")
        if self.module.check:
            self.module.library.shim_buf(array.ctypes.data, array.nbytes, min(4, array.itemsize), code[0] == "c")
        return array.ctypes.data

    def __call__(self, grid, block, args, shared=0, others=()):
        """others: (address, size) of further memory that the kernel may use, whose addresses are in its arguments."""
        grid, block = (tuple(t) + (1,) * (3 - len(t)) for t in (grid, block))
        if len(args) != len(self.signature):
            raise LaunchError(f"{self.name}: {len(args)} arguments for {len(self.signature)} parameters")
        if np.prod(block) > self.module.bounds.get(self.name.split("<")[0], 1024) or block[2] > 64:
            raise LaunchError(f"{self.name}: a block of {block} threads is too large")
        if min(grid) < 1 or grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            raise LaunchError(f"{self.name}: a grid of {grid} blocks is out of range")
        if self.module.check:
            self.module.library.shim_clear()
        kept, pointers = [], (ctypes.c_void_p * max(1, len(args)))()
        for i, (value, code) in enumerate(zip(args, self.signature, strict=True)):
            if "*" in code:
                holder = ctypes.c_void_p(self._pointer(i, value, code))
            else:
                wanted = np.dtype(CODES[code])
                if not isinstance(value, np.generic) or value.dtype != wanted:
                    raise LaunchError(f"{self.name}, argument {i}: the kernel takes {wanted}, got {value!r}")
                holder = (ctypes.c_char * wanted.itemsize).from_buffer_copy(value.tobytes())
            kept.append(holder)
            pointers[i] = ctypes.addressof(holder)
        if self.module.check:
            for address, nbytes in others:
                self.module.library.shim_buf(address, nbytes, 4, False)
        if self.go(pointers, (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), ctypes.c_uint(shared)):
            raise LaunchError(f"{self.name}: {self.module.library.shim_error().decode()}")
