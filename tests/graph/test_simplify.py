"""Simplification changes how a graph computes, and never what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.graph import Variable, gradients, simplify, trace
from pyconv.testing.programs import graphs, training_steps

F4 = ((4, 6), "float32")


def kept(function, *specs):
    """The ops that are left of a traced function."""
    graph, _ = trace(function, specs or [F4])
    return [n.op for n in simplify(graph).nodes() if n.op not in ("placeholder", "constant", "variable")]


@given(graphs())
def test_same_values(case):
    specs = [(a.shape, a.dtype.name) for a in case.arrays]

    def function(*tensors):
        outputs = case.function(*tensors)
        loss = ops.sum(ops.tanh(outputs[-1]))
        return [outputs, loss, [g for g in gradients(loss, tensors) if g is not None]]
    graph, _ = trace(function, specs)
    simple = simplify(graph)
    reference = backends.get("reference")
    assert len(simple.nodes()) <= len(graph.nodes())
    assert [t.spec for t in simple.outputs] == [t.spec for t in graph.outputs]
    for a, b in zip(reference.compile(simple)(case.arrays), reference.compile(graph)(case.arrays),
                    strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    again = simplify(simple)
    assert len(again.nodes()) == len(simple.nodes()), "a second pass finds nothing more"


@given(training_steps(), st.booleans())
def test_same_updates(case, simple):
    graph, _ = trace(case.function, [(a.shape, a.dtype.name) for a in case.arrays])
    before = [v.numpy() for v in case.variables]
    results = []
    for g in (graph, simplify(graph)):
        for v, value in zip(case.variables, before, strict=True):
            v.assign(value)
        outputs = backends.get("reference").compile(g)(case.arrays)
        results.append(outputs + [v.numpy() for v in case.variables])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("function, ops_left", [
    (lambda x: x + 0, []), (lambda x: 0.0 + x, []), (lambda x: x * 1, []), (lambda x: x / 1, []),
    (lambda x: x - 0, []), (lambda x: 0 - x, ["subtract"]), (lambda x: x ** 1, []), (lambda x: 1 / x,
                                                                                     ["divide"]),
    (lambda x: ops.reshape(ops.reshape(x, (24,)), (4, 6)), []),
    (lambda x: ops.reshape(ops.reshape(x, (24,)), (2, 12)), ["reshape"]),
    (lambda x: ops.transpose(ops.transpose(x)), []),
    (lambda x: ops.broadcast_to(x, (4, 6)), []),
    (lambda x: [ops.exp(x), ops.exp(x)], ["exp"]),
    (lambda x: [ops.sum(x, 0), ops.sum(x, 1)], ["sum", "sum"]),
    (lambda x: x + np.zeros((2, 4, 6), "float32"), ["add"]),
])
def test_what_goes(function, ops_left):
    assert kept(function) == ops_left


def test_chains_of_transposes_are_joined():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    graph, _ = trace(lambda t: ops.transpose(ops.transpose(t, (1, 2, 0)), (0, 2, 1)), [(x.shape, "float64")])
    simple = simplify(graph)
    assert [n.op for n in simple.nodes()] == ["placeholder", "transpose"]
    np.testing.assert_array_equal(backends.get("reference").compile(simple)([x])[0], x.transpose(1, 0, 2))


def test_equal_constants_are_one_and_different_ones_stay():
    assert kept(lambda x: [x + 2.5, x + 2.5, x + 3.5]) == ["add", "add"]
    assert kept(lambda x: [x + np.float32(2), ops.cast(x, "float64") + np.float64(2)]) == ["add", "cast",
                                                                                           "add"]


def test_reads_of_one_variable_are_one():
    v, w = Variable(np.ones(6, "float32")), Variable(np.ones(6, "float32"))
    assert kept(lambda x: [x + v, x + v, x + w]) == ["add", "add"]


def test_a_check_survives():
    assert kept(lambda x: ops.check_finite(x * 1)) == ["check_finite"]


def test_different_states_draw_different_numbers():
    def function(s):
        return [ops.random_uniform(s, (3,)), ops.random_uniform(s + np.array([0, 1]), (3,)),
                ops.random_uniform(s, (3,))]
    assert kept(function, ((2,), "int64")) == ["random_uniform", "add", "random_uniform"]


def test_even_factors_leave_sums():
    """Sums of products with broadcast factors become one sum, used several times."""
    def function(x, scale):
        rows = ops.reshape(scale, (4, 1))
        return ops.sum(x, 1), ops.sum(x * rows, 1), ops.sum(-(rows * x), 1, keepdims=True), ops.sum(-x, 1)
    specs = [F4, ((4,), "float32")]
    assert kept(function, *specs).count("sum") == 2        # with and without keepdims
    assert kept(lambda x, s: ops.sum(x * s, 1), F4, ((6,), "float32")).count("multiply") == 1
    graph, _ = trace(function, specs)
    arrays = [np.arange(24, dtype="float32").reshape(4, 6), np.arange(4, dtype="float32")]
    reference = backends.get("reference")
    for a, b in zip(reference.compile(simplify(graph))(arrays), reference.compile(graph)(arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_broadcasting_is_left_to_the_op_that_follows():
    assert kept(lambda x, y: x + ops.broadcast_to(y, (4, 6)), F4, ((6,), "float32")) == ["add"]
    assert kept(lambda y: ops.broadcast_to(y, (4, 6)) + 1.0, ((6,), "float32")) == ["broadcast_to", "add"]


def test_gradient_of_relu_and_pooling_is_masked_before_it_is_spread():
    def function(z, g):
        y = ops.max_pool(ops.relu(z), 2)
        (dz,) = gradients(ops.sum(y * g), [z])
        return y, dz, ops.sum(dz, (0, 1, 2))
    specs = [((3, 5, 6, 2), "float64"), ((3, 2, 3, 2), "float64")]
    graph, _ = trace(function, specs)
    simple = simplify(graph)
    assert [n.output.shape for n in simple.nodes() if n.op == "where"] == [(3, 2, 3, 2)]
    assert [n.inputs[0].shape for n in simple.nodes() if n.op == "sum"] == [(3, 2, 3, 2)]
    z = np.random.default_rng(0).integers(-2, 3, specs[0][0]).astype("float64")
    z[0, 0, 0, 0], z[1, 2, 3, 1] = np.nan, np.inf
    g = np.random.default_rng(1).normal(size=specs[1][0])
    reference = backends.get("reference")
    for a, b in zip(reference.compile(simple)([z, g]), reference.compile(graph)([z, g]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
