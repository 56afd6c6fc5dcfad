"""Normalizations of images: their chains read what is the same throughout a row, or one number for each vector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, layers, ops
from pyconv.graph import Graph, gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
LAYERS = {
    "batch": lambda **o: layers.BatchNormalization(**o),
    "layer": lambda **o: layers.LayerNormalization((1, 2, 3), **o),
    "channels": lambda **o: layers.LayerNormalization(**o),
    "instance": lambda **o: layers.InstanceNormalization(**o),
    "group": lambda **o: layers.GroupNormalization(2, **o),
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LAYERS)), st.integers(8, 40), st.integers(1, 17), st.integers(1, 17), st.integers(1, 4),
       st.sampled_from(["float32", "float64"]), st.booleans())
def test_of_images(name, batch, height, width, pairs, dtype, relu):
    shape = (batch, height, width, 2 * pairs)
    layer, rng = LAYERS[name](dtype=dtype), np.random.default_rng(0)
    layer.build((None, *shape[1:]))
    for w in layer.trainable_variables:
        w.assign(rng.normal(1, 0.5, w.shape).astype(dtype))

    def function(x, g):
        x = ops.max_pool(x, 1)
        y = layer(x, training=True)
        y = ops.relu(y) if relu else y
        found = gradients(y, [x, *(w.read() for w in layer.trainable_variables)], ops.max_pool(g, 1))
        return [ops.max_pool(y, 1), ops.max_pool(found[0], 1), *found[1:]]
    graph, _ = trace(function, [(shape, dtype)] * 2, training=True)
    graph = Graph(graph.inputs, graph.outputs, [])
    x, g = (rng.normal(0.5, 1.5, shape).astype(dtype) for _ in range(2))
    expected = backends.get("reference").compile(graph)([x, g])
    program, bits = backends.get("cpu").compile(simplify(graph)), None
    for threads in (1, 3):
        config.set_num_threads(threads)
        results = program([x, g])
        for y, truth in zip(results, expected, strict=True):
            size = np.abs(truth).max() + 1
            np.testing.assert_allclose(y, truth, rtol=0, atol=(1e-10 if dtype == "float64" else 3e-4) * size)
        assert bits in (None, [y.tobytes() for y in results])
        bits = [y.tobytes() for y in results]
