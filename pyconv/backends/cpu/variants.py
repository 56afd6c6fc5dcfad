"""Chooses the build of the kernels that fits this processor best."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader

MODULES = ("convolution", "convolution_plain", "depthwise", "dots", "elementwise", "few", "grouped", "layout",
           "matmul", "pointwise", "pooling", "reduction", "sampling", "special", "winograd")

# Those with products by pairs (kernels/paired.h) -> the variant whose library they use: all processors that run that
# one run these, to the same bits, but few gain.
_PAIRED = {"zen4": "v4", "zen3": "v3"}

# Variant -> what the processor must have, as /proc/cpuinfo names it; the best first.
_NEEDS = {
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"},
    "v2": {"sse4_2", "popcnt", "ssse3"},
}


def _processor() -> dict[str, str]:
    """What /proc/cpuinfo tells of the first processor; {} where there is none."""
    found: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                name, colon, value = line.partition(":")
                if not colon:
                    break
                found[name.strip()] = value.strip()
    except OSError:
        pass
    return found


def _flags(processor) -> set:
    """What this processor has; everything but v2 is unknown where it cannot be read."""
    if processor:
        return set(processor.get("flags", "").split())
    if platform.system() == "Darwin":
        import subprocess
        names = subprocess.run(["sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"],
                               capture_output=True, text=True, check=False).stdout.lower().split()
        return {n.replace(".", "_") for n in names} | ({"f16c", "movbe"} if "avx2" in names else set())
    return _NEEDS["v2"]


def _folder(variant: str) -> str:
    return _PAIRED.get(variant, variant)


def _library(variant: str) -> str | None:
    """The path of the shared library that holds the variant's modules; None if it is not built."""
    stem = os.path.join(os.path.dirname(__file__), _folder(variant), "kernels")
    return next((stem + suffix for suffix in EXTENSION_SUFFIXES if os.path.exists(stem + suffix)), None)


def available() -> list[str]:
    """The variants that are built and that this processor runs, the best first."""
    if _library("generic"):
        return ["generic"]
    processor = _processor()
    flags = _flags(processor)
    plain = [v for v, needs in _NEEDS.items() if _library(v) and needs <= flags]
    first, found = _adds_beside_products(processor), []
    for variant in plain:
        paired = [v for v, library in _PAIRED.items() if library == variant]
        found += [*paired, variant] if first else [variant, *paired]
    return found


def _adds_beside_products(processor) -> bool:
    """Whether it begins as many additions as multiplications, beside them, in each cycle: AMD's family 25."""
    return processor.get("vendor_id") == "AuthenticAMD" and processor.get("cpu family") == "25"


def choose() -> str:
    """The variant to use: that of the environment variable PYCONV_CPU_VARIANT, otherwise the best.

    Raises
    ------
    ImportError
        If no variant is built, or the one asked for cannot run here.
    """
    found = available()
    wanted = os.environ.get("PYCONV_CPU_VARIANT")
    if wanted:
        if wanted not in found:
            raise ImportError(f"PYCONV_CPU_VARIANT={wanted!r} cannot be used on this machine; available: "
                              f"{', '.join(found) or 'none'}.")
        return wanted
    if not found:
        raise ImportError("pyconv's CPU kernels are not built, or this processor lacks SSE4.2. Install pyconv with "
                          "`pip install .` from its sources, or use pyconv.set_backend('reference').")
    return found[0]


def _module(name: str, path: str):
    """One of the modules in a shared library that has several."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


class Kernels:
    """The modules of one variant as attributes: kernels.convolution, kernels.elementwise, ..."""

    def __init__(self, variant: str):
        self.variant, self.pairs = variant, variant in _PAIRED
        path = _library(variant)
        for name in MODULES:
            setattr(self, name, _module(f"{__package__}.{_folder(variant)}.{name}", path))
        self.lanes = dict(zip(("float32", "float64"), self.convolution.lanes(), strict=True))
        self.packed, self.dot = self.convolution.tiles()
        self.strided, self.windows = self.convolution_plain.tiles()
