"""A stand-in for the part of CuPy that pyconv calls, on the CPU, stricter than CuPy itself.

Arrays wrap NumPy's and are never NumPy's: whatever mixes the two by accident fails, as on a GPU. New memory is filled
with bytes of 0xFF (NaN as floats). Kernels are the real sources, run by `build.py`; types, contiguity and number of
their arguments are checked, which CuPy does not do.
"""

from __future__ import annotations

import math
import types

import numpy as np

from . import build

CHECK = False                # whether modules that are made from now on find races and bounds errors
log: list = []               # what happened: "H2D", "D2H", "kernel", "matmul", "graph"
_current = None              # the stream in use


class ndarray:
    __slots__ = ("_a",)
    __array_ufunc__ = None

    @classmethod
    def _of(cls, array):
        self = object.__new__(cls)
        self._a = array
        return self

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)

    @property
    def __cuda_array_interface__(self):
        return {**self._a.__array_interface__, "version": 3}

    def __dlpack_device__(self):
        return 2, 0         # a CUDA device

    def __getitem__(self, key):
        return ndarray._of(self._a[key])

    def view(self, dtype):
        return ndarray._of(self._a.view(dtype))

    def reshape(self, *shape):
        out = self._a.reshape(*shape)
        if not np.shares_memory(out, self._a) and out.size:
            raise ValueError("reshape would copy")
        return ndarray._of(out)

    def swapaxes(self, axis1, axis2):
        return ndarray._of(self._a.swapaxes(axis1, axis2))

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or not arr.flags.c_contiguous or arr.dtype != self.dtype \
                or arr.shape != self.shape or not self._a.flags.c_contiguous:
            raise ValueError("set needs a contiguous NumPy array of the same shape and type")
        if (stream or _current)._recording is not None:
            raise RuntimeError("a copy from the host during capture")
        log.append("H2D")
        self._a[...] = arr

    def get(self, stream=None, order="C", out=None):
        if (stream or _current)._recording is not None:
            raise RuntimeError("a copy to the host during capture")
        if out is not None and (out.dtype != self.dtype or out.shape != self.shape):
            raise ValueError("get needs an output of the same shape and type")
        log.append("D2H")
        if out is None:
            return self._a.copy()
        out[...] = self._a
        return out


def empty(shape, dtype=float):
    """Memory at a multiple of 512 bytes, as CuPy's pool gives it."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = math.prod(shape) * dtype.itemsize
    raw = np.full(nbytes + 1024, 0xFF, np.uint8)
    start = -raw.ctypes.data % 512
    return ndarray._of(raw[start:start + nbytes].view(dtype).reshape(shape))


def asarray(a):
    """A view of what another library holds on the device."""
    class Holder:
        __array_interface__ = a.__cuda_array_interface__
        owner = a
    return ndarray._of(np.asarray(Holder()))


def matmul(a, b, out=None):
    if not all(isinstance(t, ndarray) for t in (a, b, out)):
        raise TypeError("matmul needs CuPy arrays")

    def run():
        log.append("matmul")
        with np.errstate(all="ignore"):
            np.matmul(a._a, b._a, out=out._a)
    _current._do(run)
    return out


class Function:
    def __init__(self, kernel):
        self._kernel = kernel

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not (type(grid) is type(block) is type(args) is tuple):
            raise TypeError("grid, block and arguments must be tuples")
        if any(isinstance(a, np.ndarray) for a in args):
            raise TypeError("a NumPy array was passed to a kernel")
        if any(a is None for a in args):        # earlier versions of CuPy give the driver no argument then
            raise TypeError("None was passed to a kernel; NULL is np.uint64(0)")
        arrays = tuple(a._a if isinstance(a, ndarray) else a for a in args)

        def run():
            log.append("kernel")
            self._kernel(grid, block, arrays, shared_mem)
        _current._do(run)


class RawModule:
    def __init__(self, *, code, options=(), name_expressions=None, backend="nvrtc"):
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple")
        defines = tuple(o[2:] for o in options if o.startswith("-D"))
        self._module = build.Module(code, name_expressions or (), defines, CHECK)

    def get_function(self, name):
        return Function(self._module.function(name))


class Stream:
    def __init__(self, null=False, non_blocking=False):
        self._recording = self._before = None

    def _do(self, action):
        if self._recording is not None:
            self._recording.append(action)
        else:
            action()

    def __enter__(self):
        global _current
        self._before, _current = _current, self
        return self

    def __exit__(self, *error):
        global _current
        _current = self._before

    def synchronize(self):
        if self._recording is not None:
            raise RuntimeError("synchronization during capture")

    def begin_capture(self, mode=None):
        self._recording = []

    def end_capture(self):
        graph, self._recording = Graph(self._recording), None
        return graph


class Graph:
    def __init__(self, actions):
        self._actions = actions

    def launch(self, stream=None):
        log.append("graph")
        for action in self._actions:
            action()


class Device:
    def __init__(self, device=0):
        if device != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = device

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    attributes = {"MultiProcessorCount": 108}


def _properties(device):
    return {"name": b"emulator", "major": 0, "minor": 0, "multiProcessorCount": 1, "totalGlobalMem": 2**30}


_current = Stream()
cuda = types.SimpleNamespace(
    alloc_pinned_memory=bytearray, Device=Device, Stream=Stream,
    nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
    runtime=types.SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=_properties,
                                  driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000))
__version__ = "14.2.0"
