"""Each convolution algorithm of the CPU backend against the reference, and how far Winograd's may be off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import Input, Model, backends, config, layers, ops
from pyconv.graph import simplify, trace

from .test_small_batches import compare

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import lowering_winograd  # noqa: E402
CPU = backends.get("cpu")


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
    """Shapes that Winograd's algorithm takes: rows of 2 to 5 taps, or of as many in the longest phase of a stride, as
    many rows of taps or, but for 2 taps, one, a few groups, any padding below the kernel. Some are cubes of 3 x 3 x 3,
    whose depth is transformed, too."""
    rank = draw(st.integers(1, 3))
    cube = rank == 3 and draw(st.booleans())
    strides = (1,) * 3 if cube else tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in range(3))
    flat = rank == 1 or not cube and draw(st.sampled_from([False, False, True]))
    taps = 3 if cube else draw(st.sampled_from([3, 4, 5] if flat else [2, 3, 4, 5]))
    rows, size = (taps * s - draw(st.integers(0, s - 1)) for s in strides[1:])
    window = (3 if cube else draw(st.integers(1, 3)), 1 if flat else rows, size)[-rank:]
    strides = strides[-rank:]
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in window)
    least = [max(1, k - sum(p)) for k, p in zip(window, padding, strict=True)]
    spare = 5 if cube else 3 if rank == 3 else 11
    sizes = tuple(draw(st.integers(n, n + spare * s)) for n, s in zip(least, strides, strict=True))
    # Now and then more than a tile of registers, a vector or a group of filters.
    channels, filters = (draw(st.integers(1, 9) | st.sampled_from([17, 35])) for _ in range(2))
    last = draw(st.booleans())
    batch = draw(st.integers(1, 40) if rank < 3 else st.integers(1, 20))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    x = (batch, *sizes, channels * groups) if last else (batch, channels * groups, *sizes)
    attrs = dict(strides=strides, padding=padding, dilation=(1,) * rank, groups=groups, channels_last=last)
    return x, (*window, channels, filters * groups), attrs, draw(st.integers(0, 2**32 - 1))


@given(problems(), st.sampled_from(["float32", "float64"]))
def test_every_algorithm_agrees_with_the_reference(execute, problem, dtype):
    """Normwise relative error: 2e-5 in float32 is the bound that is promised, 1e-13 in float64, which is direct."""
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


@pytest.mark.parametrize("channels, filters, window, sizes, stride", [
    (64, 64, (3, 3), (28, 28), 1), (256, 128, (3, 3), (14, 14), 1), (20, 50, (5, 5), (14, 14), 1),
    (192, 160, (5, 5), (12, 12), 1), (256, 256, (5,), (60,), 1), (256, 256, (1, 3), (3, 40), 1),
    (256, 128, (4, 4), (13, 13), 1), (128, 64, (7, 7), (25, 25), 2), (64, 64, (5, 5), (25, 25), 2),
    (256, 128, (3, 3), (25, 25), 2), (64, 64, (3, 3, 3), (6, 9, 10), 1), (512, 16, (3, 3, 3), (4, 6, 6), 1)])
def test_winograd_stays_accurate_with_many_channels(channels, filters, window, sizes, stride):
    """Normwise, against double precision; 5 x 5 has the largest factors in its transforms. Inputs as after a relu."""
    backend, _ = _backend("winograd")
    rng = np.random.default_rng(1)
    x = np.maximum(rng.standard_normal((16, *sizes, channels)), 0)
    kernel = rng.standard_normal((*window, channels, filters))
    attrs = dict(strides=(stride,) * len(sizes), padding=tuple((k // 2,) * 2 for k in window),
                 dilation=(1,) * len(sizes), groups=1, channels_last=True)
    outputs = [(n + 2 * (k // 2) - k) // stride + 1 for n, k in zip(sizes, window, strict=True)]
    grad = rng.standard_normal((16, *outputs, filters))
    before = config.conv_algorithm()
    config.set_conv_algorithm("winograd")
    try:
        for name, arrays, extra in (("conv", [x, kernel], {}),
                                    ("conv_input_gradient", [grad, kernel], {"shape": x.shape}),
                                    ("conv_kernel_gradient", [x, grad], {"shape": kernel.shape})):
            expected = backends.get("reference").execute(name, arrays, {**extra, **attrs})
            got = backend.execute(name, [a.astype("float32") for a in arrays], {**extra, **attrs})
            assert np.linalg.norm(got - expected) <= 2e-5 * np.linalg.norm(expected), name
    finally:
        config.set_conv_algorithm(before)


@pytest.mark.parametrize("batch", [1, 16, 130])
@pytest.mark.parametrize("strides, size, pad", [((1, 1), 3, 1), ((1, 1), 3, 0), ((2, 2), 3, 1), ((2, 2), 7, 3),
                                                ((1, 1), 1, 0), ((1, 1, 1), 3, 1), ((1, 1, 1), 3, 0)])
def test_bits_do_not_depend_on_threads_and_nothing_leaks_between_samples(execute, batch, strides, size, pad):
    """The three convolutions on 1 and on 3 threads; a NaN in one sample stays in that sample."""
    rng, rank = np.random.default_rng(3), len(strides)
    x = rng.standard_normal((batch, *((19, 22) if rank == 2 else (7, 9, 14)), 17)).astype("f4")
    kernel = rng.standard_normal((*(size,) * rank, 17, 20)).astype("f4")
    attrs = dict(strides=strides, padding=((pad,) * 2,) * rank, dilation=(1,) * rank, groups=1, channels_last=True)
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


@settings(max_examples=60)
@given(problems(), st.booleans(), st.booleans(), st.booleans())
def test_bias_another_map_and_relu_are_part_of_the_convolution(problem, biased, summed, relu):
    """In every combination, as in residual blocks, and with the same bits whatever the number of threads."""
    (batch, *shape), window, attrs, seed = problem
    rng, last = np.random.default_rng(seed), attrs["channels_last"]
    x, kernel = rng.standard_normal((max(batch, 16), *shape)).astype("f4"), rng.standard_normal(window).astype("f4")
    options = {**{k: attrs[k] for k in ("strides", "padding", "groups")},
               "data_format": "channels_last" if last else "channels_first"}
    bias = rng.standard_normal(window[-1:] if last else (window[-1], *[1] * (len(window) - 2))).astype("f4")
    other = rng.standard_normal(ops.conv(x, kernel, **options).shape).astype("f4")
    config.set_conv_algorithm("winograd")

    def function(x, kernel, bias, other):
        y = ops.conv(x, kernel, **options)
        y = y + bias if biased else y
        y = other + y if summed else y
        return ops.relu(y) if relu else y
    program = compare(function, x, kernel, bias, other, rtol=1e-4)
    assert sum(entry[1].op in ("add", "relu") for entry in program.listing) <= 1      # the result leaves the lanes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(9,), (7, 6), (5, 4, 6)])
def test_blocks_add_what_lies_first_in_memory(sizes, dtype):
    """A model's input, which a residual block passes on, may have the place 0 in a thread's own memory."""
    inputs = Input((*sizes, 8), dtype=dtype)
    conv = (layers.Conv1D, layers.Conv2D, layers.Conv3D)[len(sizes) - 1]
    x = layers.Add(dtype=dtype)([inputs, conv(8, 3, padding="same", dtype=dtype)(inputs)])
    outputs = layers.Activation("relu", dtype=dtype)(x)
    x, results = np.random.default_rng(0).standard_normal((128, *sizes, 8)).astype(dtype), []
    for algorithm in ("direct", "winograd"):
        config.set_conv_algorithm(algorithm)
        results.append(Model(inputs, outputs).predict(x, batch_size=128, verbose=0))
    np.testing.assert_allclose(*results, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size, strides", [((3, 3), (1, 1)), ((5, 5), (2, 2)), ((2, 3, 3), (1, 1, 1)),
                                           ((3, 3, 3), (1, 1, 1)), ((3,), (1,))])
def test_weights_are_transformed_ahead_as_by_each_task(size, strides, monkeypatch):
    """The same bits, forward and for the input's gradient, whether or not the transformed weights are kept."""
    from pyconv import Variable
    from pyconv.backends.cpu import lowering_winograd
    from pyconv.graph import gradients, trace
    rng, rank = np.random.default_rng(1), len(size)
    x = rng.standard_normal((33, *(23 if rank < 3 else 6,) * rank, 19)).astype("f4")
    kernel, results, kept = Variable(rng.standard_normal((*size, 19, 37)).astype("f4")), [], []

    def run(x):
        y = ops.conv(x, kernel.read(), strides=strides, padding="same")
        return y, gradients(ops.sum(ops.square(y)), [x])[0]
    monkeypatch.setattr(config, "conv_algorithm", lambda: "winograd")
    for bound in (lowering_winograd.AHEAD, 0):
        monkeypatch.setattr(lowering_winograd, "AHEAD", bound)
        program = backends.get("cpu").make(trace(run, [(x.shape, "float32")])[0])
        kept.append(0 if program.store is None else program.store.nbytes)
        results.append(program([x]))
    assert kept[0] > kept[1]
    for ahead, by_task in zip(*results, strict=True):
        assert np.abs(ahead).max() > 0 and ahead.tobytes() == by_task.tobytes()


@pytest.mark.parametrize("side", [7, 8, 13])
@pytest.mark.parametrize("many", [1, 2, 3, 7, 24])
def test_how_tiles_are_taken_together_does_not_change_the_bits(side, many, monkeypatch):
    """Blocks as tasks, or parts of all blocks with the weights by each of them; chunks of all sizes, and remainders."""
    from pyconv.backends.cpu import lowering_winograd
    from pyconv.graph import trace
    rng = np.random.default_rng(2)
    x = rng.standard_normal((37, side, side, 27)).astype("f4")
    w = rng.standard_normal((3, 3, 27, 21)).astype("f4")
    monkeypatch.setattr(config, "conv_algorithm", lambda: "winograd")
    results = []
    for changes in ({}, {"LARGE": 0, "AHEAD": 0}, {"LARGE": 0, "AHEAD": 0, "DEEP_ROWS": 1, "MANY": many}):
        for name, value in changes.items():
            monkeypatch.setattr(lowering_winograd, name, value)
        program = backends.get("cpu").make(
            trace(lambda x, w: ops.conv(x, w, padding="same"), [(x.shape, "float32"), (w.shape, "float32")])[0])
        results.append(program([x, w])[0])
    assert np.abs(results[0]).max() > 0
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_profiles_tell_the_products_of_the_tiles():
    """For a tile of 4×4 outputs, 36 products with kernels of 3×3, 81 with stride 2, and 64 with 5×5; of 4×4×4, 216 with
    3×3×3. Edges fill up the tiles."""
    from pyconv.graph import trace
    cpu = backends.get("cpu")
    for rank, size, stride, outputs, values in ((2, 3, 1, 14, 36), (2, 3, 2, 14, 81), (2, 5, 1, 13, 64),
                                                (3, 3, 1, 15, 216)):
        def convolve(x, w, stride=stride):
            return ops.conv(x, w, strides=stride, padding="valid")
        x, w = (33, *((outputs - 1) * stride + size,) * rank, 20), (*(size,) * rank, 20, 24)
        before = config.conv_algorithm()
        try:
            found = {}
            for algorithm in ("winograd", "direct"):
                config.set_conv_algorithm(algorithm)
                program = cpu.compile(trace(convolve, [(x, "float32"), (w, "float32")])[0])
                run = program.profile([np.ones(x, "float32"), np.ones(w, "float32")])
                found[algorithm] = sum(instruction.products for instruction in run)
        finally:
            config.set_conv_algorithm(before)
        assert found == {"winograd": 2 * values * 33 * 4**rank * 20 * 24, "direct": 0}


@settings(max_examples=30)
@given(st.sampled_from([8, 16, 40]), st.tuples(st.integers(1, 30), st.integers(1, 30)), st.sampled_from(
    [(3, 3), (5, 5), (4, 4), (1, 3)]), st.integers(1, 5), st.integers(1, 20), st.booleans(), st.booleans())
def test_results_past_the_caches_have_the_same_bits(batch, sizes, window, channels, filters, summed, pooled):
    def function(x, kernel, other):
        y = ops.conv(x, kernel, padding=[(k // 2, (k - 1) // 2) for k in window])
        y = ops.relu(y + other) if summed else y
        return ops.max_pool(y, 2) if pooled else y
    sizes = [max(n, 2) for n in sizes]
    x, kernel, other = (np.random.default_rng(0).normal(size=s).astype("float32") for s in (
        (batch, *sizes, channels), (*window, channels, filters), (batch, *sizes, filters)))
    config_before = config.conv_algorithm()
    config.set_conv_algorithm("winograd")
    names = "fits_chain", "goes_past", "LARGE"
    before = [getattr(lowering_winograd, name) for name in names]
    try:
        lowering_winograd.fits_chain, lowering_winograd.LARGE = lambda *_: False, 0
        results = []
        for past in (False, True):
            lowering_winograd.goes_past = lambda target, past=past: past
            graph, _ = trace(function, [(a.shape, "float32") for a in (x, kernel, other)], training=False)
            results.append(CPU.compile(simplify(graph))([x, kernel, other])[0].copy())
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(lowering_winograd, name, value)
        config.set_conv_algorithm(config_before)
    assert results[0].tobytes() == results[1].tobytes()
