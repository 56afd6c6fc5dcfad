"""A scale per channel behind a convolution or dense layer goes into its kernel at inference; the numbers stay."""

import numpy as np
import pytest

import pyconv
from pyconv import backends, layers, ops
from pyconv.graph import Variable, fold, simplify, trace

RNG = np.random.default_rng(5)


def filled(model):
    """The model, with statistics and weights as if it had been trained."""
    for v in model.variables:
        if v.dtype in ("float32", "float64"):
            v.assign(RNG.uniform(0.5, 1.5, v.shape))
    return model


CASES = {
    "conv1d": ((9, 2), [layers.Conv1D(4, 3), layers.BatchNormalization(), layers.ReLU()]),
    "conv2d": ((6, 5, 2), [layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()]),
    "no_bias": ((6, 5, 2), [layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(scale=False)]),
    "grouped": ((6, 5, 4), [layers.Conv2D(6, 3, groups=2), layers.BatchNormalization(center=False)]),
    "depthwise": ((6, 5, 3), [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()]),
    "channels_first": ((2, 6, 5), [layers.Conv2D(4, 3, data_format="channels_first"),
                                   layers.BatchNormalization(axis=1)]),
    "conv3d": ((4, 5, 3, 2), [layers.Conv3D(3, 2), layers.BatchNormalization()]),
    "transposed": ((4, 5, 2), [layers.Conv2DTranspose(3, 3, strides=2), layers.BatchNormalization()]),
    "dense": ((6,), [layers.Dense(4), layers.BatchNormalization(), layers.BatchNormalization()]),
    "scaled": ((6, 5, 2), [layers.Conv2D(4, 3), layers.Rescaling(0.25, offset=1.0)]),
}


def folded(shape, stack, dtype, batch=8):
    pyconv.config.set_floatx(dtype)
    model = filled(pyconv.Sequential([pyconv.Input(shape)] + [
        type(layer).from_config(layer.get_config() | {"dtype": dtype}) for layer in stack]))
    graph, _ = trace(lambda x: model(x), [((batch, *shape), dtype)])
    return model, simplify(graph), fold(simplify(graph))


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_stay(case, backend):
    shape, stack = CASES[case]
    model, graph, small = folded(shape, stack, "float64")
    x = RNG.normal(size=(8, *shape))
    expected = backends.get("reference").compile(graph)([x])[0]
    np.testing.assert_allclose(backend.compile(small)([x])[0], expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_per_element_is_one_sum(case):
    """Of the nodes with a result as large as the output, none is a product any more."""
    shape, stack = CASES[case]
    _, graph, small = folded(shape, stack, "float32")
    size = small.outputs[0].shape

    def wide(g):
        return sorted(n.op for n in g.nodes() if n.output.shape == size and n.op in ("add", "multiply"))
    assert "multiply" in wide(graph)
    assert wide(small) == ["add"]


def test_bias_and_rectifier_are_done_while_the_result_is_in_registers():
    """The compiled program goes over the images as often as without the normalization."""
    def passes(stack):
        _, _, small = folded((9, 2), stack, "float32", batch=64)
        return [node.op for _, node, blocks in backends.get("cpu").compile(small).listing if blocks]
    conv, norm, relu = CASES["conv1d"][1]
    assert passes([conv, norm, relu]) == passes([conv, relu])


def test_new_weights_are_seen():
    model, _, _ = folded(*CASES["conv2d"], "float32")
    x = RNG.normal(size=(8, 6, 5, 2)).astype("float32")
    before = model.predict(x, verbose=0)
    model.layers[-1].gamma.assign(2 * model.layers[-1].gamma.numpy())
    beta = model.layers[-1].beta.numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0) - beta, 2 * (before - beta), rtol=1e-4, atol=1e-5)


def test_what_is_needed_twice_or_is_no_weight_stays():
    w, f = Variable(RNG.normal(size=(3, 4))), Variable(RNG.normal(size=4))

    def products(function, *specs):
        graph, _ = trace(function, [((8, 3), "float64"), *specs])
        return [n.op for n in fold(simplify(graph)).nodes() if n.op in ("multiply", "add")
                and n.output.shape == (8, 4)]
    assert products(lambda x: x @ w * f) == []
    assert products(lambda x: (lambda y: [y * f, y])(x @ w)) == ["multiply"]
    assert products(lambda x, g: x @ w * g, ((4,), "float64")) == ["multiply"]
    assert products(lambda x: x @ w * ops.reshape(f, (4, 1))[:1]) == []
    rows = Variable(RNG.normal(size=(8, 1)))
    assert products(lambda x: x @ w * rows) == ["multiply"]
    large = Variable(RNG.normal(size=(3, 400)))
    graph, _ = trace(lambda x: x @ large * 2.0, [((2, 3), "float64")])
    assert [n.op for n in fold(simplify(graph)).nodes() if n.output.shape == (2, 400)] == ["matmul", "multiply"]
