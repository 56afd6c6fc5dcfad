"""Convolution layers. One base class for any number of spatial axes; those below only fix the number."""

from __future__ import annotations

from .. import activations, constraints, initializers, ops, regularizers
from ..ops.convolution import join_shape, output_sizes, resolve_padding, split_shape
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"]


PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class ConvolutionBase(Layer):
    """What all convolutions over `rank` spatial axes share: geometry, padding, bias, activation."""

    rank = None
    _modules = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}

    def _prepare(self, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                 padding_mode="zeros", **identifiers):
        rank = self.rank
        self.kernel_size = checks.spatial(self, "kernel_size", kernel_size, rank)
        self.strides = checks.spatial(self, "strides", strides, rank)
        self.padding = checks.padding_argument(self, padding, rank, causal=rank == 1)
        self.data_format = checks.data_format(self, data_format)
        self.dilation_rate = checks.spatial(self, "dilation_rate", dilation_rate, rank)
        if self.padding == "causal" and self.data_format == "channels_first":
            raise ValueError(f"{self._title()}: padding='causal' needs data_format='channels_last'.")
        self.padding_mode = checks.choice(self, "padding_mode", padding_mode, tuple(PADDING_MODES))
        self.activation = self._get(activations, "activation", activation)
        self.use_bias = checks.boolean(self, "use_bias", use_bias)
        for argument, identifier in identifiers.items():
            module = self._modules[argument.rpartition("_")[2]]
            setattr(self, argument, self._get(module, argument, identifier))
        self.input_spec = InputSpec(ndim=rank + 2)

    def _not_both(self):
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(f"{self._title()}: strides={self.strides} and "
                             f"dilation_rate={self.dilation_rate} must not both be above 1.")

    @property
    def _channels_last(self):
        return self.data_format == "channels_last"

    def get_config(self):
        config = super().get_config()
        if self.padding_mode == "zeros":         # Keras does not know it
            config.pop("padding_mode", None)
        return config

    def _channels(self, input_shape):
        """The number of channels, which must be known; the geometry must fit."""
        axis = -1 if self._channels_last else 1
        self._require_rank(input_shape)
        channels = input_shape[axis]
        if not channels:
            raise ValueError(f"{self._title()}: the number of channels (axis {axis}) must be known and at least 1, "
                             f"got an input of shape {show(input_shape)}.")
        self.compute_output_shape(input_shape)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _add(self, name, shape, kind=None):
        """A weight with the initializer, regularizer and constraint of that kind."""
        kind = kind or name
        return self.add_weight(shape, getattr(self, f"{kind}_initializer"), name=name,
                               regularizer=getattr(self, f"{kind}_regularizer"),
                               constraint=getattr(self, f"{kind}_constraint"))

    def _require_rank(self, shape):
        if len(shape) != self.rank + 2:
            order = "(batch, *spatial, channels)" if self._channels_last else "(batch, channels, *spatial)"
            raise ValueError(f"{self._title()} expects an input with {self.rank + 2} axes {order}, got "
                             f"{len(shape)}: the input has shape {show(shape)}.")

    def _padded(self, inputs):
        """The inputs and the padding that is left for the convolution to do."""
        if self.padding_mode == "zeros":
            return inputs, self.padding
        sizes = split_shape(inputs.shape, self._channels_last)[1]
        widths = resolve_padding(self.padding, sizes, self.kernel_size, self.strides, self.dilation_rate)
        none = ((0, 0),)
        pads = (*none, *widths, *none) if self._channels_last else (*none, *none, *widths)
        return ops.pad(inputs, pads, PADDING_MODES[self.padding_mode]), "valid"

    def _activated(self, outputs, bias):
        """Bias, then activation."""
        if bias is not None:
            if not self._channels_last:
                bias = ops.reshape(bias, (*bias.shape, *[1] * self.rank))
            outputs = ops.add(outputs, bias)
        return self.activation(outputs)

    def _output_shape(self, input_shape, filters):
        self._require_rank(input_shape)
        batch, sizes, _ = split_shape(tuple(input_shape), self._channels_last)
        spatial = []
        for i, n in enumerate(sizes):
            if n is None:
                spatial.append(None)
                continue
            k, s, d = self.kernel_size[i], self.strides[i], self.dilation_rate[i]
            one = isinstance(self.padding, tuple)
            pads = resolve_padding(self.padding[i:i + 1] if one else self.padding, (n,), (k,), (s,), (d,))
            (size,) = output_sizes((n,), (k,), (s,), pads, (d,))
            if size < 1:
                raise ValueError(f"{self._title()}: kernel_size={self.kernel_size} with "
                                 f"dilation_rate={self.dilation_rate} reaches over more than the input of "
                                 f"shape {show(input_shape)} has along spatial axis {i}. Use "
                                 "padding='same', a smaller kernel, or a larger input.")
            spatial.append(size)
        return join_shape(batch, tuple(spatial), filters, self._channels_last)


class BaseConv(ConvolutionBase):
    """Convolution over `rank` spatial axes, with bias and activation: see the classes below."""

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
                 groups=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None, *,
                 padding_mode="zeros", **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = checks.integer(self, "filters", filters)
        self._prepare(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                      padding_mode, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
                      kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
                      kernel_constraint=kernel_constraint, bias_constraint=bias_constraint)
        self.groups = checks.integer(self, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"{self._title()}: filters={filters} must be a multiple of groups={groups}.")
        self._not_both()

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(f"{self._title()}: the {channels} channels of an input of shape "
                             f"{show(input_shape)} must be a multiple of groups={self.groups}, at least 1 "
                             "each.")
        self.kernel = self._add("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs):
        inputs, padding = self._padded(inputs)
        return self._activated(ops.conv(inputs, self.kernel, self.strides, padding, self.data_format,
                                        self.dilation_rate, self.groups), self.bias)

    def compute_output_shape(self, input_shape):
        """(batch, *new_spatial, filters), or (batch, filters, *new_spatial) if channels come first."""
        return self._output_shape(input_shape, self.filters)


_DOC = """Convolution over {axes} (cross-correlation: the kernel is not flipped), plus bias, then an
activation.

    Input: {shape}; with data_format="channels_first" the channels stand after the batch.
    Output: the same axes with `filters` channels. An axis of n elements, padded by (p, q), gives
    ``(n + p + q - dilation * (k - 1) - 1) // stride + 1``.
    Weights: kernel {kernel}, bias (filters,).

    Parameters
    ----------
    filters: int
        Number of output channels.
    kernel_size: int or tuple of {rank} ints
    strides: int or tuple of {rank} ints
        Default 1.
    padding: str, int or tuple
        "valid" (default): none. "same": ceil(n / stride) outputs, the odd zero after.{causal}
        Or an int, or an int or pair (before, after) for each spatial axis.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    dilation_rate: int or tuple of {rank} ints
        Default 1; not above 1 together with strides above 1.
    groups: int
        Channels are split into this many groups, each convolved with its own filters; default 1.
    activation: str or callable
        Default none.
    use_bias: bool
        Default True.
    kernel_initializer, bias_initializer: str, callable or dict
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer, activity_regularizer: optional
    kernel_constraint, bias_constraint: optional
    padding_mode: str
        What the padding shows: "zeros" (default), "reflect", "replicate" or "circular", as in PyTorch.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        At construction for arguments that do not fit; when it is built, for inputs with a wrong number of
        axes, channels that do not divide into the groups, or sizes smaller than the kernel's reach.
    """


def _document(cls, axes, sizes):
    rank = cls.rank
    causal = '\n        "causal": all before, so that no output sees later inputs.' if rank == 1 else ""
    cls.__doc__ = _DOC.format(axes=axes, shape=f"(batch, {sizes}, channels)", rank=rank, causal=causal,
                              kernel="(*kernel_size, channels / groups, filters)")
    return cls


class Conv1D(BaseConv):
    rank = 1


class Conv2D(BaseConv):
    rank = 2


class Conv3D(BaseConv):
    rank = 3


_document(Conv1D, "one axis (texts, sound, time series)", "steps")
_document(Conv2D, "two axes (images)", "height, width")
_document(Conv3D, "three axes (volumes, videos)", "depth, height, width")

Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
