"""The network by Keras's functional API, for Keras and for pyconv, which share it."""

from __future__ import annotations

from ..networks import draw_weights


def build(library, network, rescale=False, integer_padding=False):
    """A model of `library` (keras or pyconv) with the drawn weights.

    integer_padding: whether convolutions take a number of elements as padding, which Keras's do not.
    """
    layers, rank, made = library.layers, len(network.shape) - 1, []
    inputs = library.Input(network.shape)

    def of_rank(name, *args, **options):
        return getattr(layers, f"{name}{rank}D")(*args, **options)

    def weighted(layer, x):
        made.append(layer)
        return layer(x)

    def convolve(x, name, o, *args, **options):
        size, padding = o["size"], o["padding"]
        if not integer_padding:
            # Keras's "same" is what is meant only without strides.
            same = o["stride"] == 1 and padding == size // 2
            if padding and not same:
                x = of_rank("ZeroPadding", padding)(x)
            padding = "same" if padding and same else "valid"
        return weighted(of_rank(name, *args, size, strides=o["stride"], padding=padding, **options), x)

    def run(x, parts):
        for kind, o in parts:
            if kind == "conv":
                x = convolve(x, "Conv", o, o["filters"], activation=o["activation"], use_bias=o["bias"])
            elif kind == "depthwise":
                x = convolve(x, "DepthwiseConv", o, use_bias=False)
            elif kind == "batch_norm":
                x = weighted(layers.BatchNormalization(momentum=0.9, epsilon=1e-5), x)
                if o["activation"]:
                    x = layers.Activation(o["activation"])(x)
            elif kind == "pool":
                x = of_rank("MaxPooling", o["size"])(x)
            elif kind == "global_average":
                x = of_rank("GlobalAveragePooling")(x)
            elif kind == "flatten":
                x = layers.Flatten()(x)
            elif kind == "dropout":
                x = layers.Dropout(o["rate"])(x)
            elif kind == "dense":
                x = weighted(layers.Dense(o["units"], activation=o["activation"]), x)
            else:
                body = run(x, o["body"])
                x = layers.Activation("relu")(layers.Add()([body, run(x, o["shortcut"])]))
        return x

    model = library.Model(inputs, run(layers.Rescaling(1 / 255)(inputs) if rescale else inputs, network.layers))
    drawn = iter(draw_weights(network))
    for layer in made:
        layer.set_weights([next(drawn) for _ in layer.weights])
    return model
