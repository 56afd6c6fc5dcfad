"""Winograd's convolutions with products by pairs, wherever shapes allow them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, ops  # noqa: F401  (ops register themselves)
from pyconv.backends.cpu import lowering_winograd

CPU, REFERENCE = backends.get("cpu"), backends.get("reference")

pytestmark = pytest.mark.skipif(CPU.variant not in ("zen4", "v4"), reason="products by pairs are made for AVX-512")


@pytest.fixture(scope="module", autouse=True)
def by_pairs():
    def everywhere(planner, rows, filters):
        return filters % planner.kernels.pointwise.sweep_rows() == 0
    before = config.conv_algorithm()
    config.set_conv_algorithm("winograd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_winograd, "by_pairs", everywhere)
        yield type(CPU)(CPU.variant)
    config.set_conv_algorithm(before)


@st.composite
def problems(draw):
    rank = draw(st.integers(1, 3))
    cube = rank == 3 and draw(st.booleans())
    stride = 1 if rank == 3 else draw(st.sampled_from([1, 1, 2]))
    taps = 3 if cube else draw(st.sampled_from([3, 4, 5])) * stride
    window = (3 if cube else 2, taps, taps)[-rank:]
    padding = tuple((draw(st.integers(0, k - 1)),) * 2 for k in window)
    sizes = tuple(draw(st.integers(max(1, k - 2 * p), 12 if rank < 3 else 7)) + k
                  for k, (p, _) in zip(window, padding, strict=True))
    channels, filters = (8 * draw(st.integers(1, 9)) - draw(st.sampled_from([0, 0, 3])) for _ in range(2))
    attrs = dict(strides=(stride,) * rank, padding=padding, dilation=(1,) * rank, groups=1, channels_last=True)
    return (draw(st.sampled_from([16, 21, 37])), *sizes, channels), (*window, channels, filters), attrs, \
        draw(st.integers(0, 2**32 - 1))


def norms(a, kept):
    return np.sqrt((a ** 2).sum(tuple(i for i in range(a.ndim) if i not in kept)))


@settings(max_examples=60, deadline=None)
@given(problems())
def test_each_sample_and_filter_is_exact_to_its_own(by_pairs, problem):
    """Of any magnitudes: normwise to the bound of all of Winograd's forms; those of zeros stay zeros."""
    x_shape, shape, attrs, seed = problem
    rng = np.random.default_rng(seed)
    channels, filters = shape[-2:]
    x = np.maximum(rng.standard_normal(x_shape), -0.5)
    kernel = rng.standard_normal(shape)
    g = rng.standard_normal(REFERENCE.execute("conv", [x, kernel], attrs).shape)
    samples, of_filters, of_channels = (10.0 ** rng.integers(-6, 6, n) * (rng.random(n) > 0.2)
                                        for n in (x_shape[0], filters, channels))
    samples = samples.reshape(-1, *(1,) * (x.ndim - 1))
    for op, arrays, extra, kept in (
            ("conv", [x * samples, kernel * of_filters], {}, (0, x.ndim - 1)),
            ("conv_input_gradient", [g * samples, kernel * of_channels[:, None]], {"shape": x_shape},
             (0, x.ndim - 1)),
            ("conv_kernel_gradient", [x * of_channels, g * of_filters], {"shape": shape}, (x.ndim - 2, x.ndim - 1))):
        arrays = [a.astype("f4") for a in arrays]
        right = REFERENCE.execute(op, [a.astype("f8") for a in arrays], {**extra, **attrs})
        found = by_pairs.execute(op, arrays, {**extra, **attrs})
        size = norms(right, kept)
        assert (norms(found - right, kept) <= 3e-5 * size).all(), op


@pytest.mark.parametrize("batch", [16, 130])
@pytest.mark.parametrize("strides, size", [((1, 1), 3), ((2, 2), 7), ((1, 1), 5), ((1, 1, 1), 3), ((1,), 3)])
def test_bits_do_not_depend_on_threads_and_nothing_leaks_between_samples(by_pairs, batch, strides, size):
    rng, rank = np.random.default_rng(3), len(strides)
    x = rng.standard_normal((batch, *((19,), (19, 22), (7, 9, 14))[rank - 1], 40)).astype("f4")
    kernel = rng.standard_normal((*(size,) * rank, 40, 24)).astype("f4")
    attrs = dict(strides=strides, padding=((size // 2,) * 2,) * rank, dilation=(1,) * rank, groups=1,
                 channels_last=True)
    x[-1], x[1] = np.nan, np.inf
    y = by_pairs.execute("conv", [x, kernel], attrs)
    assert np.isfinite(y[2:-1]).all() and np.isfinite(y[0]).all() and np.isnan(y[-1]).all()
    g = rng.standard_normal(y.shape).astype("f4")
    x[-1] = x[1] = 1
    calls = [("conv", [x, kernel], attrs), ("conv_input_gradient", [g, kernel], {"shape": x.shape, **attrs}),
             ("conv_kernel_gradient", [x, g], {"shape": kernel.shape, **attrs})]
    threads, results = config.num_threads(), []
    try:
        for n in (1, 3):
            config.set_num_threads(n)
            results.append([by_pairs.execute(*call) for call in calls])
    finally:
        config.set_num_threads(threads)
    for one, three in zip(*results, strict=True):
        assert np.isfinite(one).all() and one.tobytes() == three.tobytes()


@pytest.mark.parametrize("channels, window", [(256, (3, 3)), (512, (1, 5)), (256, (5, 5))])
def test_many_channels_of_one_sign_stay_accurate(by_pairs, channels, window):
    """What is subtracted is then much larger than the results."""
    rng = np.random.default_rng(1)
    x = (1 + 0.1 * rng.standard_normal((16, 6, 10, channels))).astype("f4")
    kernel = rng.standard_normal((*window, channels, 32)).astype("f4")
    attrs = dict(strides=(1, 1), padding=tuple((k // 2,) * 2 for k in window), dilation=(1, 1), groups=1,
                 channels_last=True)
    right = REFERENCE.execute("conv", [x.astype("f8"), kernel.astype("f8")], attrs)
    found = by_pairs.execute("conv", [x, kernel], attrs)
    assert np.linalg.norm(found - right) <= 1e-5 * np.linalg.norm(right)
