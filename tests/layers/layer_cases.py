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
    "conv2d_reflect": (layers.Conv2D, {"filters": 2, "kernel_size": 3, "padding": "same",
                                       "padding_mode": "reflect"}, (3, 4, 1)),
    "conv1d_circular": (layers.Conv1D, {"filters": 2, "kernel_size": 3, "padding": "causal",
                                        "padding_mode": "circular"}, (4, 2)),
    "conv2d_replicate_first": (layers.Conv2D, {"filters": 2, "kernel_size": 3, "padding": ((3, 1), (0, 2)),
                                               "padding_mode": "replicate",
                                               "data_format": "channels_first"}, (2, 3, 3)),
    "conv1d_transpose": (layers.Conv1DTranspose, {"filters": 3, "kernel_size": 3, "strides": 2}, (4, 2)),
    "conv2d_transpose": (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 3, "strides": 2,
                                                  "padding": "same", "activation": "tanh"}, (3, 2, 4)),
    "conv2d_transpose_output": (layers.Conv2DTranspose, {
        "filters": 2, "kernel_size": (4, 3), "strides": (3, 2), "padding": "same", "output_padding": (2, 1),
        "use_bias": False}, (3, 2, 1)),
    "conv2d_transpose_dilated": (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 2, "dilation_rate": 2},
                                 (3, 4, 2)),
    "conv2d_transpose_first": (layers.Conv2DTranspose, {"filters": 3, "kernel_size": 2, "strides": 2,
                                                        "data_format": "channels_first"}, (2, 3, 3)),
    "conv3d_transpose": (layers.Conv3DTranspose, {"filters": 2, "kernel_size": 2, "strides": 2}, (2, 1, 2, 2)),
    "depthwise1d": (layers.DepthwiseConv1D, {"kernel_size": 3, "padding": "causal"}, (5, 2)),
    "depthwise2d": (layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2, "padding": "same",
                                             "depthwise_regularizer": "l2"}, (4, 3, 2)),
    "depthwise2d_first": (layers.DepthwiseConv2D, {"kernel_size": 2, "strides": 2,
                                                   "data_format": "channels_first"}, (3, 4, 4)),
    "depthwise3d": (layers.DepthwiseConv3D, {"kernel_size": 2, "depth_multiplier": 2}, (2, 3, 3, 2)),
    "separable1d": (layers.SeparableConv1D, {"filters": 3, "kernel_size": 2}, (5, 2)),
    "separable2d": (layers.SeparableConv2D, {"filters": 3, "kernel_size": 3, "depth_multiplier": 2,
                                             "padding": "same", "dilation_rate": 2}, (4, 3, 2)),
    "separable2d_first": (layers.SeparableConv2D, {"filters": 2, "kernel_size": 2, "strides": 2,
                                                   "data_format": "channels_first"}, (3, 4, 4)),
    "separable3d": (layers.SeparableConv3D, {"filters": 3, "kernel_size": 2}, (2, 3, 3, 2)),
    "max_pool1d": (layers.MaxPooling1D, {}, (5, 2)),
    "max_pool2d": (layers.MaxPooling2D, {"pool_size": (2, 3), "strides": 1, "padding": "same"}, (4, 4, 2)),
    "max_pool2d_int": (layers.MaxPooling2D, {"pool_size": 3, "padding": 1}, (4, 4, 2)),
    "max_pool2d_first": (layers.MaxPooling2D, {"data_format": "channels_first"}, (2, 4, 4)),
    "max_pool3d": (layers.MaxPooling3D, {}, (2, 4, 2, 1)),
    "average_pool1d": (layers.AveragePooling1D, {"pool_size": 2}, (5, 2)),
    "average_pool1d_same": (layers.AveragePooling1D, {"pool_size": 3, "strides": 2, "padding": "same"}, (6, 2)),
    "average_pool2d": (layers.AveragePooling2D, {"pool_size": 2}, (4, 4, 2)),
    "average_pool2d_same": (layers.AveragePooling2D, {"pool_size": (2, 3), "strides": 1, "padding": "same"},
                            (4, 4, 2)),
    "average_pool2d_pad": (layers.AveragePooling2D, {"pool_size": 3, "padding": 1, "count_include_pad": True},
                           (4, 5, 2)),
    "average_pool2d_first": (layers.AveragePooling2D, {"pool_size": 2, "data_format": "channels_first"},
                             (2, 4, 5)),
    "average_pool3d": (layers.AveragePooling3D, {"pool_size": (1, 2, 2)}, (2, 4, 2, 1)),
    "lp_pool1d": (layers.LpPooling1D, {}, (5, 2)),
    "lp_pool2d": (layers.LpPooling2D, {"pool_size": 3, "strides": 1, "padding": "same"}, (4, 4, 2)),
    "lp_pool3d": (layers.LpPooling3D, {"p": 3.0}, (2, 2, 4, 2)),
    "global_max1d": (layers.GlobalMaxPooling1D, {}, (5, 2)),
    "global_max2d": (layers.GlobalMaxPooling2D, {"keepdims": True}, (3, 4, 2)),
    "global_max3d": (layers.GlobalMaxPooling3D, {"data_format": "channels_first"}, (2, 2, 3, 2)),
    "global_average1d": (layers.GlobalAveragePooling1D, {}, (5, 2)),
    "global_average2d": (layers.GlobalAveragePooling2D, {}, (3, 4, 2)),
    "global_average2d_first": (layers.GlobalAveragePooling2D, {"data_format": "channels_first",
                                                               "keepdims": True}, (2, 3, 4)),
    "global_average3d": (layers.GlobalAveragePooling3D, {}, (2, 2, 3, 2)),
    "adaptive_max1d": (layers.AdaptiveMaxPooling1D, {"output_size": 3}, (7, 2)),
    "adaptive_max2d": (layers.AdaptiveMaxPooling2D, {"output_size": (2, 3)}, (4, 5, 2)),
    "adaptive_max3d": (layers.AdaptiveMaxPooling3D, {"output_size": 2}, (4, 2, 4, 1)),
    "adaptive_average1d": (layers.AdaptiveAveragePooling1D, {"output_size": 3}, (7, 2)),
    "adaptive_average2d": (layers.AdaptiveAveragePooling2D, {"output_size": (3, 5)}, (7, 4, 2)),
    "adaptive_average2d_first": (layers.AdaptiveAveragePooling2D, {"output_size": 3,
                                                                   "data_format": "channels_first"}, (2, 7, 4)),
    "adaptive_average3d": (layers.AdaptiveAveragePooling3D, {"output_size": 2}, (4, 2, 4, 1)),
    "batch_norm": (layers.BatchNormalization, {}, (3, 4)),
    "batch_norm_image": (layers.BatchNormalization, {"axis": 1, "momentum": 0.9, "epsilon": 0.1,
                                                     "scale": False}, (2, 3, 4)),
    "batch_norm_renorm": (layers.BatchNormalization, {
        "renorm": True, "renorm_clipping": {"rmin": 0.5, "rmax": 2.0, "dmax": 1.0}}, (3, 2)),
    "layer_norm": (layers.LayerNormalization, {}, (3, 4)),
    "layer_norm_axes": (layers.LayerNormalization, {"axis": [1, 2, 3], "center": False}, (2, 3, 4)),
    "layer_norm_inner": (layers.LayerNormalization, {"axis": [1, 2]}, (2, 3, 4)),
    "layer_norm_rms": (layers.LayerNormalization, {"rms_scaling": True}, (3, 4)),
    "group_norm": (layers.GroupNormalization, {"groups": 2}, (3, 2, 4)),
    "group_norm_first": (layers.GroupNormalization, {"groups": 3, "axis": 1}, (6, 3)),
    "group_norm_flat": (layers.GroupNormalization, {"groups": 2, "beta_initializer": "ones"}, (6,)),
    "group_norm_all": (layers.GroupNormalization, {"groups": -1, "scale": False}, (3, 2, 4)),
    "instance_norm": (layers.InstanceNormalization, {"epsilon": 0.01}, (3, 2, 4)),
    "rms_norm": (layers.RMSNormalization, {}, (3, 4)),
    "rms_norm_axes": (layers.RMSNormalization, {"axis": [1, 2], "epsilon": 0.1}, (3, 4)),
    "unit_norm": (layers.UnitNormalization, {}, (3, 4)),
    "unit_norm_axes": (layers.UnitNormalization, {"axis": [1, 2]}, (3, 4)),
    "local_response_norm": (layers.LocalResponseNormalization, {"size": 3, "alpha": 0.5}, (2, 2, 5)),
    "local_response_norm_first": (layers.LocalResponseNormalization, {"data_format": "channels_first"},
                                  (6, 2, 2)),
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
    "spatial_dropout1d": (layers.SpatialDropout1D, {"rate": 0.5, "seed": 1}, (3, 4)),
    "spatial_dropout2d": (layers.SpatialDropout2D, {"rate": 0.5, "seed": 1,
                                                    "data_format": "channels_first"}, (4, 2, 3)),
    "spatial_dropout3d": (layers.SpatialDropout3D, {"rate": 0.5, "seed": 1}, (2, 1, 2, 4)),
    "alpha_dropout": (layers.AlphaDropout, {"rate": 0.3, "seed": 1}, (3, 4)),
    "alpha_dropout_shape": (layers.AlphaDropout, {"rate": 0.3, "noise_shape": (None, 1, None), "seed": 1}, (3, 4)),
    "gaussian_dropout": (layers.GaussianDropout, {"rate": 0.3, "seed": 1}, (3, 4)),
    "gaussian_noise": (layers.GaussianNoise, {"stddev": 0.3, "seed": 1}, (3, 4)),
    "activity_regularization": (layers.ActivityRegularization, {"l1": 0.01, "l2": 0.02}, (3, 4)),
    "wrapper": (layers.Wrapper, {"layer": layers.Dense(2, name="inner")}, (4,)),
    "time_distributed": (layers.TimeDistributed, {"layer": layers.Conv1D(2, 2, name="inner")}, (3, 4, 2)),
    "spectral_norm": (layers.SpectralNormalization, {"layer": layers.Conv1D(3, 2, name="inner"),
                                                     "power_iterations": 300}, (4, 2)),
    "dot": (layers.Dot, {"axes": 1}, [(4,), (4,)]),
    "dot_axes": (layers.Dot, {"axes": (2, 1), "normalize": True}, [(3, 4), (4, 2)]),
    "dot_mixed": (layers.Dot, {"axes": (1, -2)}, [(4,), (2, 4, 3)]),
    "add": (layers.Add, {}, [(2, 3), (2, 3), (3,)]),
    "subtract": (layers.Subtract, {}, [(2, 3), (1, 3)]),
    "multiply": (layers.Multiply, {}, [(4,), (4,)]),
    "average": (layers.Average, {}, [(4,), (4,), (4,)]),
    "maximum": (layers.Maximum, {}, [(4,), (4,)]),
    "minimum": (layers.Minimum, {}, [(4,), (4,)]),
    "concatenate": (layers.Concatenate, {"axis": 1}, [(2, 3), (4, 3)]),
}

# What Keras does not have: classes, and cases with arguments of ours
OURS_ALONE = {layers.InstanceNormalization, layers.LocalResponseNormalization, layers.LpPooling1D,
              layers.LpPooling2D, layers.LpPooling3D, layers.DepthwiseConv3D, layers.SeparableConv3D}
OURS_ALONE_CASES = {"conv2d_pairs", "conv2d_int", "max_pool2d_int", "cropping1d", "average_pool2d_pad",
                    "conv2d_reflect", "conv1d_circular", "conv2d_replicate_first", "depthwise1d",
                    "layer_norm_rms", "wrapper", "time_distributed", "spectral_norm",
                    *(case for case, (cls, _, _) in CASES.items() if cls in OURS_ALONE)}

NOT_LAYERS = {"Layer", "InputLayer", "InputSpec"}


def make(case, **extra):
    cls, arguments, _ = CASES[case]
    # Each layer around another one gets one of its own.
    return cls(**{k: v.from_config(v.get_config() | {"dtype": extra.get("dtype", v.dtype)})
                  if isinstance(v, layers.Layer) else v for k, v in arguments.items()}, **extra)


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
