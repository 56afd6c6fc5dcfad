"""LeNet-5, the convolutional network that reads handwritten digits."""

from __future__ import annotations

from .. import layers
from ..models import Sequential
from ..utils.configurable import describe

__all__ = ["lenet5"]

# form -> (filters and padding of the two convolutions, sizes of the hidden dense layers)
_FORMS = {"1998": (((6, "same"), (16, "valid")), (120, 84)), "lecture": (((20, 2), (50, 2)), (500,))}


def lenet5(form="1998", input_shape=(28, 28, 1), classes=10, activation="relu", classifier_activation=None,
           rescale=True, data_format=None, name="lenet5"):
    """LeNet-5 as a `Sequential` model, untrained.

    Source: LeCun, Bottou, Bengio and Haffner, *Gradient-based learning applied to document recognition*,
    Proceedings of the IEEE, 1998. As usual today, max pooling replaces the trained subsampling, every filter
    sees all channels, and a softmax (of the loss) the radial basis functions.

    Parameters
    ----------
    form: str
        "1998" (default): convolutions with 6 filters 5x5 (padded: the paper's 32x32 images are 28x28 ones
        with a margin) and 16 filters 5x5, each followed by 2x2 pooling, dense layers of 120 and 84, and the
        output: 61,706 parameters for 28x28x1 and 10 classes. "lecture": 20 and 50 filters 5x5, both padded by
        2, and one dense layer of 500: 1,256,080 parameters.
    input_shape: tuple
        (height, width, channels), or channels first with data_format="channels_first"; default (28, 28, 1).
    classes: int
        Number of outputs; default 10.
    activation: str or callable
        Of all hidden layers; default "relu".
    classifier_activation: str or callable, optional
        Of the output; default None: the outputs are logits, for a loss with from_logits=True.
    rescale: bool
        Whether the model begins with a division by 255, so that it takes bytes; default True.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For unknown forms, and images that are too small for two convolutions and poolings.
    """
    if form not in _FORMS:
        raise ValueError(f"lenet5: form={describe(form)} is not known; expected "
                         f"{' or '.join(map(repr, _FORMS))}.")
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError("lenet5: input_shape must be 3 sizes, such as (28, 28, 1), got "
                         f"{describe(input_shape)}.")
    convolutions, hidden = _FORMS[form]
    model = Sequential([layers.Input(tuple(input_shape))], name=name)
    if rescale:
        model.add(layers.Rescaling(1 / 255))
    for filters, padding in convolutions:
        model.add(layers.Conv2D(filters, 5, padding=padding, activation=activation, data_format=data_format))
        model.add(layers.MaxPooling2D(2, data_format=data_format))
    model.add(layers.Flatten(data_format=data_format))
    for units in hidden:
        model.add(layers.Dense(units, activation=activation))
    model.add(layers.Dense(classes, activation=classifier_activation))
    return model
