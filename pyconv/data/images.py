"""Images in folders, a folder for each class."""

from __future__ import annotations

import numpy as np

from ..config import image_data_format
from ..utils.configurable import describe
from ..utils.images import FILTERS, MODES, pillow
from .folders import Folder, choice, open_folder

__all__ = ["ImageFolder", "image_dataset_from_directory"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
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
        array = np.asarray(self._resize(image), "float32").reshape(*self.image_size, channels)
        return array.transpose(2, 0, 1) if self.data_format == "channels_first" else array

    def _resize(self, image):
        Image = pillow(_FUNCTION)
        height, width = self.image_size
        kind = Image.Resampling[self.interpolation.upper()]
        if not (self.crop_to_aspect_ratio or self.pad_to_aspect_ratio):
            return image.resize((width, height), kind)
        # the largest part of the image (or the smallest frame around it) with the ratio of the result
        choose = min if self.crop_to_aspect_ratio else max
        own_width = choose(image.width, round(image.height * width / height)) or 1
        own_height = choose(image.height, round(image.width * height / width)) or 1
        left, top = (image.width - own_width) // 2, (image.height - own_height) // 2
        return image.crop((left, top, left + own_width, top + own_height)).resize((width, height), kind)


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
        "bilinear" (default), "nearest", "bicubic", "lanczos", "box" or "hamming", as in Pillow: all but
        "nearest" average over the pixels that fall together when an image is made smaller (TensorFlow's
        bilinear does not).
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
    choice(_FUNCTION, color_mode=(color_mode, tuple(MODES)), interpolation=(interpolation, FILTERS),
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
