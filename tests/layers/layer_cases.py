"""One table for all layers: how each is made, and the shapes (without the batch) of what it is called on."""

import functools

from pyconv import layers

# id -> (class, arguments, input shape or list of shapes)
CASES = {
    "dense": (layers.Dense, {"units": 3}, (4,)),
    "dense_relu_3d": (layers.Dense, {"units": 2, "activation": "tanh", "use_bias": False}, (3, 4)),
    "dense_all": (layers.Dense, {"units": 2, "kernel_regularizer": "l2", "bias_constraint": "non_neg",
                                 "kernel_initializer": "he_normal", "bias_initializer": "ones"}, (4,)),
    "activation": (layers.Activation, {"activation": "gelu"}, (4,)),
    "relu": (layers.ReLU, {}, (4, 2)),
    "relu_leaky": (layers.ReLU, {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (4, 2)),
    "leaky_relu": (layers.LeakyReLU, {"negative_slope": 0.2}, (5,)),
    "elu": (layers.ELU, {"alpha": 0.5}, (5,)),
    "softmax": (layers.Softmax, {}, (5,)),
    "softmax_axes": (layers.Softmax, {"axis": (1, 2)}, (3, 2, 2)),
    "identity": (layers.Identity, {}, (2, 3)),
    "conv1d": (layers.Conv1D, {"filters": 3, "kernel_size": 2}, (5, 2)),
    "conv1d_causal": (layers.Conv1D, {"filters": 3, "kernel_size": 3, "padding": "causal",
                                      "dilation_rate": 2}, (6, 2)),
    "conv1d_first": (layers.Conv1D, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"},
                     (2, 5)),
    "conv2d": (layers.Conv2D, {"filters": 3, "kernel_size": 2, "activation": "tanh"}, (4, 5, 2)),
    "conv2d_same": (layers.Conv2D, {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"},
                    (5, 4, 1)),
    "conv2d_groups": (layers.Conv2D, {"filters": 4, "kernel_size": 1, "groups": 2, "use_bias": False},
                      (3, 3, 4)),
    "conv2d_pairs": (layers.Conv2D, {"filters": 2, "kernel_size": (2, 3), "padding": ((1, 0), (2, 1))},
                     (3, 3, 1)),
    "conv2d_int": (layers.Conv2D, {"filters": 2, "kernel_size": 3, "padding": 1}, (3, 4, 1)),
    "conv2d_first": (layers.Conv2D, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"},
                     (3, 3, 4)),
    "conv3d": (layers.Conv3D, {"filters": 2, "kernel_size": 2}, (3, 3, 3, 1)),
    "max_pool1d": (layers.MaxPooling1D, {}, (5, 2)),
    "max_pool2d": (layers.MaxPooling2D, {"pool_size": (2, 3), "strides": 1, "padding": "same"}, (4, 4, 2)),
    "max_pool2d_int": (layers.MaxPooling2D, {"pool_size": 3, "padding": 1}, (4, 4, 2)),
    "max_pool2d_first": (layers.MaxPooling2D, {"data_format": "channels_first"}, (2, 4, 4)),
    "max_pool3d": (layers.MaxPooling3D, {}, (2, 4, 2, 1)),
    "flatten": (layers.Flatten, {}, (2, 3, 2)),
    "flatten_first": (layers.Flatten, {"data_format": "channels_first"}, (2, 3, 2)),
    "flatten_scalar": (layers.Flatten, {}, ()),
    "reshape": (layers.Reshape, {"target_shape": (3, -1)}, (2, 6)),
    "permute": (layers.Permute, {"dims": (3, 1, 2)}, (2, 3, 4)),
    "zero_padding1d": (layers.ZeroPadding1D, {"padding": (1, 2)}, (3, 2)),
    "zero_padding2d": (layers.ZeroPadding2D, {"padding": ((1, 0), (0, 2))}, (2, 2, 1)),
    "zero_padding2d_first": (layers.ZeroPadding2D, {"padding": (1, 2), "data_format": "channels_first"},
                             (1, 2, 2)),
    "zero_padding3d": (layers.ZeroPadding3D, {}, (2, 1, 2, 1)),
    "cropping1d": (layers.Cropping1D, {}, (4, 2)),
    "cropping2d": (layers.Cropping2D, {"cropping": ((1, 0), (0, 2))}, (3, 4, 1)),
    "cropping3d": (layers.Cropping3D, {}, (3, 4, 3, 1)),
    "rescaling": (layers.Rescaling, {"scale": 2.0, "offset": -1.0}, (3, 2)),
    "rescaling_channels": (layers.Rescaling, {"scale": [2.0, 3.0], "offset": [0.0, 1.0]}, (3, 2)),
    "dropout": (layers.Dropout, {"rate": 0.4, "seed": 3}, (6,)),
    "dropout_channels": (layers.Dropout, {"rate": 0.4, "noise_shape": (None, 1, None), "seed": 3}, (3, 4)),
    "add": (layers.Add, {}, [(2, 3), (2, 3), (3,)]),
    "subtract": (layers.Subtract, {}, [(2, 3), (1, 3)]),
    "multiply": (layers.Multiply, {}, [(4,), (4,)]),
    "average": (layers.Average, {}, [(4,), (4,), (4,)]),
    "maximum": (layers.Maximum, {}, [(4,), (4,)]),
    "minimum": (layers.Minimum, {}, [(4,), (4,)]),
    "concatenate": (layers.Concatenate, {"axis": 1}, [(2, 3), (4, 3)]),
}

NOT_LAYERS = {"Layer", "InputLayer", "InputSpec"}


def make(case, **extra):
    cls, arguments, _ = CASES[case]
    return cls(**arguments, **extra)


def arrays(case, rng, batch=3, dtype="float64"):
    """What the case's layer is called on: an array or a list of arrays."""
    shape = CASES[case][2]
    draw = functools.partial(draw_array, rng, batch, dtype)
    return [draw(s) for s in shape] if isinstance(shape, list) else draw(shape)


def draw_array(rng, batch, dtype, shape):
    return rng.normal(size=(batch, *shape)).astype(dtype)


def classes():
    """Every class of layers of the package."""
    return {cls for name in layers.__all__ if isinstance(cls := getattr(layers, name), type)
            and name not in NOT_LAYERS}
