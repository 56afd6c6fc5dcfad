"""A stand-in for the part of CuPy that pyconv calls, on the CPU, stricter than CuPy itself.

Arrays wrap NumPy's and are never NumPy's: whatever mixes the two by accident fails, as on a GPU. New memory is filled
with bytes of 0xFF (NaN as floats). Kernels are the real sources, run by `build.py`; types, contiguity and number of
their arguments are checked, which CuPy does not do. So is that arrays, streams and kernels are one device's.

What is put on a stream (`streams.py`) runs when `schedule` says, which by default is as late as the program allows:
copies read and write the host's memory then, and not before.
"""

from __future__ import annotations

import math
import types
import weakref

import numpy as np

from . import build, streams
from .streams import Event, Graph, Stream, get_current_stream, log

__all__ = ["Event", "Graph", "Stream", "log"]

CHECK = False                # whether modules that are made from now on find races and bounds errors
DEVICES = 1                  # how many there are
TOTAL = 1 << 30              # bytes of each
failing = None               # how many further allocations succeed before one fails; None: all do
allocations = 0              # how many there have been
crossed: list = []           # ("H2D" or "D2H", bytes) of each copy between the host and a device
_made: list = []             # weak references to them


class OutOfMemoryError(MemoryError):
    pass


def _allocate(nbytes, error=OutOfMemoryError):
    global failing, allocations
    allocations += 1
    if MemoryPool._limit and error is OutOfMemoryError and nbytes > MemoryPool._limit - TOTAL // 4:
        raise error(f"Out of memory allocating {nbytes:,} bytes")
    if failing is not None:
        failing -= 1
        if failing < 0:
            failing = None
            raise error(f"Out of memory allocating {nbytes:,} bytes")
    raw = np.full(nbytes + 1024, 0xFF, np.uint8)
    start = -raw.ctypes.data % 512          # CuPy's pool gives multiples of 512
    _made.append(weakref.ref(raw))
    _made[:] = [ref for ref in _made if ref() is not None] if len(_made) % 64 == 0 else _made
    return raw[start:start + nbytes]


def _behind(table):
    """The allocations that the addresses in a table point into, for the checks of accesses."""
    found = {}
    for raw in (ref() for ref in _made):
        if raw is not None:
            start = raw.ctypes.data + -raw.ctypes.data % 512
            nbytes = raw.nbytes - 1024
            if ((table >= start) & (table < start + nbytes)).any():
                found[start] = nbytes
    return list(found.items())


def _pinned(nbytes):
    return memoryview(_allocate(nbytes, RuntimeError))


class MemoryPointer:
    def __init__(self, array):
        self._array = array
        self.ptr = array._a.ctypes.data

    def copy_from_device_async(self, src, size, stream=None):
        target, source = (a._array._a.reshape(-1).view(np.uint8) for a in (self, src))
        if not self._array._a.flags.c_contiguous or not src._array._a.flags.c_contiguous:
            raise ValueError("a copy of memory needs contiguous arrays")
        if size > min(target.size, source.size):
            raise ValueError("cudaErrorInvalidValue")

        def run():
            log.append("D2D")
            target[:size] = source[:size]
        streams.chosen(stream, self._array._on)._do(run)


class ndarray:
    __slots__ = ("_a", "_on")
    __array_ufunc__ = None

    @classmethod
    def _of(cls, array, device=None):
        self = object.__new__(cls)
        self._a, self._on = array, streams.current_device() if device is None else device
        return self

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    shape = property(lambda self: self._a.shape)
    ndim = property(lambda self: self._a.ndim)
    dtype = property(lambda self: self._a.dtype)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    flags = property(lambda self: self._a.flags)
    data = property(MemoryPointer)
    device = property(lambda self: Device(self._on))

    @property
    def __cuda_array_interface__(self):
        return {**self._a.__array_interface__, "version": 3}

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        raise NotImplementedError       # only that the attribute is there counts

    def __dlpack_device__(self):
        return 2, self._on              # a CUDA device

    def __getitem__(self, key):
        return ndarray._of(self._a[key], self._on)

    def view(self, dtype):
        return ndarray._of(self._a.view(dtype), self._on)

    def reshape(self, *shape):
        out = self._a.reshape(*shape)
        if not np.shares_memory(out, self._a) and out.size:
            raise ValueError("reshape would copy")
        return ndarray._of(out, self._on)

    def swapaxes(self, axis1, axis2):
        return ndarray._of(self._a.swapaxes(axis1, axis2), self._on)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or not arr.flags.c_contiguous or arr.dtype != self.dtype \
                or arr.shape != self.shape or not self._a.flags.c_contiguous:
            raise ValueError("set needs a contiguous NumPy array of the same shape and type")
        used = streams.chosen(stream, self._on)
        if used._recording is not None:
            raise RuntimeError("a copy from the host during capture")

        def run():
            log.append("H2D")
            crossed.append(("H2D", arr.nbytes))
            self._a[...] = arr
        used._do(run)
        if stream is None:
            used.synchronize()

    def get(self, stream=None, order="C", out=None):
        used = streams.chosen(stream, self._on)
        if used._recording is not None:
            raise RuntimeError("a copy to the host during capture")
        if out is not None and (out.dtype != self.dtype or out.shape != self.shape):
            raise ValueError("get needs an output of the same shape and type")
        made = np.empty_like(self._a, order="C") if out is None else out

        def run():
            log.append("D2H")
            crossed.append(("D2H", made.nbytes))
            made[...] = self._a
        used._do(run)
        if out is None:         # with an output, CuPy before 14 does not wait: nor does this
            used.synchronize()
        return made


def empty(shape, dtype=float):
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return ndarray._of(_allocate(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape))


def asarray(a):
    """A view of what another library holds on the device."""
    class Holder:
        __array_interface__ = a.__cuda_array_interface__
        owner = a
    return ndarray._of(np.asarray(Holder()))


def from_dlpack(array):
    """Likewise, by DLPack; the device is known then."""
    array.__dlpack__(stream=get_current_stream().ptr)
    return ndarray._of(array._a, array.__dlpack_device__()[1])


def ascontiguousarray(a):
    if a._a.flags.c_contiguous:
        return a
    made = empty(a.shape, a.dtype)

    def run():
        made._a[...] = a._a
    streams.chosen(None, a._on)._do(run)
    return made


def matmul(a, b, out=None):
    if not all(isinstance(t, ndarray) for t in (a, b, out)):
        raise TypeError("matmul needs CuPy arrays")

    def run():
        log.append("matmul")
        with np.errstate(all="ignore"):
            if out._a.dtype == np.float16:          # cuBLAS takes the sums in float32
                out._a[...] = np.matmul(a._a.astype("float32"), b._a.astype("float32"))
            else:
                np.matmul(a._a, b._a, out=out._a)
    _one_device(a, b, out)
    get_current_stream()._do(run)
    return out


def _one_device(*arrays):
    here = {streams.current_device(), get_current_stream()._on}
    if here | {a._on for a in arrays if isinstance(a, ndarray)} != {streams.current_device()}:
        raise RuntimeError(f"arrays of devices {[a._on for a in arrays if isinstance(a, ndarray)]} on a stream of "
                           f"device {get_current_stream()._on}, while {streams.current_device()} is current")


class Function:
    def __init__(self, kernel, device):
        self._kernel, self._on = kernel, device

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not (type(grid) is type(block) is type(args) is tuple):
            raise TypeError("grid, block and arguments must be tuples")
        if any(isinstance(a, np.ndarray) for a in args):
            raise TypeError("a NumPy array was passed to a kernel")
        if any(a is None for a in args):        # earlier versions of CuPy give the driver no argument then
            raise TypeError("None was passed to a kernel; NULL is np.uint64(0)")
        if self._on != streams.current_device():
            raise RuntimeError(f"a kernel of device {self._on} on device {streams.current_device()}")
        _one_device(*args)
        arrays = tuple(a._a if isinstance(a, ndarray) else a for a in args)

        def run():
            log.append("kernel")
            tables = [a for a in arrays if isinstance(a, np.ndarray) and a.dtype == np.uint64] if CHECK else []
            self._kernel(grid, block, arrays, shared_mem, [found for t in tables for found in _behind(t)])
        get_current_stream()._do(run)


class RawModule:
    def __init__(self, *, code, options=(), name_expressions=None, backend="nvrtc"):
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple")
        defines = tuple(o[2:] for o in options if o.startswith("-D"))
        self._module, self._on = build.Module(code, name_expressions or (), defines, CHECK), streams.current_device()

    def get_function(self, name):
        return Function(self._module.function(name), self._on)


class Device:
    def __init__(self, device=0):
        if not 0 <= device < DEVICES:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = device

    def __enter__(self):
        streams.devices.append(self.id)
        return self

    def __exit__(self, *error):
        streams.devices.pop()

    attributes = {"MultiProcessorCount": 108}


class MemoryPool:
    _limit = 0

    def used_bytes(self):
        return TOTAL // 4

    def set_limit(self, size=None):
        MemoryPool._limit = size or 0

    def free_all_blocks(self, stream=None):
        log.append("free")


def get_default_memory_pool():
    return MemoryPool()


def _properties(device):
    return {"name": b"emulator", "major": 8, "minor": 0, "multiProcessorCount": 1, "totalGlobalMem": TOTAL}


cuda = types.SimpleNamespace(
    alloc_pinned_memory=_pinned, Device=Device, Stream=Stream, Event=Event, get_current_stream=get_current_stream,
    nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
    runtime=types.SimpleNamespace(getDeviceCount=lambda: DEVICES, getDeviceProperties=_properties,
                                  memGetInfo=lambda: (TOTAL // 2, TOTAL),
                                  driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000))
__version__ = "14.2.0"
