"""The networks that are measured, as plain data, so that every library builds the same one.

A network is a tuple of layers, each a pair (kind, options); the functions below make them and are their description.
Weights are drawn here once, in Keras's shapes and order; the other libraries rearrange them. So all libraries must
give the same outputs, and the run checks that they do.
"""

from __future__ import annotations

import math
from typing import NamedTuple


def conv(filters, size, padding=0, activation=None, stride=1, bias=True):
    """Convolution over all spatial axes; `padding` elements on each side."""
    return "conv", {"filters": filters, "size": size, "padding": padding, "activation": activation, "stride": stride,
                    "bias": bias}


def depthwise(size, padding=0, stride=1):
    """Each channel convolved with a kernel of its own, no bias."""
    return "depthwise", {"size": size, "padding": padding, "stride": stride}


def batch_norm(activation=None):
    return "batch_norm", {"activation": activation}


def pool(size):
    """Max pooling, stride = size."""
    return "pool", {"size": size}


def global_average():
    return "global_average", {}


def flatten():
    return "flatten", {}


def dropout(rate):
    return "dropout", {"rate": rate}


def dense(units, activation=None):
    return "dense", {"units": units, "activation": activation}


def residual(body, shortcut=()):
    """relu(body(x) + shortcut(x)); an empty shortcut is x itself."""
    return "residual", {"body": tuple(body), "shortcut": tuple(shortcut)}


class Network(NamedTuple):
    title: str
    shape: tuple            # (*spatial, channels)
    layers: tuple
    steps: int              # of training in one measurement: about half a second to two seconds of the slower peers
    batch: int = 128
    images: int = 10000     # predicted in one measurement
    ones: int = 2000        # single images predicted in one measurement


def _resnet20():
    layers = [conv(16, 3, 1, bias=False), batch_norm("relu")]
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            body = [conv(filters, 3, 1, stride=stride, bias=False), batch_norm("relu"),
                    conv(filters, 3, 1, bias=False), batch_norm()]
            layers.append(residual(body, [conv(filters, 1, stride=2, bias=False), batch_norm()] if stride > 1 else ()))
    return (*layers, global_average(), dense(10))


def _vgg():
    layers = []
    for filters in (64, 128, 256):
        layers += [conv(filters, 3, 1, bias=False), batch_norm("relu")] * 2 + [pool(2)]
    return (*layers, global_average(), dense(10))


def _mobilenet():
    layers = [conv(32, 3, 1, bias=False), batch_norm("relu")]
    for filters, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        layers += [depthwise(3, 1, stride), batch_norm("relu"), conv(filters, 1, bias=False), batch_norm("relu")]
    return (*layers, global_average(), dense(10))


DIGIT = (28, 28, 1)
NETWORKS = {
    "lenet5": Network("LeNet-5 1998", DIGIT, (
        conv(6, 5, 2, "relu"), pool(2), conv(16, 5, 0, "relu"), pool(2), flatten(),
        dense(120, "relu"), dense(84, "relu"), dense(10)), 100),
    "lenet5_lecture": Network("LeNet-5 lecture form", DIGIT, (
        conv(20, 5, 2, "relu"), pool(2), conv(50, 5, 2, "relu"), pool(2), flatten(),
        dense(500, "relu"), dense(10)), 40),
    "mnist_convnet": Network("Keras's MNIST convnet", DIGIT, (
        conv(32, 3, 0, "relu"), pool(2), conv(64, 3, 0, "relu"), pool(2), flatten(), dropout(0.5), dense(10)), 40),
    "resnet20": Network("ResNet-20", (32, 32, 3), _resnet20(), 5, images=1024, ones=200),
    "vgg": Network("VGG-like with BN", (32, 32, 3), _vgg(), 2, images=512, ones=100),
    "mobilenet": Network("MobileNet-like", (32, 32, 3), _mobilenet(), 5, images=1024, ones=200),
    "conv1d": Network("1D fully convolutional", (500, 1), (
        *[conv(64, 3, 1), batch_norm("relu")] * 3, global_average(), dense(10)), 10, images=2048, ones=300),
    "voxnet": Network("3D VoxNet", (32, 32, 32, 1), (
        conv(32, 5, 0, "relu", stride=2), conv(32, 3, 0, "relu"), pool(2), flatten(), dense(128, "relu"), dense(10)),
        10, batch=32, images=512, ones=100),
}
# For images of any size: what a sample and a pixel cost.
THREE_LAYERS = Network("three convolutions", (32, 32, 3), (
    conv(16, 3, 1, "relu"), pool(2), conv(32, 3, 1, "relu"), pool(2), conv(32, 3, 1, "relu"), global_average(),
    dense(10)), 0)


def network_of(task) -> Network:
    """The network that a task names, for images of the size that it names."""
    network = {**NETWORKS, "three_layers": THREE_LAYERS}[task["network"]]
    if "size" in task:
        *spatial, channels = network.shape
        network = network._replace(shape=(*[task["size"]] * len(spatial), channels))
    return network


def after(layer, shape) -> tuple:
    """The shape that a layer gives for one sample: (*spatial, channels) or (units,)."""
    kind, options = layer
    *spatial, channels = shape
    if kind in ("conv", "depthwise"):
        spatial = [(n + 2 * options["padding"] - options["size"]) // options["stride"] + 1 for n in spatial]
        return (*spatial, options.get("filters", channels))
    if kind == "pool":
        return (*[n // options["size"] for n in spatial], channels)
    if kind == "global_average":
        return (channels,)
    if kind == "flatten":
        return (math.prod(shape),)
    if kind == "dense":
        return (options["units"],)
    if kind == "residual":
        for part in options["body"]:
            shape = after(part, shape)
    return shape


def walk(layers, shape):
    """The layers in the order of their weights, those inside of residual ones too, each with the shape that goes in.

    A residual layer comes first itself, then its body, then its shortcut.
    """
    for layer in layers:
        yield layer, shape
        if layer[0] == "residual":
            yield from walk(layer[1]["body"], shape)
            yield from walk(layer[1]["shortcut"], shape)
        shape = after(layer, shape)


def draw_weights(network) -> list:
    """All weights in Keras's shapes: convolutions (*size, channels, filters), depthwise (*size, channels, 1), dense
    (inputs, units) with the image flattened as height, width, channels; batch norm gamma, beta, mean, variance.

    Kernels by He's normal distribution; small biases and statistics that are not trivial.
    """
    import numpy as np
    rng, weights = np.random.default_rng(1), []
    for (kind, options), shape in walk(network.layers, network.shape):
        *spatial, channels = shape
        if kind in ("conv", "depthwise"):
            size = (options["size"],) * len(spatial)
            each = (channels, options["filters"]) if kind == "conv" else (channels, 1)
            inputs = math.prod(size) * (channels if kind == "conv" else 1)
        elif kind == "dense":
            size, each, inputs = (), (channels, options["units"]), channels
        elif kind == "batch_norm":
            weights += [rng.uniform(low, high, channels).astype("float32")
                        for low, high in ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.8, 1.2))]
            continue
        else:
            continue
        weights.append((rng.normal(size=(*size, *each)) * (2 / inputs) ** 0.5).astype("float32"))
        if options.get("bias", kind == "dense"):
            weights.append(rng.uniform(-0.1, 0.1, each[1]).astype("float32"))
    return weights


def channels_first_weights(network) -> list:
    """The same weights for libraries with images (channels, *spatial).

    Kernels are (filters, channels, *size), depthwise (channels, 1, *size), dense (units, inputs) with the image
    flattened as channels, *spatial.
    """
    weights, out, image = iter(draw_weights(network)), [], None
    for (kind, options), shape in walk(network.layers, network.shape):
        if kind == "flatten":
            image = shape
        elif kind == "batch_norm":
            out += [next(weights) for _ in range(4)]
        elif kind in ("conv", "depthwise", "dense"):
            kernel = next(weights)
            if kind == "depthwise":
                kernel = kernel.swapaxes(-1, -2)
            if kind == "dense" and image is not None:
                rank = len(image)
                kernel = kernel.reshape(*image, -1).transpose(rank - 1, *range(rank - 1), rank).reshape(kernel.shape)
                image = None
            rank = kernel.ndim
            out.append(kernel.transpose(rank - 1, rank - 2, *range(rank - 2)).copy())
            if options.get("bias", kind == "dense"):
                out.append(next(weights))
    return out


def draw_images(network, count):
    """(images, labels): bytes of noise shaped like the network's input, and int64 labels. No accuracy is asked."""
    import numpy as np
    rng = np.random.default_rng(2)
    return (rng.integers(0, 256, (count, *network.shape), dtype="uint8"),
            rng.integers(0, network.layers[-1][1]["units"], count, dtype="int64"))


def scaled(images, channels_first):
    """Float images from 0 to 1, (n, channels, *spatial) or (n, *spatial, channels)."""
    import numpy as np
    x = images.astype("float32") * np.float32(1 / 255)
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if channels_first else x
