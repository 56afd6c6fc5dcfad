"""Blocks that go through several instructions slice by slice: the same results as whole blocks, in less memory."""

import numpy as np
import pytest

from pyconv import backends, config, layers, ops, random
from pyconv.graph import gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import slices  # noqa: E402
CPU, REFERENCE = backends.get("cpu"), backends.get("reference")


def compiled(monkeypatch, graph, size):
    """The program with slices of at most `size` bytes, and how many slices its runs of several instructions have."""
    monkeypatch.setattr(slices, "SLICE", size)
    monkeypatch.setattr(slices, "LEAST", min(size, 1 << 15))
    find, found = slices.find, []

    def noting(chains):
        runs = find(chains)
        found.extend(run[0].slices for run in runs if len(run) > 1)
        return runs
    monkeypatch.setattr(slices, "find", noting)
    program = CPU.compile(graph)
    monkeypatch.setattr(slices, "find", find)
    return program, found


def check(monkeypatch, function, *arrays):
    """Runs of any number of slices give what the reference gives, and the same bits on any number of threads."""
    random.set_random_seed(0)       # relu passes a gradient or not, where weights bring its input close to zero
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=True)
    graph = simplify(graph)
    expected, counts = REFERENCE.compile(graph)(arrays), []
    for size in (1 << 40, 1 << 15, 1):
        program, found = compiled(monkeypatch, graph, size)
        counts.append(max(found, default=1))
        results = []
        for threads in (1, 2, 5):
            config.set_num_threads(threads)
            results.append(program(arrays))
        for one, two, five, right in zip(*results, expected, strict=True):
            assert one.tobytes() == two.tobytes() == five.tobytes()
            np.testing.assert_allclose(one, right, rtol=0, atol=3e-4 * np.abs(right).max(initial=1))
    return counts


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


@pytest.mark.parametrize("batch", [16, 37, 128])
@pytest.mark.parametrize("stride, multiplier", [(1, 1), (2, 3)])
def test_normalization_and_depthwise_convolution(monkeypatch, batch, stride, multiplier):
    first, second = layers.BatchNormalization(), layers.BatchNormalization()
    depthwise = layers.DepthwiseConv2D(3, stride, "same", multiplier, use_bias=False)

    def function(x, g):
        y = ops.relu(second(depthwise(ops.relu(first(x, training=True))), training=True))
        variables = [v.read() for layer in (depthwise, first, second) for v in layer.trainable_variables]
        return [y, *gradients(ops.sum(y * g), [x, *variables])]
    shape = (batch, 9, 10, 12)
    g = draw((batch, -(-9 // stride), -(-10 // stride), 12 * multiplier), 1)
    few, some, all_ = check(monkeypatch, function, draw(shape), g)
    assert few <= some <= all_ == 12 and (batch < 128 or few <= 2 < some)


@pytest.mark.parametrize("batch", [16, 37])
def test_poolings_and_their_gradients(monkeypatch, batch):
    def function(x, g):
        tops = [ops.max_pool(ops.relu(x), 2) * 2.0, ops.max_pool(x * g, 3, 2), ops.avg_pool(ops.sigmoid(x), 2),
                ops.avg_pool(ops.tanh(x), 3, 1)]
        loss = sum(ops.sum(top * top * 0.25 + top) for top in tops)
        return [*tops, *gradients(loss, [x, g])]
    shape = (batch, 9, 11, 12)
    assert check(monkeypatch, function, draw(shape), draw(shape, 1))[-1] == 12


def test_what_couples_channels_goes_by_whole_blocks(monkeypatch):
    """Arrays without channels, or with one number per channel and sample, made and read between sliced work."""
    depthwise = layers.DepthwiseConv2D(3, padding="same")

    def function(x):
        y = ops.relu(depthwise(x))
        over_pixels = ops.mean(y, (1, 2), keepdims=True)           # (batch, 1, 1, channels)
        over_channels = ops.sum(y * y, 3, keepdims=True)           # (batch, height, width, 1)
        over_columns = ops.max(y, (2, 3), keepdims=True)           # (batch, height, 1, 1)
        z = depthwise(y * ops.sigmoid(over_pixels) + over_channels * 0.1 - over_columns)
        return [z, over_channels, ops.sum(z, (0, 1, 2)), ops.sum(z * over_columns, (1, 2)), ops.sum(z, (0, 3)),
                *gradients(ops.sum(z * z), [x, depthwise.kernel.read()])]
    assert check(monkeypatch, function, draw((130, 6, 5, 8)) * 0.3)[-1] > 1


def test_numbers_of_channels_without_a_common_divisor(monkeypatch):
    def function(x, y, k, m):
        a, b = ops.depthwise_conv(ops.relu(x), k, 1, "same"), ops.depthwise_conv(ops.relu(y), m, 1, "same")
        return [a, b, ops.sum(a * 2.0, (0, 1, 2)), ops.sum(b * 2.0, (0, 1, 2))]
    counts = check(monkeypatch, function, draw((128, 4, 5, 7)), draw((128, 4, 5, 10)), draw((3, 3, 7, 1)),
                   draw((3, 3, 10, 1)))
    assert counts[-1] in (7, 10)


def test_local_memory_is_that_of_slices(monkeypatch):
    """What lives within a run takes the memory of a slice."""
    kernel = draw((3, 3, 64, 1))

    def function(x):
        y = ops.depthwise_conv(ops.relu(x), kernel, 1, "same")
        return [ops.sum(ops.depthwise_conv(ops.relu(y), kernel), (0, 1, 2))]
    graph, _ = trace(function, [((128, 16, 16, 64), "float32")])
    found = []
    place = slices.within
    monkeypatch.setattr(slices, "within", lambda b: found.append((b, place(b))) or found[-1][1])
    compiled(monkeypatch, graph, 1 << 16)
    # The images in lanes, which a whole block is brought into; relu of them; and the first convolution's result.
    whole, first, second = [n for b, n in found if b.block_bytes == 4 * 16 * 16 * 64 * CPU.kernels.lanes["float32"]]
    assert whole == 1 and first == second > 1
