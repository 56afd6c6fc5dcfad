"""Each convolution algorithm of the CPU backend against the reference, and how far Winograd's may be off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconv import backends, config, ops

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")


def _backend(algorithm):
    """A backend of its own, whose programs are all compiled with the algorithm."""
    cpu = backends.get("cpu")
    return type(cpu)(cpu.variant), algorithm


@pytest.fixture(scope="module", params=["winograd", "direct", "auto"])
def execute(request):
    backend, algorithm = _backend(request.param)

    def run(name, arrays, attrs):
        before = config.conv_algorithm()
        config.set_conv_algorithm(algorithm)
        try:
            return backend.execute(name, arrays, attrs)
        finally:
            config.set_conv_algorithm(before)
    return run


@st.composite
def problems(draw):
    """Shapes that Winograd's algorithm takes: kernels of 3 or 5, stride 1, one group, any padding below the kernel."""
    rank, size = draw(st.integers(2, 3)), draw(st.sampled_from([3, 5]))
    depth = draw(st.integers(1, 3))
    window = (depth, size, size)[-rank:]
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in window)
    least = [max(1, k - sum(p)) for k, p in zip(window, padding, strict=True)]
    sizes = tuple(draw(st.integers(n, n + (3 if rank == 3 else 11))) for n in least)
    # Now and then more than a tile of registers, a vector or a group of filters.
    channels, filters = (draw(st.integers(1, 9) | st.sampled_from([17, 35])) for _ in range(2))
    last = draw(st.booleans())
    batch = draw(st.integers(1, 40) if rank == 2 else st.integers(1, 20))
    x = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    attrs = dict(strides=(1,) * rank, padding=padding, dilation=(1,) * rank, groups=1, channels_last=last)
    return x, (*window, channels, filters), attrs, draw(st.integers(0, 2**32 - 1))


@given(problems(), st.sampled_from(["float32", "float64"]))
def test_every_algorithm_agrees_with_the_reference(execute, problem, dtype):
    """Normwise relative error: 2e-5 in float32 is the bound that is promised, 1e-13 in float64."""
    x_shape, k_shape, attrs, seed = problem
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal(x_shape), rng.standard_normal(k_shape)
    reference = backends.get("reference")
    y = reference.execute("conv", [x, kernel], attrs)
    g = rng.standard_normal(y.shape)
    dx = reference.execute("conv_input_gradient", [g, kernel], {"shape": x_shape, **attrs})
    dk = reference.execute("conv_kernel_gradient", [x, g], {"shape": k_shape, **attrs})
    cast = [a.astype(dtype) for a in (x, kernel, g)]
    bound = 2e-5 if dtype == "float32" else 1e-13
    for name, arrays, extra, expected in (
            ("conv", cast[:2], {}, y),
            ("conv_input_gradient", [cast[2], cast[1]], {"shape": x_shape}, dx),
            ("conv_kernel_gradient", [cast[0], cast[2]], {"shape": k_shape}, dk)):
        got = execute(name, arrays, {**extra, **attrs})
        assert got.dtype == dtype and got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= bound * max(np.linalg.norm(expected), 1e-30), name


@pytest.mark.parametrize("channels, filters, size, image", [(64, 64, 3, 28), (20, 50, 5, 14), (256, 128, 3, 14)])
def test_winograd_stays_accurate_with_many_channels(channels, filters, size, image):
    backend, _ = _backend("winograd")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((16, image, image, channels))
    kernel = rng.standard_normal((size, size, channels, filters))
    pad = size // 2
    attrs = dict(strides=(1, 1), padding=((pad, pad),) * 2, dilation=(1, 1), groups=1, channels_last=True)
    expected = backends.get("reference").execute("conv", [x, kernel], attrs)
    before = config.conv_algorithm()
    config.set_conv_algorithm("winograd")
    try:
        got = backend.execute("conv", [x.astype("float32"), kernel.astype("float32")], attrs)
    finally:
        config.set_conv_algorithm(before)
    assert np.linalg.norm(got - expected) <= 2e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("batch", [1, 16, 130])
@pytest.mark.parametrize("strides, size", [((1, 1), 3), ((2, 2), 7), ((1, 1), 1)])
def test_bits_do_not_depend_on_threads_and_nothing_leaks_between_samples(execute, batch, strides, size):
    """The three convolutions on 1 and on 3 threads; a NaN in one sample stays in that sample."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((batch, 19, 22, 17)).astype("f4")
    kernel = rng.standard_normal((size, size, 17, 20)).astype("f4")
    attrs = dict(strides=strides, padding=((size // 2,) * 2,) * 2, dilation=(1, 1), groups=1, channels_last=True)
    x[-1] = np.nan
    y = execute("conv", [x, kernel], attrs)
    assert np.isfinite(y[:-1]).all() and np.isnan(y[-1]).all()
    g = rng.standard_normal(y.shape).astype("f4")
    x[-1] = 1
    calls = [("conv", [x, kernel], attrs), ("conv_input_gradient", [g, kernel], {"shape": x.shape, **attrs}),
             ("conv_kernel_gradient", [x, g], {"shape": kernel.shape, **attrs})]
    threads = config.num_threads()
    results = []
    try:
        for n in (1, 3):
            config.set_num_threads(n)
            results.append([execute(*call) for call in calls])
    finally:
        config.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert np.isfinite(one).all() and one.tobytes() == three.tobytes()


def test_unknown_algorithms_are_refused():
    with pytest.raises(ValueError, match="conv_algorithm='fft' must be 'auto', 'direct' or 'winograd'"):
        config.set_conv_algorithm("fft")


def test_programs_of_another_algorithm_are_not_used(monkeypatch):
    rng = np.random.default_rng(4)
    x, kernel = rng.standard_normal((16, 12, 12, 8)).astype("f4"), rng.standard_normal((3, 3, 8, 8)).astype("f4")
    from pyconv.ops.function import Function
    function, before, results = Function(ops.conv), config.conv_algorithm(), {}
    try:
        for name in ("direct", "winograd", "direct"):
            config.set_conv_algorithm(name)
            for result in (ops.conv(x, kernel), function(x, kernel)):
                assert results.setdefault(name, np.asarray(result).tobytes()) == np.asarray(result).tobytes()
        assert results["direct"] != results["winograd"]
        monkeypatch.setitem(config._state, "conv_algorithm", None)
        monkeypatch.setenv("PYCONV_CONV_ALGORITHM", "direct")
        assert config.conv_algorithm() == "direct"
    finally:
        config.set_conv_algorithm(before)


def test_bias_and_relu_are_fused_the_same_way(execute):
    rng = np.random.default_rng(2)
    x, kernel = rng.standard_normal((20, 9, 9, 4)).astype("f4"), rng.standard_normal((3, 3, 4, 6)).astype("f4")
    from pyconv.ops.function import Function
    bias = rng.standard_normal(6).astype("f4")
    fused = Function(lambda x, k, b: ops.relu(ops.conv(x, k, padding="same") + b))
    separate = np.maximum(np.asarray(ops.conv(x, kernel, padding="same")) + bias, 0)
    assert np.allclose(fused(x, kernel, bias), separate, atol=1e-4)
