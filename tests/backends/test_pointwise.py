"""Convolutions with kernels of one tap, of the CPU backend, against the reference."""

import numpy as np
import pytest
from convolutions import CPU, REFERENCE, check, three
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import Variable, config, layers, ops
from pyconv.backends.cpu import lowering_pointwise
from pyconv.graph import simplify, trace
from pyconv.ops.base import apply

PAIRED = pytest.mark.skipif(CPU.variant in ("v2", "generic"), reason="products by pairs are made for AVX2 and AVX-512")
PAIRED_ALL = pytest.mark.skipif(CPU.variant not in ("zen4", "v4"), reason="these gain by pairs with AVX-512 alone")


def attributes(rank, stride=1, groups=1, last=True):
    return dict(strides=(stride,) * rank, padding=((0, 0),) * rank, dilation=(1,) * rank, groups=groups,
                channels_last=last)


@st.composite
def problems(draw):
    """Numbers of channels and filters around the tiles' sizes, any strides, batches that fill a block or do not."""
    rank, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    sizes = tuple(draw(st.integers(1, (60, 12, 5)[rank - 1])) for _ in range(rank))
    many = st.one_of(st.integers(1, 20), st.sampled_from([24, 31, 32, 33, 48, 64, 65]))
    channels, filters = draw(many) * groups, draw(many) * groups
    batch, last = draw(st.sampled_from([0, 1, 2, 7, 8, 13, 16, 17, 40])), draw(st.booleans())
    x = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    attrs = attributes(rank, groups=groups, last=last)
    attrs["strides"] = tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank))
    return x, (*(1,) * rank, channels // groups, filters), attrs, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=settings().max_examples * 3)
@given(problems(), st.sampled_from(["float32", "float32", "float64"]))
def test_any_geometry(problem, dtype):
    x, kernel, attrs, seed = problem
    rng = np.random.default_rng(seed)
    check(rng.standard_normal(x).astype(dtype), rng.standard_normal(kernel).astype(dtype), attrs)


@pytest.mark.parametrize("shape, filters", [((16, 1600, 48), 64), ((21, 40, 40, 72), 24)])
@pytest.mark.parametrize("past", [True, False])
@pytest.mark.parametrize("chained", [True, False])
def test_blocks_that_no_cache_holds(shape, filters, past, chained, monkeypatch):
    """One task a block, or several, whose results go past the caches or do not."""
    monkeypatch.setattr(lowering_pointwise, "goes_past", lambda target: past)
    monkeypatch.setattr(lowering_pointwise, "fits_chain", lambda source, target: chained)
    rng, rank = np.random.default_rng(filters), len(shape) - 2
    check(rng.standard_normal(shape).astype("f4"),
          rng.standard_normal((*(1,) * rank, shape[-1], filters)).astype("f4"), attributes(rank))


@pytest.mark.parametrize("channels, filters", [(640, 256), (257, 768), (300, 500)])
@pytest.mark.parametrize("last", [True, False])
def test_weights_that_fill_a_cache(channels, filters, last):
    """Those that are a multiple of the tiles are put in order first."""
    rng = np.random.default_rng(channels)
    shape = (17, 5, channels) if last else (17, channels, 5)
    check(rng.standard_normal(shape).astype("f4"), rng.standard_normal((1, channels, filters)).astype("f4"),
          attributes(1, last=last))


@PAIRED
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 12), st.integers(1, 7), st.sampled_from([(1, 1), (1, 2), (2, 2)]),
       st.booleans(), st.integers(0, 2**32 - 1))
def test_products_by_pairs(channels, tiles, size, strides, backward, seed):
    """Whatever the magnitudes of pixels, samples and filters, each result is exact to its own; zeros stay zeros."""
    rng = np.random.default_rng(seed)
    shape, filters, attrs = (19, size, size + 1, channels), 8 * tiles, attributes(2)
    attrs["strides"] = strides
    kernel = rng.standard_normal((1, 1, channels, filters)) * 10.0 ** rng.integers(-9, 9, filters)
    x = np.maximum(rng.standard_normal(shape), -0.5) * 10.0 ** rng.integers(-9, 9, (*shape[:3], 1))
    x[rng.random(shape[:3]) < 0.1] = 0
    kernel[..., rng.random(filters) < 0.1] = 0
    x, kernel = x.astype("f4"), kernel.astype("f4")
    op, extra = "conv", attrs
    if backward:        # the gradient for an input of `filters` channels
        op, kernel = "conv_input_gradient", np.ascontiguousarray(kernel.swapaxes(2, 3))
        extra = {"shape": (19, (size - 1) * strides[0] + 1, size * strides[1] + 1, filters), **attrs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_pointwise, "by_pairs", lambda *_: True)
        variable = Variable(kernel)
        graph, _ = trace(lambda t: [apply(op, t, variable.read(), **extra)], [(shape, "float32")])
        found, = CPU.compile(simplify(graph))([x])
    right = REFERENCE.execute(op, [x.astype("f8"), kernel.astype("f8")], extra)
    matrix = abs(kernel[0, 0].T if backward else kernel[0, 0]).max(0)
    bound = np.zeros_like(right)
    if backward:
        bound[:, ::strides[0], ::strides[1]] = abs(x).max(-1, keepdims=True) * matrix
    else:
        bound[...] = abs(x[:, ::strides[0], ::strides[1]]).max(-1, keepdims=True) * matrix
    assert (abs(found - right) <= 1e-6 * channels * bound).all()


@PAIRED_ALL
@settings(max_examples=60, deadline=None)
@given(st.integers(4, 70), st.integers(4, 70), st.integers(2, 40), st.sampled_from([(1, 1), (1, 2), (2, 2)]),
       st.booleans(), st.sampled_from([1, 15, 16, 21, 32]), st.integers(0, 2**32 - 1))
def test_kernel_gradient_by_pairs(channels, filters, size, strides, wide, batch, seed):
    """Whatever the magnitudes of channels and filters, each result is exact to its own; zeros stay zeros."""
    rng = np.random.default_rng(seed)
    shape, attrs = (batch, 6, size, channels), attributes(2)
    attrs["strides"] = strides
    x = np.maximum(rng.standard_normal(shape), -0.5) * 10.0 ** rng.integers(-9, 9, channels)
    g = rng.standard_normal((batch, -(-6 // strides[0]), -(-size // strides[1]), filters))
    g *= 10.0 ** rng.integers(-9, 9, filters)
    x[..., rng.random(channels) < 0.1] = 0
    g[..., rng.random(filters) < 0.1] = 0
    x, g = x.astype("f4"), g.astype("f4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_pointwise, "by_pairs", lambda *_: True)
        patch.setattr(lowering_pointwise, "applies_to_kernel", lambda *_: True)
        patch.setattr(lowering_pointwise, "PANEL", (16 if wide else 256) << 10)
        graph, _ = trace(lambda a, b: [apply("conv_kernel_gradient", a, b, shape=(1, 1, channels, filters), **attrs)],
                         [(x.shape, "float32"), (g.shape, "float32")])
        found, = CPU.compile(simplify(graph))([x, g])
    right = REFERENCE.execute("conv_kernel_gradient", [x.astype("f8"), g.astype("f8")],
                              {"shape": (1, 1, channels, filters), **attrs})
    bound = abs(x).max((0, 1, 2))[:, None] * abs(g).max((0, 1, 2))
    assert (abs(found - right) <= 1e-6 * g[..., 0].size * bound).all()


@PAIRED_ALL
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from([(1, 1), (2, 4), (4, 4), (7, 9), (8, 15)]),
       st.sampled_from([1, 2, 5]), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_small_batches_by_pairs(channels, filters, sizes, batch, biased, summed, relu, seed):
    """Whatever the magnitudes of pixels and filters, each result is exact to its own; zeros stay zeros."""
    rng = np.random.default_rng(seed)
    shape, filters = (batch, *sizes, 16 * channels), 32 * filters
    kernel = rng.standard_normal((1, 1, shape[-1], filters)) * 10.0 ** rng.integers(-9, 9, filters)
    x = np.maximum(rng.standard_normal(shape), -0.5) * 10.0 ** rng.integers(-9, 9, (*shape[:3], 1))
    x[rng.random(shape[:3]) < 0.1] = 0
    kernel[..., rng.random(filters) < 0.1] = 0
    x, kernel, bias = (a.astype("f4") for a in (x, kernel, rng.standard_normal(filters)))
    other = rng.standard_normal((*shape[:3], filters)).astype("f4")
    variables = Variable(kernel), Variable(bias)

    def run(t, u):
        y = apply("conv", t, variables[0].read(), **attributes(2))
        y = y + variables[1].read() if biased else y
        y = y + u if summed else y
        return [ops.relu(y) if relu else y]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_pointwise, "by_pairs", lambda *_: True)
        graph, _ = trace(run, [(shape, "float32"), (other.shape, "float32")])
        program = CPU.compile(simplify(graph))
        found, = program([x, other])
    pixels = batch * sizes[0] * sizes[1]
    rows = CPU.kernels.pointwise.sweep_rows()
    paired = shape[-1] >= lowering_pointwise.LEAST_PAIRED_PLAIN and -(-pixels // rows) * rows <= 1.15 * pixels
    assert any(r.products == 4 * pixels * shape[-1] * filters // 3 for r in program.profile([x, other])) == paired
    right = x.astype("f8") @ kernel[0, 0].astype("f8") + biased * bias + summed * other
    bound = abs(x).max(-1, keepdims=True) * abs(kernel[0, 0]).max(0) * shape[-1] + biased * abs(bias) \
        + summed * abs(other)
    assert (abs(found - (np.maximum(right, 0) if relu else right)) <= 1e-6 * bound).all()


@PAIRED
@pytest.mark.parametrize("batch, channels", [(1, 32), (1, 240), (1, 256), (1, 480), (1, 1024), (16, 239), (16, 240),
                                             (16, 242), (16, 243), (16, 480), (16, 1000), (16, 2048)])
def test_errors_by_pairs_where_all_inputs_are_positive(batch, channels, monkeypatch):
    """What is subtracted is then much larger than the result, so it is as soon as some channels are summed."""
    if batch == 1 and CPU.kernels.lanes["float32"] != lowering_pointwise.LANES_PAIRED:
        pytest.skip("small batches gain by pairs with AVX-512 alone")
    monkeypatch.setattr(lowering_pointwise, "by_pairs", lambda *_: True)
    rng = np.random.default_rng(0)
    x = 1 + rng.random((batch, 8, 9, channels)).astype("f4") / 50
    kernel = rng.standard_normal((1, 1, channels, 96)).astype("f4")
    variable = Variable(kernel)
    graph, _ = trace(lambda t: [apply("conv", t, variable.read(), **attributes(2))], [(x.shape, "float32")])
    program = CPU.compile(simplify(graph))
    assert any(r.products for r in program.profile([x]))
    right = x.astype("f8") @ kernel[0, 0].astype("f8")
    assert np.linalg.norm(program([x])[0] - right) <= 5e-6 * np.linalg.norm(right)


@pytest.mark.parametrize("batch", [1, 32])
def test_relu_of_what_is_not_finite_of_zeros_and_of_denormal_numbers(batch):
    """To the bit, but for NaN, whose bits may be any."""
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 3e38, -3e38, 1e-38], "f4")
    x = np.resize(np.concatenate([values, -values]), (batch, 5, 7, 1))
    kernel = Variable(np.repeat(np.float32([1, -1]), 8).reshape(1, 1, 1, 16))
    graph, _ = trace(lambda t: [ops.relu(apply("conv", t, kernel.read(), **attributes(2)))], [(x.shape, "float32")])
    found, = CPU.compile(simplify(graph))([x])
    product = x * kernel.numpy().ravel()
    right = np.where(product <= 0, np.float32(0), product)
    assert (np.isnan(found) == np.isnan(right)).all()
    assert np.nan_to_num(found, nan=-1).tobytes() == np.nan_to_num(right, nan=-1).tobytes()


@pytest.mark.parametrize("shape, filters, stride", [((130, 9, 11, 24), 40, 1), ((130, 9, 11, 64), 32, 2),
                                                    ((16, 12, 10, 33), 64, 1), ((1, 17, 9, 40), 24, 1)])
def test_bits_do_not_depend_on_threads_and_nothing_leaks_between_samples(shape, filters, stride):
    rng, rank = np.random.default_rng(3), len(shape) - 2
    x = rng.standard_normal(shape).astype("f4")
    kernel = rng.standard_normal((*(1,) * rank, shape[-1], filters)).astype("f4")
    attrs = attributes(rank, stride)
    calls, _ = three(x, kernel, attrs)
    results = []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        results.append([CPU.execute(*call).tobytes() for call in calls])
    assert results[0] == results[1] == results[2]
    x[-1] = np.nan
    y = CPU.execute("conv", [x, kernel], attrs)
    assert np.isfinite(y[:-1]).all() and np.isnan(y[-1]).all()


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("filters", [8, 13, 40])
def test_bias_and_activation(batch, activation, filters):
    layer = layers.Conv2D(filters, 1, activation=activation, bias_initializer="random_normal")
    x = np.random.default_rng(0).standard_normal((batch, 7, 9, 12)).astype("f4")
    graph, _ = trace(lambda x: [layer(x)], [(x.shape, "float32")])
    (found,), (right,) = CPU.compile(simplify(graph))([x]), REFERENCE.compile(graph)([x])
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)
