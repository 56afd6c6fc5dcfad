"""Seeds: one number decides initial weights, shuffling and every random op, whatever the number of threads."""

from __future__ import annotations

import numpy as np

from .graph import Variable

__all__ = ["set_random_seed", "host_generator", "SeedGenerator"]

_generator = None


def set_random_seed(seed: int):
    """Make everything random that follows a function of `seed`, an int from 0 to 2**63 - 1."""
    global _generator
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r} must be an int from 0 to 2**63 - 1.")
    _generator = np.random.Generator(np.random.Philox(int(seed)))


def host_generator() -> np.random.Generator:
    """The process's NumPy generator: initial weights, shuffling, and the seeds of layers that were given none."""
    global _generator
    if _generator is None:
        _generator = np.random.Generator(np.random.Philox(np.random.SeedSequence().generate_state(1)[0]))
    return _generator


class SeedGenerator:
    """A source of states for `pyconv.ops.random_uniform` and its like, that moves on with every use.

    Parameters
    ----------
    seed: int, optional
        Default: drawn from the process's generator, so that `set_random_seed` decides it.
    """

    def __init__(self, seed: int | None = None):
        if seed is None:
            seed = int(host_generator().integers(2**62))
        self.state = Variable(np.array([seed, 0], "int64"), name="seed_state", trainable=False)

    def next(self):
        """The state for one draw; the counter is raised for the next."""
        state = self.state.value
        self.state.assign(state + np.array([0, 1], "int64"))
        return state
