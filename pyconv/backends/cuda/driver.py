"""All that touches CuPy: devices, memory, streams, compiled kernels. Nothing else of pyconv imports it.

CuPy is imported when a device is first asked for. Tests give another module with the same functions to `provide`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import weakref
from pathlib import Path

import numpy as np

from ...graph import Variable
from ...utils.locks import RLock
from .elementwise import BLOCK, PRELUDE

__all__ = ["Driver", "Storage", "description", "fetched", "provide", "reason_against"]

INSTALL = ("install it with one of  pip install 'pyconv-nn[cuda13]'  (drivers for CUDA 13)  or  "
           "pip install 'pyconv-nn[cuda12]'  (CUDA 12)")
OLDEST = 13             # of CuPy's versions, the first that has all that is used here
OPTIONS = ("-std=c++17",)
FOLDER = Path(__file__).parent / "kernels"

_cupy = None        # the module in use, once it is loaded


def provide(module):
    """Use `module` in the place of CuPy (None: CuPy itself, when it is next needed). For tests."""
    global _cupy
    _cupy = module


def cupy():
    """The module CuPy.

    Raises
    ------
    ImportError
        If CuPy is not installed or cannot be loaded; the message says what to install.
    """
    global _cupy
    if _cupy is None:
        if importlib.util.find_spec("cupy") is None:
            raise ImportError(f"The backend 'cuda' needs CuPy, which is not installed; {INSTALL}.")
        try:
            _cupy = importlib.import_module("cupy")
        except Exception as error:
            raise ImportError(f"CuPy is installed but cannot be loaded ({error}); {INSTALL}.") from error
        if int(_cupy.__version__.split(".")[0]) < OLDEST:
            version, _cupy = _cupy.__version__, None
            raise ImportError(f"The backend 'cuda' needs CuPy {OLDEST} or later, and CuPy {version} is installed; "
                              f"{INSTALL}.")
    return _cupy


def count_devices() -> int:
    """How many NVIDIA GPUs this process sees.

    Raises
    ------
    ImportError
        Without CuPy.
    RuntimeError
        Without a driver or a device; the message says which is missing.
    """
    module = cupy()
    try:
        count = module.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise RuntimeError(f"The backend 'cuda' needs an NVIDIA driver, and CuPy {module.__version__} found none that "
                           f"works ({error}). Install NVIDIA's driver (a container needs to be started with its GPUs). "
                           f"If nvidia-smi shows one, it is older than this CuPy asks for: it may go with "
                           f"pip install 'pyconv-nn[cuda12]'. Or use pyconv.set_backend('cpu').") from error
    if count < 1:
        raise RuntimeError("The backend 'cuda' needs an NVIDIA GPU; the driver is there but shows none. See what "
                           "nvidia-smi and CUDA_VISIBLE_DEVICES say, or use pyconv.set_backend('cpu').")
    return count


def reason_against(device=0) -> str | None:
    """Why device number `device` cannot be used, or None if it can."""
    try:
        count = count_devices()
    except (ImportError, RuntimeError) as error:
        return str(error)
    return None if device < count else f"There is no device cuda:{device}; the last is cuda:{count - 1}."


def description(device=0) -> dict:
    """What there is: versions of CuPy, the driver, CUDA and NVRTC, and the device's name, size and architecture."""
    module = cupy()
    runtime = module.cuda.runtime
    found = runtime.getDeviceProperties(device)

    def version(number):
        return f"{number // 1000}.{number % 1000 // 10}"
    return {"CuPy": module.__version__, "driver": f"for CUDA {version(runtime.driverGetVersion())}",
            "CUDA runtime": version(runtime.runtimeGetVersion()),
            "NVRTC": ".".join(map(str, module.cuda.nvrtc.getVersion())),
            "device": f"cuda:{device}, {found['name'].decode()}, sm_{found['major']}{found['minor']}, "
                      f"{found['multiProcessorCount']} multiprocessors, {found['totalGlobalMem'] / 2**30:.1f} GiB"}


def fetched(array) -> np.ndarray:
    """A copy on the host of any library's array that has a CUDA array interface."""
    try:
        module = cupy()
    except ImportError as error:
        raise ImportError(f"A {type(array).__module__}.{type(array).__name__} lies on a GPU, and copying it to the "
                          f"host takes CuPy: {INSTALL}. Or copy it yourself first.") from error
    return module.asarray(array).get()


def number_of(array) -> int | None:
    """The number of the device on which an array with a CUDA array interface lies; None if CuPy cannot say."""
    try:
        return cupy().asarray(array).device.id
    except Exception:
        return None


def source_of(family) -> str:
    """The text of kernels/`family`.cu, with the files that it includes in their places."""
    text = (FOLDER / f"{family}.cu").read_text()
    return re.sub(r'^#include "(\w+)\.cu"$', lambda found: source_of(found[1]), text, flags=re.M)


class Storage:
    """A variable's copy on a device. `version`: that of the variable whose value it has."""

    def __init__(self, driver, array):
        self.driver, self.array, self.version = driver, array, -1

    def fetch(self, host):
        """Copy the value to the variable's array on the host."""
        if host.nbytes:
            with self.driver.lock:
                self.driver.download(self.array, host.reshape(-1).view(np.uint8))


class Driver:
    """One device: its streams, its compiled kernels, and the copies of variables that it holds."""

    def __init__(self, index=0):
        self.cupy = cupy()
        count = count_devices()
        if not index < count:
            raise RuntimeError(f"There is no device cuda:{index}: this process sees {count}, "
                               f"cuda:0 to cuda:{count - 1}.")
        self.index = index
        self.device = self.cupy.cuda.Device(index)
        with self.device:
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            self.copies = self.cupy.cuda.Stream(non_blocking=True)      # on which the next batch arrives meanwhile
        found = self.cupy.cuda.runtime.getDeviceProperties(index)
        version = found["major"], found["minor"]
        # The half types that the tensor cores multiply, for kernels/tensor.cu.
        self.tensor_cores = ("float16", "bfloat16") if version >= (8, 0) else ("float16",) if version >= (7, 5) else ()
        self.graphs = os.environ.get("PYCONV_CUDA_GRAPHS", "1") != "0"
        self.lock = RLock()       # one program at a time uses the stream and the variables' copies
        self._kernels: dict = {}
        self._sources: dict = {}
        self._arena, self._tenants = None, weakref.WeakSet()
        self._storage = weakref.WeakKeyDictionary()     # variable -> Storage

    # Memory ------------------------------------------------------------------------------------------------

    def empty(self, nbytes, stream=None):
        """Uninitialised bytes on the device, for use on `stream` (default: that of the programs).

        CuPy keeps freed memory by stream, and gives it out again without waiting: another stream's may still be in use.

        Raises
        ------
        MemoryError
            If there are not so many, also after letting go of what no run is using.
        """
        with self.device, stream or self.stream:
            try:
                return self.cupy.empty((max(nbytes, 1),), np.uint8)
            except MemoryError:
                self._release_arena()
                self.cupy.get_default_memory_pool().free_all_blocks()
            try:
                return self.cupy.empty((max(nbytes, 1),), np.uint8)
            except MemoryError as error:
                raise MemoryError(self._shortage(nbytes)) from error

    def spare(self, nbytes, stream):
        """Like `empty`, but None where memory is short: nothing that is in use is freed."""
        with self.device, stream:
            try:
                return self.cupy.empty((max(nbytes, 1),), np.uint8)
            except MemoryError:
                return None

    def _shortage(self, nbytes) -> str:
        """The message for `nbytes` that the device has not."""
        free, total = self.cupy.cuda.runtime.memGetInfo()
        used = self.cupy.get_default_memory_pool().used_bytes()
        variables = sum(storage.array.nbytes for storage in self._storage.values())

        def size(n):
            return f"{n / 2**30:.2f} GiB" if n >= 2**28 else f"{n / 2**20:.1f} MiB"
        return (f"cuda:{self.index} has no {size(nbytes)} left for what is to be run: {size(free)} of its "
                f"{size(total)} are free, this process uses {size(used)} ({size(variables)} of it weights and states "
                f"of optimizers), and other processes the rest. A smaller batch_size needs less, and so does half the "
                f"bits a number (float32 in the place of float64, or float16 where a model can have it). Other "
                f"processes (nvidia-smi lists them) and models that are deleted free what they have. Nothing has "
                f"changed: the model can be used as before.")

    def host(self, nbytes) -> np.ndarray:
        """Bytes on the host from which copies to the device are fast (pinned memory).

        Raises
        ------
        MemoryError
            If the system gives none.
        """
        nbytes = max(nbytes, 1)
        try:
            with self.device:
                return np.frombuffer(self.cupy.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)
        except Exception as error:
            raise MemoryError(f"The host has no {nbytes / 2**20:.1f} MiB of memory left that can be pinned for copies "
                              f"to cuda:{self.index} ({error}). Smaller batches need less.") from error

    def arena(self, program):
        """The memory for the arrays that live within a run, at least `program.arena_size` bytes.

        Only one program runs at a time, so all share it. Where it has to grow, the programs let go of the old one.
        """
        if self._arena is None or self._arena.nbytes < program.arena_size:
            self._release_arena()           # freed before its successor is made
            self._arena = self.empty(program.arena_size)
        self._tenants.add(program)
        return self._arena

    def _release_arena(self):
        """Free the arena; never while a program runs in it."""
        for other in self._tenants:
            other.release()
        self._tenants.clear()
        self._arena = None

    def upload(self, array, host, stream=None):
        with self.device:
            array.set(host, stream=stream or self.stream)

    def copy(self, target, source):
        """Copy one array on the device into another of as many bytes."""
        target.data.copy_from_device_async(source.data, source.nbytes, self.stream)

    def take(self, target, array, rows):
        """Copy the rows of an array with the given numbers, all on the device, to bytes there."""
        from .planner import UNSIGNED, blocks_for
        size, word = array.dtype.itemsize, np.dtype(f"uint{8 * array.dtype.itemsize}")
        n, inner = target.nbytes // size, array.size // array.shape[0]
        kernel = self.kernel("indexing", f"take<{UNSIGNED[size]}>")
        with self.device, self.stream:
            kernel(blocks_for(n), (BLOCK,),
                   (array.view(word), rows, target.view(word), np.int64(array.shape[0]), np.int64(n // inner),
                    np.int64(inner), np.int64(n)))

    def download(self, array, out):
        """Copy to the host, and wait for it."""
        with self.device:
            array.get(stream=self.stream, out=out)
            self.stream.synchronize()

    # Arrays of the user's ----------------------------------------------------------------------------------

    def taken(self, value):
        """Another library's array on this device as CuPy's, without a copy if its elements are in C order.

        What its library still has to compute is waited for on the device, by the stream of the programs.
        """
        module = self.cupy
        self.follow()
        with self.device, self.stream:
            if not isinstance(value, module.ndarray):
                value = value.detach() if getattr(value, "requires_grad", False) else value
                value = module.from_dlpack(value) if hasattr(value, "__dlpack__") else module.asarray(value)
            return value if value.flags.c_contiguous else module.ascontiguousarray(value)

    def follow(self):
        """Let the programs wait, on the device, for what was put on the stream that the caller uses."""
        with self.device:
            current = self.cupy.cuda.get_current_stream()
            self.stream.wait_event(current.record(self.cupy.cuda.Event(disable_timing=True)))

    def array(self, shape, dtype):
        """An uninitialised array of the user's, on the stream that the caller uses. MemoryError as for `empty`."""
        with self.device:
            nbytes = max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
            raw = self.empty(nbytes, self.cupy.cuda.get_current_stream())
            return raw[:nbytes if 0 not in shape else 0].view(np.dtype(dtype)).reshape(shape)

    # Variables ---------------------------------------------------------------------------------------------

    def storage(self, variable) -> Storage:
        """The device's copy of a variable; its content may be old, see `refresh`."""
        found = self._storage.get(variable)
        if found is None:
            Variable.travelling = True
            nbytes = int(np.prod(variable.shape, dtype=np.int64)) * np.dtype(variable.dtype).itemsize
            found = self._storage[variable] = Storage(self, self.empty(nbytes))
        return found

    def refresh(self, variable):
        """See to it that the device's copy has the variable's value."""
        storage = self.storage(variable)
        if storage.version != variable.version:
            host = variable.peek()
            if host.nbytes:
                self.upload(storage.array, host.reshape(-1).view(np.uint8))
                self.stream.synchronize()       # the host's array may be changed from now on
            storage.version = variable.version

    def changed(self, variable):
        """Say that the device's copy has a new value, which the host's array has not."""
        storage = self._storage[variable]
        storage.version = variable.moved_to(storage.fetch)

    # Kernels -----------------------------------------------------------------------------------------------

    def kernel(self, family, expression, before=""):
        """The kernel that `expression` names (a function or an instance of a template) in kernels/`family`.cu.

        before: text in front of the source, such as an epilogue's macros.
        """
        key = (family, expression, before)
        if key not in self._kernels:
            if family not in self._sources:
                self._sources[family] = source_of(family)
            with self.device:
                module = self.cupy.RawModule(code=PRELUDE + before + self._sources[family], options=OPTIONS,
                                             name_expressions=(expression,))
                self._kernels[key] = module.get_function(expression)
        return self._kernels[key]

    def kernel_of_source(self, source, name):
        """The kernel `name`, declared extern "C", of a generated source."""
        if source not in self._kernels:
            with self.device:
                module = self.cupy.RawModule(code=PRELUDE + source, options=OPTIONS)
                self._kernels[source] = module.get_function(name)
        return self._kernels[source]

    def matmul(self, a, b, out):
        """``out = a @ b`` by cuBLAS; to be called like a kernel."""
        self.cupy.matmul(a, b, out=out)
