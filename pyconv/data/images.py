"""Images in folders, a folder for each class."""

from __future__ import annotations

import functools

import numpy as np

from ..config import image_data_format
from ..ops.images import fitting, interpolation_matrix
from ..utils.configurable import describe
from ..utils.images import MODES, pillow
from .folders import Folder, choice, open_folder

__all__ = ["ImageFolder", "image_dataset_from_directory"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5")
_FUNCTION = "image_dataset_from_directory"


class ImageFolder(Folder):
    """The batches of `image_dataset_from_directory`; see `Folder` for its attributes."""

    def read(self, path) -> np.ndarray:
        """One image as float32 from 0 to 255, in the size and colours of the data set."""
        Image = pillow(_FUNCTION)
        mode, channels = MODES[self.color_mode]
        try:
            with Image.open(path) as image:
                image = image.convert(mode)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path!r} cannot be read as an image: {error}. Remove it, or save it "
                             "again.") from error
        array = self._resized(np.asarray(image).reshape(image.height, image.width, channels))
        return array.transpose(2, 0, 1) if self.data_format == "channels_first" else array

    def _resized(self, image):
        """The image (height, width, channels) in the size of the data set, as float32."""
        if self.crop_to_aspect_ratio or self.pad_to_aspect_ratio:
            top, left, height, width = fitting(*image.shape[:2], *self.image_size, outside=self.pad_to_aspect_ratio)
            if self.pad_to_aspect_ratio:
                image = np.pad(image, ((top, top), (left, left), (0, 0)))
            else:
                image = image[top:top + height, left:left + width]
        for axis, n in enumerate(self.image_size):
            if n != image.shape[axis]:
                places, weights = taps(image.shape[axis], n, self.interpolation)
                weights = weights[:, :, None, None] if axis == 0 else weights[:, None, :, None]
                image = sum(np.take(image, at, axis) * weight for at, weight in zip(places, weights, strict=True))
        return np.asarray(image, "float32")


@functools.lru_cache(maxsize=256)
def taps(size, n, interpolation):
    """What resizes an axis: (k, n) indices of elements, and their weights as float32, to be added up in this order."""
    if interpolation == "nearest":
        return np.floor((np.arange(n) + 0.5) * size / n).astype("int64")[None], np.ones((1, n), "float32")
    if interpolation == "area":          # how much of each pixel lies within one of the result
        low, high = np.arange(n)[:, None] * size / n, (np.arange(n)[:, None] + 1) * size / n
        matrix = np.maximum(np.minimum(high, np.arange(size) + 1) - np.maximum(low, np.arange(size)), 0) * n / size
    else:
        matrix = interpolation_matrix(size, n, interpolation)
    count = int((matrix != 0).sum(1).max())
    places = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
    return places.T, np.take_along_axis(matrix, places, 1).T.astype("float32")


def image_dataset_from_directory(directory, labels="inferred", label_mode="int", class_names=None,
                                 color_mode="rgb", batch_size=32, image_size=(256, 256), shuffle=True,
                                 seed=None, validation_split=None, subset=None, interpolation="bilinear",
                                 follow_links=False, crop_to_aspect_ratio=False, pad_to_aspect_ratio=False,
                                 data_format=None, verbose=True, workers=1):
    """Images in folders as batches for `fit`: one folder for each class, ``directory/cats/1.png``.

    The images are read anew in each epoch, by threads, while the model trains. Needs Pillow.

    Parameters
    ----------
    directory: str or path
        Folders below that of a class are searched too. Files with endings other than .bmp, .gif (the first
        image), .jpeg, .jpg, .png, .tif, .tiff and .webp are passed over.
    labels: "inferred", None, or list of int
        "inferred" (default): the classes are the folders, in alphabetical order. None: images without labels,
        wherever they are. A list has one label for each file, in the order of their paths.
    label_mode: "int", "categorical", "binary" or None
        int32 (batch,), one-hot float32 (batch, classes), float32 (batch, 1) for two classes, or no labels.
    class_names: list of str, optional
        The folders of the classes, all of them, in the order of the labels.
    color_mode: "rgb", "rgba" or "grayscale"
    batch_size: int
        Default 32; None: one batch of all.
    image_size: (height, width)
        Images are resized to it; default (256, 256).
    shuffle: bool
        Whether each epoch has a new order; default True.
    seed: int, optional
        Default: drawn from the process's generator, so that `set_random_seed` decides it.
    validation_split: float, optional
        The fraction of the files for validation.
    subset: "training", "validation" or "both"
        Which part is returned, together with `validation_split`; with `shuffle` the parts are drawn at
        random, so that two calls need the same `seed`. "both" gives a pair.
    interpolation: str
        "bilinear" (default), "nearest", "bicubic", "lanczos3", "lanczos5" or "area". As in Keras only "area"
        averages over the pixels that fall together when an image is made smaller.
    follow_links: bool
    crop_to_aspect_ratio, pad_to_aspect_ratio: bool
        Whether images are cut or filled up with black to the ratio of `image_size` rather than distorted.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    verbose: bool
        Whether the number of files and classes is printed.
    workers: int
        Threads that read images; default 1.

    Returns
    -------
    ImageFolder
        A PyDataset of x float32 (batch, height, width, channels) from 0 to 255, or (x, y); it has
        `class_names` and `file_paths`. With ``subset="both"`` a pair of them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there are no images, labels or classes do not fit, or an argument is none of the above.
    ImportError
        If Pillow is not installed.
    """
    choice(_FUNCTION, color_mode=(color_mode, tuple(MODES)), interpolation=(interpolation, INTERPOLATIONS),
           data_format=(data_format, ("channels_last", "channels_first", None)))
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2 or not all(
            isinstance(n, (int, np.integer)) and n > 0 for n in image_size):
        raise ValueError(f"{_FUNCTION}: image_size={describe(image_size)} must be (height, width).")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(f"{_FUNCTION}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be used.")
    pillow(_FUNCTION)
    settings = {"color_mode": color_mode, "image_size": tuple(image_size), "interpolation": interpolation,
                "crop_to_aspect_ratio": crop_to_aspect_ratio, "pad_to_aspect_ratio": pad_to_aspect_ratio,
                "data_format": data_format or image_data_format()}
    return open_folder(ImageFolder, _FUNCTION, SUFFIXES, settings, directory, labels, label_mode, class_names,
                       batch_size, shuffle, seed, validation_split, subset, follow_links, verbose, workers)
