"""What the CPU planner fuses: sums and elementwise chains, statistics, and what it computes twice rather than store."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, layers, ops
from pyconv.graph import gradients, simplify, trace

CPU, REFERENCE = backends.get("cpu"), backends.get("reference")
SHAPES = st.tuples(st.sampled_from([1, 3, 8, 16, 17, 40]), st.integers(1, 9), st.integers(1, 7), st.integers(1, 5))
AXES = st.sets(st.integers(0, 3), min_size=1).map(lambda a: tuple(sorted(a)))


def in_lanes(x):
    """x itself; but a program with pooling has its images in lanes."""
    return ops.max_pool(x, 1)


def compare(function, *arrays, training=False):
    """The CPU program gives what the reference gives, with the same bits for one thread and two."""
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=training)
    program = CPU.compile(simplify(graph))
    expected = REFERENCE.compile(graph)([a.astype("float64") if a.dtype == "float64" else a for a in arrays])
    results = []
    for threads in (1, 2):
        config.set_num_threads(threads)
        results.append(program(arrays))
    for one, two, right in zip(*results, expected, strict=True):
        assert one.tobytes() == two.tobytes()
        size = np.abs(right).max(initial=1.0)
        np.testing.assert_allclose(one, right, rtol=0, atol=size * (1e-11 if one.dtype == "float64" else 3e-4))
    return program


def draw(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype(dtype)


@settings(max_examples=40)
@given(SHAPES, AXES, AXES, st.booleans(), st.sampled_from(["float32", "float64"]))
def test_sums_of_what_chains_read_and_compute(shape, first, second, keepdims, dtype):
    def function(x, y, row):
        x, y = in_lanes(x), in_lanes(y)
        product = ops.relu(x * y + row)
        return [ops.sum(x, first, keepdims), ops.sum(product, first, keepdims), ops.sum(product, second),
                ops.sum(x * x, second, keepdims), product - 1.0, ops.sum(ops.exp(-ops.abs(product)), second)]
    compare(function, draw(shape, dtype), draw(shape, dtype, 1), draw(shape[-1:], dtype, 2))


@settings(max_examples=40)
@given(SHAPES, AXES, st.booleans(), st.sampled_from(["float32", "float64"]))
def test_sum_and_variance(shape, axes, keepdims, dtype):
    compare(lambda x: [ops.variance(in_lanes(x), axes, keepdims), ops.mean(in_lanes(x), axes, keepdims)],
            draw(shape, dtype))


OPERATIONS = {
    "add": ops.add, "subtract": ops.subtract, "multiply": ops.multiply,
    "relu": lambda a, b: ops.relu(a), "sigmoid": lambda a, b: ops.sigmoid(a), "erf": lambda a, b: ops.erf(a),
    "gate": lambda a, b: ops.where(a > 0, b, 0.0), "choose": lambda a, b: ops.where(a > 0, b, a)}


def pattern(draw):
    """A function of x, y and a row, made of operations: most take the latest result, some results are used twice."""
    steps = draw(st.lists(st.tuples(st.sampled_from([*OPERATIONS]), st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]),
                                    st.integers(0, 5)), min_size=1, max_size=8))
    wanted = draw(st.sets(st.integers(0, 9), max_size=3))

    def function(x, y, row):
        values = [in_lanes(x), in_lanes(y), row]
        for op, i, j in steps:
            values.append(OPERATIONS[op](values[-1 - i % len(values)], values[-1 - j % len(values)]))
        made = [v + x for v in values[3:]]
        return [values[-1], ops.sum(made[-1], (0, 2, 3)), *(made[i % len(made)] for i in wanted)]
    return function


@st.composite
def alike(draw):
    """Chains of the same operations on arrays of their own, some of which differ in a detail that matters to others:
    the bound of a mask, what stands where it is not true, which results are wanted, element types, shapes."""
    steps = draw(st.lists(st.tuples(st.sampled_from([*OPERATIONS, "above"]), st.integers(0, 2), st.integers(0, 3)),
                          min_size=1, max_size=6))
    details = draw(st.lists(st.tuples(
        st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0, 2.0]), st.sets(st.integers(0, 5), max_size=2),
        st.sampled_from(["float32", "float64"]), st.sampled_from(["bool", "int32"]), st.integers(1, 3)),
        min_size=2, max_size=4))

    def function(*arrays):
        results = []
        for n, (bound, otherwise, wanted, _, other, _) in enumerate(details):
            values = list(arrays[2 * n:2 * n + 2])
            for op, i, j in steps:
                a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
                values.append(ops.where(a > bound, b, otherwise) if op == "above" else OPERATIONS[op](a, b))
            results += [values[-1], *(values[2 + i % len(steps)] for i in wanted), ops.cast(values[0], other)]
        return results
    return function, [((rows, 5), dtype) for *_, dtype, _, rows in details for _ in range(2)]


@settings(max_examples=200)
@given(alike())
def test_chains_of_one_form_and_nearly_so(case):
    function, arrays = case
    compare(function, *(draw(shape, dtype, seed) for seed, (shape, dtype) in enumerate(arrays)))


@settings(max_examples=250)
@given(st.composite(pattern)(), st.sampled_from([1, 17, 32]), st.sampled_from([1, 3, 20]),
       st.sampled_from(["float32", "float64"]))
def test_sums_differences_and_products_of_each_other(function, batch, size, dtype):
    compare(function, *(draw(shape, dtype, i) / 2 for i, shape in enumerate([(batch, 4, size, 5)] * 2 + [(5,)])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [
    lambda x, y, z: x * y + z, lambda x, y, z: (x + y) * z, lambda x, y, z: (x + y) * (x * z),
    lambda x, y, z: (x - y) * z, lambda x, y, z: (x - y) * z + x, lambda x, y, z: ops.relu((x - y) * z + x),
    lambda x, y, z: ops.relu(x + y),
    lambda x, y, z: y * ops.sigmoid(x), lambda x, y, z: ops.sigmoid(x) * y, lambda x, y, z: ops.erf(x * y),
    lambda x, y, z: ops.where(x > 0, y, z), lambda x, y, z: ops.where(x > 0, y, 0.0),
])
def test_one_instruction_for_several_operations(function, dtype):
    """Each on arrays of batches in lanes and of others, with operands for all samples, for one number, and for all."""
    for batch in (3, 33):
        x, y = draw((batch, 3, 2, 5), dtype), draw((batch, 3, 2, 5), dtype, 1)
        for z in (draw(x.shape, dtype, 2), draw((5,), dtype, 2), draw((), dtype, 2)):
            compare(lambda x, y, z: [function(in_lanes(x), y, z)], x - 1, y - 1, z - 1)


@pytest.mark.parametrize("batch", [16, 37])
def test_variance_of_large_numbers(batch):
    """Differences from the mean are squared. What is left is the rounding of the blocks' means, here 5e-4 each."""
    x = draw((batch, 5, 4, 3), "float32") + 10000
    (found,) = CPU.compile(trace(lambda x: [ops.variance(in_lanes(x), (0, 1, 2))], [(x.shape, "float32")])[0])([x])
    np.testing.assert_allclose(found, x.astype("float64").var((0, 1, 2)), rtol=2e-4)


def test_numbers_that_are_not_finite():
    x = draw((20, 3, 3, 4), "float32")
    x[3, 1, 1, 0], x[5, 0, 0, 1] = np.nan, np.inf
    total, spread = CPU.compile(trace(lambda x: [ops.sum(in_lanes(x) * 2.0, (0, 1, 2)), ops.variance(
        in_lanes(x), (0, 1, 2))], [(x.shape, "float32")])[0])([x])
    assert np.isnan(total[0]) and np.isinf(total[1]) and np.isfinite(total[2:]).all()
    assert np.isnan(spread[:2]).all() and np.isfinite(spread[2:]).all()


def normalized(layer, shape):
    def function(x, g):
        y = ops.relu(layer(in_lanes(x), training=True))
        loss = ops.sum(y * g)
        return [y, *gradients(loss, [x, *(v.read() for v in layer.trainable_variables)])]
    return function


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (16, 5, 4, 6), (33, 8, 9, 6)])
@pytest.mark.parametrize("make", [
    layers.BatchNormalization, layers.LayerNormalization, lambda **k: layers.LayerNormalization(axis=(1, 2, 3), **k),
    layers.InstanceNormalization, lambda **k: layers.GroupNormalization(2, **k), layers.RMSNormalization])
def test_normalizations_and_their_gradients(make, shape):
    layer = make(dtype="float64")
    layer.build(shape)
    compare(normalized(layer, shape), draw(shape, "float64"), draw(shape, "float64", 1), training=True)


def test_batch_normalization_passes_over_memory_few_times():
    """Forward: statistics, then one chain; backward: the sums in one chain, then one chain."""
    shape = (32, 8, 8, 6)
    layer = layers.BatchNormalization()
    layer.build(shape)
    program = compare(normalized(layer, shape), draw(shape, "float32"), draw(shape, "float32", 1), training=True)
    large = [r.node for r in program.profile([draw(shape, "float32"), draw(shape, "float32", 1)])
             if r.blocks and r.node.op not in ("max_pool", "max_pool_gradient")]
    assert len(large) <= 9, [n.op for n in large]


@pytest.mark.parametrize("make", [layers.BatchNormalization, lambda: layers.LayerNormalization((1, 2, 3)),
                                  layers.InstanceNormalization, lambda: layers.GroupNormalization(2)])
def test_gradients_of_normalizations_add_up_in_one_pass(make):
    """All sums over the incoming gradient wait for those that need the statistics; these alone have their own pass."""
    shape, layer = (32, 12, 12, 6), make()
    layer.build(shape)

    def function(x, g):
        y = layer(in_lanes(x), training=True)
        return gradients(y, [x, *(v.read() for v in layer.trainable_variables)], in_lanes(g))
    arrays = draw(shape, "float32"), draw(shape, "float32", 1)
    program = compare(function, *arrays, training=True)
    alone = [r.node.op for r in program.profile(arrays)
             if r.blocks and {n.op for n in r.nodes} <= {"sum", "variance"} and r.node.inputs[0].shape == shape]
    assert len(alone) == 1, alone


@settings(max_examples=30)
@given(st.sampled_from([8, 17, 33]), st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 40)),
       st.sets(st.integers(1, 3)), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_weights_without_samples_and_their_gradients(batch, sizes, ones, channels_last, dtype):
    """One number for all lanes, of a weight over all or some features; the weight's gradient sums the lanes alone."""
    weight = draw([1 if i + 1 in ones else n for i, n in enumerate(sizes)], dtype)

    def function(x, w, g):
        x = ops.max_pool(x, 1, data_format="channels_last" if channels_last else "channels_first")
        y = ops.tanh(x * w) + w
        return [y, *gradients(y, [x, w], g)]
    compare(function, draw((batch, *sizes), dtype), weight, draw((batch, *sizes), dtype, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make, batch, channels_last", [
    (lambda **k: layers.LayerNormalization((1, 2, 3), **k), 33, False),
    (lambda **k: layers.LayerNormalization((1, 2, 3), **k), 16, True),
    (lambda **k: layers.LayerNormalization(-1, **k), 20, True),
    (lambda **k: layers.InstanceNormalization(1, **k), 33, False),
    (lambda **k: layers.GroupNormalization(3, axis=1, **k), 16, False),
    (lambda **k: layers.GroupNormalization(3, **k), 19, True),
    (lambda **k: layers.BatchNormalization(1, **k), 33, False)])
def test_large_normalizations(make, batch, channels_last, dtype):
    """Maps so large that what two passes need is computed twice."""
    shape = (batch, 17, 21, 6) if channels_last else (batch, 6, 17, 21)
    layer = make(dtype=dtype)
    layer.build(shape)
    rng = np.random.default_rng(0)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(1, 0.3, weight.shape).astype(dtype))

    def function(x, g):
        x = ops.max_pool(x, 1, data_format="channels_last" if channels_last else "channels_first")
        y = ops.relu(layer(x, training=True))
        return [y, *gradients(y, [x, *(v.read() for v in layer.trainable_variables)], g)]
    compare(function, draw(shape, dtype), draw(shape, dtype, 1), training=True)


@pytest.mark.parametrize("axes", [(1, 2, 3), (2, 3), (0, 2, 3)])
def test_moments_of_large_maps(axes):
    """A mean of a thousand deviations: pieces have their own means, whose rounding is mended."""
    x = draw((20, 3, 33, 41), "float32") / 2 + 2000
    graph, _ = trace(lambda x: [ops.variance(in_lanes(x), axes), ops.mean(in_lanes(x), axes)], [(x.shape, "float32")])
    found = CPU.compile(simplify(graph))([x])
    wide = x.astype("float64")
    np.testing.assert_allclose(found[0], wide.var(axes), rtol=1e-4)
    np.testing.assert_allclose(found[1], wide.mean(axes), rtol=3e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch, channels, filters, size, kernel, stride", [
    (16, 256, 64, 7, 1, 1), (17, 130, 40, 5, 1, 1), (16, 64, 40, 9, 3, 2), (9, 100, 33, 6, 1, 2)])
def test_convolutions_whose_taps_are_taken_in_parts(batch, channels, filters, size, kernel, stride, dtype):
    def function(x, w, b):
        y = ops.relu(ops.conv(x, w, strides=stride, padding="same") + b)
        return [y, *gradients(ops.sum(y * y), [x, w, b])]
    compare(function, draw((batch, size, size, channels), dtype), draw((kernel, kernel, channels, filters), dtype, 1),
            draw((filters,), dtype, 2))


@settings(max_examples=60)
@given(st.sampled_from([1, 9, 16, 37]), st.integers(1, 3), st.integers(1, 40), st.integers(1, 30),
       st.sampled_from([(2, 3), (1, 2, 3), (0, 2, 3), (1,), (3,), (0,)]), st.sampled_from([0.0, 1.0, -3e4]),
       st.sampled_from(["noise", "constant", "level", "outlier", "trend"]), st.booleans())
def test_moments_of_hard_data(batch, channels, rows, cols, axes, offset, kind, lanes):
    """Whatever the order of the data: what is far from all before it, or all equal, or first and far from the rest."""
    shape = (batch, channels, rows, cols)
    x = draw(shape, "float32") * np.float32(kind != "constant") + np.float32(offset)
    if kind == "level":
        x[:, :, rows // 2:] += 1000
    elif kind == "outlier":
        x[:, 0, 0, 0] = 1e5
    elif kind == "trend":
        x += np.arange(rows, dtype="f4")[:, None] * 50
    graph, _ = trace(lambda x: [ops.variance(in_lanes(x) if lanes else x, axes),
                                ops.mean(in_lanes(x) if lanes else x, axes)], [(shape, "float32")])
    spread, mean = CPU.compile(simplify(graph))([x])
    wide = x.astype("float64")
    assert (spread >= 0).all()
    np.testing.assert_allclose(spread, wide.var(axes), rtol=2e-4, atol=1e-12 * offset ** 2)
    np.testing.assert_allclose(mean, wide.mean(axes), rtol=1e-6, atol=1e-5 * (kind != "constant"))


@settings(max_examples=40)
@given(st.sampled_from([1, 5, 16, 19]), st.lists(st.integers(1, 6), min_size=3, max_size=3),
       st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=4), st.booleans(), st.booleans(),
       st.sampled_from(["float32", "float64", "int8"]), st.sampled_from([0, 3]))
def test_padding_of_any_axes(batch, sizes, pads, whole, lanes, dtype, value):
    """In a program of many arrays, the others of which must stay as they are; a large one is filled only around."""
    from pyconv.backends.cpu import lowering
    pads = [(0, 0) if whole else pads[0], *pads[1:]]
    x = draw((batch, *sizes), "float32").astype(dtype)
    before, lowering.BIG_PAD = lowering.BIG_PAD, 0
    try:
        program = CPU.compile(simplify(trace(lambda x, image: [
            ops.pad(x + x, pads, "constant", value), ops.pad(ops.pad(x, pads, "constant", 1), pads, "constant", value),
            in_lanes(image) if lanes else image], [(x.shape, dtype), ((batch, 3, 3, 2), "float32")])[0]))
    finally:
        lowering.BIG_PAD = before
    found = program([x, draw((batch, 3, 3, 2), "float32")])
    np.testing.assert_array_equal(found[0], np.pad(x + x, pads, constant_values=value))
    np.testing.assert_array_equal(found[1], np.pad(np.pad(x, pads, constant_values=1), pads, constant_values=value))
    np.testing.assert_array_equal(found[2], draw((batch, 3, 3, 2), "float32"))
