"""Normalizations: statistics over some axes, then a learned scale and offset.

As lectures draw them, for images (batch N, height H, width W, channels C): batch over N, H, W for each channel; layer
over C, H, W for each sample; instance over H, W for each sample and channel; group over H, W and a group of channels.
The variance is the population's (division by the count), computed in a second pass from the centred input.
"""

from __future__ import annotations

import math

import numpy as np

from .. import constraints, initializers, ops, regularizers
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["BatchNormalization", "LayerNormalization", "GroupNormalization", "InstanceNormalization",
           "RMSNormalization", "UnitNormalization", "LocalResponseNormalization"]


class _Normalization(Layer):
    """What normalizations share: checks of axes, and scale and offset of a given shape."""

    _precise = True

    def _prepare(self, epsilon, center, scale, **identifiers):
        self.epsilon = checks.number(self, "epsilon", epsilon, 0)
        self.center, self.scale = checks.boolean(self, "center", center), checks.boolean(self, "scale", scale)
        modules = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        for argument, identifier in identifiers.items():
            setattr(self, argument, self._get(modules[argument.rpartition("_")[2]], argument, identifier))
        self.input_spec = InputSpec(min_ndim=1)

    def _axis_argument(self, axis, several=False):
        items = axis if several and isinstance(axis, (tuple, list)) else (axis,)
        if not items or any(isinstance(a, bool) or not isinstance(a, (int, np.integer)) for a in items):
            raise TypeError(f"{self._title()}: axis must be an int{' or a tuple of ints' if several else ''}, got "
                            f"{describe(axis)}.")
        return [int(a) for a in items] if isinstance(axis, (tuple, list)) else int(axis)

    def _axes(self, axis, shape, sized=True) -> tuple:
        """The axes as sorted non-negative ints; each must exist, with a known size if `sized`."""
        if not is_shape(shape):
            raise ValueError(f"{self._title()} needs one input, whose shape is a tuple, got {describe(shape)}.")
        rank, out = len(shape), set()
        for a in axis if isinstance(axis, list) else [axis]:
            if not -rank <= a < rank:
                raise ValueError(f"{self._title()}: axis={axis} does not exist in an input of shape {show(shape)}.")
            if sized and not shape[a % rank]:
                raise ValueError(f"{self._title()}: the input's size along axis {a} must be known and at least 1, got "
                                 f"shape {show(shape)}.")
            out.add(a % rank)
        return tuple(sorted(out))

    def _add_gamma_and_beta(self, shape, center=None):
        self.gamma = self.add_weight(shape, self.gamma_initializer, name="gamma", regularizer=self.gamma_regularizer,
                                     constraint=self.gamma_constraint) if self.scale else None
        self.beta = self.add_weight(shape, self.beta_initializer, name="beta", regularizer=self.beta_regularizer,
                                    constraint=self.beta_constraint) \
            if (self.center if center is None else center) else None

    def _finish(self, centred, factor, axes):
        """``centred * factor * gamma + beta``, the weights laid along `axes`."""
        if self.gamma is None:
            y = centred * factor
        elif self.gamma.size > 1 and all(factor.shape[a] == 1 for a in axes):
            # The product of the two would be as large as the input.
            y = centred * factor * along(self.gamma, centred, axes)
        else:
            y = centred * (factor * along(self.gamma, centred, axes))
        return y if self.beta is None else y + along(self.beta, centred, axes)

    def compute_output_shape(self, input_shape):
        self._axes(self.axis, input_shape, sized=False)
        return tuple(input_shape)


def along(weight, x, axes):
    """A weight whose axes are `axes` of x, shaped to broadcast against x; unchanged if that happens by itself."""
    rank = len(x.shape)
    if axes == tuple(range(rank - len(axes), rank)):
        return weight
    return ops.reshape(weight, tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))


def centre(x, axes):
    """x minus its mean over the axes, and its variance."""
    return x - ops.mean(x, axes, keepdims=True), ops.variance(x, axes, keepdims=True)


class BatchNormalization(_Normalization):
    """Normalizes each channel with the mean and variance of the batch, in inference with moving averages of them.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, where in training the statistics are those of the batch
    over all axes but `axis`, and ``moving = moving * momentum + batch * (1 - momentum)`` is updated for both. In
    inference, and in training while ``trainable`` is False, the moving statistics are used and left alone.

    Input and output have the same shape. Weights: gamma, beta, and, not trainable, moving_mean and moving_variance, all
    (channels,). Source: Ioffe and Szegedy, *Batch normalization*, 2015.

    Parameters
    ----------
    axis: int
        The channels; default -1. Use 1 for channels_first.
    momentum: float
        Default 0.99.
    epsilon: float
        Default 1e-3.
    center, scale: bool
        Whether there are beta and gamma; default True.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: str, callable or dict
        Defaults "zeros", "ones", "zeros", "ones".
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: optional
    renorm: bool
        Batch renormalization: in training the statistics are corrected towards their moving averages (Ioffe, 2017);
        adds the weights moving_stddev, renorm_mean, renorm_stddev. Default False.
    renorm_clipping: dict, optional
        "rmin", "rmax", "dmax": limits of the correction; none by default.
    renorm_momentum: float
        Of renorm_mean and renorm_stddev; default 0.99.
    synchronized: bool
        Accepted and kept; processes that train together always share a batch's statistics by their own means.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose channels are unknown.
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=0.001, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", moving_mean_initializer="zeros", moving_variance_initializer="ones",
                 beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None,
                 renorm=False, renorm_clipping=None, renorm_momentum=0.99, synchronized=False, **kwargs):
        super().__init__(**kwargs)
        self._prepare(epsilon, center, scale, beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
                      moving_mean_initializer=moving_mean_initializer,
                      moving_variance_initializer=moving_variance_initializer, beta_regularizer=beta_regularizer,
                      gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint,
                      gamma_constraint=gamma_constraint)
        self.axis = self._axis_argument(axis)
        self.momentum = checks.number(self, "momentum", momentum, 0)
        self.renorm_momentum = checks.number(self, "renorm_momentum", renorm_momentum, 0)
        for argument in ("momentum", "renorm_momentum"):
            if getattr(self, argument) > 1:
                raise ValueError(f"{self._title()}: {argument} must be from 0 to 1, got {getattr(self, argument)!r}.")
        self.renorm = checks.boolean(self, "renorm", renorm)
        self.synchronized = checks.boolean(self, "synchronized", synchronized)
        self.renorm_clipping = None if renorm_clipping is None else self._clipping(renorm_clipping)

    def _clipping(self, value):
        if not isinstance(value, dict) or not set(value) <= {"rmin", "rmax", "dmax"}:
            raise ValueError(f"{self._title()}: renorm_clipping must be a dictionary with keys among 'rmin', 'rmax' "
                             f"and 'dmax', got {describe(value)}.")
        return {k: v if v is None else checks.number(self, f"renorm_clipping[{k!r}]", v, 0) for k, v in value.items()}

    def build(self, input_shape):
        (axis,) = self._axes(self.axis, input_shape)
        shape = (input_shape[axis],)
        self._add_gamma_and_beta(shape)

        def fixed(name, initializer):
            return self.add_weight(shape, initializer, trainable=False, name=name)
        self.moving_mean = fixed("moving_mean", self.moving_mean_initializer)
        self.moving_variance = fixed("moving_variance", self.moving_variance_initializer)
        if self.renorm:
            self.moving_stddev = fixed("moving_stddev", self._deviation)
            self.renorm_mean = fixed("renorm_mean", self.moving_mean_initializer)
            self.renorm_stddev = fixed("renorm_stddev", self._deviation)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: shape[0]})

    def _deviation(self, shape, dtype=None):
        return np.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

    def call(self, inputs, training=False):
        (axis,) = self._axes(self.axis, inputs.shape)
        if not (training and self.trainable):
            # One product and one sum for each element, which fold into a convolution before.
            factor = ops.rsqrt(self.moving_variance + self.epsilon)
            factor = factor if self.gamma is None else factor * self.gamma
            shift = -(self.moving_mean * factor)
            shift = shift if self.beta is None else shift + self.beta
            return inputs * along(factor, inputs, (axis,)) + along(shift, inputs, (axis,))
        others = tuple(i for i in range(len(inputs.shape)) if i != axis)
        mean = ops.mean(inputs, others, keepdims=True)
        centred, variance = inputs - mean, ops.variance(inputs, others, keepdims=True)
        batch = ops.reshape(mean, self.moving_mean.shape), ops.reshape(variance, self.moving_variance.shape)
        factor = ops.rsqrt(variance + self.epsilon)
        if self.renorm:
            return self._renormalized(centred, factor, *batch, axis)
        self._move(self.moving_mean, batch[0], self.momentum)
        self._move(self.moving_variance, batch[1], self.momentum)
        return self._finish(centred, factor, (axis,))

    @staticmethod
    def _move(average, value, momentum):
        average.assign(average * momentum + value * (1.0 - momentum))

    def _renormalized(self, centred, factor, mean, variance, axis):
        deviation = ops.sqrt(variance + self.epsilon)
        known = ops.maximum(self.renorm_stddev, math.sqrt(self.epsilon))
        r, d = deviation / known, (mean - self.renorm_mean) / known
        limit = (self.renorm_clipping or {}).get
        if limit("rmin") is not None:
            r = ops.maximum(r, limit("rmin"))
        if limit("rmax") is not None:
            r = ops.minimum(r, limit("rmax"))
        if limit("dmax") is not None:
            d = ops.clip(d, -limit("dmax"), limit("dmax"))
        y = centred * (factor * along(ops.stop_gradient(r), centred, (axis,))) \
            + along(ops.stop_gradient(d), centred, (axis,))
        self._move(self.renorm_mean, mean, self.renorm_momentum)
        self._move(self.renorm_stddev, deviation, self.renorm_momentum)
        self._move(self.moving_mean, mean, self.momentum)
        self._move(self.moving_stddev, deviation, self.momentum)
        # Rounding may make the difference negative.
        self.moving_variance.assign(ops.relu(ops.square(self.moving_stddev.value) - self.epsilon))
        y = y if self.gamma is None else y * along(self.gamma, centred, (axis,))
        return y if self.beta is None else y + along(self.beta, centred, (axis,))


class LayerNormalization(_Normalization):
    """Normalizes each sample over the axes `axis`: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``.

    Input and output have the same shape. Weights: gamma and beta, with the sizes of the axes.
    Source: Ba, Kiros and Hinton, *Layer normalization*, 2016.

    Parameters
    ----------
    axis: int or tuple of ints
        Default -1. For images as lectures draw it: (1, 2, 3).
    epsilon: float
        Default 1e-3.
    center, scale: bool
        Whether there are beta and gamma; default True.
    beta_initializer, gamma_initializer: str, callable or dict
        Defaults "zeros" and "ones".
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: optional
    rms_scaling: bool
        Only divide by the standard deviation and multiply by gamma, without centring; default False.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose sizes along the axes are unknown.
    """

    def __init__(self, axis=-1, epsilon=0.001, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, *, rms_scaling=False, **kwargs):
        super().__init__(**kwargs)
        self._prepare(epsilon, center, scale, beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
                      beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
                      beta_constraint=beta_constraint, gamma_constraint=gamma_constraint)
        self.axis = self._axis_argument(axis, several=True)
        self.rms_scaling = checks.boolean(self, "rms_scaling", rms_scaling)

    def build(self, input_shape):
        axes = self._axes(self.axis, input_shape)
        shape = tuple(input_shape[a] for a in axes)
        self.scale = self.scale or self.rms_scaling
        self._add_gamma_and_beta(shape, self.center and not self.rms_scaling)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(axes, shape, strict=True)))

    def call(self, inputs):
        axes = self._axes(self.axis, inputs.shape)
        centred, variance = centre(inputs, axes)
        return self._finish(inputs if self.rms_scaling else centred, ops.rsqrt(variance + self.epsilon), axes)


class GroupNormalization(_Normalization):
    """Normalizes each sample over its spatial axes and a group of channels.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``. Input (batch, ..., channels) and output have the same
    shape. Weights: gamma and beta, (channels,). With one group it is layer normalization over all axes but the batch,
    with as many groups as channels (-1) instance normalization.
    Source: Wu and He, *Group normalization*, 2018.

    Parameters
    ----------
    groups: int
        Default 32; -1: as many as channels.
    axis: int
        The channels; default -1. Use 1 for channels_first.
    epsilon: float
        Default 1e-3.
    center, scale: bool
        Whether there are beta and gamma; default True.
    beta_initializer, gamma_initializer: str, callable or dict
        Defaults "zeros" and "ones".
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose channels are unknown or do not divide into the groups.
    """

    def __init__(self, groups=32, axis=-1, epsilon=0.001, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare(epsilon, center, scale, beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
                      beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
                      beta_constraint=beta_constraint, gamma_constraint=gamma_constraint)
        self.axis = self._axis_argument(axis)
        self.groups = -1 if groups == -1 and type(groups) is int else checks.integer(self, "groups", groups)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape):
        (axis,) = self._axes(self.axis, input_shape)
        if axis == 0:
            raise ValueError(f"{self._title()}: axis={self.axis} is the batch of an input of shape "
                             f"{show(input_shape)}; it must be that of the channels.")
        channels = input_shape[axis]
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            raise ValueError(f"{self._title()}: the {channels} channels of an input of shape {show(input_shape)} do "
                             f"not divide into groups={groups}.")
        self._add_gamma_and_beta((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: channels})

    def call(self, inputs):
        (axis,) = self._axes(self.axis, inputs.shape)
        spatial = tuple(i for i in range(1, len(inputs.shape)) if i != axis)
        mean, variance = ops.mean(inputs, spatial, keepdims=True), ops.variance(inputs, spatial, keepdims=True)
        if self.groups not in (-1, inputs.shape[axis]):
            # The moments of a group from those of its channels, so that no large array changes its layout.
            own, mean = mean, self._group_mean(mean, axis)
            variance = self._group_mean(variance + ops.square(own - mean), axis)
        return self._finish(inputs - mean, ops.rsqrt(variance + self.epsilon), (axis,))

    def _group_mean(self, x, axis):
        """For each channel the mean of its group; x: one number for each sample and channel."""
        batch, channels = x.shape[0], x.shape[axis]
        each = channels // self.groups
        mean = ops.mean(ops.reshape(x, (batch, self.groups, each)), 2, keepdims=True)
        return ops.reshape(ops.broadcast_to(mean, (batch, self.groups, each)), x.shape)


class InstanceNormalization(GroupNormalization):
    """Normalizes each channel of each sample over its spatial axes.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``. Input (batch, ..., channels) and output have the same
    shape. Weights: gamma and beta, (channels,).
    Source: Ulyanov, Vedaldi and Lempitsky, *Instance normalization*, 2016. Keras has it as GroupNormalization(-1).

    Parameters
    ----------
    axis: int
        The channels; default -1. Use 1 for channels_first.
    epsilon: float
        Default 1e-3.
    center, scale: bool
        Whether there are beta and gamma; default True.
    beta_initializer, gamma_initializer: str, callable or dict
        Defaults "zeros" and "ones".
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose channels are unknown.
    """

    def __init__(self, axis=-1, epsilon=0.001, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, **kwargs):
        if "groups" in kwargs:
            self.name = kwargs.get("name")
            self._unknown_arguments({"groups": None})
        super().__init__(-1, axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
                         gamma_regularizer, beta_constraint, gamma_constraint, **kwargs)

    def get_config(self):
        return {k: v for k, v in super().get_config().items() if k != "groups"}


class RMSNormalization(_Normalization):
    """``x / sqrt(mean(x * x) + epsilon) * scale`` over the axes `axis`, without centring.

    Input and output have the same shape. Weights: scale, with the sizes of the axes.
    Source: Zhang and Sennrich, *Root mean square layer normalization*, 2019.

    Parameters
    ----------
    axis: int or tuple of ints
        Default -1.
    epsilon: float
        Default 1e-6.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose sizes along the axes are unknown.
    """

    def __init__(self, axis=-1, epsilon=1e-06, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = checks.number(self, "epsilon", epsilon, 0)
        self.axis = self._axis_argument(axis, several=True)
        self.input_spec = InputSpec(min_ndim=1)

    def build(self, input_shape):
        axes = self._axes(self.axis, input_shape)
        self.scale = self.add_weight(tuple(input_shape[a] for a in axes), "ones", name="scale")
        self.input_spec = InputSpec(ndim=len(input_shape), axes={a: input_shape[a] for a in axes})

    def call(self, inputs):
        axes = self._axes(self.axis, inputs.shape)
        power = ops.mean(inputs * inputs, axes, keepdims=True)
        return inputs * ops.rsqrt(power + self.epsilon) * along(self.scale, inputs, axes)


class UnitNormalization(_Normalization):
    """``x / sqrt(sum(x * x))`` over the axes `axis`: vectors of length 1. Zeros stay zeros.

    Input and output have the same shape.

    Parameters
    ----------
    axis: int or tuple of ints
        Default -1.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For axes that are no ints or do not exist in the input.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = self._axis_argument(axis, several=True)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs):
        axes = self._axes(self.axis, inputs.shape, sized=False)
        # Below a length of 1e-12 the vector is divided by 1e-12.
        return inputs * ops.rsqrt(ops.maximum(ops.sum(inputs * inputs, axes, keepdims=True), 1e-24))


class LocalResponseNormalization(Layer):
    """Divides each channel by a power of the sum of squares in the channels around it (AlexNet).

    ``x[c] / (k + alpha * sum(x[j] ** 2)) ** beta``, j from ``c - size // 2`` to ``c + size // 2``, as far as there are
    channels. Input and output have the same shape. PyTorch's layer of this name takes ``alpha * size``.
    Source: Krizhevsky, Sutskever and Hinton, *ImageNet classification with deep convolutional neural networks*, 2012,
    section 3.3.

    Parameters
    ----------
    size: int
        Number of channels in the sum, odd; default 5.
    alpha, beta, k: float
        Defaults 1e-4, 0.75 and 2, those of the paper.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit.
    """

    _precise = True

    def __init__(self, size=5, alpha=1e-4, beta=0.75, k=2.0, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.size = checks.integer(self, "size", size)
        if self.size % 2 == 0:
            raise ValueError(f"{self._title()}: size must be odd, got {self.size}.")
        self.alpha, self.beta = checks.number(self, "alpha", alpha, 0), checks.number(self, "beta", beta)
        self.k = checks.number(self, "k", k, 0)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(min_ndim=2)

    def call(self, inputs):
        axis, reach = (len(inputs.shape) - 1 if self.data_format == "channels_last" else 1), self.size // 2
        channels = inputs.shape[axis]
        squares = ops.pad(inputs * inputs, [(reach, reach) if i == axis else (0, 0) for i in range(len(inputs.shape))])
        index = (slice(None),) * axis
        total = squares[(*index, slice(0, channels))]
        for j in range(1, self.size):
            total = total + squares[(*index, slice(j, j + channels))]
        return inputs * ops.power(self.k + self.alpha * total, -self.beta)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
