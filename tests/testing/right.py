"""Layers without a bug, pyconv's own and hand-written ones: `check_layer` must find nothing, whatever it draws."""

import numpy as np
from hypothesis import strategies as st

import pyconv
from pyconv import layers, ops
from pyconv.random import SeedGenerator

RIGHT = {}        # id -> (class or function, arguments, input shape, options)


def right(arguments=None, input_shape=(None, 3), **options):
    def register(made):
        RIGHT[made.__name__] = made, arguments or {}, input_shape, options
        return made
    return register


# ---- pyconv's own

RIGHT |= {
    "Dense": (layers.Dense, {"units": st.integers(1, 4), "activation": st.sampled_from([None, "tanh", "softmax"])},
              (None, 3), {}),
    "Conv2D": (layers.Conv2D, {"filters": st.integers(1, 3), "kernel_size": st.integers(1, 3), "padding": "same",
                               "strides": st.integers(1, 2), "bias_regularizer": "l2"}, (None, None, 2), {}),
    "Conv2DTranspose": (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 3, "strides": 2,
                                                 "data_format": "channels_first"}, (2, None, 3), {}),
    "MaxPooling2D": (layers.MaxPooling2D, {"pool_size": 2, "padding": "same"}, (None, None, 2), {}),
    "BatchNormalization": (layers.BatchNormalization, {"momentum": st.sampled_from([0.5, 0.9]), "scale": st.booleans()},
                           (None, 3), {"skip": "samples_in_training"}),
    "LayerNormalization": (layers.LayerNormalization, {"axis": -1}, (None, 4), {}),
    "Dropout": (layers.Dropout, {"rate": st.sampled_from([0.2, 0.5]), "seed": st.sampled_from([None, 3])}, (6,), {}),
    "GaussianNoise": (layers.GaussianNoise, {"stddev": 0.3}, (None, 2), {}),
    "TimeDistributed": (layers.TimeDistributed, {"layer": layers.Conv1D(2, 2)}, (3, None, 2), {"sizes": (2, 6)}),
    "Add": (layers.Add, {}, [(None, 3), (None, 3)], {}),
    "Dot": (layers.Dot, {"axes": 1, "normalize": True}, [(4,), (4,)], {}),
    "Sequential": (pyconv.Sequential, {"layers": [layers.Dense(3, activation="tanh"), layers.Dropout(0.5),
                                                  layers.Dense(2)]}, (4,), {}),
}


# ---- hand-written

@right({"start": st.floats(-2, 2)}, (None, None, 3))
class Scaling(pyconv.Layer):
    """No configuration of its own, no rule for shapes."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), pyconv.initializers.Constant(self.start), name="scale")

    def call(self, inputs):
        return inputs * self.scale


@right({"units": 3, "sizes": [2, 1]}, (3,))
class Residual(pyconv.Layer):
    """Made of layers in a list, with dropout inside, and a list as argument."""

    def __init__(self, units, sizes=(1,), **kwargs):
        super().__init__(**kwargs)
        self.units, self.sizes = units, sizes
        self.inner = [layers.Dense(n, activation="tanh") for n in sizes]
        self.drop, self.last = layers.Dropout(0.25), layers.Dense(units)

    def call(self, inputs):
        x = inputs
        for layer in self.inner:
            x = self.drop(layer(x))
        return inputs + self.last(x)


@right({"words": 5, "width": st.integers(1, 3)}, (None,), input_dtype="int32", values=(0, 4))
class Lookup(pyconv.Layer):
    """Integers in."""

    def __init__(self, words, width, **kwargs):
        super().__init__(**kwargs)
        self.words, self.width = words, width

    def build(self, input_shape):
        self.table = self.add_weight((self.words, self.width), name="table")

    def call(self, inputs):
        return ops.take(self.table, inputs, 0)


@right({}, ((None, 3), (None, 3)))
class Attend(pyconv.Layer):
    """Two arguments."""

    def call(self, query, value):
        scores = ops.matmul(query, ops.transpose(value, (0, 2, 1)))
        return ops.matmul(ops.softmax(scores), value)


@right({}, {"image": (None, 3), "scale": (3,)})
class Parts(pyconv.Layer):
    """A dictionary in, several outputs."""

    def call(self, inputs):
        return {"sum": ops.sum(inputs["image"], 1) + inputs["scale"], "image": ops.square(inputs["image"])}


@right({"momentum": st.floats(0.5, 0.99)}, (None, 3), skip=["samples_in_training", "gradients"])
class MovingMean(pyconv.Layer):
    """A statistic that training updates; the batch's mean is a constant to the gradient, on purpose."""

    def __init__(self, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        self.mean = self.add_weight((input_shape[-1],), "zeros", trainable=False, name="mean")

    def call(self, inputs, training=False):
        if not training:
            return inputs - self.mean
        mean = ops.stop_gradient(ops.mean(inputs, list(range(inputs.ndim - 1))))
        self.mean.assign(self.momentum * self.mean + (1 - self.momentum) * mean)
        return inputs - mean


@right({"seed": st.integers(0, 5), "rate": 0.5}, (8,))
class OwnDropout(pyconv.Layer):
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed, self.random = rate, seed, SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        return ops.where(ops.random_uniform(self.random.next(), inputs.shape) >= self.rate, inputs, 0.0)


@right({}, (None, None, 2), reference=lambda layer, x: np.maximum(x, 0) - np.maximum(-x, 0) / 4)
class Leaky(pyconv.Layer):
    """A kink, a rule for shapes, and a reference."""

    def call(self, inputs):
        return ops.where(inputs > 0, inputs, inputs * 0.25)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@right({"units": 2}, (None, 3))
def dense_then_softmax(units):
    """A function that makes a layer."""
    return layers.Dense(units, activation="softmax", kernel_initializer="he_normal", kernel_constraint="non_neg")


@right({"data_format": st.sampled_from(["channels_last", "channels_first"])},
       lambda arguments: (None, None, 3) if arguments["data_format"] == "channels_last" else (3, None, None))
class ChannelBias(pyconv.Layer):
    """Both data formats; the shape of the input follows from the arguments."""

    def __init__(self, data_format="channels_last", **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format
        self.input_spec = layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self.channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        self.bias = self.add_weight((self.channels,), "zeros", name="bias")

    def call(self, inputs):
        return inputs + (self.bias if self.data_format == "channels_last" else ops.reshape(self.bias, (-1, 1, 1)))
