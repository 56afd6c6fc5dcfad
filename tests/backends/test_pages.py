"""Direct convolutions whose planes are whole pages, and would share places in a cache: copied with one column more."""

import numpy as np
import pytest

from pyconv import config, ops  # noqa: F401  (the ops register themselves)

from .convolutions import check


@pytest.mark.parametrize("sizes, window, stride, padding", [
    ((16, 16), (2, 2), 2, 0), ((16, 32), (1, 1), 1, 0), ((30, 32), (3, 1), 1, 1), ((512,), (3,), 2, 0),
    ((8, 8, 8), (2, 2, 2), 2, 0), ((64, 64), (4, 4), 4, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_planes_of_whole_pages(sizes, window, stride, padding, dtype):
    rng, before = np.random.default_rng(0), config.conv_algorithm()
    x = rng.standard_normal((19, 16, *sizes)).astype(dtype)
    kernel = rng.standard_normal((*window, 16, 17)).astype(dtype)
    pads = tuple((p, p) for p in (padding, *[0] * (len(sizes) - 1)))
    config.set_conv_algorithm("direct")
    try:
        check(x, kernel, {"strides": (stride,) * len(sizes), "dilation": (1,) * len(sizes), "padding": pads,
                          "groups": 1, "channels_last": False})
    finally:
        config.set_conv_algorithm(before)
