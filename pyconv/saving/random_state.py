"""The state of the process's random generator, which decides the order of shuffled samples."""

from __future__ import annotations

import numpy as np

from .. import random

__all__ = ["get_random_state", "set_random_state"]


def get_random_state() -> dict:
    """The state of the process's generator (see `pyconv.utils.set_random_seed`) as plain values for JSON.

    A model's file has the states of the model's own layers. Training that shuffles also depends on this one:
    kept beside the file, it lets a run that was stopped after an epoch go on in the same order::

        model.save("run.pyconv")
        state = pyconv.saving.get_random_state()        # json.dump it

        model = pyconv.saving.load_model("run.pyconv")
        pyconv.saving.set_random_state(state)
        model.fit(x, y, epochs=20, initial_epoch=10)
    """
    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return {**plain(random.host_generator().bit_generator.state), "draws": draws_state()}


def draws_state() -> list:
    """The state of the generator of draws without a seed."""
    return random.default_generator().state.array.tolist()


def set_random_state(state):
    """Take up the state that `get_random_state` gave. ValueError if it is none."""
    generator = random.host_generator()
    try:
        def arrays(value):
            if isinstance(value, dict):
                return {k: arrays(v) for k, v in value.items()}
            return np.array(value, "uint64") if isinstance(value, list) else value
        state = dict(state)
        draws = np.array(state.pop("draws"), "int64").reshape(2)
        generator.bit_generator.state = arrays(state)
        random.default_generator().state.array[...] = draws
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"this is no state that get_random_state() gave: {error}.") from None
