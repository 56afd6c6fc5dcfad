"""The networks that are measured, as plain data, so that every library builds the same one.

A network is a list of layers, each a tuple (kind, ...):

- ("conv", filters, size, padding, activation): 2D, stride 1; padding is a number of pixels on each side
- ("pool", size): max pooling, stride = size
- ("flatten",)
- ("dense", units, activation)

Activations are "relu" or None. Weights are drawn here once, in Keras's shapes (size, size, channels, filters) and
(inputs, units) with the image flattened as height, width, channels; the other libraries rearrange them. So all
libraries must give the same outputs, and the run checks that they do.
"""

from __future__ import annotations

from typing import NamedTuple

INPUT = (28, 28, 1)


class Network(NamedTuple):
    title: str
    shape: tuple            # height, width, channels
    layers: tuple
    steps: int              # of training in one measurement: about half a second to two seconds of the slower peers


NETWORKS = {
    "lenet5": Network("LeNet-5 1998", INPUT, (
        ("conv", 6, 5, 2, "relu"), ("pool", 2), ("conv", 16, 5, 0, "relu"), ("pool", 2), ("flatten",),
        ("dense", 120, "relu"), ("dense", 84, "relu"), ("dense", 10, None)), 100),
    "lenet5_lecture": Network("LeNet-5 lecture form", INPUT, (
        ("conv", 20, 5, 2, "relu"), ("pool", 2), ("conv", 50, 5, 2, "relu"), ("pool", 2), ("flatten",),
        ("dense", 500, "relu"), ("dense", 10, None)), 40),
}


def walk(network):
    """The layers, each with the shape (height, width, channels) or (units,) that goes into it."""
    shape = network.shape
    for layer in network.layers:
        yield layer, shape
        kind = layer[0]
        if kind == "conv":
            _, filters, size, padding, _ = layer
            shape = (shape[0] + 2 * padding - size + 1, shape[1] + 2 * padding - size + 1, filters)
        elif kind == "pool":
            shape = (shape[0] // layer[1], shape[1] // layer[1], shape[2])
        elif kind == "flatten":
            shape = (shape[0] * shape[1] * shape[2],)
        else:
            shape = (layer[1],)


def draw_weights(network) -> list:
    """Kernel, bias, kernel, bias, ...: Glorot's uniform distribution, and small biases."""
    import numpy as np
    rng, weights = np.random.default_rng(1), []
    for layer, shape in walk(network):
        if layer[0] == "conv":
            size, channels = (layer[2], layer[2]), (shape[-1], layer[1])
        elif layer[0] == "dense":
            size, channels = (), (shape[0], layer[1])
        else:
            continue
        area = int(np.prod(size))
        limit = (6 / (area * sum(channels))) ** 0.5
        weights.append(rng.uniform(-limit, limit, (*size, *channels)).astype("float32"))
        weights.append(rng.uniform(-0.1, 0.1, channels[1]).astype("float32"))
    return weights


def channels_first_weights(network) -> list:
    """The same weights for libraries with images (channels, height, width).

    Kernels are (filters, channels, height, width), and (units, inputs) with the image flattened as channels,
    height, width.
    """
    weights, out, image = iter(draw_weights(network)), [], None
    for layer, shape in walk(network):
        if layer[0] == "flatten":
            image = shape
        elif layer[0] == "conv":
            out += [next(weights).transpose(3, 2, 0, 1).copy(), next(weights)]
        elif layer[0] == "dense":
            kernel = next(weights)
            if image is not None:
                kernel = kernel.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                image = None
            out += [kernel.T.copy(), next(weights)]
    return out


def draw_images(network, count):
    """(images, labels): bytes of noise shaped like the network's input, and int64 labels. No accuracy is asked."""
    import numpy as np
    rng = np.random.default_rng(2)
    return (rng.integers(0, 256, (count, *network.shape), dtype="uint8"),
            rng.integers(0, network.layers[-1][1], count, dtype="int64"))


def scaled(images, channels_first):
    """Float images from 0 to 1, (n, channels, height, width) or (n, height, width, channels)."""
    import numpy as np
    x = images.astype("float32") * np.float32(1 / 255)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if channels_first else x
