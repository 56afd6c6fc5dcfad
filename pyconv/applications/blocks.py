"""What the ready-made models are built of: checks of arguments, convolution with normalization, heads."""

from __future__ import annotations

from .. import layers
from ..config import image_data_format
from ..utils.configurable import describe

__all__ = ["Builder"]


class Builder:
    """Makes and names the layers of one model, all with one data format.

    Parameters
    ----------
    title: str
        The name of the function that makes the model, for error messages.
    input_shape: tuple
        (height, width, channels), or channels first; sizes may be None where no dense layer needs them.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.
    momentum, epsilon: float
        Of batch normalizations.
    """

    def __init__(self, title, input_shape, data_format=None, momentum=0.9, epsilon=1e-5):
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
            raise ValueError(f"{title}: input_shape must be 3 sizes, such as (224, 224, 3), got "
                             f"{describe(input_shape)}.")
        self.title = title
        self.data_format = image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"{title}: data_format={describe(data_format)} must be 'channels_last' or "
                             "'channels_first'.")
        self.axis = -1 if self.data_format == "channels_last" else 1
        self.momentum, self.epsilon = momentum, epsilon
        self.input = layers.Input(tuple(input_shape))

    def check(self, name, value, known):
        if value not in known:
            raise ValueError(f"{self.title}: {name}={describe(value)} must be one of "
                             f"{', '.join(map(repr, known))}.")

    def conv(self, x, filters, size, strides=1, padding="same", name=None, **kwargs):
        return layers.Conv2D(filters, size, strides, padding, data_format=self.data_format, name=name,
                             **kwargs)(x)

    def norm(self, x, name=None):
        return layers.BatchNormalization(self.axis, self.momentum, self.epsilon, name=name)(x)

    def conv_norm(self, x, filters, size, strides=1, padding="same", activation="relu", name=None, **kwargs):
        """Convolution without bias, batch normalization, activation; named name_conv, name_bn, name_act."""
        x = self.conv(x, filters, size, strides, padding, f"{name}_conv", use_bias=False, **kwargs)
        x = self.norm(x, f"{name}_bn")
        return x if activation is None else layers.Activation(activation, name=f"{name}_act")(x)

    def max_pool(self, x, size=2, strides=None, padding="valid", name=None):
        return layers.MaxPooling2D(size, strides, padding, self.data_format, name=name)(x)

    def flatten(self, x):
        return layers.Flatten(self.data_format, name="flatten")(x)

    def pooled(self, x, pooling):
        """Without a classifier: the features as they are, or their mean or maximum over the image."""
        self.check("pooling", pooling, (None, "avg", "max"))
        if pooling is None:
            return x
        kind = layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D
        return kind(self.data_format, name=f"{pooling}_pool")(x)

    def dense_head(self, x, hidden, dropout, classes, activation):
        """Flattened features, dense layers with dropout before each (AlexNet's place for it), the classes."""
        x = self.flatten(x)
        for number, units in enumerate(hidden, 1):
            if dropout:
                x = layers.Dropout(dropout, name=f"dropout{number}")(x)
            x = layers.Dense(units, activation="relu", kernel_initializer="he_uniform", name=f"fc{number}")(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)

    def mean_head(self, x, classes, activation):
        """The mean over the image, and a dense layer to the classes."""
        x = layers.GlobalAveragePooling2D(self.data_format, name="avg_pool")(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)
