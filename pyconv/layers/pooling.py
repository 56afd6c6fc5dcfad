"""Pooling layers. One base class for any number of spatial axes; those below only fix the number."""

from __future__ import annotations

from .. import ops
from ..ops.convolution import join_shape, output_sizes, resolve_padding, split_shape
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = [f"{kind}{rank}D" for rank in (1, 2, 3) for kind in (
    "MaxPooling", "MaxPool", "AveragePooling", "AvgPool", "LpPooling", "LpPool", "GlobalMaxPooling",
    "GlobalMaxPool", "GlobalAveragePooling", "GlobalAvgPool", "AdaptiveMaxPooling", "AdaptiveAveragePooling")]


class BasePooling(Layer):
    """One number for each window, per channel: see the classes below."""

    rank = None

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        rank = self.rank
        self.pool_size = checks.spatial(self, "pool_size", pool_size, rank)
        self.strides = self.pool_size if strides is None else checks.spatial(self, "strides", strides, rank)
        self.padding = checks.padding_argument(self, padding, rank)
        if not isinstance(self.padding, str):
            for i, pair in enumerate(checks.pairs(self, "padding", self.padding, rank)):
                if max(pair) >= self.pool_size[i]:
                    raise ValueError(f"{self._title()}: padding={self.padding} must be smaller than "
                                     f"pool_size={self.pool_size}, so that no window lies outside of the "
                                     "input.")
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=rank + 2)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        """(batch, *new_spatial, channels), or (batch, channels, *new_spatial) if channels come first."""
        if len(input_shape) != self.rank + 2:
            raise ValueError(f"{self._title()} expects an input with {self.rank + 2} axes, got "
                             f"{len(input_shape)}: the input has shape {show(input_shape)}.")
        channels_last = self.data_format == "channels_last"
        batch, sizes, channels = split_shape(tuple(input_shape), channels_last)
        spatial = []
        for i, n in enumerate(sizes):
            if n is None:
                spatial.append(None)
                continue
            one = isinstance(self.padding, tuple)
            pads = resolve_padding(self.padding[i:i + 1] if one else self.padding, (n,),
                                   self.pool_size[i:i + 1], self.strides[i:i + 1], (1,))
            (size,) = output_sizes((n,), self.pool_size[i:i + 1], self.strides[i:i + 1], pads, (1,))
            if size < 1:
                raise ValueError(f"{self._title()}: pool_size={self.pool_size} is larger than the input of "
                                 f"shape {show(input_shape)} along spatial axis {i}. Use padding='same', a "
                                 f"smaller window, or a larger input.")
            spatial.append(size)
        return join_shape(batch, tuple(spatial), channels, channels_last)


class _MaxPooling(BasePooling):
    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class _AveragePooling(BasePooling):
    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None, *,
                 count_include_pad=False, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)
        self.count_include_pad = checks.boolean(self, "count_include_pad", count_include_pad)

    def call(self, inputs):
        return ops.avg_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format,
                            count_include_pad=self.count_include_pad)

    def get_config(self):
        config = super().get_config()
        if not self.count_include_pad:           # Keras does not know it
            config.pop("count_include_pad")
        return config


class _LpPooling(BasePooling):
    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, p=2.0, name=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)
        self.p = checks.number(self, "p", p)
        if self.p <= 0:
            raise ValueError(f"{self._title()}: p must be above 0, got {self.p!r}.")

    def call(self, inputs):
        powers = inputs * inputs if self.p == 2 else ops.power(ops.absolute(inputs), self.p)
        total = ops.sum_pool(powers, self.pool_size, self.strides, self.padding, self.data_format)
        # The root is infinitely steep at 0: windows of zeros get a gradient of 0.
        positive = total > 0
        safe = ops.where(positive, total, 1.0)
        return ops.where(positive, ops.sqrt(safe) if self.p == 2 else ops.power(safe, 1 / self.p), 0.0)


class _Spatial(Layer):
    """Base of the layers below that pool whole axes."""

    rank = None

    def _prepare(self, data_format):
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _axes(self):
        return tuple(range(1, self.rank + 1) if self.data_format == "channels_last" else range(2, self.rank + 2))

    def _require_rank(self, shape):
        if len(shape) != self.rank + 2:
            raise ValueError(f"{self._title()} expects an input with {self.rank + 2} axes, got {len(shape)}: the "
                             f"input has shape {show(shape)}.")


class _GlobalPooling(_Spatial):
    reduce = None

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self._prepare(data_format)
        self.keepdims = checks.boolean(self, "keepdims", keepdims)

    def call(self, inputs):
        return type(self).reduce(inputs, self._axes, self.keepdims)

    def compute_output_shape(self, input_shape):
        self._require_rank(input_shape)
        return tuple(1 if i in self._axes else n for i, n in enumerate(input_shape)
                     if self.keepdims or i not in self._axes)


class _GlobalMaxPooling(_GlobalPooling):
    reduce = staticmethod(ops.max)


class _GlobalAveragePooling(_GlobalPooling):
    reduce = staticmethod(ops.mean)


class _AdaptivePooling(_Spatial):
    pool = None

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare(data_format)
        self.output_size = checks.spatial(self, "output_size", output_size, self.rank)

    def call(self, inputs):
        return type(self).pool(inputs, self.output_size, self.data_format)

    def compute_output_shape(self, input_shape):
        self._require_rank(input_shape)
        sizes = iter(self.output_size)
        return tuple(next(sizes) if i in self._axes else n for i, n in enumerate(input_shape))


class _AdaptiveMaxPooling(_AdaptivePooling):
    pool = staticmethod(ops.adaptive_max_pool)


class _AdaptiveAveragePooling(_AdaptivePooling):
    pool = staticmethod(ops.adaptive_avg_pool)


class MaxPooling1D(_MaxPooling):
    rank = 1


class MaxPooling2D(_MaxPooling):
    rank = 2


class MaxPooling3D(_MaxPooling):
    rank = 3


class AveragePooling1D(_AveragePooling):
    rank = 1


class AveragePooling2D(_AveragePooling):
    rank = 2


class AveragePooling3D(_AveragePooling):
    rank = 3


class LpPooling1D(_LpPooling):
    rank = 1


class LpPooling2D(_LpPooling):
    rank = 2


class LpPooling3D(_LpPooling):
    rank = 3


class GlobalMaxPooling1D(_GlobalMaxPooling):
    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPooling):
    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling):
    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePooling):
    rank = 1


class GlobalAveragePooling2D(_GlobalAveragePooling):
    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling):
    rank = 3


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    rank = 3


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    rank = 3


_WINDOWS = """{what}

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: the same axes; one of n elements, padded by (p, q), gives ``(n + p + q - pool) // stride + 1``,
    which is ceil(n / stride) for "same". {ties}

    Parameters
    ----------
    pool_size: int or tuple of {rank} ints
        {default}
    strides: int or tuple of {rank} ints, optional
        Default `pool_size`.
    padding: str, int or tuple
        "valid" (default), "same", an int, or an int or pair (before, after) for each spatial axis.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
{more}    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        At construction for arguments that do not fit; when it is built, for inputs with a wrong number of
        axes or smaller than the window.
    """
_GLOBAL = """{what}

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: (batch, channels); with `keepdims` the spatial axes stay, with length 1.{ties}

    Parameters
    ----------
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    keepdims: bool
        Default False.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs with a wrong number of axes or no elements.
    """
_ADAPTIVE = """{what}

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: the same axes with the sizes `output_size`. Result i along an axis of n elements comes from those
    from ``floor(i * n / size)`` up to, not including, ``ceil((i + 1) * n / size)``, as in PyTorch.{ties}

    Parameters
    ----------
    output_size: int or tuple of {rank} ints
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs with a wrong number of axes or no elements.
    """

_INCLUDE = """    count_include_pad: bool
        Whether padding counts as zeros; by default the mean is that of the input's elements alone.
"""
_P = """    p: float
        Above 0; default 2.
"""
# kind -> (template, what it does, about ties, whether `pool_size` has a default, more arguments)
_FAMILY = {
    "MaxPooling": (_WINDOWS, "The largest element of each window, per channel.",
                   "Padding is never the largest. At a tie the gradient goes to the\n    first of the window.",
                   "Default 2.", ""),
    "AveragePooling": (_WINDOWS, "The mean of each window, per channel.",
                       "Padding does not count.", "Required.", _INCLUDE),
    "LpPooling": (_WINDOWS, "``sum(abs(x) ** p) ** (1 / p)`` over each window, per channel; p = 2 is "
                  "L2 pooling.\n\n    Keras has no such layer; PyTorch's LPPool gives the same for even p. "
                  "Source: Gulcehre et al.,\n    *Learned-norm pooling for deep feedforward and recurrent "
                  "neural networks*, 2014.", "Padding counts as zeros.", "Default 2.", _P),
    "GlobalMaxPooling": (_GLOBAL, "The largest element of each channel.",
                         " Equal largest\n    elements share the gradient.", "", ""),
    "GlobalAveragePooling": (_GLOBAL, "The mean of each channel.", "", "", ""),
    "AdaptiveMaxPooling": (_ADAPTIVE,
                           "The largest elements of windows chosen for a given output size, per channel.", "", "", ""),
    "AdaptiveAveragePooling": (_ADAPTIVE,
                               "The means of windows chosen for a given output size, per channel.", "", "", ""),
}


for _kind, (_template, _what, _ties, _default, _more) in _FAMILY.items():
    for _rank, _sizes in enumerate(("steps", "height, width", "depth, height, width"), 1):
        globals()[f"{_kind}{_rank}D"].__doc__ = _template.format(
            what=_what, ties=_ties, default=_default, more=_more, rank=_rank, sizes=_sizes)

MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
LpPool1D, LpPool2D, LpPool3D = LpPooling1D, LpPooling2D, LpPooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
