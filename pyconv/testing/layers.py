"""`check_layer`: what every layer should do, in one line."""

from __future__ import annotations

from ..utils.configurable import describe
from .layer_cases import LayerConfig, as_config, cases
from .layer_properties import LAYER_PROPERTIES
from .optional import strategies as st
from .properties import available_backends, run, selected

__all__ = ["check_layer"]


def check_layer(layer, arguments=None, input_shape=None, *, input_dtype=None, values=None, sizes=(1, 7), reference=None,
                only=None, skip=(), backends=None, max_examples=None, seed=0):
    """Check that a layer keeps the promises that models, training and files build on.

    ::

        check_layer(Scale, {"factor": 2.0}, input_shape=(None, 3))

    Cases (arguments, sizes, batches, numbers) are drawn by hypothesis; where a property does not hold, the smallest
    failing case is shown. The same call checks the same cases each time. Within a test that is itself decorated with
    hypothesis's `given`, give the strategies to `check_layer` instead.

    Parameters
    ----------
    layer: class, function, Layer, or strategy
        A subclass of `Layer`; a function that makes a layer from `arguments`; a layer, whose class and arguments are
        taken; or a strategy of `strategies.layer_configs`, which has arguments and shapes. The classes need not take
        `dtype`: the default float type is set while layers are made and called.
    arguments: dict or strategy of dicts, optional
        Of the constructor. Values may be strategies. Layers among them are made anew for each case.
    input_shape: tuple, nest of tuples, function, or strategy
        Without the batch. None is an open size, drawn from `sizes`: equal for axes of the same number. A list or a
        dictionary of shapes: the layer is called on a list or a dictionary; a tuple of shapes: on several arguments.
        A function gets the arguments and returns a shape or a strategy.
    input_dtype: str, or nest as `input_shape`, optional
        Element type of inputs that are not floats, such as "int32".
    values: (low, high), function, or nest as `input_shape`, optional
        The range of the numbers: default -2 to 2 for floats, 0 to 3 for integers (both included). A function gets a
        NumPy generator, a shape and a type, and returns an array.
    sizes: (low, high)
        The range of open sizes, both included; default 1 to 7.
    reference: callable, optional
        ``reference(layer, *inputs)`` gives the expected output, from the attributes and weights of the layer.
    only, skip: str or list of str, optional
        Names of properties, see below.
    backends: list of str, optional
        Those that must agree; default all that can be used here. The first one checks the other properties too.
    max_examples: int, optional
        Cases for each property; default between 2 and 8, depending on the property.
    seed: int
        Decides which cases are drawn.

    Returns
    -------
    dict: name of the property -> "holds", or "does not apply: ..." with the reason

    Raises
    ------
    PropertyError
        (an AssertionError) if a property does not hold. Its `failures` has the properties' names.
    ImportError
        Without hypothesis.
    TypeError, ValueError
        For arguments that do not fit.

    Properties
    ----------
    call
        It can be made in float32 and float64, and called on batches of any size, at inference and in training.
    reference
        The output is the reference's, in float64.
    shape
        `compute_output_shape` and the functional API tell the shape of the output, open sizes included.
    dtype
        Outputs and weights have the layer's float type, and nothing is computed in float32 in a float64 layer.
    batch
        Batches of no and of one sample.
    gradients
        For inputs and trainable weights equal to finite differences in float64, at inference and in training. A
        layer whose gradient is not the derivative on purpose must skip this.
    finite
        Inputs of zeros, of ones and of minus ones give finite outputs and gradients.
    samples
        At inference the output for a sample does not depend on the others, nor on its place in the batch.
    samples_in_training
        The same in training. It does not apply to random layers; batch normalization must skip it.
    inference
        Equal calls give equal bits, whatever was called before, and change no variable.
    training
        A call in training changes no trainable variable and has no effect but on variables; `fit` leaves a layer with
        ``trainable=False`` alone.
    training_flag
        A `call` with an argument `training` acts on it (layers made of layers may leave that to these).
    weights
        All variables that are used are tracked.
    config
        `get_config` can be written as JSON, has all arguments, and makes an equal layer; arguments and defaults are
        not changed.
    saving
        Saved models and weights give the same bits when they are loaded.
    backends
        Outputs and gradients agree on all backends in float64, outputs in float32.
    reproducible
        After `set_random_seed`, weights, outputs and random numbers have the same bits, for any number of threads and
        any state of NumPy's and Python's global generators.
    seed
        A constructor's argument `seed` decides the random numbers alone.
    data_format
        "channels_first" and "channels_last" compute the same.
    inputs
        Inputs are not changed; any memory layout will do.
    errors
        Unknown arguments and wrong inputs give a ValueError or TypeError, and do no harm.
    """
    if not isinstance(layer, st.SearchStrategy):
        layer = as_config(layer, arguments, input_shape, input_dtype, values)
        if input_shape is None:
            raise TypeError(f"check_layer: input_shape is missing: give the shape of an input of {_title(layer)} "
                            f"without the batch, such as (28, 28, 1), with None for sizes that are open.")
        if not isinstance(layer.arguments, (dict, st.SearchStrategy)):
            raise TypeError(f"check_layer: arguments must be a dictionary or a strategy of dictionaries, got "
                            f"{describe(arguments)}.")
    elif any(value is not None for value in (arguments, input_shape, input_dtype, values)):
        raise TypeError("check_layer: a strategy of layers has their arguments and shapes; do not give them besides.")
    properties = selected(LAYER_PROPERTIES, only, skip, "check_layer")
    if reference is None:
        properties = [p for p in properties if p.name != "reference"]
    names = available_backends() if backends is None else list(backends)
    drawn = cases(layer, sizes=sizes, reference=reference, backends=names)
    return run(_title(layer), "check_layer", properties, drawn, seed, max_examples)


def _title(layer):
    return getattr(layer.layer, "__name__", "The layer") if isinstance(layer, LayerConfig) else "The layer"
