"""Gradients for kernels of few channels, of the CPU backend with AVX-512, against the reference."""

import numpy as np
import pytest
from convolutions import check
from hypothesis import given
from hypothesis import strategies as st

import pyconv.ops  # noqa: F401 (declares the operations)
from pyconv.backends.cpu import lowering_dots


@pytest.fixture(autouse=True)
def bands_of_small_blocks(monkeypatch):
    """As if no cache held the blocks, and few rows of one."""
    monkeypatch.setattr(lowering_dots, "LEAST", 0)
    monkeypatch.setattr(lowering_dots, "BAND", 40_000)


@given(st.sampled_from([(3,), (20,), (3, 3), (1, 5), (4, 2), (2, 3, 3)]), st.integers(1, 3), st.integers(1, 2),
       st.integers(1, 4), st.integers(1, 9), st.integers(8, 40), st.booleans(), st.data())
def test_any_geometry(window, stride, dilation, channels, filters, batch, chained, data):
    most = {1: 250, 2: 30, 3: 6}[len(window)]
    sizes = [dilation * (k - 1) + data.draw(st.integers(1, most)) for k in window]
    attrs = dict(strides=(stride,) * len(window), padding=tuple((k // 2, k - 1 - k // 2) for k in window),
                 dilation=(dilation,) * len(window), groups=1, channels_last=True)
    rng = np.random.default_rng(batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_dots, "fits_chain", lambda source, target: chained)
        check(rng.standard_normal((batch, *sizes, channels)).astype("f4"),
              rng.standard_normal((*window, channels, filters)).astype("f4"), attrs)
