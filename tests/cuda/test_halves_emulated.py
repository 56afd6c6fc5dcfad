"""Half precision on the emulated device: every op against the reference, the tensor cores' kernels at their edges."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import backends, layers, losses, ops, optimizers
from pyconv.backends.cuda import CUDABackend, driver
from pyconv.graph import limits, trace
from pyconv.graph.dtypes import as_dtype
from pyconv.testing.contract import HALF_OPS, compare_halves
from pyconv.testing.strategies import arguments
from tests.cuda.emulator import standin
from tests.cuda.test_training_emulated import images  # noqa: F401  (a fixture)

HALVES = ("float16", "bfloat16")
RNG = np.random.default_rng(6)


@pytest.mark.devices
@pytest.mark.parametrize("name", HALF_OPS)
@settings(max_examples=3)
@given(data=st.data())
def test_each_op_in_halves(name, data):
    arrays, attrs = data.draw(arguments(name, dtypes=("float32", "int32"), layouts=("C",)))
    compare_halves(name, arrays, attrs, data.draw(st.sampled_from(HALVES)), "cuda")


def floats(*shape):
    return RNG.uniform(-1, 1, shape).astype("float32")


def in_halves(dtype, backend, function, *arrays):
    """A function of half tensors on a backend; the results as float32."""
    graph = trace(lambda *x: ops.cast(function(*(ops.cast(a, dtype) for a in x)), "float32"),
                  [(a.shape, "float32") for a in arrays])[0]
    return (backends.get(backend) if isinstance(backend, str) else backend).compile(graph)(list(arrays))[0]


def both(dtype, function, *arrays, backend="cuda"):
    """The device's results and the reference's, in double precision: sums in float32 and one rounding apart."""
    exact = [as_dtype(a, dtype).astype("float64") for a in arrays]
    expected = backends.get("reference").compile(trace(function, [(a.shape, "float64") for a in exact])[0])(exact)[0]
    found = in_halves(dtype, backend, function, *arrays)
    sizes = backends.get("reference").compile(trace(function, [(a.shape, "float64") for a in exact])[0])(
        [np.abs(a) for a in exact])[0]
    allowed = 0.501 * limits(dtype).eps * np.abs(expected) + 2e-6 * np.abs(sizes).max() + limits(dtype).tiny
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= allowed), np.abs(found - expected).max()


def convolutions(dtype, x, w, dy, attrs, backend="cuda"):
    """A convolution and its two gradients."""
    for name, arrays, more in (("conv", (x, w), {}), ("conv_input_gradient", (dy, w), {"shape": x.shape}),
                               ("conv_kernel_gradient", (x, dy), {"shape": w.shape})):
        both(dtype, functools.partial(ops.base.apply, name, **attrs, **more), *arrays, backend=backend)


def instances(what):
    return {key[1] for key in backends.get("cuda").driver._kernels if isinstance(key, tuple) and what in key[1]}


CASES = {       # batch, sizes, window, depth, each, groups, strides, padding, dilation
    "vectors": (2, (5, 6), (3, 3), 16, 24, 1, (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "single elements": (2, (7, 5), (3, 2), 3, 5, 1, (2, 1), ((1, 0), (2, 1)), (1, 2)),
    "vectors on one side": (3, (4, 9), (1, 3), 8, 6, 1, (1, 2), ((0, 0), (1, 1)), (1, 1)),
    "the other side": (3, (4, 9), (1, 3), 7, 16, 1, (1, 2), ((0, 0), (1, 1)), (1, 1)),
    "groups": (2, (5, 5), (3, 3), 8, 16, 3, (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "depthwise": (2, (6, 6), (3, 3), 1, 1, 9, (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "one axis": (3, (40,), (5,), 4, 18, 1, (1,), ((2, 2),), (1,)),
    "three axes": (1, (3, 4, 5), (2, 2, 2), 8, 8, 1, (1, 1, 1), ((1, 0),) * 3, (1, 1, 1)),
    "a large tile": (9, (32, 32), (1, 1), 8, 40, 1, (1, 1), ((0, 0), (0, 0)), (1, 1)),
}


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("case", CASES)
def test_convolutions(case, dtype):
    batch, sizes, window, depth, each, groups, strides, padding, dilation = CASES[case]
    for last in (True, False) if case in ("vectors", "groups", "depthwise") else (True,):
        attrs = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups, "channels_last": last}
        shape = (batch, *sizes, depth * groups) if last else (batch, depth * groups, *sizes)
        x, w = floats(*shape), floats(*window, depth, each * groups)
        y = backends.get("cpu").execute("conv", [x, w], attrs).shape
        convolutions(dtype, x, w, floats(*y), attrs)
    if case != "depthwise":
        assert instances("convolve")


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
def test_sums_in_parts_and_the_largest_tile(dtype):
    x, w, dy = floats(16, 32, 32, 8), floats(1, 1, 8, 72), floats(16, 32, 32, 72)
    attrs = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "channels_last": True}
    both(dtype, functools.partial(ops.base.apply, "conv", **attrs), x, w)
    both(dtype, functools.partial(ops.base.apply, "conv_kernel_gradient", shape=w.shape, **attrs), x, dy)
    c_type = "f16" if dtype == "float16" else "bf16"
    assert instances(f"convolve<{c_type}, FORWARD, true, true, 128, 128, 64, 32, {c_type}>")
    assert instances(f"convolve<{c_type}, KERNEL, true, true, 64, 64, 32, 16, float>")


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_products_of_matrices(dtype, ta, tb):
    for m, n, k in ((24, 16, 40), (65, 33, 7), (1, 130, 70)):
        a, b = floats(3, *((k, m) if ta else (m, k))), floats(3, *((n, k) if tb else (k, n)))

        function = functools.partial(ops.base.apply, "matmul", transpose_a=ta, transpose_b=tb)
        both(dtype, function, a, b)
        both(dtype, function, a[0], b[0])


@pytest.mark.devices
def test_sums_read_halves():
    """Nothing is stored in float32 for a mean of halves: the arena holds the partial sums alone."""
    def function(x):
        return ops.mean(x, 0)
    graph = trace(function, [((4096, 8), "float16")])[0]
    program = backends.get("cuda").compile(graph)
    x = RNG.normal(3, 1, (4096, 8)).astype("float16")
    np.testing.assert_allclose(program([x])[0], x.astype("float64").mean(0), rtol=1e-3)
    assert program([x])[0].dtype == "float16" and program.arena_size < x.nbytes


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
def test_what_follows_a_convolution_is_its_epilogue(dtype):
    """Bias and activation take no launch of their own, and the convolution's result is rounded before them."""
    def function(a, b, bias):
        return ops.relu(ops.conv(a, b) + bias)
    x, w, bias = floats(2, 6, 6, 8), floats(3, 3, 8, 16), floats(16)
    for backend in ("cuda", "reference"):
        graph = trace(lambda *t: ops.cast(function(*(ops.cast(a, dtype) for a in t)), "float32"),
                      [(a.shape, "float32") for a in (x, w, bias)])[0]
        program = backends.get(backend).compile(graph)
        found = program([x, w, bias])[0]
        if backend == "cuda":
            names = [launch for launch in program.plan]
            assert len(names) <= 5, names          # the status, casts of the three inputs, the convolution
            first = found
    np.testing.assert_allclose(first, found, rtol=2 * limits(dtype).eps, atol=limits(dtype).eps)


def test_without_tensor_cores():
    """Older devices compute in float32, and round to the same numbers."""
    device = CUDABackend()
    device.driver.tensor_cores = ()
    x, w = floats(2, 5, 6, 8), floats(3, 3, 8, 8)

    def function(a, b):
        return ops.conv(a, b)
    both("bfloat16", function, x, w, backend=device)
    assert not any("convolve" in key[1] for key in device.driver._kernels)


def test_the_tensor_cores_kernels_have_no_races(monkeypatch):
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    device = CUDABackend()
    attrs = {"strides": (1, 1), "padding": ((1, 1), (1, 0)), "dilation": (1, 1), "groups": 1, "channels_last": True}
    for depth, each in ((8, 24), (5, 7)):
        x, w = floats(2, 5, 6, depth), floats(3, 2, depth, each)
        dy = floats(2, 5, 6, each)
        for dtype in HALVES:
            convolutions(dtype, x, w, dy, attrs, device)
    both("bfloat16", ops.matmul, floats(2, 9, 70), floats(2, 70, 18), backend=device)


@pytest.mark.devices
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_lenet_trains_like_the_reference_and_close_to_float32(policy, images):  # noqa: F811
    x, y = images
    found = {}
    for name, backend in (("float32", "cpu"), (policy, "cuda"), (policy, "reference")):
        pyconv.random.set_random_seed(3)
        pyconv.config.set_dtype_policy(name)
        with pyconv.device(backend):
            model = pyconv.applications.lenet5()
            model.compile(optimizers.Adam(1e-3), losses.SparseCategoricalCrossentropy(from_logits=True))
            found[name, backend] = [model.train_on_batch(x[i:i + 16], y[i:i + 16]) for i in range(0, 48, 16)]
            assert all(np.isfinite(w).all() for w in model.get_weights())
    close = 4e-3 if policy == "mixed_float16" else 3e-2
    np.testing.assert_allclose(found[policy, "cuda"], found[policy, "reference"], rtol=close)
    np.testing.assert_allclose(found[policy, "cuda"], found["float32", "cpu"], rtol=5 * close)


@pytest.mark.devices
def test_policies_by_path():
    """One model with layers in float16, bfloat16 and float32."""
    found = {}
    for backend in ("cuda", "reference"):
        with pyconv.device(backend):
            pyconv.config.set_dtype_policy(pyconv.dtype_policies.DTypePolicyMap(
                "mixed_bfloat16", {"net/first": "mixed_float16", ".*/(last|flat)": "float32"}))
            pyconv.random.set_random_seed(1)
            model = pyconv.Sequential([pyconv.Input((6, 6, 8)), layers.Conv2D(8, 3, name="first"), layers.Conv2D(8, 3),
                                       layers.Flatten(name="flat"), layers.Dense(3, name="last")], name="net")
            assert [layer.compute_dtype for layer in model.layers] == ["float16", "bfloat16", "float32", "float32"]
            model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
            x, y = np.random.default_rng(0).normal(size=(6, 6, 6, 8)).astype("float32"), np.arange(6) % 3
            found[backend] = [model.train_on_batch(x, y) for _ in range(3)]
    np.testing.assert_allclose(found["cuda"], found["reference"], rtol=1e-2)
    assert found["cuda"][2] < found["cuda"][0]


@pytest.mark.devices
def test_a_step_that_overflows_is_skipped():
    def run(backend):
        with pyconv.device(backend):
            pyconv.config.set_dtype_policy("mixed_float16")
            pyconv.random.set_random_seed(1)
            model = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)])
            optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.1, momentum=0.9), 2.0**17, 2)
            model.compile(optimizer, "mse")
            x, y = np.ones((4, 4), "float32"), np.full((4, 1), 3.0, "float32")
            scales = []
            for _ in range(6):
                model.train_on_batch(x, y)
                scales.append(float(optimizer.dynamic_scale))
            return scales, int(optimizer.iterations), model.get_weights()
    (scales, count, weights), expected = run("cuda"), run("reference")
    assert scales == expected[0] and scales[0] == 2.0**16 and count == expected[1] < 6
    for a, b in zip(weights, expected[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)
