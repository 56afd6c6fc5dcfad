"""Layers with one planted bug each, and the property of `check_layer` that must find it."""

import random

import numpy as np

import pyconv
from pyconv import ops
from pyconv.graph import Variable
from pyconv.random import SeedGenerator

PLANTED = {}        # id -> (class, arguments, input shape, options, name of the property)


def planted(name, arguments=None, input_shape=(None, 3), **options):
    def register(cls):
        PLANTED[cls.__name__] = cls, arguments or {}, input_shape, options, name
        return cls
    return register


# ---- gradients

@planted("gradients")
class GradientTimesTwo(pyconv.Layer):
    """Value x, gradient 2: 2x, with x taken off as if it were a constant."""

    def call(self, inputs):
        return 2 * inputs - ops.stop_gradient(inputs)


@planted("gradients")
class GradientTermMissing(pyconv.Layer):
    """A normalization whose mean is taken for a constant."""

    def call(self, inputs):
        return inputs - ops.stop_gradient(ops.mean(inputs, -1, keepdims=True))


@planted("gradients")
class WeightWithoutGradient(pyconv.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

    def call(self, inputs):
        return ops.tanh(inputs) * ops.stop_gradient(self.scale.value)


@planted("finite")
class NaNAtZero(pyconv.Layer):
    def call(self, inputs):
        return inputs / ops.sqrt(ops.sum(inputs * inputs, -1, keepdims=True))


@planted("finite")
class GradientNaNAtZero(pyconv.Layer):
    """The value is fine; the derivative of the root is not."""

    def call(self, inputs):
        return ops.sqrt(ops.sum(inputs * inputs, -1, keepdims=True))


# ---- samples, modes, state

@planted("samples")
class MixesSamples(pyconv.Layer):
    def call(self, inputs):
        return inputs - 0.1 * ops.mean(inputs, 0, keepdims=True)


@planted("samples_in_training")
class MixesSamplesInTraining(pyconv.Layer):
    def call(self, inputs, training=False):
        return inputs - ops.mean(inputs, 0, keepdims=True) if training else inputs


@planted("inference")
class StatisticUpdatedAtInference(pyconv.Layer):
    def build(self, input_shape):
        self.mean = self.add_weight((input_shape[-1],), "zeros", trainable=False, name="mean")

    def call(self, inputs):
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(inputs, list(range(len(inputs.shape) - 1))))
        return inputs * 1.0


@planted("inference")
class StateBetweenCalls(pyconv.Layer):
    """A Python counter: each new shape of inputs gets another function."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs * float(self.calls)


@planted("inference", {"rate": 0.5})
class AlwaysDrops(pyconv.Layer):
    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.random = rate, SeedGenerator()

    def call(self, inputs):
        kept = ops.random_uniform(self.random.next(), inputs.shape) >= self.rate
        return ops.where(kept, inputs, 0.0)


@planted("training_flag", {"rate": 0.5})
class TrainingFlagIgnored(pyconv.Layer):
    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs, training=False):
        return inputs * 1.0


@planted("training")
class TrainableWeightUpdatedByCall(pyconv.Layer):
    def build(self, input_shape):
        self.mean = self.add_weight((input_shape[-1],), "zeros", name="mean")

    def call(self, inputs, training=False):
        if training:
            self.mean.assign(self.mean * 0.5 + 1.0)
        return inputs - self.mean


# ---- weights, configuration, files

class _Holder:
    """An object that no layer looks into."""


@planted("weights")
class UntrackedWeight(pyconv.Layer):
    def build(self, input_shape):
        self.parts = _Holder()
        self.parts.scale = Variable(np.ones(input_shape[-1], self.dtype), name="scale")

    def call(self, inputs):
        return inputs * self.parts.scale.value


@planted("config", {"power": 3})
class LostArgument(pyconv.Layer):
    def __init__(self, power=2, **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def call(self, inputs):
        return inputs ** self.power

    def get_config(self):
        config = super().get_config()
        del config["power"]
        return config


@planted("config")
class NoKeywords(pyconv.Layer):
    """Cannot be given a name, so it cannot be made from a configuration."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


@planted("config")
class DefaultMutated(pyconv.Layer):
    def __init__(self, factors=[1.0], **kwargs):            # noqa: B006 (the bug)
        super().__init__(**kwargs)
        self.factors = factors

    def build(self, input_shape):
        self.factors.append(2.0)

    def call(self, inputs):
        return inputs * sum(self.factors)


@planted("saving")
class DrawnConstant(pyconv.Layer):
    """A random projection that is no weight: another one after loading."""

    def build(self, input_shape):
        self.table = np.asarray(pyconv.initializers.GlorotUniform()((input_shape[-1], 2), dtype=self.dtype))

    def call(self, inputs):
        return inputs @ self.table


@planted("shape", {"units": 2})
class WrongOutputShape(pyconv.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)                 # right for two axes alone


# ---- random numbers

@planted("reproducible")
class GlobalRandomState(pyconv.Layer):
    def build(self, input_shape):
        n = input_shape[-1]
        self.scale = self.add_weight((n,), lambda shape, dtype: np.random.normal(size=shape).astype(dtype))

    def call(self, inputs):
        return inputs * self.scale


@planted("reproducible")
class NotDeterministic(pyconv.Layer):
    def build(self, input_shape):
        self.shift = self.add_weight((), lambda shape, dtype: np.asarray(random.SystemRandom().random(), dtype))

    def call(self, inputs):
        return inputs + self.shift


@planted("seed", {"rate": 0.5, "seed": 1})
class SeedIgnored(pyconv.Layer):
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed, self.random = rate, seed, SeedGenerator()

    def call(self, inputs, training=False):
        if not training:
            return inputs * 1.0
        kept = ops.random_uniform(self.random.next(), inputs.shape) >= self.rate
        return ops.where(kept, inputs, 0.0)


# ---- types, layouts, inputs

@planted("dtype")
class LeaksFloat64(pyconv.Layer):
    def call(self, inputs):
        return ops.cast(inputs, "float64") * 2


@planted("dtype")
class ComputesInFloat32(pyconv.Layer):
    def call(self, inputs):
        return ops.cast(ops.cast(inputs, "float32") * 3, inputs.dtype)


@planted("inputs")
class ChangesItsInput(pyconv.Layer):
    def __call__(self, inputs, **kwargs):
        if isinstance(inputs, np.ndarray) and inputs.flags.writeable:
            inputs -= 1.0
        return super().__call__(inputs, **kwargs)

    def call(self, inputs):
        return inputs * 2.0


@planted("data_format", {"data_format": "channels_last"}, (None, None, 3))
class ChannelsFirstMistake(pyconv.Layer):
    """Scales the last axis also where channels come first."""

    def __init__(self, data_format="channels_last", **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format

    def call(self, inputs):
        last = self.data_format == "channels_last"
        total = ops.sum(inputs, [1, 2] if last else [1, 3], keepdims=True)
        return inputs * 0.5 + total


@planted("call", {"units": 2}, (3,))
class BiasAlongTheBatch(pyconv.Layer):
    """Works where the batch has one sample, or as many as there are units."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.bias = self.add_weight((self.units, 1), "zeros", name="bias")

    def call(self, inputs):
        return inputs @ self.kernel + self.bias


@planted("batch", {}, (3,))
class SqueezesSingleSamples(pyconv.Layer):
    def call(self, inputs):
        y = ops.sum(inputs, -1)
        return ops.reshape(y, ()) if inputs.shape[0] == 1 else y


@planted("reference", {}, (3,), reference=lambda layer, x: x * layer.scale.numpy() + layer.bias.numpy())
class BiasScaledToo(pyconv.Layer):
    """Nothing is wrong with it but the formula, which only a reference tells."""

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
        self.bias = self.add_weight((input_shape[-1],), "zeros", name="bias")

    def call(self, inputs):
        return (inputs + self.bias) * self.scale


@planted("errors", {}, (None, 3))
class SwallowsArguments(pyconv.Layer):
    def __init__(self, name=None, trainable=True, dtype=None, **kwargs):
        super().__init__(name=name, trainable=trainable, dtype=dtype)

    def call(self, inputs):
        return inputs * 2.0
