"""What the contract's small arrays do not reach: large tiles, sums in parts, long rows; every path against the CPU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.graph import trace
from pyconv.ops.base import apply

RNG = np.random.default_rng(5)


def floats(*shape, dtype="float32"):
    return RNG.uniform(-1, 1, shape).astype(dtype)


def both(name, arrays, **attrs):
    """The op on the CPU backend and on the emulated device, with the largest difference allowed."""
    expected = backends.get("cpu").execute(name, arrays, attrs)
    scale = np.abs(expected).max()
    found = backends.get("cuda").execute(name, arrays, attrs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * np.finfo(found.dtype).eps * scale)


def instances():
    """The kernels that have been used so far."""
    return {key[1] for key in backends.get("cuda").driver._kernels if isinstance(key, tuple)}


@pytest.mark.parametrize("last, depth, filters", [(True, 65, 66), (True, 68, 72), (False, 65, 66)])
def test_large_tiles_of_convolution(last, depth, filters):
    """More than 128 * 128 rows and 64 columns: tiles of 128 x 128; the kernel's gradient in parts."""
    image = (lambda c: (65, 16, 17, c)) if last else (lambda c: (65, c, 16, 17))
    x, w, dy = floats(*image(depth)), floats(1, 2, depth, filters), floats(*image(filters))
    attrs = {"strides": (1, 1), "padding": ((0, 0), (1, 0)), "dilation": (1, 1), "groups": 1, "channels_last": last}
    both("conv", [x, w], **attrs)
    both("conv_input_gradient", [dy, w], shape=x.shape, **attrs)
    both("conv_kernel_gradient", [x, dy], shape=w.shape, **attrs)
    used, wide = instances(), 4 if depth % 4 == 0 else 1
    for mode in ("FORWARD", "INPUT"):
        assert f"tiled<float, {mode}, {str(last).lower()}, 128, 128, 8, {wide}>" in used
    assert f"tiled<float, KERNEL, {str(last).lower()}, 64, 64, 16, {wide}>" in used


def test_groups_in_tiles_and_a_depthwise_convolution():
    attrs = {"strides": (2, 1), "padding": ((1, 1), (2, 0)), "dilation": (1, 2), "channels_last": True}
    for depth, each, groups in ((8, 17, 2), (1, 2, 9)):
        x, w = floats(3, 9, 8, depth * groups), floats(3, 2, depth, each * groups)
        dy = backends.get("cpu").execute("conv", [x, w], {**attrs, "groups": groups})
        both("conv", [x, w], groups=groups, **attrs)
        both("conv_input_gradient", [dy, w], shape=x.shape, groups=groups, **attrs)
        both("conv_kernel_gradient", [x, dy], shape=w.shape, groups=groups, **attrs)


@pytest.mark.parametrize("shape,axes", [((3000, 5), (0,)), ((40000,), (0,)), ((3, 20000), (1,)),
                                        ((9, 70, 11, 8), (0, 2)), ((2, 300, 3, 50), (1, 3)), ((64, 130), (0,))])
def test_long_reductions(shape, axes):
    x = floats(*shape)
    both("sum", [x], axes=axes, keepdims=False)
    for name in ("max", "min"):
        found = backends.get("cuda").execute(name, [x], {"axes": axes, "keepdims": True})
        np.testing.assert_array_equal(found, getattr(np, name)(x, axes, keepdims=True))
    x[tuple(n // 2 for n in shape)] = np.nan
    found = backends.get("cuda").execute("max", [x], {"axes": axes, "keepdims": False})
    np.testing.assert_array_equal(found, x.max(axes))


@settings(max_examples=25)
@given(st.lists(st.sampled_from([1, 2, 3, 5, 8, 31, 33, 64, 130]), min_size=1, max_size=3), st.data())
def test_reductions_of_any_shape(shape, data):
    """Each way in which threads share results: in a warp, across warps, along rows or columns."""
    axes = tuple(data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True).map(sorted)))
    x = RNG.integers(-9, 9, shape).astype("float32")
    device = backends.get("cuda")
    for name in ("sum", "max", "min"):
        found = device.execute(name, [x], {"axes": axes, "keepdims": False})
        np.testing.assert_array_equal(found, getattr(np, name)(x, axes))
    np.testing.assert_array_equal(device.execute("argmin", [x], {"axis": axes[0]}), x.argmin(axes[0]))


@pytest.mark.parametrize("shape, axes", [((70, 9, 11, 4), (0, 1, 2)), ((8, 5000), (1,))])
def test_variances_far_from_zero(shape, axes):
    """Squares are summed about the mean: the digits that a mean of 1000 takes of each number are all that is lost."""
    x = (1000 + RNG.normal(size=shape)).astype("float32")
    found = backends.get("cuda").execute("variance", [x], {"axes": axes, "keepdims": False})
    np.testing.assert_allclose(found, x.astype("float64").var(axes), rtol=2e-6)


@pytest.mark.parametrize("count", [1, 31, 257, 3000])
def test_first_of_equal_extrema_and_nan(count):
    x = RNG.integers(0, 3, (5, count)).astype("float32")
    x[3, count // 2:] = np.nan
    for name in ("argmax", "argmin"):
        for array, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            np.testing.assert_array_equal(backends.get("cuda").execute(name, [array], {"axis": axis}),
                                          getattr(np, name)(array, axis))


def test_products_of_many_matrices():
    a, b = floats(3, 1, 70, 33), floats(5, 33, 65)
    both("matmul", [a, b], transpose_a=False, transpose_b=False)
    both("matmul", [np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)], transpose_a=True, transpose_b=True)
    both("matmul", [a, b[0]], transpose_a=False, transpose_b=False)


def test_many_repeated_indices():
    indices = RNG.integers(0, 7, 900).astype("int32")
    both("take_gradient", [floats(4, 900, 3), indices], shape=(4, 7, 3), axis=1)


def test_groups_of_elementwise_nodes_become_one_kernel():
    """A chain with broadcasting, reshapes in between and several results is one launch."""
    def function(x, bias):
        y = ops.tanh(x * 2 + bias)
        z = ops.reshape(ops.relu(y), (-1,))
        return y, ops.reshape(z * z, x.shape) + ops.reshape(bias, (1, 3, 1))
    x, bias = floats(4, 3, 5), floats(3, 1)
    program = backends.get("cuda").compile(trace(function, [(x.shape, "float32"), (bias.shape, "float32")])[0])
    assert len(program.plan) == 2           # the status, and the chain
    y, z = program([x, bias])
    np.testing.assert_allclose(y, np.tanh(x * 2 + bias), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(z, np.maximum(y, 0) ** 2 + bias, rtol=1e-6, atol=1e-6)


def test_memory_is_shared_by_arrays_whose_lives_do_not_overlap():
    def function(x):
        for _ in range(20):
            x = ops.transpose(ops.exp(x))
        return ops.sum(x)
    program = backends.get("cuda").compile(trace(function, [((64, 64), "float32")])[0])
    assert program.arena_size <= 3 * 64 * 64 * 4


def test_programs_share_an_arena_that_grows():
    """A larger program takes the arena's place; the smaller one finds its arrays anew, and captures anew."""
    def compiled(n):
        return backends.get("cuda").compile(trace(lambda x: ops.sum(ops.transpose(x) * 2, 1), [((n, n), "float32")])[0])

    def run(program, n):
        x = floats(n, n)
        np.testing.assert_allclose(program([x])[0], 2 * x.sum(0), rtol=1e-4, atol=1e-4)
    driver = backends.get("cuda").driver
    driver._arena = None
    small, large = compiled(16), compiled(200)
    for _ in range(3):
        run(small, 16)
    assert small.captured is not None and driver._arena.nbytes == small.arena_size
    for _ in range(2):
        run(large, 200)
    assert small.launches is None and small.captured is None and driver._arena.nbytes == large.arena_size
    for _ in range(3):
        run(small, 16)
    assert small.captured is not None and driver._arena.nbytes == large.arena_size


def test_integers_wrap_as_in_numpy():
    for dtype in ("uint8", "int8", "int32", "int64"):
        info = np.iinfo(dtype)
        a, b = np.array([info.max, info.min, 100], dtype), np.array([1, 3, 100], dtype)

        def function(x, y):
            return x + y, x - y, x * y
        program = backends.get("cuda").compile(trace(function, [((3,), dtype)] * 2)[0])
        with np.errstate(over="ignore"):
            for found, expected in zip(program([a, b]), function(a, b), strict=True):
                np.testing.assert_array_equal(found, expected)
    x = np.array([-1.9, 1.9, 200.7, 0.0], "float32")
    np.testing.assert_array_equal(backends.get("cuda").execute("cast", [x], {"dtype": "uint8"}), [255, 1, 200, 0])
    np.testing.assert_array_equal(backends.get("cuda").execute("cast", [x], {"dtype": "bool"}), [True] * 3 + [False])


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("last", [True, False])
def test_epilogues(last, groups):
    """Scale, shift, an array that is added, activation and several results, of tiles and direct kernels; with an error
    that is reported from within."""
    depth, filters = 8, 16
    shape = (lambda c: (3, 6, 5, c)) if last else (lambda c: (3, c, 6, 5))
    line = (filters,) if last else (filters, 1, 1)

    def function(x, k, g, scale, shift, residual):
        y = ops.conv(x, k, padding="same", groups=groups, data_format="channels_last" if last else "channels_first")
        a = ops.check_finite(y * scale + shift, "not finite")
        back = apply("conv_input_gradient", g, k, shape=shape(depth), strides=(1, 1), dilation=(1, 1),
                     padding=((1, 1), (1, 1)), groups=groups, channels_last=last)
        return ops.relu(a), ops.tanh(a + residual), y, ops.where(x > 0, back, 0.0), ops.sum(a * a, (0, 1))
    arrays = [floats(*s) for s in (shape(depth), (3, 3, depth // groups, filters), shape(filters), line, line,
                                   shape(filters))]
    graph = trace(function, [(a.shape, "float32") for a in arrays])[0]
    program, expected = backends.get("cuda").compile(graph), backends.get("reference").compile(graph)(arrays)
    for _ in range(3):
        for found, wanted in zip(program(arrays), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    arrays[3][...] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        program(arrays)


@pytest.mark.parametrize("shape", [(3, 4, 8), (3, 5, 8), (2, 4, 7), (1, 1, 4), (4, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_broadcasting_in_chains_of_four(shape, dtype):
    """Arrays that are spread along each combination of axes, in one chain."""
    a, b, c = shape
    shapes = [(a, b, c), (b, c), (c,), (b, 1), (a, 1, c), (1,), (a, 1, 1), (), (a, b, 1)]
    arrays = [RNG.integers(1, 9, s).astype(dtype) for s in shapes]

    def function(*tensors):
        total = tensors[0]
        for t in tensors[1:]:
            total = total * 2 + t
        return total, total > tensors[2]
    program = backends.get("cuda").compile(trace(function, [(s, dtype) for s in shapes])[0])
    for found, expected in zip(program(arrays), function(*arrays), strict=True):
        np.testing.assert_array_equal(found, expected)
