"""Strategies for valid configurations of pyconv's layers, family by family."""

from __future__ import annotations

import functools

from .. import layers
from ..utils.naming import unknown
from .layer_cases import LayerConfig
from .optional import strategies as st

__all__ = ["LayerConfig", "layer_configs"]

ACTIVATIONS = (None, "tanh", "sigmoid", "softplus")
FORMATS = ("channels_last", "channels_first")
BUILDERS: dict = {}       # name of a class -> function(draw, rank) that gives arguments and input shape


def layer_configs(*names) -> st.SearchStrategy:
    """A strategy of `LayerConfig`: a layer's class, valid arguments, and the shape of an input that fits them.

    ::

        check_layer(strategies.layer_configs("Conv2D", "DepthwiseConv2D"))

    Parameters
    ----------
    names: str or class
        Layers of pyconv to choose among; default all that have a strategy. ValueError for others.
    """
    names = [name if isinstance(name, str) else getattr(name, "__name__", str(name)) for name in names]
    for name in names:
        if name not in BUILDERS:
            raise unknown("layer_configs: layer", name, BUILDERS)
    return st.sampled_from(names or sorted(BUILDERS)).flatmap(_configs)


@st.composite
def _configs(draw, name):
    arguments, shape = BUILDERS[name](draw)
    return LayerConfig(getattr(layers, name), arguments, shape)


def _for(*names):
    """Register a function of `draw`."""
    def register(function):
        BUILDERS.update(dict.fromkeys(names, function))
        return function
    return register


def _for_ranks(*names):
    """Register a function of `draw` and the rank, for names such as "Conv{}DTranspose"."""
    def register(function):
        for name in names:
            for rank in (1, 2, 3):
                BUILDERS[name.format(rank)] = functools.partial(function, rank=rank)
        return function
    return register


def _image(draw, sizes, channels, arguments):
    """The shape of an image, in the data format that is drawn for the arguments."""
    arguments["data_format"] = draw(st.sampled_from(FORMATS))
    return (*sizes, channels) if arguments["data_format"] == "channels_last" else (channels, *sizes)


def _sizes(draw, least):
    return [draw(st.integers(n, n + 4)) for n in least]


def _windows(draw, rank, dilated=True):
    """``kernel_size``, and strides or dilation, of which one alone may be more than 1; the sizes that windows reach."""
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    arguments = {"kernel_size": tuple(kernel), "padding": draw(st.sampled_from(["valid", "same"]))}
    choice = draw(st.sampled_from(["plain", "strided", "dilated"] if dilated else ["plain", "strided"]))
    factor = draw(st.integers(1, 2))
    if choice != "plain":
        arguments["strides" if choice == "strided" else "dilation_rate"] = factor
    reach = [(k - 1) * (factor if choice == "dilated" else 1) + 1 for k in kernel]
    return arguments, reach


@_for_ranks("Conv{}D")
def _conv(draw, rank):
    arguments, reach = _windows(draw, rank)
    groups = draw(st.integers(1, 2))
    arguments |= {"filters": groups * draw(st.integers(1, 3)), "groups": groups, "use_bias": draw(st.booleans()),
                  "activation": draw(st.sampled_from(ACTIVATIONS))}
    shape = _image(draw, _sizes(draw, reach), groups * draw(st.integers(1, 2)), arguments)
    if rank == 1 and arguments["data_format"] == "channels_last" and draw(st.booleans()):
        arguments["padding"] = "causal"
    return arguments, shape


@_for_ranks("Conv{}DTranspose")
def _transposed(draw, rank):
    arguments, _ = _windows(draw, rank, dilated=False)
    arguments |= {"filters": draw(st.integers(1, 3)), "use_bias": draw(st.booleans()),
                  "activation": draw(st.sampled_from(ACTIVATIONS))}
    return arguments, _image(draw, _sizes(draw, [1] * rank), draw(st.integers(1, 3)), arguments)


@_for_ranks("DepthwiseConv{}D")
def _depthwise(draw, rank):
    arguments, reach = _windows(draw, rank)
    arguments |= {"depth_multiplier": draw(st.integers(1, 2)), "use_bias": draw(st.booleans())}
    return arguments, _image(draw, _sizes(draw, reach), draw(st.integers(1, 3)), arguments)


@_for_ranks("SeparableConv{}D")
def _separable(draw, rank):
    arguments, shape = _depthwise(draw, rank)
    return {**arguments, "filters": draw(st.integers(1, 3))}, shape


@_for_ranks("MaxPooling{}D", "AveragePooling{}D")
def _pooling(draw, rank):
    window = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    arguments = {"pool_size": tuple(window), "strides": draw(st.sampled_from([None, 1, 2])),
                 "padding": draw(st.sampled_from(["valid", "same"]))}
    return arguments, _image(draw, _sizes(draw, window), draw(st.integers(1, 3)), arguments)


@_for_ranks("GlobalMaxPooling{}D", "GlobalAveragePooling{}D")
def _global_pooling(draw, rank):
    arguments = {"keepdims": draw(st.booleans())}
    return arguments, _image(draw, _sizes(draw, [1] * rank), draw(st.integers(1, 3)), arguments)


@_for_ranks("AdaptiveMaxPooling{}D", "AdaptiveAveragePooling{}D")
def _adaptive_pooling(draw, rank):
    sizes = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    arguments = {"output_size": tuple(sizes)}
    return arguments, _image(draw, _sizes(draw, sizes), draw(st.integers(1, 3)), arguments)


def _border(draw, rank, argument):
    pairs = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    sizes, channels = _sizes(draw, [sum(p) + 1 for p in pairs]), draw(st.integers(1, 3))
    if rank == 1:
        return {argument: pairs[0]}, (*sizes, channels)
    arguments = {argument: pairs}
    return arguments, _image(draw, sizes, channels, arguments)


_for_ranks("ZeroPadding{}D")(functools.partial(_border, argument="padding"))
_for_ranks("Cropping{}D")(functools.partial(_border, argument="cropping"))


def _shape(draw, least_rank=1, most_rank=3):
    return tuple(draw(st.lists(st.integers(1, 5), min_size=least_rank, max_size=most_rank)))


@_for("Dense")
def _dense(draw):
    return {"units": draw(st.integers(1, 5)), "activation": draw(st.sampled_from(ACTIVATIONS)),
            "use_bias": draw(st.booleans())}, _shape(draw)


@_for("BatchNormalization")
def _batch_norm(draw):
    return {"momentum": draw(st.sampled_from([0.5, 0.9, 0.99])), "epsilon": draw(st.sampled_from([1e-3, 0.1])),
            "center": draw(st.booleans()), "scale": draw(st.booleans())}, _shape(draw)


@_for("LayerNormalization")
def _layer_norm(draw):
    shape = _shape(draw)
    axes = draw(st.lists(st.integers(1, len(shape)), min_size=1, unique=True).map(sorted))
    return {"axis": axes, "epsilon": draw(st.sampled_from([1e-3, 0.1])), "center": draw(st.booleans()),
            "scale": draw(st.booleans())}, shape


@_for("GroupNormalization")
def _group_norm(draw):
    groups = draw(st.integers(1, 3))
    return {"groups": groups, "epsilon": draw(st.sampled_from([1e-3, 0.1])), "scale": draw(st.booleans())}, \
        (*_shape(draw, 0, 2), groups * draw(st.integers(1, 3)))


@_for("Dropout", "AlphaDropout", "GaussianDropout")
def _dropout(draw):
    return {"rate": draw(st.sampled_from([0.25, 0.5])), "seed": draw(st.one_of(st.none(), st.integers(0, 9)))}, \
        (*_shape(draw, 0, 2), draw(st.integers(4, 8)))


@_for("Flatten")
def _flatten(draw):
    return {"data_format": draw(st.sampled_from(FORMATS))}, _shape(draw, 0, 3)


@_for("Permute")
def _permute(draw):
    shape = _shape(draw)
    return {"dims": tuple(draw(st.permutations(range(1, len(shape) + 1))))}, shape


@_for("ReLU")
def _relu(draw):
    return {"max_value": draw(st.sampled_from([None, 1.0])), "negative_slope": draw(st.sampled_from([0.0, 0.25])),
            "threshold": draw(st.sampled_from([0.0, 0.5]))}, _shape(draw)


@_for("Softmax")
def _softmax(draw):
    return {"axis": draw(st.sampled_from([-1, 1]))}, _shape(draw)


@_for("Add", "Multiply", "Average", "Maximum", "Minimum")
def _merging(draw):
    shape = _shape(draw)
    return {}, [shape] * draw(st.integers(2, 3))


@_for("Concatenate")
def _concatenate(draw):
    shape = _shape(draw, 1, 2)
    return {"axis": -1}, [(*shape[:-1], draw(st.integers(1, 4))) for _ in range(draw(st.integers(2, 3)))]
