"""Batches that a user's own code makes, prepared by threads while the model trains."""

from __future__ import annotations

import collections
import queue
import threading
import warnings
from concurrent.futures import Future

from ..utils.configurable import describe

__all__ = ["PyDataset", "Sequence"]


class PyDataset:
    """A data set in batches. A subclass writes ``__getitem__`` and `__len__` (or `num_batches`)::

        class Images(pyconv.utils.PyDataset):
            def __init__(self, paths, labels, **kwargs):
                super().__init__(**kwargs)
                self.paths, self.labels = paths, labels

            def __len__(self):
                return math.ceil(len(self.paths) / 32)

            def __getitem__(self, index):
                part = slice(32 * index, 32 * (index + 1))
                return np.stack([read(path) for path in self.paths[part]]), self.labels[part]

        model.fit(Images(paths, labels, workers=4), epochs=10)

    `fit`, `evaluate` and `predict` take the batches in order, 0 to ``len(dataset) - 1``; a data set that
    wants another order in each epoch draws one in `on_epoch_end`. The batches do not depend on the number of
    threads, as long as ``__getitem__`` depends on the index only.

    Parameters
    ----------
    workers: int
        How many threads call ``__getitem__``; default 1. 0: no thread, each batch is made when it is asked
        for.
    use_multiprocessing: bool
        There for code written for Keras; threads are used, with a warning. NumPy and image decoders release
        the lock of the interpreter, so threads do run at the same time.
    max_queue_size: int
        How many batches are prepared in advance at most; default 10.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit.
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        for name, value, low in (("workers", workers, 0), ("max_queue_size", max_queue_size, 1)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{type(self).__name__}: {name} must be an int, got {describe(value)}.")
            if value < low:
                raise ValueError(f"{type(self).__name__}: {name}={value} must be at least {low}.")
        if use_multiprocessing:
            warnings.warn(f"{type(self).__name__}: use_multiprocessing=True is not supported; threads are "
                          f"used.",
                          stacklevel=3)
        self._workers, self._max_queue_size = workers, max_queue_size

    # A subclass whose __init__ does not call this one works too.
    @property
    def workers(self) -> int:
        return self.__dict__.get("_workers", 1)

    @workers.setter
    def workers(self, value):
        self._workers = value

    @property
    def max_queue_size(self) -> int:
        return self.__dict__.get("_max_queue_size", 10)

    @max_queue_size.setter
    def max_queue_size(self, value):
        self._max_queue_size = value

    @property
    def use_multiprocessing(self) -> bool:
        return False

    def __getitem__(self, index):
        """The batch with this number: x, (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__(self, index).")

    @property
    def num_batches(self):
        """How many batches there are."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __len__(self) or a property "
                                  "num_batches.")

    def __len__(self):
        return self.num_batches

    def on_epoch_begin(self):
        """Called before the first batch of each epoch is made."""

    def on_epoch_end(self):
        """Called after each epoch; here the order of the samples may be changed."""

    def __iter__(self):
        self.on_epoch_begin()
        if not self.workers:
            return (self[index] for index in range(len(self)))
        return self._prepared()

    def _prepared(self):
        """The batches in order, at most `max_queue_size` of them ahead."""
        count, ahead = len(self), max(self.max_queue_size, 1)
        tasks: queue.SimpleQueue = queue.SimpleQueue()
        waiting: collections.deque = collections.deque()
        # Daemons, which no ThreadPoolExecutor has: a process that is interrupted does not wait for a slow disk.
        threads = [threading.Thread(target=self._work, args=(tasks,), daemon=True, name=f"pyconv-{type(self).__name__}")
                   for _ in range(min(self.workers, count))]
        for thread in threads:
            thread.start()
        try:
            begun = 0
            for _ in range(count):
                while begun < count and len(waiting) < ahead:
                    waiting.append(Future())
                    tasks.put((waiting[-1], begun))
                    begun += 1
                yield waiting.popleft().result()
        finally:
            # also when the reader stops early; what is running ends by itself
            for future in waiting:
                future.cancel()
            for _ in threads:
                tasks.put(None)

    def _work(self, tasks):
        """What a thread does: batches, until there is a None among the tasks."""
        while (task := tasks.get()) is not None:
            future, index = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self[index])
            except BaseException as error:          # it belongs to the reader
                future.set_exception(error)
            del future, task                        # a batch that was read is not kept until the next


Sequence = PyDataset          # its name in older versions of Keras
