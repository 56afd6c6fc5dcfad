"""Dilated convolutions by Winograd's algorithm: their remainders modulo the dilation, apart and together again."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyconv import config, ops

from .convolutions import check, three
from .test_small_batches import compare


def dilated(batch, sizes, window, dilation, padding, groups, channels, filters, last, dtype):
    """(input, kernel, attributes)"""
    rng = np.random.default_rng(0)
    shape = (batch, *sizes, channels * groups) if last else (batch, channels * groups, *sizes)
    kernel = (*window, channels, filters * groups)
    attrs = dict(strides=(1,) * len(sizes), padding=tuple(padding), dilation=tuple(dilation), groups=groups,
                 channels_last=last)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=kernel).astype(dtype), attrs


@settings(max_examples=80)
@given(st.sampled_from([1, 3, 16, 19]), st.lists(st.integers(1, 23), min_size=1, max_size=2),
       st.sampled_from([(3, 3), (5, 5), (1, 3), (1, 5)]), st.tuples(st.integers(1, 4), st.integers(1, 4)),
       st.sampled_from(["same", "valid", "causal", "odd"]), st.sampled_from([1, 2]), st.sampled_from([1, 6, 16]),
       st.sampled_from([1, 5, 16]), st.booleans(), st.sampled_from(["float32", "float64"]),
       st.sampled_from(["winograd", "auto"]))
def test_all_three_directions(batch, sizes, window, dilation, padding, groups, channels, filters, last, dtype,
                              algorithm):
    rank = len(sizes)
    window, dilation = window[-rank:], dilation[-rank:]
    reach = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
    padding = {"same": [(r // 2, r - r // 2) for r in reach], "valid": [(0, 0)] * rank,
               "causal": [(r, 0) for r in reach], "odd": [(min(1, r), min(2, r)) for r in reach]}[padding]
    assume(all(n + p + q > r for n, r, (p, q) in zip(sizes, reach, padding, strict=True)))
    config.set_conv_algorithm(algorithm)
    check(*dilated(batch, sizes, window, dilation, padding, groups, channels, filters, last, dtype))


@pytest.mark.parametrize("batch", [2, 18])
def test_what_is_fused(batch):
    x, kernel, _ = dilated(batch, (13, 14), (3, 3), (2, 2), (), 1, 32, 32, True, "float32")
    bias = np.random.default_rng(1).normal(size=32).astype("float32")
    other = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    compare(lambda x, other: ops.relu(ops.conv(x, kernel, padding="same", dilation_rate=2) + bias + other), x, other)
    compare(lambda x: ops.relu(ops.conv(x, kernel, padding="same", dilation_rate=2) + bias), x)


@pytest.mark.parametrize("batch, directions", [(1, 2), (16, 3)])
@pytest.mark.parametrize("sizes, dilation", [((14, 15), 2), ((240,), 4)])
def test_which_take_fewer_products(batch, directions, sizes, dilation):
    rank = len(sizes)
    x, kernel, attrs = dilated(batch, sizes, [3] * rank, [dilation] * rank, [(dilation,) * 2] * rank, 1, 32, 32, True,
                               "float32")
    for op, arrays, extra in three(x, kernel, attrs)[0][:directions]:
        def function(*arrays, op=op, extra=extra):
            return ops.base.apply(op, *arrays, **extra)
        records = compare(function, *arrays).profile(arrays)
        assert any(0 < r.products < 2 * 3**rank * x.size * 32 for r in records)
