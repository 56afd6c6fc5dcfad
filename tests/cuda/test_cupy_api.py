"""What the backend asks of CuPy, held against the CuPy that is installed; this needs no driver and no GPU.

Every call that the backend makes on the stand-in is recorded, and has to fit the signature of CuPy's function; the
stand-in has no name and no parameter that CuPy lacks; and CuPy's own arrays, put over memory of the host, give the
views that the stand-in's give.
"""

import ast
import ctypes
import functools
import importlib.util
import inspect
import re
import types
from pathlib import Path

import numpy as np
import pytest

import pyconv
from pyconv.backends.cuda import driver as driver_module
from pyconv.backends.cuda.driver import Driver
from pyconv.graph import gradients, simplify, trace
from tests.cuda import nvrtc
from tests.cuda.emulator import standin

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")

FOLDER = Path(driver_module.__file__).parent
# The stand-in's classes and functions -> where CuPy has the same thing.
PLACES = {"ndarray": "ndarray", "empty": "empty", "asarray": "asarray", "matmul": "matmul",
          "from_dlpack": "from_dlpack", "ascontiguousarray": "ascontiguousarray",
          "get_default_memory_pool": "get_default_memory_pool", "MemoryPool": "cuda.MemoryPool",
          "MemoryPointer": "cuda.MemoryPointer", "OutOfMemoryError": "cuda.memory.OutOfMemoryError",
          "RawModule": "RawModule", "Function": "RawKernel", "Stream": "cuda.Stream", "Event": "cuda.Event",
          "get_current_stream": "cuda.get_current_stream", "Graph": "cuda.Graph", "Device": "cuda.Device"}
# What the harness of the tests adds, for itself.
HARNESS = {"CHECK", "DEVICES", "TOTAL", "allocations", "crossed", "failing", "log"}
MADE_BY_CUPY = ("Function", "Graph", "MemoryPointer", "MemoryPool", "OutOfMemoryError")   # never by the backend
DUNDERS = {"__init__", "__enter__", "__exit__", "__call__", "__getitem__", "__array__", "__cuda_array_interface__",
           "__dlpack__", "__dlpack_device__"}


@pytest.fixture(scope="module")
def cupy():
    return importlib.import_module("cupy")


def find(root, path):
    """The object at a dotted path; AttributeError if there is none."""
    return functools.reduce(getattr, path.split("."), root)


def split(text) -> list:
    """The parts between commas that are in no brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return [p.strip() for p in parts if p.strip()]


def signature(function) -> inspect.Signature:
    """A function's signature; of compiled ones, which have none, that of the first line of the docstring."""
    line = (function.__doc__ or "").strip().split("\n")[0].replace("\\", "")
    found = re.match(r"[\w.]+\((.*)\)", line)
    try:
        read = inspect.signature(function)
        if not (found and any(p.kind is p.VAR_POSITIONAL for p in read.parameters.values())):
            return read
    except (TypeError, ValueError):
        assert found, f"{function} has neither a signature nor one in its docstring"
    kind, out = inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for part in split(found[1]):
        name, _, default = (p.strip() for p in part.partition("="))
        name = name.split(":")[0].split()[-1]       # "str code" or "code: str"
        if name == "/":
            out = [p.replace(kind=p.POSITIONAL_ONLY) for p in out]
        elif name == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif name.startswith("**"):
            out.append(inspect.Parameter(name[2:], inspect.Parameter.VAR_KEYWORD))
        elif name.startswith("*"):
            out.append(inspect.Parameter(name[1:], inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            out.append(inspect.Parameter(name, kind, default=default or inspect.Parameter.empty))
    return inspect.Signature(out)


def parameters(function) -> dict:
    """The parameters without `self`. A class stands for its constructor."""
    return {k: p for k, p in signature(function).parameters.items() if k != "self"}


def test_signatures_are_read():
    def function():
        """_ndarray_base.get(self, Py_ssize_t n, stream=None, order=('C', 'D'), *, str out=(1, 2), \\*\\*kwargs) -> x"""
    function.__signature__ = inspect.Signature([inspect.Parameter("a", inspect.Parameter.VAR_POSITIONAL)])
    found = parameters(function)
    assert list(found) == ["n", "stream", "order", "out", "kwargs"]
    assert found["n"].default is inspect.Parameter.empty and found["out"].kind is inspect.Parameter.KEYWORD_ONLY


# The backend's code ---------------------------------------------------------------------------------------------

def chains(tree) -> set:
    """The dotted names after `cupy.`, `self.cupy.`, `cupy().` and so on, as far as they are constant."""
    modules, out = {"cupy", "module", "runtime"}, set()

    def walk(node, tail):
        if isinstance(node, ast.Attribute):
            if node.attr == "cupy" and tail:
                return tail
            return walk(node.value, (node.attr, *tail))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cupy":
            return tail
        if not isinstance(node, ast.Name) or node.id not in modules:
            return None
        return ("cuda", "runtime", *tail) if node.id == "runtime" else tail
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found = walk(node, ())
            if found:
                out.add(".".join(found))
    return out


def test_names_in_the_source_exist(cupy):
    found = set()
    for path in FOLDER.glob("*.py"):
        found |= chains(ast.parse(path.read_text()))
    found.discard("get_function")           # of a RawModule, which driver.py calls `module` as well
    assert found >= {"cuda.runtime.getDeviceCount", "cuda.runtime.driverGetVersion", "cuda.Stream", "RawModule",
                     "matmul", "empty", "__version__"}
    for name in found:
        find(cupy, name)
        find(standin, name)


@pytest.fixture
def calls(monkeypatch):
    """What is called on the stand-in meanwhile: CuPy's name -> set of (number of arguments, names of keywords)."""
    made: dict = {}

    def recorded(function, name, bound):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            made.setdefault(name, set()).add((len(args) - bound, tuple(sorted(kwargs))))
            return function(*args, **kwargs)
        return wrapper
    for ours, theirs in PLACES.items():
        thing = getattr(standin, ours)
        if isinstance(thing, type):
            for name, function in list(vars(thing).items()):
                if inspect.isfunction(function) and (name[0] != "_" or name in DUNDERS) \
                        and (name != "__init__" or ours not in MADE_BY_CUPY):
                    place = theirs if name == "__init__" else f"{theirs}.{name}"
                    monkeypatch.setattr(thing, name, recorded(function, place, True))
        else:
            monkeypatch.setattr(standin, ours, recorded(thing, theirs, False))
    for space, name in ((standin.cuda, "alloc_pinned_memory"),
                        (standin.cuda, "get_current_stream"), (standin.cuda.runtime, "getDeviceCount")):
        place = "cuda." + ("runtime." if space is standin.cuda.runtime else "") + name
        monkeypatch.setattr(space, name, recorded(getattr(space, name), place, False))
    return made


def test_calls_fit_signatures(cupy, calls, monkeypatch):
    """A training step with convolution, pooling, products of matrices and Adam: launched, captured, replayed."""
    from pyconv import layers, ops
    from pyconv.backends.cuda import lowering
    from pyconv.backends.cuda.program import CUDAProgram
    monkeypatch.setattr(lowering, "SMALL", (0, 0))          # so that the library is asked
    device = Driver()
    model = pyconv.Sequential([pyconv.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.MaxPooling2D(2), layers.Flatten(),
                               layers.Dense(4)])
    optimizer = pyconv.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    def step(x, y):
        loss = ops.mean(ops.sparse_softmax_cross_entropy(model(x, training=True), y))
        optimizer.apply(gradients(loss, [v.read() for v in model.trainable_variables]), model.trainable_variables)
        return loss
    graph, _ = trace(step, [((5, 6, 6, 2), "float32"), ((5,), "int32")], training=True)
    program = CUDAProgram(simplify(graph), device)
    for _ in range(3):
        program([np.ones((5, 6, 6, 2), "float32"), np.arange(5, dtype="int32") % 4])
    model.get_weights()
    assert program.captured is not None
    arrays, rows = [np.ones((9, 6, 6, 2), "float32"), np.zeros(9, "int32")], [np.arange(5), np.arange(5) + 1]
    for now, following in ((0, 1), (1, 0), (1, 0)):
        program(arrays, rows[now], ahead=(arrays, rows[following]))
    images = standin.empty((5, 2, 6, 6), "float32").swapaxes(1, 3)
    ops.relu(images)

    class Tensor:
        _a = np.ones(3, "float32")

        def __dlpack__(self, **kwargs):
            assert set(kwargs) <= {"stream"}

        def __dlpack_device__(self):
            return 2, 0
    device.taken(Tensor())
    monkeypatch.setattr(standin, "failing", 0)
    device.empty(10)
    assert set(calls) >= {
        "RawModule", "RawModule.get_function", "RawKernel.__call__", "matmul", "empty", "cuda.Stream", "cuda.Device",
        "cuda.Stream.begin_capture", "cuda.Stream.end_capture", "cuda.Stream.synchronize", "cuda.Graph.launch",
        "cuda.Stream.__enter__", "cuda.Device.__enter__", "ndarray.set", "ndarray.get", "ndarray.view",
        "ndarray.reshape", "ndarray.swapaxes", "ndarray.__getitem__", "cuda.alloc_pinned_memory",
        "cuda.runtime.getDeviceCount", "cuda.Event", "cuda.Event.synchronize", "cuda.Stream.record",
        "cuda.Stream.wait_event", "cuda.get_current_stream", "cuda.MemoryPointer.copy_from_device_async",
        "ascontiguousarray", "from_dlpack", "get_default_memory_pool", "cuda.MemoryPool.free_all_blocks"}
    for name, ways in calls.items():
        function = find(cupy, name)
        if name.endswith(("__enter__", "__exit__", "__getitem__")):
            continue            # Python's protocols: to be there is enough
        read = signature(function)
        for count, keywords in ways:
            own = [None] if "self" in read.parameters else []
            try:
                read.bind(*own, *[None] * count, **dict.fromkeys(keywords))
            except TypeError as error:
                raise AssertionError(f"CuPy has {name}{read}; the backend calls it with {count} positional arguments "
                                     f"and {keywords}: {error}") from None


# The stand-in ---------------------------------------------------------------------------------------------------

def public(thing):
    return [n for n in vars(thing) if n[0] != "_" or n in DUNDERS]


def test_the_standin_has_nothing_that_cupy_lacks(cupy):
    for name, value in vars(standin).items():
        if name[0] == "_" or isinstance(value, types.ModuleType) or name in HARNESS or name == "annotations":
            continue
        if isinstance(value, types.SimpleNamespace):
            continue            # walked below
        assert name in PLACES, f"the stand-in's {name} is nothing of CuPy's"
    for space, theirs in ((standin.cuda, cupy.cuda), (standin.cuda.runtime, cupy.cuda.runtime),
                          (standin.cuda.nvrtc, cupy.cuda.nvrtc)):
        for name in vars(space):
            assert hasattr(theirs, name), f"CuPy has no {name}"
    for ours, theirs in PLACES.items():
        thing, place = getattr(standin, ours), find(cupy, theirs)
        members = [(n, getattr(thing, n)) for n in public(thing)] if isinstance(thing, type) else []
        for name, member in members:
            assert hasattr(place, name), f"CuPy's {theirs} has no {name}"
            if inspect.isfunction(member) and name not in DUNDERS:
                agree(f"{theirs}.{name}", member, getattr(place, name))
        if isinstance(thing, type):
            if "__init__" in vars(thing) and ours not in MADE_BY_CUPY:
                agree(theirs, thing, place)
        else:
            agree(theirs, thing, place)


def agree(name, ours, theirs):
    """The stand-in's parameters are among CuPy's: by name, or in their place if both take them by position only."""
    own, others = parameters(ours), parameters(theirs)
    free = {p.kind for p in others.values()}
    for i, (key, p) in enumerate(own.items()):
        if p.kind is p.VAR_POSITIONAL:
            assert any(o.kind is o.VAR_POSITIONAL for o in others.values()), f"{name} takes no *{key}"
        elif key not in others:
            fits = i < len(others) and list(others.values())[i].kind is p.POSITIONAL_ONLY
            assert fits or p.VAR_KEYWORD in free and p.kind is p.KEYWORD_ONLY, f"CuPy's {name} has no parameter {key}"
        elif p.kind is p.POSITIONAL_OR_KEYWORD:
            assert list(others).index(key) == i, f"CuPy's {name} has {key} at another place"


def test_attributes_of_instances(cupy):
    module = standin.RawModule(code='extern "C" __global__ void k(float* x) { x[0] = 1; }')
    stream = standin.Stream(non_blocking=True)
    for thing, place in ((standin.empty(3), cupy.ndarray), (stream, cupy.cuda.Stream), (module, cupy.RawModule),
                         (module.get_function("k"), cupy.RawKernel), (standin.Graph([]), cupy.cuda.Graph),
                         (standin.Device(), cupy.cuda.Device)):
        for name in getattr(thing, "__dict__", {}):
            told = f"{place.__name__}.{name} (" in (place.__doc__ or "")       # of attributes that instances alone have
            assert name[0] == "_" or hasattr(place, name) or told, f"CuPy's {place.__name__} has no {name}"


# CuPy's own objects, over memory of the host ---------------------------------------------------------------------

def both(cupy, nbytes):
    """CuPy's array over bytes of the host, the stand-in's, and the bytes."""
    host = np.arange(nbytes, dtype=np.uint8)
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, nbytes, host, 0)
    return cupy.ndarray((nbytes,), np.uint8, cupy.cuda.MemoryPointer(memory, 0)), standin.ndarray._of(host), host


def test_views_are_those_of_cupy(cupy):
    """The chain of `CUDAProgram._array`: bytes, a part of them, another type, a shape, swapped axes."""
    real, fake, host = both(cupy, 4096)
    for start, shape, dtype in ((0, (2, 3), "float32"), (256, (4, 1), "float64"), (512, (5, 7), "uint8"),
                                (768, (1, 1), "bool"), (1024, (0, 3), "float32"), (0, (2, 3, 4), "int64")):
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        for swap in (False, True):
            a, b = (x[start:start + nbytes].view(np.dtype(dtype)).reshape(shape) for x in (real, fake))
            if swap:
                a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
            assert (a.shape, a.dtype, a.size, a.nbytes) == (b.shape, b.dtype, b.size, b.nbytes)
            assert not a.size or a.data.ptr == b._a.ctypes.data == host.ctypes.data + start
            assert not a.size or a.strides == b._a.strides
            assert a.flags.c_contiguous == b._a.flags.c_contiguous


def test_pinned_memory_is_a_buffer(cupy):
    """`Driver.host` reads the pointer that CuPy gives through the buffer protocol."""
    class Memory:
        size = 64
        bytes = (ctypes.c_char * 64)()
        ptr = ctypes.addressof(bytes)
    array = np.frombuffer(cupy.cuda.PinnedMemoryPointer(Memory, 0), np.uint8, 64)
    array[3] = 7
    assert array.flags.writeable and Memory.bytes[3] == b"\x07"


def test_options_of_the_compiler(cupy, monkeypatch):
    """CuPy adds options to the backend's; tests/cuda/nvrtc.py compiles with the same. CuPy itself compiles a kernel."""
    compiler = importlib.import_module("cupy.cuda.compiler")
    if not hasattr(compiler, "_NVRTCProgram") or not hasattr(compiler, "_compile_with_cache_cuda"):
        pytest.skip(f"CuPy {cupy.__version__} compiles in another way than the version that this test knows")
    given = []

    class Compiled(Exception):
        pass

    class Program(compiler._NVRTCProgram):
        def compile(self, options=(), log_stream=None):
            given.extend(options)
            cubin, mapping = super().compile(options, log_stream)
            assert cubin[:4] == b"\x7fELF" and set(mapping) == {"fill<unsigned, int>"}
            raise Compiled
    monkeypatch.setattr(compiler, "_NVRTCProgram", Program)
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch=None: ("-arch=sm_90", "cubin"))
    monkeypatch.setattr(compiler, "_preprocess", lambda *args: "")
    with pytest.raises(Compiled):
        compiler._compile_with_cache_cuda(nvrtc.PRELUDE + nvrtc.source_of("copy"), driver_module.OPTIONS, "90",
                                          name_expressions=("fill<unsigned, int>",), cache_in_memory=True)
    assert set(given) - {"--pch"} == {*driver_module.OPTIONS, *nvrtc.ADDED, "-arch=sm_90"}


def test_the_standin_refuses_none():
    kernel = standin.RawModule(code='extern "C" __global__ void k(float* x, float* y) { if (x) x[0] = y != 0; }'
                               ).get_function("k")
    with pytest.raises(TypeError, match="np.uint64"):
        kernel((1,), (1,), (None, None))
    out = standin.empty(1, np.float32)
    kernel((1,), (1,), (out, np.uint64(0)))
    kernel((1,), (1,), (np.uint64(0), out))
    assert out.get()[0] == 0
