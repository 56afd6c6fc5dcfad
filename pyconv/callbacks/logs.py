"""Callbacks that write the logs down: to a table, and for TensorBoard."""

from __future__ import annotations

import csv
import os
import time

import numpy as np

from .callback import Callback

__all__ = ["CSVLogger", "TensorBoard"]


class CSVLogger(Callback):
    """Write the logs of each epoch as a line of a table.

    The first column is the epoch, from 0; the others are the logs in the order of their names. Each line is
    in the file when the next epoch begins.

    Parameters
    ----------
    filename: str or path
    separator: str
        Default ",".
    append: bool
        Whether the lines come behind those that the file has; default False, it begins anew.
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, bool(append)
        self.keys, self._file, self._writer = None, None, None

    def on_train_begin(self, logs=None):
        self._close()
        self.keys = None
        self._header = not (self.append and os.path.exists(self.filename) and os.path.getsize(self.filename))
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                # The validation may come in a later epoch only.
                self.keys += [f"val_{key}" for key in self.keys]
            self._writer = csv.writer(self._file, delimiter=self.sep)
            if self._header:
                self._writer.writerow(["epoch", *self.keys])
        self._writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        self._file.flush()

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


class TensorBoard(Callback):
    """Write the logs, and histograms of the weights, for TensorBoard; needs the package tensorboardX.

    Below `log_dir` the folder "train" has the training's logs and the learning rate, "validation" the
    validation's: "epoch_loss" and so on, one value per epoch.

    Parameters
    ----------
    log_dir: str or path
        Default "logs".
    histogram_freq: int
        Histograms of the weights after every so many epochs; default 0, none.
    write_graph: bool
        There for code written for Keras: the model's graph is never written.
    write_images: bool
        Not available: must be False.
    write_steps_per_second: bool
        Whether "epoch_steps_per_second" is written; default False.
    update_freq: "epoch", "batch" or int
        Logs of the training every so many batches too, as "batch_loss" and so on; default "epoch", none.
    profile_batch, embeddings_freq, embeddings_metadata:
        Not available: must be 0, 0 and None.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.
    ValueError
        For what is not available, and other frequencies.
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False,
                 write_steps_per_second=False, update_freq="epoch", profile_batch=0, embeddings_freq=0,
                 embeddings_metadata=None):
        super().__init__()
        for argument, value in (("write_images", write_images), ("profile_batch", profile_batch),
                                ("embeddings_freq", embeddings_freq),
                                ("embeddings_metadata", embeddings_metadata)):
            if value:
                raise ValueError(f"TensorBoard: {argument}={value!r} is not available.")
        update_freq = 1 if update_freq == "batch" else update_freq
        if update_freq != "epoch" and (isinstance(update_freq, bool) or not isinstance(update_freq, int)
                                       or update_freq < 1):
            raise ValueError(f"TensorBoard: update_freq={update_freq!r} must be 'epoch', 'batch' or an int "
                             f"of at least 1.")
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard needs the package tensorboardX, which writes the files that "
                              "TensorBoard reads: pip install 'pyconv-nn[tensorboard]' or pip install "
                              "tensorboardX.") from None
        self._make, self._writers = SummaryWriter, {}
        self.log_dir, self.histogram_freq = os.fspath(log_dir), histogram_freq
        self.write_steps_per_second, self.update_freq = bool(write_steps_per_second), update_freq
        self._batches, self._epoch_began, self._epoch_batches = 0, 0.0, 0

    def _writer(self, name):
        if name not in self._writers:
            self._writers[name] = self._make(os.path.join(self.log_dir, name))
        return self._writers[name]

    def on_train_begin(self, logs=None):
        self._batches = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began, self._epoch_batches = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        self._epoch_batches += 1
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            for name, value in (logs or {}).items():
                self._writer("train").add_scalar(f"batch_{name}", value, self._batches)

    def on_epoch_end(self, epoch, logs=None):
        train = {name: v for name, v in (logs or {}).items() if not name.startswith("val_")}
        if self.model.optimizer is not None:
            train["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        if self.write_steps_per_second:
            train["steps_per_second"] = self._epoch_batches / (time.perf_counter() - self._epoch_began)
        for name, value in train.items():
            self._writer("train").add_scalar(f"epoch_{name}", value, epoch)
        for name, value in (logs or {}).items():
            if name.startswith("val_"):
                self._writer("validation").add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for variable in self.model.weights:
                self._writer("train").add_histogram(f"{variable.path}/histogram", variable.numpy(), epoch)

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
