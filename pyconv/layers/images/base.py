"""The base of layers that change images, and with them labels and segmentation masks."""

from __future__ import annotations

from ... import ops
from ...graph import is_float, map_structure
from ...ops.image import to_integers
from ...random import SeedGenerator
from ...utils.configurable import describe
from .. import checks
from ..input_spec import is_data, is_shape, shape_of, show
from ..layer import Layer

__all__ = ["ImageLayer", "bounds", "value_range_argument"]


class ImageLayer(Layer):
    """A change of images that is drawn anew for each sample in training, and is the identity otherwise.

    Called on images (batch, height, width, channels) or a single image (height, width, channels) of any element type
    (with data_format="channels_first": (batch, channels, height, width) or (channels, height, width)), it gives images
    of the layer's float type. Called on a dictionary ``{"images": ..., "labels": ..., "segmentation_masks": ...}``, it
    gives one whose entries fit to the changed images; masks keep their type. Other entries are passed on.

    As everywhere in pyconv, a call outside of a model's training is one for inference: to change data ahead of
    training, call ``layer(images, training=True)``. The random numbers follow from a counter that is saved with the
    model: the same seed gives the same bits for any number of threads, and for a run that was stopped and resumed.

    A subclass draws what is random in `get_random_transformation`, and uses it in `transform_images` and its siblings.
    """

    _resizes = False            # whether the layer also works outside of training

    _precise = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = checks.data_format(self, data_format)

    # What a subclass defines ----------------------------------------------------------------------------------

    def get_random_transformation(self, data, training=True, seed=None):
        """What is drawn for `data`, a dictionary with a batch of "images"; None for nothing."""
        return None

    def transform_images(self, images, transformation, training=True):
        """The changed images: a batch, in the layer's type."""
        return images

    def transform_labels(self, labels, transformation, training=True):
        return labels

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Like `transform_images`, but pixels are never blended."""
        return segmentation_masks

    # The rest -------------------------------------------------------------------------------------------------

    def _check_inputs(self, inputs):
        given = inputs if isinstance(inputs, dict) else {"images": inputs}
        if "images" not in given or "bounding_boxes" in given or not all(map(is_data, given.values())):
            raise ValueError(f"{self._title()} is called on images or a dictionary with 'images', and possibly "
                             f"'labels' and 'segmentation_masks', got {describe(map_structure(shape_of, inputs))}.")
        rank = len(shape_of(given["images"]))
        if rank not in (3, 4):
            raise ValueError(f"{self._title()} expects images with 4 axes (one image: 3), got shape "
                             f"{show(shape_of(given['images']))}.")
        if "segmentation_masks" in given and len(shape_of(given["segmentation_masks"])) != rank:
            raise ValueError(f"{self._title()} expects segmentation masks with as many axes as the images, got shape "
                             f"{show(shape_of(given['segmentation_masks']))}.")

    def call(self, data, training=False):
        given = data if isinstance(data, dict) else {"images": data}
        rank = len(given["images"].shape)
        names = [name for name in ("images", "labels", "segmentation_masks") if name in given]
        batch = {name: ops.expand_dims(given[name], 0) if rank == 3 else given[name] for name in names}
        dtype = batch["images"].dtype
        batch["images"] = ops.cast(batch["images"], self.variable_dtype)
        if training or self._resizes:
            drawn = self.get_random_transformation(batch, training=training)
            for name in names:
                batch[name] = getattr(self, f"transform_{name}")(batch[name], drawn, training=training)
        batch["images"] = self._result(batch["images"], dtype)
        if rank == 3:
            batch = {name: ops.squeeze(value, 0) for name, value in batch.items()}
        return {**given, **batch} if isinstance(data, dict) else batch["images"]

    def _result(self, images, dtype):
        """The images in the type that the layer gives for inputs of type `dtype`."""
        return images

    def _sizes(self, images):
        """(batch, height, width, channels), whatever the data format."""
        shape = tuple(images.shape)
        return shape if self.data_format == "channels_last" else (shape[0], *shape[2:], shape[1])

    @property
    def _axes(self):
        """The axes of height, width and channels in a batch."""
        return (1, 2, 3) if self.data_format == "channels_last" else (2, 3, 1)

    def _seeded(self, seed):
        self.seed = checks.seed_argument(self, seed)
        self.generator = SeedGenerator(self.seed)

    def _uniform(self, shape, low=0.0, high=1.0):
        """Random numbers from `low` (inclusive) to `high`."""
        return ops.random_uniform(self.generator.next(), shape, self.variable_dtype) * (high - low) + low

    def _with_floats(self, masks, transform):
        """Masks of any type through a function on floats."""
        dtype = masks.dtype
        if is_float(dtype):
            return transform(masks)
        return to_integers(transform(ops.cast(masks, self.variable_dtype)), dtype)

    def compute_output_shape(self, input_shape):
        if isinstance(input_shape, dict):
            return {name: self.compute_output_shape(shape) if name in ("images", "segmentation_masks") else shape
                    for name, shape in input_shape.items()}
        if not is_shape(input_shape) or len(input_shape) not in (3, 4):
            raise ValueError(f"{self._title()} expects images with 4 axes (one image: 3), got "
                             f"{describe(input_shape)}.")
        return self._new_shape(tuple(input_shape))

    def _new_shape(self, shape):
        return shape


def bounds(layer, argument, value, least, most, symmetric=True):
    """A number, or a pair (lower, upper), from `least` to `most`, as a pair.

    A single number f stands for -f to f, as far as that is allowed; with ``symmetric=False`` for 0 to f.
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            checks.fail(layer, argument, value, "a number or a pair of numbers")
        pair = [checks.number(layer, argument, v) for v in value]
    else:
        value = checks.number(layer, argument, value)
        pair = [value] if least <= value <= most else [value, value]
        if len(pair) == 1:
            pair = [max(-abs(value), least) if symmetric else 0, abs(value)]
    if min(pair) < least or max(pair) > most:
        checks.fail(layer, argument, value, f"from {least} to {most}")
    return tuple(sorted(pair))


def value_range_argument(layer, value):
    """The smallest and the largest number that a pixel can have."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        checks.fail(layer, "value_range", value, "a pair of numbers",
                    ValueError if isinstance(value, (tuple, list)) else TypeError)
    return tuple(sorted(checks.number(layer, "value_range", v) for v in value))
