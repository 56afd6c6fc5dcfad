"""Depthwise and separable convolution layers. One base class each for any number of spatial axes."""

from __future__ import annotations

from .. import ops
from . import checks
from .convolution import ConvolutionBase

__all__ = [f"{kind}{rank}D" for rank in (1, 2, 3) for kind in ("DepthwiseConv", "SeparableConv",
                                                               "SeparableConvolution")]


class BaseDepthwiseConv(ConvolutionBase):
    """Each channel convolved with filters of its own: see the classes below."""

    def __init__(self, kernel_size, strides=1, padding="valid", depth_multiplier=1, data_format=None,
                 dilation_rate=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
                 bias_initializer="zeros", depthwise_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, depthwise_constraint=None, bias_constraint=None, *,
                 padding_mode="zeros", **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._prepare(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                      padding_mode, depthwise_initializer=depthwise_initializer,
                      bias_initializer=bias_initializer, depthwise_regularizer=depthwise_regularizer,
                      bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint,
                      bias_constraint=bias_constraint)
        self.depth_multiplier = checks.integer(self, "depth_multiplier", depth_multiplier)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = self._add("kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise")
        self.bias = self._add("bias", (channels * self.depth_multiplier,)) if self.use_bias else None

    def call(self, inputs):
        inputs, padding = self._padded(inputs)
        return self._activated(ops.depthwise_conv(inputs, self.kernel, self.strides, padding, self.data_format,
                                                  self.dilation_rate), self.bias)

    def compute_output_shape(self, input_shape):
        """The input's axes, with ``channels * depth_multiplier`` channels."""
        self._require_rank(input_shape)
        return self._output_shape(input_shape, input_shape[-1 if self._channels_last else 1] * self.depth_multiplier)


class BaseSeparableConv(ConvolutionBase):
    """A depthwise convolution, then one of size 1 that mixes the channels: see the classes below."""

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
                 depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
                 pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
                 pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 depthwise_constraint=None, pointwise_constraint=None, bias_constraint=None, *,
                 padding_mode="zeros", **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = checks.integer(self, "filters", filters)
        self._prepare(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                      padding_mode, depthwise_initializer=depthwise_initializer,
                      pointwise_initializer=pointwise_initializer, bias_initializer=bias_initializer,
                      depthwise_regularizer=depthwise_regularizer, pointwise_regularizer=pointwise_regularizer,
                      bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint,
                      pointwise_constraint=pointwise_constraint, bias_constraint=bias_constraint)
        self.depth_multiplier = checks.integer(self, "depth_multiplier", depth_multiplier)

    def build(self, input_shape):
        channels, m = self._channels(input_shape), self.depth_multiplier
        self.depthwise_kernel = self._add("depthwise_kernel", (*self.kernel_size, channels, m), "depthwise")
        self.pointwise_kernel = self._add("pointwise_kernel", (*[1] * self.rank, channels * m, self.filters),
                                          "pointwise")
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs):
        inputs, padding = self._padded(inputs)
        inputs = ops.depthwise_conv(inputs, self.depthwise_kernel, self.strides, padding, self.data_format,
                                    self.dilation_rate)
        return self._activated(ops.conv(inputs, self.pointwise_kernel, data_format=self.data_format), self.bias)

    def compute_output_shape(self, input_shape):
        """(batch, *new_spatial, filters), or (batch, filters, *new_spatial) if channels come first."""
        return self._output_shape(input_shape, self.filters)


_DOC = """{what}

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: the same axes with {filters} channels. An axis of n elements, padded by (p, q), gives
    ``(n + p + q - dilation * (k - 1) - 1) // stride + 1``.
    Weights: {weights}.

    Parameters
    ----------
{first}    kernel_size: int or tuple of {rank} ints
    strides, dilation_rate: int or tuple of {rank} ints
        Default 1.
    padding: str, int or tuple
        "valid" (default): none. "same": ceil(n / stride) outputs, the odd zero after.{causal}
        Or an int, or an int or pair (before, after) for each spatial axis.
    depth_multiplier: int
        Number of filters of each channel; default 1.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    activation: str or callable
        Default none.
    use_bias: bool
        Default True.
    {initializers}: str, callable or dict
        Default "glorot_uniform"; that of the bias "zeros".
    {regularizers}, activity_regularizer: optional
    {constraints}: optional
    padding_mode: str
        What the padding shows: "zeros" (default), "reflect", "replicate" or "circular", as in PyTorch.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        At construction for arguments that do not fit; when it is built, for inputs with a wrong number of
        axes, unknown channels, or sizes smaller than the kernel's reach.
    """


class DepthwiseConv1D(BaseDepthwiseConv):
    rank = 1


class DepthwiseConv2D(BaseDepthwiseConv):
    rank = 2


class DepthwiseConv3D(BaseDepthwiseConv):
    rank = 3


class SeparableConv1D(BaseSeparableConv):
    rank = 1


class SeparableConv2D(BaseSeparableConv):
    rank = 2


class SeparableConv3D(BaseSeparableConv):
    rank = 3


for _cls in (DepthwiseConv1D, DepthwiseConv2D, DepthwiseConv3D, SeparableConv1D, SeparableConv2D, SeparableConv3D):
    _common = {"rank": _cls.rank, "sizes": ("steps", "height, width", "depth, height, width")[_cls.rank - 1],
               "causal": '\n        "causal": all before, so that no output sees later inputs.'
                         if _cls.rank == 1 else ""}
    _names = ("depthwise", "bias") if issubclass(_cls, BaseDepthwiseConv) else ("depthwise", "pointwise", "bias")
    for _kind in ("initializer", "regularizer", "constraint"):
        _common[f"{_kind}s"] = ", ".join(f"{_name}_{_kind}" for _name in _names)
    if issubclass(_cls, BaseDepthwiseConv):
        _cls.__doc__ = _DOC.format(
            what="Each channel convolved with filters of its own, plus bias, then an activation.", first="",
            filters="``channels * depth_multiplier``",
            weights="kernel (*kernel_size, channels, depth_multiplier),\n    bias (channels * depth_multiplier,)",
            **_common)
    else:
        _cls.__doc__ = _DOC.format(
            what="Each channel convolved with filters of its own, then a convolution of size 1 that mixes "
                 "them,\n    plus bias, then an activation. Source: Chollet, *Xception*, 2017.",
            first="    filters: int\n        Number of output channels.\n", filters="`filters`",
            weights="depthwise_kernel (*kernel_size, channels, depth_multiplier),\n    pointwise_kernel "
                    "(1, ..., channels * depth_multiplier, filters), bias (filters,)", **_common)

SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
SeparableConvolution3D = SeparableConv3D
