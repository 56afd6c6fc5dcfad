"""What a layer should do, property by property. Each check takes a `LayerCase` and raises where it fails.

The order is that of the messages: what a property builds on comes before it.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import json
import random

import numpy as np

from .. import backends, config
from ..graph import LEAVES, flatten, is_float, map_structure, pack
from ..layers import Dense, Flatten, deserialize, serialize
from ..layers.input_spec import is_shape, show
from ..layers.layer import Layer
from ..utils.configurable import parameters, plain
from .gradients import check_gradients
from .layer_cases import map_shapes
from .properties import NotApplicable, Property, close, same_bits
from .strategies import layouts

__all__ = ["LAYER_PROPERTIES"]

# Relative errors allowed: in float64 for other orders of summation; in float32 against float64 for what a few layers'
# rounding may grow to.
EXACT, ROUGH = 1e-9, 2e-3


def snapshot(layer) -> list:
    return [v.numpy() for v in layer.variables]


def restore(layer, values, what="a copy of the layer"):
    own = layer.variables
    if [v.shape for v in own] != [a.shape for a in values]:
        raise AssertionError(f"{what} has variables of shapes {[v.shape for v in own]}; the layer itself has "
                             f"{[a.shape for a in values]}.")
    for variable, array in zip(own, values, strict=True):
        variable.assign(array)


def changed(layer, before) -> list:
    """The paths of the variables that differ from a snapshot."""
    return [v.path for v, a in zip(layer.variables, before, strict=True) if v.numpy().tobytes() != a.tobytes()]


def floats(arrays):
    return [a for a in arrays if is_float(a.dtype.name)]


def rows(args, index):
    return map_structure(lambda a: a[index], args)


# ---- calls and shapes

def call(case):
    for dtype in ("float32", "float64"):
        for training in (False, True):
            layer = case.make(dtype)
            if not case.call(layer, case.inputs(dtype), training):
                raise AssertionError("the call gave no array.")
            case.call(layer, case.inputs(dtype, batch=case.batch + 1), training)


def shape(case):
    from .. import Model
    layer, args = case.built()
    outputs = case.call(layer, args)
    opened = map_shapes(lambda s: (None, *s), case.made.input_shape)
    exact = map_shapes(lambda s: (case.batch, *s), case.shapes)
    if not isinstance(opened, tuple) or is_shape(opened):         # compute_output_shape takes one argument
        for given, made in itertools.product((opened, exact), (layer, case.make())):
            claimed = []
            map_shapes(claimed.append, made.compute_output_shape(given))
            _compare_shapes(claimed, outputs, f"compute_output_shape({show(given)})")
    symbolic = _symbolic_inputs(case, opened)
    results = case.make()(*symbolic)
    _compare_shapes([t.shape for t in flatten(results)], outputs, f"the functional API on Input of {show(opened)}")
    model = Model(symbolic[0] if len(symbolic) == 1 else list(symbolic), results)
    found = flatten(model(args[0] if len(args) == 1 else list(args)))
    _compare_shapes([np.shape(a) for a in found], outputs, "a functional model of the layer")


def _symbolic_inputs(case, shapes) -> tuple:
    from .. import Input
    dtypes = iter(case.dtypes)
    made = map_shapes(lambda s: Input(s[1:], dtype=next(dtypes) or "float64"), shapes)
    return made if isinstance(made, tuple) else (made,)


def _compare_shapes(claimed, outputs, what):
    real = [y.shape for y in outputs]
    if len(claimed) != len(real):
        raise AssertionError(f"{what} tells of {len(claimed)} outputs, but the call gives {len(real)}.")
    for one, other in zip(claimed, real, strict=True):
        if len(one) != len(other) or any(n is not None and n != m for n, m in zip(one, other, strict=True)):
            raise AssertionError(f"{what} gives {show(one)}, but the output has shape {show(other)}.")


def dtype(case):
    kinds = []
    for name in ("float32", "float64"):
        layer = case.make(name)
        outputs = [case.call(layer, case.inputs(given)) for given in ("float32", "float64")]
        for found in outputs:
            for y in floats(found):
                if y.dtype != name:
                    raise AssertionError(f"a layer of dtype {name} gives {y.dtype}.")
        kinds.append([None if is_float(y.dtype.name) else y.dtype.name for y in outputs[0]])
        for weight in layer.weights:
            if is_float(weight.dtype) and weight.dtype != name:
                raise AssertionError(f"a layer of dtype {name} has the {weight.dtype} weight {weight.path!r}.")
    if kinds[0] != kinds[1]:
        raise AssertionError("the outputs of a float32 layer and of a float64 layer are of different kinds.")
    for training in (False, True):
        graph, _ = case.traced(layer, case.inputs(), training)
        for node in graph.nodes():
            if node.op not in LEAVES and any(t.dtype == "float32" for t in node.outputs):
                raise AssertionError(f"a layer of dtype float64 computes {node.op} in float32 on the way"
                                     f"{' (in training)' if training else ''}: its results have 7 digits, not 16.")


def batch(case):
    layer, args = case.built()
    outputs = case.call(layer, args)
    for n in (0, 1):
        found = case.call(layer, case.inputs(batch=n))
        expected = [(n, *y.shape[1:]) for y in outputs]
        if [y.shape for y in found] != expected or [y.dtype for y in found] != [y.dtype for y in outputs]:
            raise AssertionError(f"for a batch of {n} the outputs have the shapes {[y.shape for y in found]}; expected "
                                 f"{expected}.")


def reference(case):
    layer, args = case.built()
    expected = [np.asarray(y) for y in flatten(case.reference(layer, *map_structure(np.copy, args)))]
    close(case.call(layer, args), expected, "compared with the reference", 1e-7)


# ---- gradients

def gradients(case):
    layer, args = case.built()
    if not floats(case.call(layer, args)):
        raise NotApplicable("no output is a float")
    variables = [v for v in layer.trainable_variables if is_float(v.dtype)]
    if not variables and not floats(flatten(args)):
        raise NotApplicable("there are neither float inputs nor trainable weights")

    def function(*tensors):
        return layer(*pack(args, tensors))
    for training in (False, True):
        try:
            check_gradients(function, flatten(args), variables, training=training, seed=case.seed)
        except AssertionError as error:
            raise AssertionError(f"{'in training' if training else 'at inference'}: {error}") from error


def finite(case):
    if not any(d is None or is_float(d) for d in case.dtypes):
        raise NotApplicable("no input is a float")
    layer, _ = case.built()
    for fill in (0.0, 1.0, -1.0):
        args = case.inputs(fill=fill)
        for training in (False, True):
            what = f"where all inputs are {fill:g}, {'in training' if training else 'at inference'}"
            before = snapshot(layer)
            outputs = floats(case.call(layer, args, training))
            restore(layer, before)
            if not all(np.isfinite(y).all() for y in outputs):
                raise AssertionError(f"the output is NaN or infinite {what}.")
            if outputs and not all(np.isfinite(g).all() for g in
                                   case.gradients(layer, args, training, backends.current())):
                raise AssertionError(f"a gradient is NaN or infinite {what}.")


# ---- samples, modes, state

def samples(case, training=False):
    layer, _ = case.built()
    n = max(case.batch, 3)
    args, before = case.inputs(batch=n), snapshot(layer)

    def outputs(index):
        restore(layer, before)
        return case.call(layer, rows(args, index), training)
    whole = outputs(np.arange(n))
    if any(y.ndim == 0 or len(y) != n for y in whole):
        raise AssertionError(f"the first axis of the outputs, of shapes {[y.shape for y in whole]}, does not count the "
                             f"{n} samples of the batch.")
    for index, what in ((np.roll(np.arange(n), 1)[::-1], "the samples in another order"),
                        (np.array([n - 1]), "the last sample alone"), (np.arange(n - 1), "without the last sample")):
        close(outputs(index), [y[index] for y in whole], what, EXACT)


def samples_in_training(case):
    layer, args = case.built()
    before = snapshot(layer)
    case.call(layer, args, training=True)
    weights = {v.path for v in layer.weights}
    if set(changed(layer, before)) - weights:
        raise NotApplicable("the layer is random in training")
    samples(case, training=True)


def inference(case):
    layer, args = case.built()
    other = case.inputs(batch=case.batch + 2, stream=2)
    before, first = snapshot(layer), case.call(layer, args)
    same_bits(case.call(layer, args), first, "the second of two equal calls")
    if changed(layer, before):
        raise AssertionError(f"a call at inference changes {', '.join(changed(layer, before))}.")
    case.call(layer, other)
    same_bits(case.call(layer, args), first, "an equal call after one on another batch")
    same_bits([np.asarray(y) for y in flatten(layer(*args))], first, "a call without training=False")
    again = case.make()
    case.call(again, other)
    restore(again, before)
    same_bits(case.call(again, args), first, "a new layer of the same weights that was called on another batch first")


def training(case):
    from .. import Model
    layer, args = case.built()
    before, first = snapshot(layer), case.call(layer, args)
    case.call(layer, args, training=True)
    wrong = {v.path for v in layer.trainable_variables} & set(changed(layer, before))
    if wrong:
        raise AssertionError(f"a call in training changes {', '.join(sorted(wrong))}, which is trainable: only the "
                             f"optimizer may.")
    restore(layer, before)
    same_bits(case.call(layer, args), first, "inference with the old variables after a call in training")
    if not floats(first) or len(args) > 1 or len(first) > 1:
        return
    symbolic = _symbolic_inputs(case, map_shapes(lambda s: (None, *s), case.shapes))
    layer.trainable = False
    model = Model(symbolic[0], Dense(1)(Flatten()(layer(symbolic[0]))))
    model.compile("sgd", "mse")
    model.fit(args[0], np.zeros((case.batch, 1)), verbose=0)
    trained = {v.path for v in layer.variables if v.trainable} & set(changed(layer, before))
    if trained:
        raise AssertionError(f"with trainable=False, fit() changes {', '.join(sorted(trained))}.")


def training_flag(case):
    layer, _ = case.built()
    if "training" not in inspect.signature(type(layer).call).parameters:
        raise NotApplicable("call() takes no argument `training`")
    if layer._flatten_layers(include_self=False):
        raise NotApplicable("what the argument `training` does is left to the layers inside")
    # All numbers of a small case may be kept by chance.
    for stream in range(3):
        args, before = case.inputs(batch=16, stream=stream), snapshot(layer)
        one, other = case.call(layer, args, True), case.call(layer, args, False)
        if changed(layer, before) or any(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True)):
            return
    raise AssertionError("call() takes an argument `training`, but the result in training is that of inference, and no "
                         "variable is updated.")


def weights(case):
    layer, args = case.built()
    for training in (False, True):
        graph, _ = case.traced(layer, args, training)
        read = [n.attrs["variable"] for n in graph.nodes() if n.op == "variable"]
        for variable in [*read, *(v for v, _ in graph.updates)]:
            if not any(variable is v for v in layer.variables):
                raise AssertionError(f"the call uses the variable {variable.path!r} {variable.shape}, which is not "
                                     f"among the layer's: it would neither be trained nor saved. Keep it as an "
                                     f"attribute of the layer (or in a list, tuple or dictionary that is one), or make "
                                     f"it with add_weight.")


# ---- configuration and files

def configuration(case):
    defaults = _defaults(case.cls)
    given = copy.deepcopy({k: v for k, v in case.arguments.items() if not _holds_layers(v)})
    original = copy.deepcopy(given)
    layer = case.make(**given)
    first = layer.get_config()
    text = _json(first, "get_config()")
    args = case.inputs()
    case.call(layer, args)
    after = layer.get_config()
    for key in first:                    # once a model is built, its configuration also has the shapes
        if key not in after or _json(after[key], key) != _json(first[key], key):
            raise AssertionError(f"after a call, get_config() gives {key}={after.get(key)!r}; before it was "
                                 f"{first[key]!r}.")
    if case.cls is not None:
        lost = [k for k in case.arguments if k not in first and k not in ("activity_regularizer", "autocast")
                and not (k == "trainable" and case.arguments[k])]
        if lost:
            raise AssertionError(f"get_config() lacks the argument {lost[0]!r}, which the layer was made with.")
    try:
        again = type(layer).from_config(json.loads(text))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"from_config cannot make a layer of {text}: {error} The constructor must take what "
                             f"get_config gives, **kwargs (name, dtype, trainable) included, and pass those on to "
                             f"super().__init__.") from error
    if _json(again.get_config(), "get_config()") != text:
        raise AssertionError(f"from_config gives a layer with the configuration {_json(again.get_config(), '')} "
                             f"instead of {text}.")
    custom = {type(one).__name__: type(one) for one in layer._flatten_layers()}
    deserialize(json.loads(json.dumps(serialize(layer))), custom)
    if (again.name, again.dtype, again.trainable) != (layer.name, layer.dtype, layer.trainable):
        raise AssertionError("from_config gives a layer of another name, dtype or `trainable`.")

    full, args = case.built()
    copied = type(full).from_config(json.loads(json.dumps(full.get_config())))
    case.call(copied, args)
    restore(copied, snapshot(full), "the layer made by from_config")
    what = "the layer that from_config makes, with the same weights"
    same_bits(case.call(copied, args), case.call(full, args), what)
    same_bits(case.call(copied, args, True), case.call(full, args, True), f"{what}, in training")
    close(*([np.asarray(v) for v in one.losses] for one in (copied, full)), "the losses that it adds", EXACT)
    if plain_or_repr(given) != plain_or_repr(original):
        raise AssertionError(f"the layer changed its arguments: {given} was {original}.")
    if _defaults(case.cls) != defaults:
        raise AssertionError(f"a default of the constructor was changed: {_defaults(case.cls)} was {defaults}. Copy "
                             f"lists and dictionaries before changing them.")


def plain_or_repr(value):
    try:
        return json.dumps(plain(value))
    except TypeError:
        return repr(value)


def _holds_layers(value):
    return any(isinstance(v, Layer) for v in flatten(value if isinstance(value, (list, tuple, dict)) else [value]))


def _json(value, what):
    try:
        return json.dumps(value)
    except TypeError as error:
        raise AssertionError(f"{what} cannot be written as JSON: {error}.") from error


def _defaults(cls):
    return {} if cls is None else {p.name: repr(p.default) for p in inspect.signature(cls.__init__).parameters.values()
                                   if isinstance(p.default, (list, dict, set))}


def saving(case):
    import tempfile
    from pathlib import Path

    from .. import Model
    from ..saving import load_model
    layer, args = case.built()
    symbolic = _symbolic_inputs(case, map_shapes(lambda s: (None, *s), case.shapes))
    one = len(symbolic) == 1
    model = Model(symbolic[0] if one else list(symbolic), layer(*symbolic))
    x = args[0] if one else list(args)
    expected = [np.asarray(y) for y in flatten(model(x))]
    same_bits(expected, case.call(layer, args), "a functional model of the layer")
    custom = {type(sub).__name__: type(sub) for sub in layer._flatten_layers()}
    with tempfile.TemporaryDirectory() as folder:
        whole, weights = Path(folder, "model.pyconv"), Path(folder, "layer.weights.safetensors")
        model.save(whole)
        model.save_weights(weights)
        loaded = load_model(whole, custom_objects=custom)
        same_bits([np.asarray(y) for y in flatten(loaded(x))], expected, "the model after save() and load_model()")
        other = Model.from_config(json.loads(json.dumps(model.get_config())), custom_objects=custom)
        other.load_weights(weights)
        same_bits([np.asarray(y) for y in flatten(other(x))], expected,
                  "a model of the same configuration after save_weights() and load_weights()")


# ---- the machine

def backends_agree(case):
    if len(case.backends) < 2:
        raise NotApplicable(f"{' and '.join(case.backends) or 'none'} is the only backend here")
    first, expected = None, {}
    layer, args = case.built()
    before = snapshot(layer)
    for name in case.backends:
        config.set_backend(name)
        for mode in (False, True):
            restore(layer, before)
            found = case.call(layer, args, mode)
            grads = case.gradients(layer, args, mode, backends.current()) if floats(found) else None
            if first is None or first == name:
                expected[mode] = found, grads
                continue
            where = f"backend {name!r} compared with {first!r}{' in training' if mode else ''}"
            close(found, expected[mode][0], where, EXACT)
            if grads is not None:
                close(grads, expected[mode][1], f"{where}, gradients", 10 * EXACT)
        first = first or name
    config.set_backend("reference")
    restore(layer, before)
    single = case.make("float32")
    exact = case.call(layer, args)
    args = map_structure(lambda a: a.astype("float32") if is_float(a.dtype.name) else a, args)
    for name in case.backends:
        config.set_backend(name)
        case.call(single, args)
        restore(single, [a.astype(v.dtype) for a, v in zip(before, single.variables, strict=True)])
        close(case.call(single, args), exact, f"backend {name!r} in float32", ROUGH)


def reproducible(case):
    def result(state, threads):
        random.seed(state)
        np.random.seed(state)
        config.set_num_threads(threads)
        layer = case.make("float32")
        args = case.inputs("float32", batch=case.batch + 16)
        outputs = [*case.call(layer, args), *case.call(layer, args, True), *case.call(layer, args, True)]
        return [*outputs, *snapshot(layer)]
    first = result(1, 1)
    same_bits(result(1, 1), first, "a layer made and called a second time after set_random_seed with the same seed")
    same_bits(result(2, 1), first, "the same where only numpy.random.seed and random.seed differ. Draw from "
                                   "pyconv.random.SeedGenerator and pyconv.initializers instead")
    same_bits(result(1, 2), first, "two threads instead of one")


def seed(case):
    if case.cls is None or "seed" not in parameters(case.cls):
        raise NotApplicable("the constructor takes no argument `seed`")
    args = case.inputs(batch=16)

    def outputs(value, process_seed):
        layer, other = case.make(process_seed=process_seed, seed=value), case.make(seed=value)
        case.call(layer, args)
        case.call(other, args)
        for variable, array in zip(layer.weights, other.get_weights(), strict=True):
            variable.assign(array)
        return [case.call(layer, args, True), case.call(layer, args, True)]
    first, second = outputs(7, 1), outputs(7, 2)
    for a, b in zip(first, second, strict=True):
        same_bits(a, b, "two layers with the same `seed`, after set_random_seed with different ones")
    if all(a.tobytes() == b.tobytes() for a, b in zip(*first, strict=True)):
        return        # not random in training
    # Where a layer chooses among a few possibilities, other seeds may come to the same by chance, but not all.
    if all(a.tobytes() == b.tobytes() for value in range(8, 28)
           for a, b in zip(flatten(first), flatten(outputs(value, 1)), strict=True)):
        raise AssertionError("layers with other values of `seed` give the same random numbers.")


def data_format(case):
    if case.cls is None or "data_format" not in parameters(case.cls):
        raise NotApplicable("the constructor takes no argument `data_format`")
    if not any(len(s) > 1 for s in _shapes(case.shapes)):
        raise NotApplicable("no input has channels")
    layer, args = case.built()
    first = getattr(layer, "data_format", case.arguments.get("data_format")) == "channels_first"
    try:
        other = case.make(data_format="channels_last" if first else "channels_first")
    except ValueError as error:
        raise NotApplicable(f"the layer refuses the other format: {error}") from error
    source, target = (1, -1) if first else (-1, 1)

    def moved(a, source=source, target=target):
        return np.ascontiguousarray(np.moveaxis(a, source, target)) if a.ndim > 2 else a
    swapped = map_structure(moved, args)
    case.call(other, swapped)
    restore(other, snapshot(layer), "the layer of the other data_format")
    expected = case.call(layer, args)
    close([moved(y, target, source) for y in case.call(other, swapped)], expected,
          "data_format='channels_last' and 'channels_first' on the same data", EXACT)


def _shapes(nest) -> list:
    found = []
    map_shapes(found.append, nest)
    return found


def inputs(case):
    layer, _ = case.built()
    args, copies, before = case.inputs(), case.inputs(), snapshot(layer)
    for training in (False, True):
        outputs = case.call(layer, args, training)
        same_bits(flatten(args), flatten(copies), f"the input after a call{' in training' if training else ''}")
        if any(np.shares_memory(y, a) for y in outputs for a in flatten(args)):
            raise AssertionError("the output lies in the memory of the input.")
    restore(layer, before)
    expected = case.call(layer, args)
    for layout in ("F", "strided", "reversed", "readonly", "swapped"):
        odd = map_structure(lambda a, layout=layout: layouts(a, layout), args)
        same_bits(case.call(layer, odd), expected, f"inputs in memory layout {layout!r}")


def errors(case):
    layer, args = case.built()
    expected, leaves = case.call(layer, args), _shapes(case.shapes)
    if case.cls is not None:
        _refused(case, lambda: case.make(no_such_argument=1), "the unknown argument `no_such_argument`", must=True)
    for value in (object(), "text", None):
        _refused(case, lambda value=value: case.call(layer, (value,)), f"a call on {value!r:.30}", must=True)
    changes = [("one axis more", lambda a: a[..., None])]
    if all(leaves):
        changes += [("one axis less", lambda a: a.reshape(a.shape[0], *a.shape[2:-1], -1) if a.ndim > 2 else a[:, 0]),
                    ("one element more along the last axis", lambda a: np.concatenate([a, a[..., :1]], -1))]
    for what, change in changes:
        wrong = map_structure(change, args)
        for target in (layer, case.make()):
            _refused(case, lambda target=target, wrong=wrong: case.call(target, wrong), f"inputs with {what}")
    same_bits(case.call(layer, args), expected, "a call after ones that raised errors")


def _refused(case, function, what, must=False):
    """The call may succeed, unless it `must` fail; errors must be of the right type and say where."""
    try:
        with np.errstate(all="ignore"):
            function()
    except (ValueError, TypeError, NotImplementedError):
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__}: {error}. It should be a ValueError or TypeError "
                             f"that says what is wrong: a layer may set self.input_spec = InputSpec(ndim=...) in "
                             f"__init__.") from error
    if must:
        raise AssertionError(f"{what} is accepted; it should raise a ValueError or TypeError. Pass **kwargs of "
                             f"__init__ on to super().__init__, which looks at them.")


LAYER_PROPERTIES = (
    Property("call", "The layer cannot be made and called in every way that was said.", call, 8),
    Property("reference", "The layer does not compute what the reference computes.", reference, 8),
    Property("shape", "The shape that is known before the call is not that of the output.", shape, 5),
    Property("dtype", "The layer leaves the float type that it was given.", dtype),
    Property("batch", "An empty batch or a single sample has outputs of another form.", batch),
    Property("gradients", "What differentiation gives is not the derivative of what the layer computes.", gradients, 6),
    Property("finite", "Plain inputs (all zeros, all ones) give NaN or infinity, or gradients that are.", finite, 3),
    Property("samples", "At inference, samples of a batch influence each other.", samples),
    Property("samples_in_training", "In training, samples of a batch influence each other, as in batch normalization.",
             samples_in_training, 3),
    Property("inference", "Inference is not a function of the input and the weights alone, or leaves traces.",
             inference),
    Property("training", "Training changes what it must not.", training, 3),
    Property("training_flag", "The argument `training` of call() does nothing.", training_flag, 3),
    Property("weights", "A variable that the layer computes with is not tracked.", weights, 3),
    Property("config", "get_config() and from_config() do not make an equal layer.", configuration),
    Property("saving", "A saved and loaded layer is another one.", saving, 2),
    Property("backends", "The backends do not agree.", backends_agree, 3),
    Property("reproducible", "The same seed does not give the same bits.", reproducible, 2),
    Property("seed", "The argument `seed` does not decide the random numbers.", seed, 2),
    Property("data_format", "The two data formats do not compute the same.", data_format),
    Property("inputs", "The input is changed, or its memory layout matters.", inputs, 2),
    Property("errors", "Wrong arguments or inputs are not answered with a ValueError or TypeError.", errors, 2),
)
