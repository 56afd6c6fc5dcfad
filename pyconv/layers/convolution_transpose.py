"""Transposed convolution layers: from a small image to a large one. One base class for any number of axes."""

from __future__ import annotations

from .. import ops
from ..ops.convolution import join_shape, split_shape, transposed_geometry
from . import checks
from .convolution import ConvolutionBase

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "Convolution1DTranspose",
           "Convolution2DTranspose", "Convolution3DTranspose"]


class BaseConvTranspose(ConvolutionBase):
    """Transposed convolution over `rank` spatial axes: see the classes below."""

    def __init__(self, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
                 dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = checks.integer(self, "filters", filters)
        checks.choice(self, "padding", padding.lower() if isinstance(padding, str) else padding, ("valid", "same"))
        self._prepare(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                      kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
                      kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
                      kernel_constraint=kernel_constraint, bias_constraint=bias_constraint)
        self.output_padding = None if output_padding is None else checks.spatial(
            self, "output_padding", output_padding, self.rank, least=0)
        if self.output_padding and any(e >= s for e, s in zip(self.output_padding, self.strides, strict=True)):
            raise ValueError(f"{self._title()}: output_padding={self.output_padding} must be smaller than "
                             f"strides={self.strides} along each axis.")
        self._not_both()

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = self._add("kernel", (*self.kernel_size, self.filters, channels))
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs):
        return self._activated(ops.conv_transpose(inputs, self.kernel, self.strides, self.padding,
                                                  self.output_padding, self.data_format, self.dilation_rate),
                               self.bias)

    def compute_output_shape(self, input_shape):
        """(batch, *new_spatial, filters), or (batch, filters, *new_spatial) if channels come first."""
        self._require_rank(input_shape)
        batch, sizes, _ = split_shape(tuple(input_shape), self._channels_last)
        extra = self.output_padding or (None,) * self.rank
        spatial = [None if n is None else transposed_geometry(n, k, s, d, self.padding, e)[0] for n, k, s, d, e
                   in zip(sizes, self.kernel_size, self.strides, self.dilation_rate, extra, strict=True)]
        return join_shape(batch, tuple(spatial), self.filters, self._channels_last)


_DOC = """Transposed convolution over {axes}, plus bias, then an activation: the gradient of a convolution
    for its input, used forwards, to enlarge what it is given.

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: the same axes with `filters` channels. An axis of n elements gives ``n * stride`` for "same" and
    ``n * stride + max(reach - stride, 0)`` for "valid", where ``reach = dilation * (k - 1) + 1``; with
    `output_padding` ``(n - 1) * stride + reach - 2 * pad + output_padding``.
    Weights: kernel (*kernel_size, filters, channels), bias (filters,).
    Source: Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016.

    Parameters
    ----------
    filters: int
        Number of output channels.
    kernel_size: int or tuple of {rank} ints
    strides: int or tuple of {rank} ints
        How many times larger the result is; default 1.
    padding: str
        "valid" (default) or "same".
    output_padding: int or tuple of {rank} ints, optional
        Added to one side of the result; smaller than `strides`. Default: what the sizes above need.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    dilation_rate: int or tuple of {rank} ints
        Default 1; not above 1 together with strides above 1.
    activation: str or callable
        Default none.
    use_bias: bool
        Default True.
    kernel_initializer, bias_initializer: str, callable or dict
        Defaults "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer, activity_regularizer: optional
    kernel_constraint, bias_constraint: optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        At construction for arguments that do not fit; when it is built, for inputs with a wrong number of
        axes or unknown channels.
    """


class Conv1DTranspose(BaseConvTranspose):
    rank = 1


class Conv2DTranspose(BaseConvTranspose):
    rank = 2


class Conv3DTranspose(BaseConvTranspose):
    rank = 3

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, output_padding=None,
                 dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None, **kwargs):
        # In Keras, data_format comes before output_padding here.
        super().__init__(filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate,
                         activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
                         bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, **kwargs)


Conv1DTranspose.__doc__ = _DOC.format(axes="one axis", sizes="steps", rank=1)
Conv2DTranspose.__doc__ = _DOC.format(axes="two axes", sizes="height, width", rank=2)
Conv3DTranspose.__doc__ = _DOC.format(axes="three axes", sizes="depth, height, width", rank=3)

Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
