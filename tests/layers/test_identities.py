"""What one layer does, another does in other words: identities of normalizations, convolutions and dense layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import layers, ops

RNG = np.random.default_rng(8)


def images(batch, height, width, channels, seed):
    return np.random.default_rng(seed).normal(1, 2, (batch, height, width, channels))


SHAPES = dict(batch=st.integers(1, 20), height=st.integers(1, 5), width=st.integers(1, 5),
              channels=st.sampled_from([1, 2, 3, 6, 17]), seed=st.integers(0, 99))


@settings(max_examples=15)
@given(**SHAPES)
def test_one_group_is_layer_normalization_over_all_but_the_batch(batch, height, width, channels, seed):
    x = images(batch, height, width, channels, seed)
    group = layers.GroupNormalization(1, epsilon=1e-3, dtype="float64")
    layer = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-3, dtype="float64")
    y = group(x)
    np.testing.assert_allclose(y, layer(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(y, (x - x.mean((1, 2, 3), keepdims=True))
                               / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-3), rtol=1e-9, atol=1e-9)


@settings(max_examples=15)
@given(**SHAPES)
def test_as_many_groups_as_channels_is_instance_normalization(batch, height, width, channels, seed):
    x = images(batch, height, width, channels, seed)
    gamma, beta = RNG.normal(size=(2, channels))
    group = layers.GroupNormalization(channels, epsilon=1e-3, dtype="float64")
    instance = layers.InstanceNormalization(epsilon=1e-3, dtype="float64")
    for layer in (group, instance):
        layer(x)
        layer.set_weights([gamma, beta])
    y = instance(x)
    np.testing.assert_allclose(group(x), y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(y, (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-3)
                               * gamma + beta, rtol=1e-9, atol=1e-9)


def test_batch_normalization_of_one_sample_is_instance_normalization():
    x = images(1, 4, 5, 3, 0)
    norm = layers.BatchNormalization(epsilon=1e-3, dtype="float64")
    np.testing.assert_allclose(norm(x, training=True), layers.InstanceNormalization(epsilon=1e-3, dtype="float64")(x),
                               rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_convolution_of_size_1_is_a_dense_layer_at_each_position(rank, batch):
    x = RNG.normal(size=(batch, *(5, 4, 3)[:rank], 7))
    conv = getattr(layers, f"Conv{rank}D")(4, 1, activation="tanh", dtype="float64")
    dense = layers.Dense(4, activation="tanh", dtype="float64")
    y = conv(x)
    dense(x)
    kernel, bias = conv.get_weights()
    dense.set_weights([kernel.reshape(7, 4), bias])
    np.testing.assert_allclose(y, dense(x), rtol=1e-12, atol=1e-12)
    each = layers.TimeDistributed(layers.Dense(4, activation="tanh", dtype="float64"), dtype="float64")
    steps = x.reshape(batch, -1, 7)
    each(steps)
    each.set_weights(dense.get_weights())
    np.testing.assert_allclose(each(steps).reshape(y.shape), y, rtol=1e-12, atol=1e-12)


def test_a_convolution_as_large_as_the_image_is_a_dense_layer_on_the_flattened_one():
    x = RNG.normal(size=(5, 4, 3, 2))
    conv, dense = layers.Conv2D(6, (4, 3), dtype="float64"), layers.Dense(6, dtype="float64")
    y = conv(x)
    dense(x.reshape(5, -1))
    dense.set_weights([conv.get_weights()[0].reshape(-1, 6), conv.get_weights()[1]])
    np.testing.assert_allclose(y[:, 0, 0], dense(x.reshape(5, -1)), rtol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
def test_batch_normalization_folds_into_the_convolution_before_it(transposed):
    """By hand, with scaled weights; that programs do it by themselves is in tests/graph/test_folding.py."""
    x = RNG.normal(size=(4, 6, 5, 3))
    conv = (layers.Conv2DTranspose if transposed else layers.Conv2D)(4, 3, dtype="float64")
    norm = layers.BatchNormalization(dtype="float64")
    y = norm(conv(x))
    gamma, beta, mean, variance = RNG.uniform(0.5, 2, size=(4, 4))
    norm.set_weights([gamma, beta, mean, variance])
    y = norm(conv(x))
    kernel, bias = conv.get_weights()
    factor = gamma / np.sqrt(variance + 1e-3)
    conv.set_weights([kernel * (factor[:, None] if transposed else factor), (bias - mean) * factor + beta])
    np.testing.assert_allclose(conv(x), y, rtol=1e-9, atol=1e-10)


def test_separable_convolution_is_depthwise_and_pointwise():
    x = RNG.normal(size=(3, 5, 4, 2))
    separable = layers.SeparableConv2D(5, 3, depth_multiplier=2, dtype="float64")
    y = separable(x)
    depthwise, pointwise, bias = separable.get_weights()
    first = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, dtype="float64")
    second = layers.Conv2D(5, 1, dtype="float64")
    second(first(x))
    first.set_weights([depthwise])
    second.set_weights([pointwise, bias])
    np.testing.assert_allclose(second(first(x)), y, rtol=1e-10, atol=1e-12)


def test_nearest_upsampling_is_a_transposed_convolution_with_ones():
    x = RNG.normal(size=(2, 3, 4, 1))
    conv = layers.Conv2DTranspose(1, (2, 3), strides=(2, 3), use_bias=False, kernel_initializer="ones", dtype="float64")
    np.testing.assert_allclose(layers.UpSampling2D((2, 3), dtype="float64")(x), conv(x), rtol=1e-12)


def test_global_pooling_is_pooling_over_everything():
    x = RNG.normal(size=(2, 4, 6, 3))
    np.testing.assert_allclose(layers.GlobalAveragePooling2D(keepdims=True, dtype="float64")(x),
                               layers.AveragePooling2D((4, 6), dtype="float64")(x), rtol=1e-12)
    np.testing.assert_array_equal(layers.GlobalMaxPooling2D(dtype="float64")(x), x.max((1, 2)))


def test_depth_to_space_and_back():
    x = RNG.normal(size=(2, 3, 4, 12))
    there, back = layers.DepthToSpace(2, dtype="float64"), layers.SpaceToDepth(2, dtype="float64")
    np.testing.assert_array_equal(back(there(x)), x)


def test_embedding_is_a_dense_layer_on_one_hot_vectors():
    tokens = RNG.integers(0, 6, (3, 4))
    embedding = layers.Embedding(6, 5)
    y = embedding(tokens)
    np.testing.assert_allclose(y, ops.one_hot(tokens, 6) @ embedding.get_weights()[0], rtol=1e-6)


@pytest.mark.parametrize("inner, shape", [
    (lambda: layers.Conv1D(3, 2, dtype="float64"), (3, 5, 6, 2)),
    (lambda: layers.Conv2D(3, 2, dtype="float64"), (3, 4, 5, 4, 2)),
    (lambda: layers.Conv3D(2, 2, dtype="float64"), (2, 3, 4, 3, 4, 1)),
    (lambda: layers.MaxPooling3D(2, dtype="float64"), (2, 3, 4, 2, 4, 1)),
    (lambda: layers.LayerNormalization(dtype="float64"), (2, 3, 4)),
])
def test_time_distributed_is_the_layer_on_each_step(inner, shape):
    x = RNG.normal(size=shape)
    layer = layers.TimeDistributed(inner(), dtype="float64")
    y = layer(x)
    assert layer.compute_output_shape(shape) == y.shape
    for step in range(shape[1]):
        np.testing.assert_allclose(y[:, step], layer.layer(x[:, step]), rtol=1e-10, atol=1e-12)


def test_spectral_normalization_gives_kernels_of_norm_1():
    layer = layers.SpectralNormalization(layers.Conv2D(4, 3, dtype="float64"), power_iterations=200, dtype="float64")
    x = RNG.normal(size=(2, 5, 5, 3))
    layer(x, training=True)
    kernel = layer.layer.kernel.numpy().reshape(-1, 4)
    np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False)[0], 1, rtol=1e-9)
    np.testing.assert_array_equal(layer(x), layer(x))
