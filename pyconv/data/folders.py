"""Files in folders, a folder for each class: what data sets of images and of recordings share."""

from __future__ import annotations

import math
import os

import numpy as np

from ..utils.configurable import describe
from .py_dataset import PyDataset
from .splitting import _generator

__all__ = ["Folder", "choice", "open_folder"]


class Folder(PyDataset):
    """The batches of files. A subclass writes `read`, and `batch` if arrays differ in shape.

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
        x = self.batch([self.read(self.file_paths[i]) for i in rows])
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
        """What one file holds."""
        raise NotImplementedError

    def batch(self, arrays) -> np.ndarray:
        return np.stack(arrays)


def choice(function, **given):
    """ValueError for arguments that are none of the known values: ``name=(value, known)``."""
    for name, (value, known) in given.items():
        if value not in known:
            raise ValueError(f"{function}: {name}={describe(value)} must be one of {', '.join(map(repr, known))}.")


def open_folder(cls, function, suffixes, settings, directory, labels, label_mode, class_names, batch_size, shuffle,
                seed, validation_split, subset, follow_links, verbose, workers):
    """A `Folder` of class `cls`, or a pair of them with ``subset="both"``; see `image_dataset_from_directory`.

    function: its name in messages. suffixes: of the files. settings: dict, attributes of the folder.
    """
    _check(function, labels, label_mode, shuffle, seed, validation_split, subset)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"{function}: there is no folder {os.fspath(directory)!r}.")
    index = _Index(function, os.fspath(directory), suffixes, follow_links)
    paths, found_labels, names = index.look(labels, class_names)
    if label_mode is None or labels is None:
        found_labels = None
    if label_mode == "binary" and found_labels is not None and len(names) != 2:
        raise ValueError(f"{function}: label_mode='binary' needs two classes, but there are {len(names)}: "
                         f"{', '.join(names)}.")
    if verbose:
        print(f"Found {len(paths)} files" + (f" belonging to {len(names)} classes." if names else "."))
    generator = _generator(seed) if shuffle else None
    settings = {**settings, "label_mode": label_mode, "shuffle": bool(shuffle), "_generator": generator}

    def part(rows):
        if not len(rows):
            raise ValueError(f"{function}: validation_split={validation_split} of {len(paths)} files leaves one part "
                             "empty.")
        return cls([paths[i] for i in rows], None if found_labels is None else found_labels[rows], names,
                   {**settings, "batch_size": batch_size or len(rows)}, workers)
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


def _check(function, labels, label_mode, shuffle, seed, split, subset):
    choice(function, label_mode=(label_mode, ("int", "categorical", "binary", None)),
           subset=(subset, ("training", "validation", "both", None)))
    if split is not None and not 0 < split < 1:
        raise ValueError(f"{function}: validation_split={split} must be a fraction between 0 and 1.")
    if (split is None) != (subset is None):
        raise ValueError(f"{function}: validation_split and subset are given together or not at all.")
    if split and shuffle and seed is None and subset != "both":
        raise ValueError(f"{function}: with shuffle and subset={subset!r} give a seed, the same one for both parts; "
                         "otherwise they would overlap.")
    if isinstance(labels, str) and labels != "inferred":
        raise ValueError(f"{function}: labels={labels!r} must be 'inferred', None, or a list of labels.")


class _Index:
    """Finds the files and their classes."""

    def __init__(self, function, directory, suffixes, follow_links):
        self.function, self.directory = function, directory
        self.suffixes, self.follow_links = suffixes, follow_links

    def look(self, labels, class_names) -> tuple:
        """(paths, labels, names of the classes)."""
        if isinstance(labels, str):
            return self._by_folder(class_names)
        paths = self._files(self.directory)
        self._some(paths)
        if labels is None:
            return paths, None, None
        labels = np.asarray(labels, "int32")
        if labels.shape != (len(paths),):
            raise ValueError(f"{self.function}: {len(labels)} labels were given for {len(paths)} files.")
        return paths, labels, list(class_names or map(str, range(labels.max() + 1)))

    def _by_folder(self, class_names):
        folders = sorted(e.name for e in os.scandir(self.directory) if e.is_dir() and not e.name.startswith("."))
        if class_names is not None and sorted(class_names) != folders:
            raise ValueError(f"{self.function}: class_names must be the folders in {self.directory!r}: "
                             f"{', '.join(folders)}; got {', '.join(map(str, class_names))}.")
        names = list(class_names or folders)
        paths, numbers = [], []
        for number, name in enumerate(names):
            files = self._files(os.path.join(self.directory, name))
            paths += files
            numbers += [number] * len(files)
        self._some(paths)
        return paths, np.asarray(numbers, "int32"), names

    def _files(self, folder) -> list:
        """Paths of the files below a folder, in order."""
        found = []
        for root, folders, names in os.walk(folder, followlinks=self.follow_links):
            folders.sort()
            found += [os.path.join(root, n) for n in sorted(names) if n.lower().endswith(self.suffixes)]
        return sorted(found)

    def _some(self, paths):
        if not paths:
            raise ValueError(f"{self.function}: there are no such files in {self.directory!r} (or its folders); their "
                             f"names must end in {', '.join(self.suffixes)}.")
