"""Whole models: architecture, weights, and what it takes to go on with the training."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module

from ..graph import map_structure
from ..layers import deserialize
from ..layers.input_spec import is_shape
from ..layers.tracking import blank_weights
from ..utils.configurable import serialize
from ..utils.registry import CustomObjectScope
from .archive import SUFFIX, Archive, write_archive
from .matching import assign_all
from .names import named_variables
from .objects import to_json
from .random_state import get_random_state, set_random_state
from .training_state import optimizer_arrays, restore_optimizer, undecayed
from .weights import check_target, need_built

__all__ = ["load_model", "save_model"]


# ---- saving

def save_model(model, filepath, overwrite=True, include_optimizer=True, zipped=None):
    """Save a model to one file, from which `load_model` makes it again.

    The file holds the architecture (as `get_config` gives it), all variables, and, if the model was compiled,
    the arguments of `compile` and the optimizer's state: training that goes on from the file takes the same
    steps, bit for bit, as training that was never stopped, if it gets the same batches; for shuffled ones see
    `get_random_state`. It holds no code: see `register_serializable`. Metrics are not saved: each epoch
    starts them anew.

    Parameters
    ----------
    model: Model
        It must be built. Subclasses of `Model` need a ``get_config`` that gives the arguments of
        ``__init__``; the default one reads them from attributes of the same names.
    filepath: str or path
        Must end in ".pyconv". The file is written beside it under another name, and renamed when it is
        complete.
    overwrite: bool
        Whether an old file of this name is replaced (default); otherwise FileExistsError.
    include_optimizer: bool
        Whether the arguments of `compile` and the optimizer are saved; default True.
    zipped: None or True
        There for code written for Keras: a model is always one file.

    Raises
    ------
    ValueError
        For other endings, models that are not built, and models with code in them: a lambda, or a `Lambda`
        layer whose function is not registered.
    TypeError
        If the configuration of a layer cannot be found out.
    """
    if zipped not in (None, True):
        raise ValueError(f"save: zipped={zipped!r} must be None or True: a model is saved as one file, not a folder.")
    path = check_target(filepath, SUFFIX, overwrite, "save")
    need_built(model, "save")
    _refuse_code(model)
    title = f"The model {model.name!r}"
    try:
        architecture = serialize(model)
    except (TypeError, NotImplementedError) as error:
        raise type(error)(f"{title} cannot be saved, because it cannot be described by a configuration: "
                          f"{error} "
                          "Give the class a get_config() that returns the arguments of its __init__; "
                          "save_weights works without.") from error
    config = {**architecture, "build_config": _build_config(model)}
    variables = named_variables(model)
    tensors = {"model.safetensors": {name: v.peek() for name, v in variables.items()}}
    if include_optimizer and model.compiled:
        config["compile_config"] = model.get_compile_config()
        if model.optimizer is not None:
            config["undecayed"] = undecayed(model.optimizer, model)
            tensors["optimizer.safetensors"] = optimizer_arrays(model.optimizer, model)
    write_archive(path, {"config.json": to_json(config, title)}, tensors)


def _refuse_code(model):
    from ..utils.registry import get_registered_name, get_registered_object
    for layer in model._flatten_layers():
        function = getattr(layer, "function", None)
        if type(layer).__name__ != "Lambda" or not callable(function) or _is_ours(function):
            continue
        if get_registered_object(get_registered_name(function)) is not function:
            raise ValueError(f"The layer {layer.name!r} (Lambda) cannot be saved: its function "
                             f"{getattr(function, '__name__', function)!r} is code, and files hold none. "
                             "Either write it with def and decorate it with "
                             "@pyconv.saving.register_serializable(), so that the file can refer to it by "
                             "name, "
                             "or write a Layer; model.save_weights works as it is.")


def _is_ours(function):
    return str(getattr(function, "__module__", "")).startswith("pyconv.")


def _build_config(model):
    """The shape of the inputs of a model that is not made of tensors of the functional API."""
    if model._network is not None or model._traced is None:
        return None
    return {"input_shape": map_structure_of_shapes(lambda s: (None, *s[1:]), model._traced[0])}


def map_structure_of_shapes(function, nest):
    if is_shape(nest):
        return list(function(tuple(nest)))
    if isinstance(nest, dict):
        return {k: map_structure_of_shapes(function, v) for k, v in nest.items()}
    return [map_structure_of_shapes(function, v) for v in nest]


def _shapes(nest):
    """Lists of JSON as the tuples that `build` takes."""
    if isinstance(nest, list) and all(n is None or isinstance(n, int) for n in nest):
        return tuple(nest)
    return map_structure(_shapes, nest) if not isinstance(nest, (list, dict)) else (
        {k: _shapes(v) for k, v in nest.items()} if isinstance(nest, dict) else [_shapes(v) for v in nest])


# ---- loading

def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """The model that `Model.save` saved, with its weights, and ready to go on with the training.

    Parameters
    ----------
    filepath: str or path
    custom_objects: dict, optional
        Name -> class or function of the user's, for those that are not registered with
        `register_serializable`.
    compile: bool
        Whether the model is compiled as it was, with the optimizer's state; default True.
    safe_mode: bool
        There for code written for Keras: must be True. A file never holds code.

    The process's random generator is left as it is: nothing is drawn for weights that the file replaces.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model of pyconv's, damaged, or of a newer version of the format; if it refers to classes
        or functions that are not known; if its arrays do not fit the model (the message lists which), or the
        configuration asks for far more weights than the file holds.
    """
    if safe_mode is not True:
        raise ValueError(f"load_model: safe_mode={safe_mode!r} must be True: a file holds no code, so there is no "
                         "other mode.")
    with Archive(filepath) as archive, CustomObjectScope(custom_objects), _kept_random_state():
        config, arrays = archive.json("config.json"), archive.arrays("model.safetensors")
        # Twice the file's weights and 64 MiB: the weights of a layer whose code has changed are listed with their
        # shapes below, but a configuration that asks for a million times more is refused before the memory is full.
        with blank_weights(2 * sum(a.nbytes for a in arrays.values()) + (1 << 26)):
            model = _make(config, archive, custom_objects)
        label = f"The file {os.fspath(filepath)!r}"
        assign_all(arrays, named_variables(model), label,
                   f"model {model.name!r} that it describes",
                   advice="The code of a layer has probably changed since the file was written.")
        if compile and config.get("compile_config"):
            with _as_value_error(archive, "compiled as it was"):
                model.compile_from_config(config["compile_config"])
            if model.optimizer is not None and "optimizer.safetensors" in archive:
                restore_optimizer(model.optimizer, model, archive.arrays("optimizer.safetensors"), label,
                                  config.get("undecayed") or ())
    return model


@contextlib.contextmanager
def _kept_random_state():
    """The process's generator is as before afterwards: loading takes no random numbers away from the training."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextlib.contextmanager
def _as_value_error(archive, what):
    """Whatever goes wrong with a configuration becomes a ValueError that names the file and the cause."""
    try:
        yield
    except Exception as error:
        hint = ("\nIf it is your own, import the module that defines it before loading, register it with "
                "@pyconv.saving.register_serializable(), or give load_model(..., custom_objects={name: class})."
                if "is not known" in str(error) else "")
        if what == "compiled as it was":
            hint = ("\nWith compile=False it is loaded without. A model whose compile() takes arguments of its own "
                    f"must override get_compile_config() and compile_from_config() too.{hint}")
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{archive.label} cannot be {what}: {kind}{error}{hint}") from error


def _make(config, archive, custom_objects):
    import_module("..applications", __package__)        # has layers of its own
    from ..models import Model
    if not isinstance(config.get("class_name"), str) or not isinstance(config.get("config"), dict):
        raise ValueError(f"{archive.label} is damaged: config.json describes no model.")
    with _as_value_error(archive, "made into a model"):
        model = deserialize(config, custom_objects)
        if not isinstance(model, Model):
            raise ValueError(f"it describes a {type(model).__name__}, not a model.")
        build = config.get("build_config")
        if build and (not model.built or model._network is None and not model.weights):
            model.build(_shapes(build["input_shape"]))
    if not model.built:
        raise ValueError(f"{archive.label}: the model {model.name!r} could not be built, because the shape of its "
                         "inputs is not known.")
    return model
