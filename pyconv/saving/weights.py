"""Weights alone: a safetensors file with a name and an array for each."""

from __future__ import annotations

import os

from . import safetensors
from .atomic import replacing
from .matching import assign_all
from .names import named_variables

__all__ = ["load_weights", "save_weights"]

SUFFIX = ".safetensors"


def check_target(filepath, suffix, overwrite, method):
    """The path as a text; ValueError for another ending, FileExistsError if it may not be overwritten."""
    path = os.fspath(filepath)
    if not isinstance(path, str) or not path.endswith(suffix) or os.path.basename(path) == suffix:
        example = "model.weights.safetensors" if suffix == SUFFIX else f"model{suffix}"
        other = {".keras": " That is Keras's format; pyconv writes its own.",
                 ".h5": " pyconv writes no HDF5 files."}.get(os.path.splitext(str(path))[1], "")
        raise ValueError(f"{method}: the name of the file must end in {suffix!r}, such as {example!r}; got "
                         f"{path!r}.{other}")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{method}: {path!r} exists already, and overwrite=False.")
    return path


def need_built(model, method):
    if not model.built:
        raise ValueError(f"{method}: the model {model.name!r} is not built yet, so it has no weights. Call "
                         f"it on "
                         "data, or its build(input_shape), first.")


def save_weights(model, filepath, overwrite=True):
    """See `pyconv.Model.save_weights`."""
    path = check_target(filepath, SUFFIX, overwrite, "save_weights")
    need_built(model, "save_weights")
    arrays = {name: variable.peek() for name, variable in named_variables(model, seeds=False).items()}
    with replacing(path) as file:
        safetensors.write(file, arrays, {"format": "pyconv weights", "version": "1"})


def load_weights(model, filepath, skip_mismatch=False):
    """See `pyconv.Model.load_weights`."""
    from .archive import SUFFIX as MODEL_SUFFIX
    from .archive import Archive
    path = os.fspath(filepath)
    need_built(model, "load_weights")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_weights: there is no file {path!r}.")
    variables = named_variables(model, seeds=False)
    if path.endswith(MODEL_SUFFIX):
        with Archive(path) as archive:
            arrays = archive.arrays("model.safetensors")
        states = {name for name in named_variables(model) if name not in variables}
        arrays = {name: array for name, array in arrays.items()
                  if name not in states and not name.endswith("/seed_state")}
    elif path.endswith(SUFFIX):
        arrays = safetensors.load_file(path)
    else:
        raise ValueError(f"load_weights: {path!r} ends neither in {SUFFIX!r} (from save_weights) nor in "
                         f"{MODEL_SUFFIX!r} (from save).")
    assign_all(arrays, variables, f"The file {path!r}", f"model {model.name!r}", skip_mismatch,
               "With skip_mismatch=True, what fits is loaded and the rest left as it is.")
