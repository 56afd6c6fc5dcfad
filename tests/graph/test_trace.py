"""Tracing: what is recorded, and what the trace knows of reads and updates."""

import threading

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import Graph, Trace, Variable, constant, current_trace, placeholder, topological, trace

F4 = ((2, 3), "float32")


def test_a_graph_has_the_nodes_that_its_results_need():
    def function(x, y):
        ops.exp(y)                    # not returned, so not kept
        return {"sum": x + y, "parts": [x * 2]}
    graph, result = trace(function, [F4, F4])
    assert [n.op for n in graph.nodes() if n.op not in ("placeholder", "constant")] == ["add", "multiply"]
    assert set(result) == {"sum", "parts"} and result["sum"] is graph.outputs[0]
    assert [t.shape for t in graph.inputs] == [(2, 3)] * 2


def test_nodes_come_after_their_inputs():
    def function(x):
        for _ in range(200):
            x = x + ops.tanh(x)
        return x
    graph, _ = trace(function, [F4])
    order = graph.nodes()
    position = {id(n): i for i, n in enumerate(order)}
    assert len(order) == 401 == len(position)
    assert all(position[id(t.node)] < position[id(n)] for n in order for t in n.inputs)


def test_a_long_chain_needs_no_recursion():
    x = placeholder((1,), "float32")
    y = x
    for _ in range(5000):
        y = ops.negative(y)
    assert len(topological([y])) == 5001


def test_names_and_types_of_placeholders():
    graph, _ = trace(lambda x: x, [((4,), "<f4", "image")])
    assert graph.inputs[0].node.attrs["name"] == "image" and graph.inputs[0].dtype == "float32"


def test_arrays_numbers_and_variables_may_be_returned(backend):
    v = Variable(np.ones(2, "float32"))
    graph, result = trace(lambda: [np.array([1, 2]), 3.0, v, None], [])
    outputs = backend.compile(graph)([])
    assert [o.tolist() for o in outputs] == [[1, 2], 3.0, [1, 1]]
    assert len(result) == 4


def test_constants_are_copies():
    array = np.ones(3)
    tensor = constant(array)
    array[...] = 5
    np.testing.assert_array_equal(tensor.node.attrs["value"].array, 1)
    with pytest.raises(ValueError):
        tensor.node.attrs["value"].array[0] = 2


def test_traces_nest_and_belong_to_a_thread():
    seen = []
    with Trace(training=True) as outer:
        assert current_trace() is outer and outer.training
        with Trace() as inner:
            assert current_trace() is inner and not inner.training
        thread = threading.Thread(target=lambda: seen.append(current_trace()))
        thread.start()
        thread.join()
    assert seen == [None] and current_trace() is None


def test_an_error_ends_the_trace():
    def fails(x):
        raise RuntimeError("inside")
    with pytest.raises(RuntimeError, match="inside"):
        trace(fails, [F4])
    assert current_trace() is None


@pytest.mark.parametrize("use, message", [
    (lambda x: 1 if x > 0 else 0, "cannot decide an `if`"), (lambda x: np.exp(x), "exp cannot compute .*pyconv.ops"),
    (lambda x: np.asarray(x), "NumPy cannot read it"), (lambda x: len(x[0, 0]), "tensor without axes"),
    (lambda x: [x][0] and 1, "cannot decide")])
def test_what_a_symbolic_tensor_cannot_do(use, message):
    with pytest.raises(TypeError, match=message):
        trace(use, [F4])


def test_updates_are_in_the_graph():
    v = Variable(np.zeros(2, "float32"))

    def function(x):
        v.assign(v + x)
        v.assign_add(x)
        return v.value * 1
    graph, _ = trace(function, [((2,), "float32")])
    assert [variable for variable, _ in graph.updates] == [v]
    assert graph.results == graph.outputs + (graph.updates[0][1],)
    np.testing.assert_array_equal(v.numpy(), 0)


def test_repr():
    x = placeholder((2, 3), "float32")
    y = ops.sum(x, 1)
    assert repr(x) == "<Tensor placeholder (2, 3) float32>"
    assert "sum" in repr(y.node) and "(2,)" in repr(y.node)
    assert isinstance(Graph([x], [y]).nodes(), list)
