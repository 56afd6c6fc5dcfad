"""Large plain arrays that are reduced along their rows go through all that follows in blocks of some rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, layers, ops
from pyconv.graph import Variable, gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import lowering_reductions  # noqa: E402
CPU, REFERENCE = backends.get("cpu"), backends.get("reference")


@pytest.fixture(autouse=True)
def small_arrays_too(monkeypatch):
    monkeypatch.setattr(lowering_reductions, "ROWS", 1)


def compiled(graph, block):
    """The program with blocks of so many elements."""
    before, lowering_reductions.BLOCK = lowering_reductions.BLOCK, block
    try:
        return CPU.compile(graph)
    finally:
        lowering_reductions.BLOCK = before


def check(function, arrays, block):
    """The program gives what the reference gives, with the same bits for any number of threads, in each of two runs."""
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=True)
    graph, results = simplify(graph), []
    expected = REFERENCE.compile(graph)(arrays)
    program = compiled(graph, block)
    for threads in (1, 2, 5, 1):
        config.set_num_threads(threads)
        results.append([r.copy() for r in program(arrays)])
    for found, right in zip(zip(*results, strict=True), expected, strict=True):
        assert len({f.tobytes() for f in found}) == 1
        size = np.abs(right).max(initial=1.0)
        np.testing.assert_allclose(found[0], right, rtol=0, atol=size * (1e-11 if right.dtype == "float64" else 1e-4))
    return program, arrays


def draw_numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(0.5, 1.5, shape).astype(dtype)


SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=3).flatmap(
    lambda lead: st.sampled_from([2, 5, 9, 16, 33, 130, 300]).map(lambda n: (*lead, n)))
BLOCKS = st.sampled_from([1, 8, 100, 700, 1 << 14])


@settings(max_examples=60)
@given(SHAPES, BLOCKS, st.sampled_from(["float32", "float64"]))
def test_softmax_and_its_gradient(shape, block, dtype):
    def function(x, g):
        y = ops.softmax(x * 2.0)
        return [y, *gradients(y, [x], g), ops.log_softmax(x), ops.logsumexp(x, -1), ops.max(x, -1),
                ops.min(x, -1, True)]
    check(function, [draw_numbers(shape, dtype), draw_numbers(shape, dtype, 1)], block)


@settings(max_examples=60)
@given(SHAPES, BLOCKS, st.sampled_from(["float32", "float64"]), st.sampled_from(
    [layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization]))
def test_normalizations_of_rows_and_their_gradients(shape, block, dtype, make):
    layer = make(dtype=dtype)
    layer.build((None, *shape))
    for k, weight in enumerate(layer.trainable_variables):
        weight.assign(draw_numbers(weight.shape, dtype, k))

    def function(x, g):
        y = ops.relu(layer(x + 1.0))
        return [y, *gradients(y, [x, *(v.read() for v in layer.trainable_variables)], g)]
    check(function, [draw_numbers((2, *shape), dtype), draw_numbers((2, *shape), dtype, 1)], block)


@settings(max_examples=60)
@given(st.integers(2, 40), st.sampled_from([1, 3]), BLOCKS)
def test_results_of_rows_that_are_read_across_them(n, m, block):
    """A sum of rows is spread along them, over other rows, turned, padded, indexed, multiplied, kept in a variable."""
    total = Variable(np.zeros((m * n, 1), "f4"))

    def function(x, y):
        rows = ops.sum(x, -1)                                # (m * n,), and below it is one row as well
        square = ops.reshape(x, (m, n, n)) * ops.reshape(rows, (m, n))[:1] + ops.reshape(rows, (m, n, 1))
        column = ops.sum(x * x, -1, keepdims=True)
        total.assign(total.read() + column)
        return [square, ops.max(square, -1), column * y, column + ops.transpose(column)[:, :1], x - ops.flip(column, 0),
                ops.pad(column, 1), ops.sum(column * x, 0), ops.matmul(ops.transpose(x), column), rows[::2],
                ops.sum(ops.reshape(x - column, (m, n * n)), -1), ops.max(ops.pad(x, 2), -1), total.read() * 1.0]
    graph, _ = trace(function, [((m * n, n), "float32"), ((n,), "float32")], training=True)
    graph, found = simplify(graph), []
    arrays = [draw_numbers((m * n, n), "float32"), draw_numbers(n, "float32", 1)]
    for program in (compiled(graph, block), REFERENCE.compile(graph)):
        total.assign(np.zeros((m * n, 1), "f4"))
        found.append([*(r.copy() for r in program(arrays)), total.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max(initial=1.0))


@pytest.mark.parametrize("shape, block", [((40, 70), 700), ((7, 33, 50), 1000)])
def test_what_passes_between_instructions_of_a_block_needs_no_array(shape, block):
    """Softmax: only its input, which exp reads, and its output lie in memory that threads share."""
    program, arrays = check(lambda x: [ops.softmax(ops.matmul(x, np.eye(shape[-1], dtype="f4")))],
                            [draw_numbers(shape, "float32")], block)
    records = [r for r in program.profile(arrays) if r.node.op not in ("matmul", "max")]
    assert len(records) >= 3 and sum(r.bytes for r in records) == 2 * arrays[0].nbytes
