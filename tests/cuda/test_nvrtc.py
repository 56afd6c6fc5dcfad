"""The very sources of all kernels, compiled by NVRTC: this needs CuPy and NVIDIA's wheels, but no driver and no GPU."""

import importlib.util
import re

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.backends.cuda import depthwise
from pyconv.backends.cuda.halves import prepare
from pyconv.backends.cuda.lowering import LOWERING
from pyconv.backends.cuda.planner import Planner
from pyconv.graph import gradients, simplify, trace
from tests.cuda import nvrtc

pytestmark = pytest.mark.skipif(importlib.util.find_spec("cupy_backends") is None, reason="CuPy is not installed")

# The oldest and the newest that the wheels know, and what most machines in use have.
ARCHITECTURES = (75, 80, 90, 120)
MODES, BOOLS, FLOATS = ("FORWARD", "INPUT", "KERNEL"), ("true", "false"), ("float", "double")
HALVES = ("f16", "bf16")
TILES = ("128, 16, 16, 16", "64, 64, 32, 16", "128, 64, 32, 32", "128, 128, 64, 32")        # of the tensor cores


def depthwise_instances() -> list:
    """What the planner makes of images of 64 channels, in every mode; of the halves, float16 stands for both."""
    found = []
    for mode in range(3):
        for window, strides, types, layouts in (
                ((3, 3), (1, 2), ("float32", "float16", "float64"), (1, 0)), ((5, 5), (1, 2), ("float32", "float16"),
                 (1, 0)), ((1, 3), (1,), ("float32",), (1,)), ((1, 7), (1, 2), ("float32", "float64"), (1, 0))):
            for s in strides:
                rows = window[0] > 1
                size, out = (1, 64 if rows else 1, 64), (1, 64 // s if rows else 1, 64 // s)
                found += [depthwise.plan(mode, [32, 64, 1, 1, last, *size, *out, 1, *window, 1, s if rows else 1, s,
                                                1, 1, 1, 0, window[0] // 2, window[1] // 2], dtype).kernel
                          for dtype in types for last in layouts]
    return found


INSTANCES = {
    "convolution": [f"tiled<float, {m}, {wide}, {tile}, {v}>" for m in MODES
                    for wide, v in (("true", 4), ("true", 1), ("false", 1))
                    for tile in ("128, 16, 16", "64, 64, 16", "128, 128, 8")]
    + [f"tiled<double, {m}, true, 64, 64, 16, {v}>" for m in MODES for v in (1, 4)]
    + [f"direct_{m}<{t}>" for m in ("forward", "input") for t in FLOATS + HALVES]
    + [f"direct_kernel<{t}>" for t in ("float, float", "double, double", "f16, float", "bf16, bf16")],
    "copy": [f"{k}<{t}, {i}>" for k in ("copy", "fill") for t in ("unsigned char", "unsigned", "u64")
             for i in ("int", "i64")] + ["no_error"],
    "depthwise": depthwise_instances(),
    "implicit": [f"implicit<{m}, {k}, {s}, {tile}>" for m in MODES for k, s in ((1, 1), (1, 2), (3, 1), (3, 2), (5, 1))
                 for tile in ("64, 64, 16, 4, 4", "128, 128, 8, 8, 8", "128, 32, 16, 4, 4", "128, 16, 16, 2, 4")],
    "indexing": ["check<unsigned char>", "check<int>", "check<i64>", "take<unsigned>", "take<u64>",
                 *(f"take_gradient<{t}>" for t in FLOATS)],
    "matmul": [f"matmul<{t}, {a}, {b}>" for t in FLOATS for a in BOOLS for b in BOOLS]
    + [f"small_matmul<{t}, {a}, {b}, {v}>" for t in FLOATS for a in BOOLS for b in BOOLS for v in BOOLS],
    "pooling": [f"{k}_pool{g}<{t}>" for k in ("max", "avg") for g in ("", "_gradient")
                for t in FLOATS + HALVES],
    "random": [f"random_{k}<{t}>" for k in ("uniform", "normal") for t in FLOATS],
    "reduction": [f"reduce<Max, {c}, float, int, {x}, {y}>" for c in BOOLS for x, y in (
        ("f16", "float"), ("bf16", "bf16"), ("float", "f16"))]
    + [f"reduce<{k}, {c}, {t}, int>" for k in ("Max", "Min") for c in BOOLS for t in FLOATS]
    + [f"arg<{k}, {t}, int>" for k in ("Max", "Min") for t in ("float", "bool", "i64")],
    "sampling": [f"{k}<{t}>" for k in ("sample_images", "sample_images_gradient", "sample_places_gradient")
                 for t in FLOATS],
    "sorting": [f"argsort<{t}>" for t in (*FLOATS, "int")],
    "tensor": [f"convolve<{t}, {m}, {v}, {v}, {tile}, {'float' if m == 'KERNEL' and tile == TILES[2] else t}>"
               for t in HALVES for m in MODES for tile in TILES for v in (BOOLS if tile == TILES[1] else BOOLS[:1])]
    + [f"product<{t}, {a}, {b}, {a}, {a}, {tile}>" for t in HALVES for a in BOOLS for b in BOOLS
       for tile in TILES[1:3]],
    "softmax": [f"{k}<{t}>" for k in ("cross_entropy", "cross_entropy_gradient") for t in FLOATS],
}


MANY = ("depthwise", "implicit")


def test_every_family_is_listed():
    # The text of sums.cu is a part of generated sources, that of epilogue.cu is included.
    files = {path.stem for path in nvrtc.FOLDER.glob("*.cu")} - {"common", "epilogue", "sums"}
    assert files == set(INSTANCES)
    for family, names in INSTANCES.items():         # every kernel in the file is among them
        source = (nvrtc.FOLDER / f"{family}.cu").read_text()
        for name in nvrtc.kernels_in(source):
            assert any(n.split("<")[0] == name for n in names), f"{name} of {family}.cu is not compiled here"


@pytest.mark.parametrize("family", sorted(INSTANCES))
def test_families(family):
    """Everything compiles, and no kernel spills registers."""
    # All instances for two architectures, or one where there are many; for the others, the first of each kernel.
    firsts = list({name.split("<")[0]: name for name in reversed(INSTANCES[family])}.values())
    for architecture in ARCHITECTURES:
        names = INSTANCES[family] if architecture in ((90,) if family in MANY else (80, 90)) else firsts
        if architecture < 80:               # whose tensor cores multiply no bfloat16
            names = [n for n in names if family != "tensor" or "bf16" not in n]
        found = nvrtc.compiled(nvrtc.source_of(family), names, architecture)
        assert set(found) == set(names)
        spilled = {name: usage for name, usage in found.items() if usage.spilled}
        assert not spilled
        # 256 threads a block: with at most 128 registers each, two blocks fit into a multiprocessor.
        wide = {name: usage for name, usage in found.items() if usage.registers > (200 if architecture < 80 else 168)}
        assert not wide


def test_generated_chains():
    """What a training step with normalization, dropout and Adam needs beyond the families; and each op by itself."""
    recorder = nvrtc.Recorder()
    model = pyconv.Sequential([
        pyconv.Input((8, 8, 3)), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.3),
        layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4, activation="gelu")])
    optimizer = pyconv.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    def step(x, y):
        loss = ops.check_finite(ops.mean(ops.sparse_softmax_cross_entropy(model(x, training=True), y)))
        optimizer.apply(gradients(loss, [v.read() for v in model.trainable_variables]), model.trainable_variables)
        return loss
    graph, _ = trace(step, [((16, 8, 8, 3), "float32"), ((16,), "int64")], training=True)
    Planner(simplify(graph), recorder, LOWERING).plan()
    assert len(recorder.sources) > 5

    def everything(a, b, i, j):
        floats = [ops.exp(a), ops.expm1(a), ops.log(a), ops.log1p(a), ops.sqrt(a), ops.tanh(a), ops.sigmoid(a),
                  ops.erf(a), ops.floor(a), ops.isfinite(a), ops.power(a, b), a / b, ops.sign(a), abs(a), -a]
        pairs = [op(x, y) for x, y in ((a, b), (i, j)) for op in (
            ops.add, ops.subtract, ops.multiply, ops.maximum, ops.minimum, ops.equal, ops.not_equal, ops.less,
            ops.less_equal, ops.greater, ops.greater_equal, ops.logical_and, ops.logical_or)]
        others = [ops.where(a > b, a, b), ops.relu(i), ops.square(i), ops.logical_not(i), ops.check_finite(a),
                  ops.broadcast_to(i, (7, *i.shape))]
        casts = [ops.cast(x, t) for x in (a, i) for t in ("float64", "bool", "uint8", "int16", "uint32", "int64")]
        return floats + pairs + others + casts
    for x, y in (("float32", "int32"), ("float64", "uint8"), ("float16", "int32"), ("bfloat16", "int64")):
        graph, _ = trace(everything, [((5,), x), ((5,), x), ((3, 5), y), ((5,), y)])
        Planner(prepare(graph, recorder.tensor_cores), recorder, LOWERING).plan()
    # All in one program, which is faster; so each needs a name, and what it defines a space, of its own.
    names = ("SUMS", "PARAMETERS", "ELEMENT", "RESULT")
    parts = [f"namespace n{i} {{\n" + re.sub(r"\b(?:chain|sums|together)_\w+(?=\()", f"chain_{i}", source, count=1)
             + "\n}\n" + "".join(f"#undef {n}\n" for n in names) for i, source in enumerate(sorted(recorder.sources))]
    for architecture, some in ((ARCHITECTURES[0], parts), (90, parts[::8])):
        found = nvrtc.compiled("\n".join(some), (), architecture)
        assert len(found) == len(some) and not any(usage.spilled for usage in found.values())


@pytest.mark.parametrize("count, width", [(16, ".v4.f32"), (15, ".f32")])
def test_chains_move_four_numbers_at_once(count, width):
    """Where sizes allow it; also of what is spread along other axes."""
    from cupy_backends.cuda.libs import nvrtc as library
    recorder = nvrtc.Recorder()
    graph, _ = trace(lambda a, b, c: ops.relu(a * c + b), [((9, count), "float32")] * 2 + [((count,), "float32")])
    Planner(graph, recorder, LOWERING).plan()
    (source,) = recorder.sources
    program = library.createProgram(nvrtc.PRELUDE + source, "kernel.cu", (), ())
    library.compileProgram(program, (*nvrtc.OPTIONS, "-arch=compute_90"))
    moves = re.findall(r"(?:ld|st)\.global(?:\.nc)?(\S+)", str(library.getPTX(program)))
    assert len(moves) >= 4 and set(moves) == {width}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_epilogues(architecture):
    """Scale, shift, an array that is added, and relu, after the largest tile and a depthwise convolution."""
    recorder = nvrtc.Recorder()

    def function(x, k, d, scale, shift, residual):
        return (ops.relu(ops.conv(x, k, padding="same") * scale + shift + residual),
                ops.relu(ops.depthwise_conv(x, d, padding="same") * scale + shift))
    specs = [((32, 56, 56, 128), "float32"), ((3, 3, 128, 128), "float32"), ((3, 3, 128, 1), "float32"),
             ((128,), "float32"), ((128,), "float32"), ((32, 56, 56, 128), "float32")]
    Planner(trace(function, specs)[0], recorder, LOWERING).plan()
    assert {e[1].split("<")[0] for e in recorder.epilogues} == {"implicit", "depthwise"}
    for family, expression, before in recorder.epilogues:
        usage = nvrtc.compiled(before + nvrtc.source_of(family), [expression], architecture)[expression]
        assert usage.registers <= 128 and not usage.spilled


def test_errors_of_the_compiler_are_shown():
    with pytest.raises(AssertionError, match="sm_80.*nonsense"):
        nvrtc.compiled('extern "C" __global__ void k(float* x) { x[0] = nonsense; }', (), 80)
    found = nvrtc.compiled('extern "C" __global__ void k(float* x) { x[0] = 1; }', (), 80)
    assert list(found) == ["k"] and np.all(found["k"] == (found["k"].registers, 0, 0))
