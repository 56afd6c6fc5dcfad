"""Random graphs and random training steps on the emulated device; the same helpers as for other backends.

Few examples: each brings chains of its own, and g++ takes about half a second for one.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from pyconv import ops
from pyconv.graph import gradients, simplify, trace
from pyconv.testing.programs import graphs, training_steps

programs = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location(
    "programs", Path(__file__).parents[1] / "backends" / "test_programs.py"))
spec.loader.exec_module(programs)


def compare(function, case, times, rtol, training=False):
    graph, _ = trace(function, programs.specs(case.arrays), training=training)
    graph = simplify(graph)
    programs.close(programs.run("cuda", graph, case, times=times),
                   programs.run("reference", graph, case, times=times), rtol)


@pytest.mark.devices
@settings(max_examples=4)
@given(graphs(dtypes=("float64",)))
def test_graphs_and_their_gradients(case):
    def function(*tensors):
        found = case.function(*tensors)
        loss = ops.sum(ops.tanh(found[-1]))
        return found, loss, [g for g in gradients(loss, tensors) if g is not None]
    compare(function, case, 1, 1e-9)


@pytest.mark.devices
@settings(max_examples=4)
@given(case=training_steps())
def test_training(case):
    """Three runs: launched one by one, captured, replayed."""
    compare(case.function, case, 3, 1e-8, training=True)


@pytest.mark.devices
@settings(max_examples=2)
@given(case=training_steps(dtype="float32"))
def test_same_bits_in_every_run(case):
    graph, _ = trace(case.function, programs.specs(case.arrays), training=True)
    first, second = (programs.run("cuda", simplify(graph), case, times=2) for _ in range(2))
    assert [np.asarray(a).tobytes() for a in first] == [np.asarray(a).tobytes() for a in second]
