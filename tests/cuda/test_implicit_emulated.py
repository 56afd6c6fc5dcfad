"""The convolutions of most layers on the emulated device: against the reference, how copies are made, races, choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends
from pyconv.backends.cuda import CUDABackend, driver
from pyconv.backends.cuda.geometry import geometry
from pyconv.backends.cuda.implicit import plan
from tests.cuda.emulator import standin
from tests.cuda.test_depthwise_emulated import compare, floats


def three(rng, batch, sizes, k, stride, pads, channels, filters):
    """(op, arrays, attributes) of a convolution and its gradients."""
    attrs = {"strides": (stride,) * 2, "padding": pads, "dilation": (1, 1), "groups": 1, "channels_last": True}
    x, w = floats(rng, batch, *sizes, channels), floats(rng, k, k, channels, filters)
    dy = floats(rng, *backends.get("reference").execute("conv", [x, w], attrs).shape)
    return (("conv", [x, w], attrs), ("conv_input_gradient", [dy, w], {**attrs, "shape": x.shape}),
            ("conv_kernel_gradient", [x, dy], {**attrs, "shape": w.shape}))


@st.composite
def convolutions(draw):
    k, stride = draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from([1, 2]))
    pads = tuple((draw(st.integers(0, k)), draw(st.integers(0, k // 2))) for _ in range(2))
    sizes = [max(1, k - p - q) + draw(st.integers(0, 9)) for p, q in pads]
    return (draw(st.integers(1, 3)), sizes, k, stride, pads, draw(st.sampled_from([4, 16, 32, 48])),
            draw(st.sampled_from([4, 16, 20, 32, 68])))


@settings(max_examples=8)
@given(convolutions(), st.integers(0, 9))
def test_against_the_reference(case, seed):
    compare(three(np.random.default_rng(seed), *case), backends.get("cuda"))


SMALL = [(2, (5, 6), 1, 1, ((0, 0), (0, 0)), 16, 20), (3, (6, 5), 3, 1, ((1, 1), (1, 0)), 16, 48),
         (2, (7, 8), 3, 2, ((1, 0), (0, 1)), 32, 16)]
LARGE = (65, (16, 17), 3, 1, ((1, 1), (1, 1)), 8, 72)          # tiles of 128 x 128


def test_large_tiles_and_parts():
    device, cases = backends.get("cuda"), three(np.random.default_rng(1), *LARGE)
    compare(cases, device)
    name, arrays, attrs = cases[2]
    assert device.execute(name, arrays, attrs).tobytes() == device.execute(name, arrays, attrs).tobytes()
    used = {key[1] for key in device.driver._kernels if key[0] == "implicit"}
    assert {"implicit<FORWARD, 3, 1, 128, 128, 8, 8, 8>", "implicit<KERNEL, 3, 1, 64, 64, 16, 4, 4>"} <= used
    assert plan(2, geometry(arrays[0].shape, arrays[1].shape, (3, 3), attrs), "float32").parts > 1


def test_devices_without_asynchronous_copies():
    """What sm_75 runs: the same products in the same order, so the same bits."""
    there, here = CUDABackend(), backends.get("cuda")
    kernel = there.driver.kernel
    there.driver.kernel = lambda family, expression, before="": kernel(family, expression,
                                                                       before + "#define PLAIN_COPIES\n")
    for case in SMALL:
        for name, arrays, attrs in three(np.random.default_rng(2), *case):
            assert there.execute(name, arrays, attrs).tobytes() == here.execute(name, arrays, attrs).tobytes()


@pytest.mark.parametrize("copies", ["", "#define PLAIN_COPIES\n"])
def test_no_races(copies, monkeypatch):
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    device = CUDABackend()
    kernel = device.driver.kernel
    device.driver.kernel = lambda family, expression, before="": kernel(family, expression, before + copies)
    for case in SMALL[1:] if copies else SMALL:
        compare(three(np.random.default_rng(3), *case), device)


@pytest.mark.parametrize("change", [
    {}, {"dilation": (2, 2)}, {"strides": (1, 2)}, {"strides": (3, 3)}, {"groups": 2}, {"channels_last": False},
    {"padding": ((1, 1), (1, 1)), "window": (1, 1)}, {"window": (3, 1)}, {"depth": 6}, {"each": 6}, {"depth": 12}])
def test_which_convolutions_have_it(change):
    last, window = change.get("channels_last", True), change.get("window", (3, 3))
    groups, depth, each = change.get("groups", 1), change.get("depth", 16), change.get("each", 16)
    attrs = {"strides": (1, 1), "dilation": (1, 1), "padding": ((0, 0), (0, 0)), "groups": groups,
             "channels_last": last, **{k: v for k, v in change.items() if k in ("strides", "dilation", "padding")}}
    x, y = ((2, 9, 9, c) if last else (2, c, 9, 9) for c in (depth * groups, each * groups))
    found = plan(0, geometry(x, y, window, attrs), "float32")
    assert (found is None) == bool(change)
    assert found is None or found.kernel == "implicit<FORWARD, 3, 1, 128, 16, 16, 2, 4>"
    assert plan(0, geometry(x, y, window, attrs), "float64") is None


def test_points_of_any_number_of_axes():
    """A window of one element: every pixel by itself."""
    rng = np.random.default_rng(4)
    for sizes in ((9,), (2, 3, 4)):
        rank = len(sizes)
        attrs = {"strides": (1,) * rank, "padding": ((0, 0),) * rank, "dilation": (1,) * rank, "groups": 1,
                 "channels_last": True}
        x, w = floats(rng, 2, *sizes, 16), floats(rng, *(1,) * rank, 16, 8)
        assert plan(0, geometry(x.shape, (*x.shape[:-1], 8), w.shape[:-2], attrs), "float32").kernel.startswith(
            "implicit<FORWARD, 1, 1,")
        compare([("conv", [x, w], attrs)], backends.get("cuda"))
