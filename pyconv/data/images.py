"""Images in folders, a folder for each class."""

from __future__ import annotations

import math
import os

import numpy as np

from ..config import image_data_format
from ..utils.configurable import describe
from .py_dataset import PyDataset
from .splitting import _generator

__all__ = ["ImageFolder", "image_dataset_from_directory"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MODES = {"grayscale": ("L", 1), "rgb": ("RGB", 3), "rgba": ("RGBA", 4)}
_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_FUNCTION = "image_dataset_from_directory"


def pillow():
    """The module PIL.Image; ImportError that tells how to get it."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{_FUNCTION} reads images with Pillow, which is not installed: pip install "
                          "pillow.") from None
    return Image


class ImageFolder(PyDataset):
    """The batches of `image_dataset_from_directory`.

    Attributes
    ----------
    class_names: list of str, or None
    file_paths: list of str
        In the order of the files' names, or as drawn for a validation split.
    labels: array (samples,) of int32, or None
    """

    def __init__(self, paths, labels, class_names, settings, workers):
        super().__init__(workers=workers)
        self.file_paths, self.labels, self.class_names = paths, labels, class_names
        self.__dict__.update(settings)
        self._order = np.arange(len(paths))
        if self.shuffle:
            self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.file_paths) / self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._order[index * self.batch_size:(index + 1) * self.batch_size]
        x = np.stack([self.read(self.file_paths[i]) for i in rows])
        if self.labels is None:
            return x
        labels = self.labels[rows]
        if self.label_mode == "binary":
            labels = labels.astype("float32")[:, None]
        elif self.label_mode == "categorical":
            labels = np.eye(len(self.class_names), dtype="float32")[labels]
        return x, labels

    def on_epoch_end(self):
        if self.shuffle:
            self._order = self._generator.permutation(len(self.file_paths))

    def read(self, path) -> np.ndarray:
        """One image as float32 from 0 to 255, in the size and colours of the data set."""
        Image = pillow()
        mode, channels = _MODES[self.color_mode]
        try:
            with Image.open(path) as image:
                image = image.convert(mode)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path!r} cannot be read as an image: {error}. Remove it, or save it "
                             "again.") from error
        array = np.asarray(self._resize(image), "float32").reshape(*self.image_size, channels)
        return array.transpose(2, 0, 1) if self.data_format == "channels_first" else array

    def _resize(self, image):
        Image = pillow()
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
    _check(locals())
    pillow()
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"{_FUNCTION}: there is no folder {os.fspath(directory)!r}.")
    paths, found_labels, names = _index(os.fspath(directory), labels, class_names, follow_links)
    if label_mode is None or labels is None:
        found_labels = None
    if label_mode == "binary" and found_labels is not None and len(names) != 2:
        raise ValueError(f"{_FUNCTION}: label_mode='binary' needs two classes, but there are {len(names)}: "
                         f"{', '.join(names)}.")
    if verbose:
        print(f"Found {len(paths)} files" + (f" belonging to {len(names)} classes." if names else "."))
    generator = _generator(seed) if shuffle else None
    settings = {"label_mode": label_mode, "color_mode": color_mode, "image_size": tuple(image_size),
                "shuffle": bool(shuffle), "interpolation": interpolation, "_generator": generator,
                "crop_to_aspect_ratio": crop_to_aspect_ratio, "pad_to_aspect_ratio": pad_to_aspect_ratio,
                "data_format": data_format or image_data_format()}

    def part(rows):
        if not len(rows):
            raise ValueError(f"{_FUNCTION}: validation_split={validation_split} of {len(paths)} files leaves "
                             "one part empty.")
        return ImageFolder([paths[i] for i in rows], None if found_labels is None else found_labels[rows],
                           names, {**settings, "batch_size": batch_size or len(rows)}, workers)
    order = np.arange(len(paths))
    if not validation_split:
        return part(order)
    if shuffle:
        order = generator.permutation(len(paths))
    at = len(paths) - int(validation_split * len(paths))
    parts = {"training": order[:at], "validation": order[at:]}
    if subset == "both":
        return part(parts["training"]), part(parts["validation"])
    return part(parts[subset])


def _check(a):
    """ValueError for arguments that are none of the known ones."""
    for name, known in (("label_mode", ("int", "categorical", "binary", None)), ("color_mode", tuple(_MODES)),
                        ("subset", ("training", "validation", "both", None)), ("interpolation", _FILTERS),
                        ("data_format", ("channels_last", "channels_first", None))):
        if a[name] not in known:
            raise ValueError(f"{_FUNCTION}: {name}={describe(a[name])} must be one of "
                             f"{', '.join(map(repr, known))}.")
    size, split = a["image_size"], a["validation_split"]
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(
            isinstance(n, (int, np.integer)) and n > 0 for n in size):
        raise ValueError(f"{_FUNCTION}: image_size={describe(size)} must be (height, width).")
    if split is not None and not 0 < split < 1:
        raise ValueError(f"{_FUNCTION}: validation_split={split} must be a fraction between 0 and 1.")
    if (split is None) != (a["subset"] is None):
        raise ValueError(f"{_FUNCTION}: validation_split and subset are given together or not at all.")
    if split and a["shuffle"] and a["seed"] is None and a["subset"] != "both":
        raise ValueError(f"{_FUNCTION}: with shuffle and subset={a['subset']!r} give a seed, the same one "
                         "for both parts; otherwise they would overlap.")
    if a["crop_to_aspect_ratio"] and a["pad_to_aspect_ratio"]:
        raise ValueError(f"{_FUNCTION}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be "
                         f"used.")
    labels = a["labels"]
    if isinstance(labels, str) and labels != "inferred":
        raise ValueError(f"{_FUNCTION}: labels={labels!r} must be 'inferred', None, or a list of labels.")


def _files(folder, follow_links) -> list:
    """Paths of the images below a folder, in order."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=follow_links):
        folders.sort()
        found += [os.path.join(root, n) for n in sorted(names) if n.lower().endswith(SUFFIXES)]
    return sorted(found)


def _index(directory, labels, class_names, follow_links) -> tuple:
    """(paths, labels, names of the classes)."""
    if not isinstance(labels, str):
        paths = _files(directory, follow_links)
        _some(paths, directory)
        if labels is None:
            return paths, None, None
        labels = np.asarray(labels, "int32")
        if labels.shape != (len(paths),):
            raise ValueError(f"{_FUNCTION}: {len(labels)} labels were given for {len(paths)} images.")
        return paths, labels, list(class_names or map(str, range(labels.max() + 1)))
    folders = sorted(e.name for e in os.scandir(directory) if e.is_dir() and not e.name.startswith("."))
    if class_names is not None and sorted(class_names) != folders:
        raise ValueError(f"{_FUNCTION}: class_names must be the folders in {directory!r}: "
                         f"{', '.join(folders)}; got {', '.join(map(str, class_names))}.")
    names = list(class_names or folders)
    paths, numbers = [], []
    for number, name in enumerate(names):
        files = _files(os.path.join(directory, name), follow_links)
        paths += files
        numbers += [number] * len(files)
    _some(paths, directory)
    return paths, np.asarray(numbers, "int32"), names


def _some(paths, directory):
    if not paths:
        raise ValueError(f"{_FUNCTION}: there are no images in {directory!r} (or its folders); files must "
                         f"end in {', '.join(SUFFIXES)}.")
