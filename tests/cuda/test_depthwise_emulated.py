"""Depthwise convolution on the emulated device: every instance against the reference, its choice, its bits, races."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.backends.cuda import CUDABackend, driver
from pyconv.backends.cuda.depthwise import plan
from pyconv.backends.cuda.geometry import fast
from pyconv.graph import REGISTRY, limits, trace
from tests.cuda.emulator import standin

OPS = ("conv", "conv_input_gradient", "conv_kernel_gradient")


def floats(rng, *shape, dtype="float32"):
    return rng.uniform(-1, 1, shape).astype(dtype)


def three(rng, sizes, window, channels, each, dtype="float32", batch=2, **attrs):
    """(op, arrays, attributes) of a convolution and its gradients."""
    assert ops.conv and "conv" in REGISTRY
    shape = (batch, *sizes, channels) if attrs["channels_last"] else (batch, channels, *sizes)
    attrs = {**attrs, "groups": channels}
    x, w = floats(rng, *shape, dtype=dtype), floats(rng, *window, 1, channels * each, dtype=dtype)
    dy = floats(rng, *backends.get("reference").execute("conv", [x, w], attrs).shape, dtype=dtype)
    return ((OPS[0], [x, w], attrs), (OPS[1], [dy, w], {**attrs, "shape": x.shape}),
            (OPS[2], [x, dy], {**attrs, "shape": w.shape}))


def compare(cases, device):
    for name, arrays, attrs in cases:
        expected = backends.get("reference").execute(name, [a.astype("float64") for a in arrays], attrs)
        found = device.execute(name, arrays, attrs)
        np.testing.assert_allclose(found, expected, rtol=0, atol=64 * limits(found.dtype.name).eps
                                   * max(1.0, np.abs(expected).max()), err_msg=name)


@st.composite
def convolutions(draw):
    """Those that have kernels of their own, and neighbours that have not: other windows, strides, dilations."""
    rank, last = draw(st.integers(1, 3)), draw(st.booleans())
    k = draw(st.sampled_from([3, 5, 7] if rank < 3 else [3, 5]))
    window = [k] * rank if draw(st.booleans()) else [*(draw(st.integers(1, 4)) for _ in range(rank - 1)), k]
    strides = [draw(st.sampled_from([1, 2]))] * rank
    dilation = [1] * rank
    if draw(st.sampled_from([True, False, False])):
        strides[0], dilation[0] = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = [(draw(st.integers(0, n)), draw(st.integers(0, n // 2))) for n in window]
    sizes = [max(1, (n - 1) * d + 1 - p - q) + draw(st.integers(0, 20 if rank == 1 else 9 if rank == 2 else 3))
             for n, d, (p, q) in zip(window, dilation, padding, strict=True)]
    return dict(sizes=sizes, window=window, channels=draw(st.sampled_from([1, 2, 3, 6, 34])),
                each=draw(st.sampled_from([1, 1, 2])), dtype=draw(st.sampled_from(["float32", "float32", "float64"])),
                batch=draw(st.integers(1, 3)), strides=tuple(strides), dilation=tuple(dilation),
                padding=tuple(padding), channels_last=last)


@settings(max_examples=12)
@given(convolutions(), st.integers(0, 9))
def test_against_the_reference(case, seed):
    compare(three(np.random.default_rng(seed), **case), backends.get("cuda"))


SAME = {"dilation": (1, 1), "padding": ((1, 1), (1, 1))}


@pytest.mark.parametrize("last", [True, False])
def test_large_images_whose_gradients_come_in_parts(last):
    """Several blocks, several patches a thread, several parts; the same bits in each run."""
    device = backends.get("cuda")
    cases = three(np.random.default_rng(1), (40, 41), (3, 3), 6, 1, batch=9, strides=(1, 1),
                  channels_last=last, **SAME)
    compare(cases, device)
    name, arrays, attrs = cases[2]
    assert device.execute(name, arrays, attrs).tobytes() == device.execute(name, arrays, attrs).tobytes()
    geometry = [9, 6, 1, 1, last, 1, 40, 41, 1, 40, 41, 1, 3, 3, 1, 1, 1, 1, 1, 1, 0, 1, 1]
    assert plan(2, geometry, "float32").parts > 1


def test_the_planner_takes_them_where_groups_are_channels():
    def used(window, strides, dilation=1, each=1, groups=8):
        def function(x, w):
            return ops.conv(x, w, strides=strides, dilation_rate=dilation, groups=groups, padding="same")
        driver = backends.get("cuda").driver
        before, driver._kernels = driver._kernels, {}
        backends.get("cuda").compile(trace(function, [((1, 12, 12, 8), "float32"),
                                                      ((*window, 8 // groups, 8 * each), "float32")])[0])
        found, driver._kernels = [key[1] for key in driver._kernels if key[0] != "copy"], before
        return found
    assert used((3, 3), 1) == ["depthwise<float, FORWARD, true, 3, 3, 1, 1, 4, 2, 2>"]
    assert used((3, 3), 2, each=2) == ["depthwise<float, FORWARD, true, 3, 3, 2, 2, 2, 2, 1>"]
    assert used((5, 5), 2) == ["depthwise<float, FORWARD, true, 5, 5, 2, 2, 2, 1, 1>"]
    assert used((4, 7), 1) == ["depthwise<float, FORWARD, true, 1, 7, 1, 1, 1, 4, 2>"]
    assert used((3, 3), 1, dilation=2) == used((3, 3), 3) == used((3, 4), 1) == ["direct_forward<float>"]
    assert used((3, 3), 1, groups=4) == ["direct_forward<float>"]


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
@example(1, 2**31 - 1)
@example(2**31 - 1, 2**31 - 2)
@example(3, 2**31 - 1)
def test_division_by_multiplication(by, n):
    _, factor, shift = fast(by)
    assert -2**31 <= factor < 2**31
    assert ((n * (factor % 2**32) >> 32) + n) % 2**32 >> shift == n // by


def test_no_races(monkeypatch):
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    device, rng = CUDABackend(), np.random.default_rng(2)
    for last in (True, False):
        compare(three(rng, (7, 6), (3, 3), 4, 1, strides=(2, 2), channels_last=last, **SAME), device)
    compare(three(rng, (9,), (5,), 3, 2, strides=(1,), channels_last=True, dilation=(1,), padding=((2, 1),)), device)
