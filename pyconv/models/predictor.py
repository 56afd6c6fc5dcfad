"""Prediction: one program per size of batch, with a short way to it for small inputs."""

from __future__ import annotations

import sys
import time

import numpy as np

from .. import backends
from ..backends.residence import gathered
from ..callbacks import CallbackList
from ..graph import flatten, map_structure, pack
from ..layers.tracking import structure_version
from ..ops.function import MOST_PROGRAMS
from ..utils.progbar import Progbar
from .data import BatchData, as_arrays, check_count, check_lengths, make_data, unpack_x_y_sample_weight

__all__ = ["Predictor"]

# Samples per program run when the user does not say: large enough that a run's overhead does not matter. The
# results depend on it within rounding only.
INTERNAL_BATCH = 256


class Predictor:
    """The part of a model that predicts."""

    def predict_step(self, data):
        """One step of prediction, traced. data: (x, None, None). Gives the outputs."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The model's outputs for inputs, as NumPy arrays in the model's structure of outputs.

        Parameters
        ----------
        x: array (samples, ...), nest of arrays, or an iterable of batches
            Arrays that lie on a GPU (CuPy's, PyTorch's, ...) are computed with there, and the outputs are left there,
            as CuPy arrays.
        batch_size: int, optional
            Samples at a time; not with an iterable. The result depends on it within rounding only.
        verbose: "auto", 0, 1 or 2
            "auto": a progress bar if there is a terminal and it takes longer than a second.
        steps: int, optional
            How many batches are used; default all.
        callbacks: list of Callback

        Raises
        ------
        ValueError, TypeError
            For inputs that are empty, no numbers, or of a shape that the model does not take.
        """
        if steps is callbacks is None and type(x) is np.ndarray and verbose in _QUIET \
                and (batch_size is None or type(batch_size) is int and x.ndim and len(x) <= batch_size):
            holder = self._function_holder
            if holder is not None and holder.version == structure_version():
                program = holder.fast.get((x.shape, x.dtype, backends.current()))
                flags = x.flags
                if program is not None and flags.c_contiguous and flags.aligned:
                    return program((x,))[0]
        return self._predict(x, batch_size, verbose, steps, callbacks)

    def predict_on_batch(self, x):
        """The outputs for one batch, as NumPy arrays; as CuPy arrays if x lies on a GPU."""
        x = as_arrays(x, "x", stay=True)
        check_lengths(x, None, None)
        gathered(flatten(x), "predict_on_batch")
        return self._functions(x).predict(x)

    def _predict(self, x, batch_size, verbose, steps, callbacks):
        from .trainer import check_verbose
        verbose = check_verbose(verbose)
        steps = check_count("steps", steps)
        data = make_data(x, batch_size=batch_size, steps=steps)
        followed = callbacks is not None or verbose in (1, 2)
        if isinstance(data, BatchData):
            return self._predict_batches(data, callbacks, verbose)
        arrays = data.args[0]
        gathered(flatten(arrays), "predict")
        size = check_count("batch_size", batch_size) or (32 if followed or steps else INTERNAL_BATCH)
        count = data.count if steps is None else min(data.count, steps * size)
        if count <= size and not followed:
            return self._predict_at_once(x, arrays if count == data.count
                                         else map_structure(lambda a: a[:count], arrays))
        return self._predict_in_parts(arrays, count, size, callbacks, verbose)

    def _predict_at_once(self, x, arrays):
        holder = self._functions(arrays)
        program, structure = holder.predict.program((arrays,))
        if x is arrays and type(x) is np.ndarray and hasattr(structure, "dtype"):
            holder.fast[x.shape, x.dtype, backends.current()] = program
            while len(holder.fast) > MOST_PROGRAMS:
                holder.fast.pop(next(iter(holder.fast)), None)
        return pack(structure, program(flatten(arrays)))

    def _predict_in_parts(self, arrays, count, size, callbacks, verbose):
        function, leaves = self._functions(arrays).predict, flatten(arrays)
        total = -(-count // size)
        watch = _Watch(self, callbacks, verbose, total)
        backend, _ = gathered(leaves, "predict")
        outputs = structure = following = None
        kept = []                   # the results on a GPU
        for step, start in enumerate(range(0, count, size)):
            part = following or [a[start:min(start + size, count)] for a in leaves]
            following = [a[start + size:min(start + 2 * size, count)] for a in leaves]
            watch.begin(step)
            program, structure = function.program((pack(arrays, part),), part)
            if program.looks_ahead and following[0].shape[0] == size:
                results = program(part, ahead=(following, None))
            else:
                results = program(part)
            if outputs is None:
                for result in results:
                    if not result.ndim or result.shape[0] != part[0].shape[0]:
                        raise ValueError(f"predict() joins the outputs of batches along their first axis, "
                                         f"but for {part[0].shape[0]} samples an output has shape "
                                         f"{result.shape}. Use predict_on_batch.")
                outputs = [] if backend else [np.empty((count, *r.shape[1:]), r.dtype) for r in results]
            if backend:
                kept.append(results)
            for output, result in zip(outputs, results, strict=not backend):
                output[start:start + len(result)] = result
            watch.end(step, lambda structure=structure, results=results: pack(structure, results))
        watch.finish()
        if backend:
            outputs = [backend.joined(parts) for parts in zip(*kept, strict=True)]
        return pack(structure, outputs)

    def _predict_batches(self, data, callbacks, verbose):
        function = self._functions().predict
        watch = _Watch(self, callbacks, verbose, data.num_batches)
        parts, nest = [], None
        run = data.runner(function, part=slice(1), on_host=False)
        for step, batch in enumerate(data.epoch()):
            watch.begin(step)
            nest = run(batch)
            parts.append(flatten(nest))
            watch.end(step, lambda nest=nest: nest)
        if not parts:
            raise ValueError("There is nothing to predict: the iterable gave no batch.")
        watch.finish()
        backend, _ = gathered(flatten(parts), "predict")
        join = backend.joined if backend else np.concatenate
        return pack(nest, [join(leaves) for leaves in zip(*parts, strict=True)])


_QUIET = ("auto", 0)


class _Watch:
    """Callbacks and the progress bar of a prediction."""

    def __init__(self, model, callbacks, verbose, total):
        self.auto, self.bar = verbose == "auto", None
        self.total, self.started = total, time.perf_counter()
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, add_progbar=verbose in (1, 2), model=model, verbose=verbose,
                                     epochs=1, steps=total)
        self.callbacks = callbacks
        callbacks.call("on_predict_begin", {})

    def begin(self, step):
        self.callbacks.call("on_predict_batch_begin", step, {})

    def end(self, step, outputs):
        if self.callbacks.hooks["on_predict_batch_end"]:
            self.callbacks.call("on_predict_batch_end", step, {"outputs": outputs()})
        if self.auto:
            if self.bar is None and time.perf_counter() - self.started > 1 and _has_terminal():
                self.bar = Progbar(self.total)
            if self.bar is not None:
                self.bar.update(step + 1)

    def finish(self):
        self.callbacks.call("on_predict_end", {})


def _has_terminal() -> bool:
    return bool(getattr(sys.stdout, "isatty", bool)())
