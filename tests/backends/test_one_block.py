"""Batches that fill the lanes once: rows of convolutions and outputs of dense layers are tasks, for several threads."""

import numpy as np
import pytest

from pyconv import Variable, backends, config, ops
from pyconv.graph import gradients, simplify, trace


@pytest.mark.parametrize("sizes, channels, filters, padding", [((27, 18), 3, 9, 2), ((20, 23), 5, 17, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_its_parts_are_tasks(sizes, channels, filters, padding, dtype):
    """A convolution with pooling behind, one with strides, and a dense layer; forward, and with all gradients."""
    rng, lanes = np.random.default_rng(filters), backends.get("cpu").kernels.lanes[dtype]
    rows, cols = ((n + 2 * padding - 4) // 2 for n in sizes)
    inputs = -(-rows // 2) * -(-cols // 2) * 21
    x, *weights = (rng.normal(size=shape).astype(dtype) for shape in (
        (lanes, *sizes, channels), (5, 5, channels, filters), (filters,), (3, 3, filters, 21), (inputs, 130), (130,)))
    variables = [Variable(w) for w in weights]

    def network(x, first, bias, second, third, offset):
        y = ops.max_pool(ops.conv(x, first, padding=padding) + bias, 2)
        y = ops.reshape(ops.conv(y, second, strides=2, padding=1), (lanes, inputs))
        return ops.matmul(y, third) + offset

    def forward(x):
        return network(x, *(v.read() for v in variables))

    def backward(*tensors):
        y = network(*tensors)
        return [y, *gradients(y, list(tensors), y * 0.25)]
    config.set_conv_algorithm("direct")
    for function, arrays in ((forward, [x]), (backward, [x, *weights])):
        graph = simplify(trace(function, [(a.shape, dtype) for a in arrays])[0])
        program, found = backends.get("cpu").compile(graph), []
        for threads in (1, 2, 3, 7):
            config.set_num_threads(threads)
            found.append(program(arrays))
        for expected, one, *others in zip(backends.get("reference").compile(graph)(arrays), *found, strict=True):
            assert all(one.tobytes() == other.tobytes() for other in others)
            bound = 1e-4 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(one, expected, rtol=bound, atol=bound * np.abs(expected).max())
        # Nothing but what prepares them goes by blocks.
        assert {"conv", "matmul"} <= {node.op for _, node, blocks in program.listing if not blocks}
