"""Random numbers from a counter: the same state gives the same numbers on any backend and number of threads.

Element i of a draw is a function of (key, counter, i) alone: the generator is Philox4x32-10 (Salmon et al.,
*Parallel random numbers: as easy as 1, 2, 3*, 2011). A state is an int64 tensor (key, counter). Element i takes word
``i % 4`` of the block with key words (low key, high key) and counter words (i // 4, low counter, high counter, 0).
"""

from __future__ import annotations

from ..graph import Op, Spec, canonical, is_half
from ..graph.dtypes import FLOATS
from .base import apply, operation

__all__ = ["random_uniform", "random_normal"]


class _Random(Op):
    differentiable = False

    def infer(self, state, *, shape, dtype):
        if state != Spec((2,), "int64"):
            raise ValueError(f"{self.name}: the state must be an int64 tensor (key, counter), got {state}.")
        if canonical(dtype) not in FLOATS:
            raise TypeError(f"{self.name}: dtype must be float32 or float64, got {dtype!r}.")
        return Spec(tuple(shape), dtype)

    def draw(self, draw, kit):
        return kit.random_state(draw)


class RandomUniform(_Random):
    """``(word >> 8) * 2**-24``: multiples of 2**-24 in [0, 1), exact in either float type."""

    name = "random_uniform"


class RandomNormal(_Random):
    """Box-Muller on words (0, 1) and (2, 3) of a block: ``sqrt(-2 log u) * (cos or sin)(2 pi v)``,
    with ``u = (word + 0.5) * 2**-32`` and ``v = word * 2**-32`` in double precision."""

    name = "random_normal"


@operation
def random_uniform(state, shape, dtype=None):
    """Uniform numbers in [0, 1) from `state`, an int64 tensor (key, counter)."""
    return _drawn("random_uniform", state, shape, dtype)


@operation
def random_normal(state, shape, dtype=None):
    """Standard normal numbers from `state`, an int64 tensor (key, counter)."""
    return _drawn("random_normal", state, shape, dtype)


def _drawn(name, state, shape, dtype):
    """Halves are drawn in float32 and rounded: a number next to 1 may become 1."""
    from ..config import floatx
    dtype = canonical(dtype or floatx())
    found = apply(name, state, shape=tuple(shape), dtype="float32" if is_half(dtype) else dtype)
    return apply("cast", found, dtype=dtype) if is_half(dtype) else found
