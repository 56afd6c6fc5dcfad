"""Whole programs on every backend: equal to the reference, reproducible to the bit, and safe to fail."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, ops
from pyconv.graph import Variable, gradients, simplify, trace
from pyconv.testing.programs import graphs, training_steps


def specs(arrays):
    return [(a.shape, a.dtype.name) for a in arrays]


def run(backend_name, graph, case, times=1, rows=None):
    """Outputs of the last of some runs, and what is then in the variables, which are put back."""
    before = [v.numpy() for v in case.variables]
    program = backends.get(backend_name).compile(graph)
    for _ in range(times):
        outputs = program(case.arrays, rows)
    results = [*outputs, *(v.numpy() for v in case.variables)]
    for v, value in zip(case.variables, before, strict=True):
        v.assign(value)
    return results


def close(found, expected, rtol, floor=1e-3):
    """Equal to within `rtol` of each array's largest element, or of `floor` if that is larger.

    Some gradients are zero in exact arithmetic (that of a bias before batch normalization), so that all of
    their digits are rounding errors.
    """
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(initial=floor))


@given(graphs())
def test_graphs(backend_name, case):
    graph, _ = trace(case.function, specs(case.arrays))
    graph = simplify(graph)
    single = case.arrays[0].dtype == np.float32
    if single and any(step[0] in ("rounded", "masked") for step in case.plan):
        return      # an error of one bit before a jump is no small error after it
    close(run(backend_name, graph, case), run("reference", graph, case), 2e-5 if single else 1e-11)


@settings(max_examples=30)
@given(st.integers(8, 50), st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5)), st.booleans(),
       st.sampled_from(["uint8", "int8", "float32", "bool"]))
def test_images_of_any_type_enter_in_batches(backend_name, batch, shape, last, dtype):
    """Samples go into the lanes in squares of four bytes, and one by one where there are too few."""
    x = np.random.default_rng(batch).integers(0, 256, (batch, *shape)).astype(dtype)
    graph = simplify(trace(lambda x: ops.max_pool(ops.cast(x, "float32"), 1, data_format="channels_last" if last else
                                                  "channels_first"), [(x.shape, dtype)])[0])
    np.testing.assert_array_equal(backends.get(backend_name).compile(graph)((x,))[0], x.astype("float32"))


@given(graphs(dtypes=("float64",)))
def test_gradients_of_graphs(backend_name, case):
    def function(*tensors):
        loss = ops.sum(ops.tanh(case.function(*tensors)[-1]))
        return [loss, [g for g in gradients(loss, tensors) if g is not None]]
    graph, _ = trace(function, specs(case.arrays))
    graph = simplify(graph)
    close(run(backend_name, graph, case), run("reference", graph, case), 1e-9)


@given(case=training_steps())
def test_training_in_float64(backend_name, case):
    graph, _ = trace(case.function, specs(case.arrays), training=True)
    graph = simplify(graph)
    close(run(backend_name, graph, case, times=2), run("reference", graph, case, times=2), 1e-8)


@given(case=training_steps(dtype="float32", smooth=True))
def test_training_in_float32(backend_name, case):
    graph, _ = trace(case.function, specs(case.arrays), training=True)
    graph = simplify(graph)
    close(run(backend_name, graph, case), run("reference", graph, case), 5e-4, floor=0.05)


@settings(max_examples=15)
@given(case=training_steps(dtype="float32"), threads=st.sampled_from([2, 3, 4]))
def test_same_bits_for_any_number_of_threads(backend_name, case, threads):
    graph, _ = trace(case.function, specs(case.arrays), training=True)
    graph = simplify(graph)
    before, results = config.num_threads(), []
    try:
        for n in (1, threads, threads):
            config.set_num_threads(n)
            results.append([a.tobytes() for a in run(backend_name, graph, case, times=2)])
    finally:
        config.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@settings(max_examples=15)
@given(case=training_steps(dtype="float32"), seed=st.integers(0, 1000))
def test_rows_are_taken_from_longer_arrays(backend_name, case, seed):
    graph, _ = trace(case.function, specs(case.arrays), training=True)
    graph = simplify(graph)
    rng, batch = np.random.default_rng(seed), len(case.arrays[0])
    long = [np.concatenate([rng.permutation(a), a, a[:1]]) for a in case.arrays]
    rows = rng.integers(0, len(long[0]), batch)
    found = run(backend_name, graph, case._replace(arrays=long), rows=rows)
    expected = run(backend_name, graph, case._replace(arrays=[a[rows] for a in long]))
    assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]


def linear_step():
    w = Variable(np.ones((3, 2), "float32"))

    def step(x):
        loss = ops.check_finite(ops.mean((x @ w) ** 2), "the loss is not finite")
        (g,) = gradients(loss, [w.read()])
        w.assign_sub(0.1 * g)
        return loss
    graph, _ = trace(step, [((4, 3), "float32")])
    return w, simplify(graph)


def test_a_failed_run_changes_no_variable_and_does_no_harm(backend):
    w, graph = linear_step()
    program, x = backend.compile(graph), np.ones((4, 3), "float32")
    program([x])
    before = w.numpy()
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="the loss is not finite"):
            program([x * np.float32(bad)])
        np.testing.assert_array_equal(w.numpy(), before)
    program([x])
    assert (w.numpy() != before).all()


def test_results_are_new_arrays_each_time(backend):
    program = backend.compile(trace(lambda x: [x * 2, x], [((3,), "float32")])[0])
    x = np.ones(3, "float32")
    first = program([x])
    second = program([x * 5])
    np.testing.assert_array_equal(first, [[2, 2, 2], [1, 1, 1]])
    np.testing.assert_array_equal(second, [[10, 10, 10], [5, 5, 5]])
    second[1][...] = 0
    np.testing.assert_array_equal(x, 1)


def test_one_output_named_twice_and_an_input_unused(backend):
    program = backend.compile(simplify(trace(lambda x, y: [x + 1, x + 1, x], [((2,), "float32")] * 2)[0]))
    outputs = program([np.zeros(2, "float32"), np.ones(2, "float32")])
    np.testing.assert_array_equal(outputs, [[1, 1], [1, 1], [0, 0]])
    assert len({id(o) for o in outputs}) == 3 and not np.shares_memory(outputs[0], outputs[1])


def test_a_program_may_be_called_from_several_threads(backend):
    graph, _ = trace(lambda x: [ops.conv(x, np.ones((3, 3, 2, 4), "float32")), ops.sum(x, (1, 2))],
                     [((9, 8, 8, 2), "float32")])
    program = backend.compile(simplify(graph))
    inputs = [np.full((9, 8, 8, 2), i, "float32") for i in range(8)]
    expected, wrong = [program([x]) for x in inputs], []

    def work(i):
        for _ in range(10):
            for a, b in zip(program([inputs[i]]), expected[i], strict=True):
                if a.tobytes() != b.tobytes():
                    wrong.append(i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_variable_in_two_programs(backend):
    """Programs share the storage of variables: an update by one is seen by the other."""
    v = Variable(np.zeros(3, "float32"))
    add = backend.compile(trace(lambda x: v.assign_add(x), [((3,), "float32")])[0])
    read = backend.compile(trace(lambda: v.value * 2, [])[0])
    add([np.ones(3, "float32")])
    np.testing.assert_array_equal(read([])[0], 2)
    v.assign(np.full(3, 5.0))
    np.testing.assert_array_equal(read([])[0], 10)
