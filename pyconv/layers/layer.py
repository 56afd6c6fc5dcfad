"""The base of all layers: building, calling, errors, configuration.

A layer is called on three kinds of things. On tensors of the functional API the call is recorded; on symbolic
tensors (while something is traced) `call` runs and records ops; on arrays the layer is traced itself,
compiled once for each signature, and run.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading

import numpy as np

from .. import dtype_policies, ops
from ..backends.residence import gathered
from ..graph import (FunctionalTensor, Tensor, autocast, canonical, current_trace, flatten, is_float, is_functional,
                     is_half, is_nest, labelled, map_structure, pack, record)
from ..graph.functional import infer
from ..ops.function import Function, as_native
from ..utils.configurable import describe, parameters, plain
from ..utils.foreign import is_foreign, to_hosts
from ..utils.naming import snake_case, unique_name
from .input_spec import InputSpec, is_data, is_shape, shape_of, show
from .tracking import Owner, bump_version, structure_version

__all__ = ["InputSpec", "Layer"]

# marks an array's place in a signature
_ARRAY = type("_Array", (), {"__repr__": lambda self: "<array>"})()

_within = threading.local()      # .layers: those that are being built or traced in this thread, the innermost last

CLASSES: dict = {}      # name of a class of layers -> the class; users' classes too


def policy_config(policy):
    """A policy in a layer's configuration: its name, a map as a dictionary."""
    return dtype_policies.serialize(policy) if isinstance(policy, dtype_policies.DTypePolicyMap) else policy.name


def _once(build):
    """A `build` that does nothing when the layer is built already, and marks it as built."""
    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self.__dict__.get("built"):
            return
        before = len(self._weights)
        try:
            with self._scope():
                build(self, *args, **kwargs)
        except Exception as error:
            del self._weights[before:]          # so that the layer can be built again, for other inputs
            shapes = args[0] if len(args) == 1 else args or kwargs
            located = self._located(error, shapes, "built for inputs of shape")
            if located is error:
                raise
            raise located from error
        self.built = True
    return wrapper


class Layer(Owner):
    """A function on tensors with weights of its own.

    A subclass may define ``__init__`` (which passes on ``**kwargs``), ``build(self, input_shape)``, which
    makes weights with `add_weight`, and ``call(self, inputs)``, written with `pyconv.ops`; gradients need no
    code::

        class Scale(pyconv.Layer):
            def build(self, input_shape):
                self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

            def call(self, inputs):
                return inputs * self.scale

    What `call` does is traced and compiled at the first call for each signature of the inputs: attributes
    that are changed later are only seen once `trainable` is set or new shapes come.

    Parameters
    ----------
    activity_regularizer: str, callable or dict, optional
        A penalty on the layer's output, added to the loss.
    trainable: bool
        Whether the optimizer changes the weights; default True.
    dtype: str or DTypePolicy, optional
        "float32" or "float64", of the weights and of the computation, or a policy for both, such as "mixed_float16":
        float32 weights, computations in float16. Default `pyconv.config.dtype_policy()`. With a `DTypePolicyMap` it is
        the entry for `path`, from the time on at which the layer is built.
    autocast: bool
        Whether float inputs are cast to the type of the computation; default True.
    name: str, optional
        Default: the class's name in snake_case, with a number if it is taken.

    Attributes
    ----------
    dtype_policy: DTypePolicy
        A new one may be set, as long as it leaves the type of weights that are there.
    path: str or None
        The names of the layers and models in which this one is built, and its own, with "/" between; None before.
    compute_dtype: str
        What `call` computes in: inputs are cast to it, and so are the weights where `call` reads them.
    dtype, variable_dtype: str
        The type of the weights.

    Raises
    ------
    ValueError, TypeError
        For arguments that are unknown or do not fit; the message names the layer and the argument.
    """

    # Whether `call` computes in the variables' type under a mixed policy too; only its results are cast then.
    _precise = False
    _not_configured = ("autocast",)
    config_module = "pyconv.layers"      # says in a configuration that the object is a layer

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        CLASSES[cls.__name__] = cls
        if "build" in cls.__dict__:
            cls.build = _once(cls.build)

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls)
        layer._init_args = args, kwargs
        try:
            _constructor(cls).bind(layer, *args, **kwargs)
        # Python's own message would name neither the layer nor the nearest argument
        except TypeError as error:
            known = parameters(cls)
            layer.name = kwargs.get("name")
            for name in kwargs:
                if name not in known:
                    layer._unknown_arguments({name: None})
            raise TypeError(f"{layer._title()}: {error}. Its arguments: {', '.join(known)}.") from None
        return layer

    def __reduce__(self):
        """For copies, deep ones and by pickle: everything but the compiled programs."""
        state = {**self.__dict__, "_programs": {}, "_last_losses": []}
        return _blank, (type(self),), state

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None,
                 **kwargs):
        self.name = name            # for the title in messages below
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise TypeError(f"{type(self).__name__}: name must be a string that is not empty and has no "
                            f"'/', got {describe(name)}.")
        # Keras's old way to say what comes in
        self._input_shape_argument = kwargs.pop("input_shape", None)
        if kwargs:
            self._unknown_arguments(kwargs)
        self.name = name or unique_name(snake_case(type(self).__name__).lstrip("_"))
        self.path = None
        try:
            self._dtype_policy = dtype_policies.get(dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._title()}: dtype must be 'float32', 'float64' or a dtype policy, got "
                             f"{describe(dtype)}. {error}") from None
        self._follow_policy(self._dtype_policy)
        if not isinstance(trainable, (bool, np.bool_)):
            raise TypeError(f"{self._title()}: trainable must be True or False, got {describe(trainable)}.")
        if not isinstance(autocast, (bool, np.bool_)):
            raise TypeError(f"{self._title()}: autocast must be True or False, got {describe(autocast)}.")
        from .. import regularizers
        self.activity_regularizer = self._get(regularizers, "activity_regularizer", activity_regularizer)
        self._trainable, self.autocast = bool(trainable), bool(autocast)
        self.built, self.input_spec = False, None
        self._weights, self._inbound, self._programs = [], [], {}
        self._traced = None         # (input shapes, output shapes) of the last traced call
        self._last_losses = []      # the losses that the last call on arrays added

    # ---- types

    @property
    def dtype_policy(self):
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, policy):
        policy, before = dtype_policies.get(policy), self._dtype_policy
        found = policy[self.path] if isinstance(policy, dtype_policies.DTypePolicyMap) and self.path else policy
        if self._weights and found.variable_dtype != self.variable_dtype:
            raise ValueError(f"{self._title()}: its weights are {self.variable_dtype} already, so its policy cannot "
                             f"become {found.name!r}; make a new layer with dtype={found.name!r}.")
        if isinstance(before, dtype_policies.DTypePolicyMap) and self.path and found is policy:
            if self.path in before:
                del before[self.path]
            before[self.path] = policy
        else:
            self._dtype_policy = policy
        self._follow_policy(found)
        bump_version()

    def _follow_policy(self, policy):
        self.dtype = self.variable_dtype = policy.variable_dtype
        self.compute_dtype = policy.compute_dtype

    @contextlib.contextmanager
    def _scope(self):
        """Around the building and tracing of this layer: layers that are built within have its path before theirs."""
        outer = getattr(_within, "layers", None)
        if outer is None:
            outer = _within.layers = []
        if self.path is None:
            self.path = f"{outer[-1].path}/{self.name}" if outer and outer[-1] is not self else self.name
            if isinstance(self._dtype_policy, dtype_policies.DTypePolicyMap):
                self._follow_policy(self._dtype_policy[self.path])
        outer.append(self)
        try:
            yield
        finally:
            outer.pop()

    # ---- names and errors

    def _title(self) -> str:
        name = self.__dict__.get("name")
        known = isinstance(name, str) and name
        return f"Layer {name!r} ({type(self).__name__})" if known else f"Layer {type(self).__name__}"

    def _unknown_arguments(self, kwargs):
        import difflib
        name = next(iter(kwargs))
        known = [p for p in parameters(type(self)) if p not in ("args", "autocast")]
        close = difflib.get_close_matches(str(name), known, 1, 0.5)
        raise ValueError(f"{self._title()}: the argument {name!r} is not known."
                         + (f" Did you mean {close[0]!r}?" if close else "") + f" Known: {', '.join(known)}.")

    def _get(self, module, argument, identifier):
        """`module.get(identifier)`, with the layer and the argument in the error's message."""
        try:
            return module.get(identifier)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{self._title()}: {argument}: {error}") from error

    def __repr__(self):
        name, built = self.__dict__.get("name"), self.__dict__.get("built", False)
        return f"<{type(self).__name__} name={name}, built={built}>"

    def _located(self, error, shapes, what):
        """The error with this layer's name and its inputs' shapes in the message, unless it has a layer's."""
        if getattr(error, "pyconv_located", False):
            return error
        text = f"{self._title()}, {what} {show(shapes)}"
        new = None
        if self._title() in str(error):         # said already, by this layer's own check
            new = error
        elif len(error.args) == 1 and isinstance(error.args[0], str) and not isinstance(error, KeyError):
            try:
                new = type(error)(f"{error.args[0]}\nIn {text}.")
            except Exception:                   # an exception class with a constructor of its own
                new = None
        if new is None:
            error.add_note(f"In {text}.")
            new = error
        try:
            new.pyconv_located = True
        except AttributeError:
            pass
        return new

    # ---- building

    @_once
    def build(self, input_shape):
        """Make the weights. Called once, before the first call, with the shape of the inputs.

        input_shape: a tuple, with None for open sizes (the batch always is); a nest of tuples for several
        inputs. A `build` with several arguments ``x_shape, y_shape`` gets the shapes of the arguments x and y
        of `call`.
        """

    def _build_arguments(self, args, kwargs, open_batch):
        """Shapes for `build`, by the names of its arguments."""
        def shape(leaf):
            sizes = shape_of(leaf)
            return (None, *sizes[1:]) if open_batch and sizes else sizes

        def shapes(value):
            return map_structure(lambda leaf: shape(leaf) if is_data(leaf) else None, value)

        names = list(inspect.signature(self.build).parameters)
        if len(names) <= 1:
            value = args[0] if args else next(iter(kwargs.values()), None)
            return (shapes(value),) if names else ()
        given = {**dict(zip(_call_parameters(type(self)), args, strict=False)), **kwargs}
        return tuple(shapes(given.get(name.removesuffix("_shape"))) for name in names)

    def _ensure_built(self, args, kwargs, open_batch=True):
        if self.built:
            return
        self.build(*self._build_arguments(args, kwargs, open_batch))
        self.built = True

    # ---- calling

    def call(self, *args, **kwargs):
        """The computation, in terms of `pyconv.ops` and other layers. It may take ``training``, a bool."""
        raise NotImplementedError(f"{self._title()} defines no call(self, inputs).")

    def __call__(self, *args, **kwargs):
        """Call the layer on tensors or arrays; see the module's head. Arrays give NumPy arrays, on a GPU CuPy's."""
        if "_programs" not in self.__dict__:
            raise RuntimeError(f"Layer {type(self).__name__} was not initialised: its __init__ must call "
                               f"super().__init__() first.")
        if args and flatten(args[0]) and all(isinstance(v, (bool, int, float)) for v in flatten(args[0])):
            args = (self._from_numbers(args[0]), *args[1:])
        leaves = flatten([args, kwargs])
        if any(map(is_foreign, leaves)):
            args, kwargs = self._where_they_lie(args, kwargs, leaves)
            leaves = flatten([args, kwargs])
        if not any(map(is_data, leaves)) and (args or kwargs):
            raise TypeError(f"{self._title()} is called on tensors or arrays, got "
                            f"{describe(args[0] if args else kwargs)}.")
        if args and not all(is_data(v) or isinstance(v, (bool, int, float)) for v in flatten(args[0])):
            raise TypeError(f"{self._title()} is called on tensors or arrays, got {describe(args[0])}.")
        if is_functional(args, kwargs):
            with self._scope():
                return self._call_functional(args, kwargs)
        if current_trace() is not None or any(isinstance(leaf, Tensor) for leaf in leaves):
            with self._scope():
                return self._call_symbolic(args, kwargs)
        return self._call_arrays(args, kwargs, leaves)

    def _where_they_lie(self, args, kwargs, leaves):
        """Arguments with the arrays of other libraries as CuPy's if they lie on a GPU, else as NumPy's."""
        if current_trace() is None and not any(isinstance(v, (Tensor, FunctionalTensor)) for v in leaves):
            backend, values = gathered(leaves, self._title())
            if backend is not None:
                return pack((args, kwargs), values)
        return map_structure(to_hosts, (args, kwargs))

    def _from_numbers(self, nest):
        """Nested lists of numbers as an array."""
        try:
            return np.asarray(nest)
        except ValueError:
            raise ValueError(f"{self._title()}: nested lists of numbers must have equal lengths at each "
                             f"depth, got {describe(nest)}.") from None

    def _check_inputs(self, inputs):
        """Raise ValueError if the first argument does not fit `input_spec`."""
        if self.input_spec is None:
            return
        if isinstance(self.input_spec, InputSpec) and is_nest(inputs):
            error = ValueError(f"{self._title()} is called on one tensor or array, got a "
                               f"{type(inputs).__name__} of {len(inputs)}.")
            error.pyconv_located = True
            raise error
        specs, tensors = flatten(self.input_spec), [t for t in flatten(inputs) if is_data(t)]
        if len(specs) != len(tensors):
            raise self._located(ValueError(f"{self._title()} expects {len(specs)} input"
                                           f"{'' if len(specs) == 1 else 's'}, got {len(tensors)}."),
                                map_structure(shape_of, inputs), "called on inputs of shape")
        for spec, tensor in zip(specs, tensors, strict=True):
            shape = shape_of(tensor)
            problem = spec.problem(shape, getattr(tensor, "dtype", None))
            if problem:
                shape = (None, *shape[1:]) if isinstance(tensor, Tensor) and shape else shape
                error = ValueError(f"{self._title()} expects {problem}: the input has shape {show(shape)}.")
                error.pyconv_located = True
                raise error

    def _call_functional(self, args, kwargs):
        first = args[0] if args else None
        self._check_inputs(first)
        self._ensure_built(args, kwargs, open_batch=False)
        self._check_inputs(first)
        self._open = map_structure(lambda t: shape_of(t) if is_data(t) else None, first)
        try:
            results = record(self, args, kwargs)
        finally:
            del self._open
        for tensor in flatten(results)[:1]:
            self._inbound.append(tensor.call)
        return results

    def _call_symbolic(self, args, kwargs):
        trace = current_trace()
        args, kwargs, training = _take_training(type(self), args, kwargs)
        if self.autocast:
            args, kwargs = map_structure(self._cast, args), map_structure(self._cast, kwargs)
        self._check_inputs(args[0] if args else None)
        if not self.built:
            self._ensure_built(args, kwargs)
            if trace is not None and trace.layers:
                self._check_owned(trace.layers)
        self._check_inputs(args[0] if args else None)
        shapes = map_structure(lambda t: shape_of(t) if is_data(t) else None, args[0] if args else kwargs)
        if trace is None:
            return self._located_call(args, kwargs, shapes)
        before = trace.training
        if training is not None:
            trace.training = bool(training)
        if "training" in _call_parameters(type(self)):
            kwargs = {**kwargs, "training": trace.training}
        trace.layers.append(self)
        try:
            half = self.compute_dtype if is_half(self.compute_dtype) and not self._precise else None
            with labelled(self.name), autocast(half):
                outputs = self._located_call(args, kwargs, shapes)
        finally:
            trace.layers.pop()
            trace.training = before
        if self._precise and is_half(self.compute_dtype):
            outputs = map_structure(lambda t: ops.cast(t, self.compute_dtype)
                                    if isinstance(t, Tensor) and is_float(t.dtype) else t, outputs)
        self._traced = shapes, map_structure(lambda t: shape_of(t) if is_data(t) else None, outputs)
        return outputs

    def _check_owned(self, callers):
        """Raise ValueError if this layer has just made weights that the layers whose calls run do not own."""
        chain = [*callers, self]
        if self.weights and not all(any(inner is layer for layer in outer._sublayers())
                                     for outer, inner in zip(chain, chain[1:], strict=False)) \
                and not any(layer is self for layer in callers[0]._flatten_layers()):
            raise ValueError(f"{self._title()} is called, and makes its weights, inside of the call of "
                             f"{callers[-1]._title()}, to which it does not belong: they would be neither trained nor "
                             f"saved. Make it in __init__ or build(), and keep it as an attribute, or in a list or "
                             f"dictionary that is one.")

    def _located_call(self, args, kwargs, shapes):
        try:
            outputs = self.call(*args, **kwargs)
            if outputs is None:
                raise TypeError(f"{self._title()}: call() returned None; does it lack a `return`?")
            if self.activity_regularizer is not None and current_trace() is not None:
                for output in flatten(outputs):         # half precision has no room for sums of squares
                    self.add_loss(self.activity_regularizer(ops.cast(output, self.variable_dtype)
                                                            if is_half(output.dtype) else output))
            return outputs
        except Exception as error:
            located = self._located(error, self.__dict__.get("_open", shapes), "called on inputs of shape")
            if located is error:
                raise
            raise located from error

    def _cast(self, leaf):
        """Autocast: floats of another width become the layer's type."""
        if isinstance(leaf, (Tensor, np.ndarray)):
            name, wanted = canonical(leaf.dtype), self.variable_dtype if self._precise else self.compute_dtype
            if name != wanted and is_float(name):
                return ops.cast(leaf, wanted)
        return leaf

    def _call_arrays(self, args, kwargs, leaves):
        if self._programs.get("version") != structure_version():
            self._programs = {"version": structure_version()}
        args, kwargs, training = _take_training(type(self), args, kwargs)
        nest = (args, kwargs)
        skeleton = map_structure(lambda leaf: _ARRAY if is_data(leaf) else leaf, nest)
        key = repr(skeleton), bool(training)
        if key not in self._programs:
            def run(*tensors):
                values = iter(tensors)
                run_args, run_kwargs = map_structure(lambda leaf: next(values) if leaf is _ARRAY else leaf,
                                                     skeleton)
                outputs = self(*run_args, **run_kwargs)
                return outputs, list(current_trace().losses)
            self._programs[key] = Function(run, bool(training))
        try:
            # Arrays that are foreign still lie on a GPU.
            arrays = [leaf if is_foreign(leaf) else as_native(leaf) for leaf in leaves if is_data(leaf)]
        except TypeError as error:
            shapes = map_structure(shape_of, args[0] if args else None)
            raise self._located(error, shapes, "called on inputs of shape") from error
        try:
            outputs, self._last_losses = self._programs[key](*arrays)
        except ValueError as error:         # of a value that a kernel met, such as an index out of range
            located = self._located(error, map_structure(shape_of, args[0] if args else None),
                                    "called on inputs of shape")
            if located is error:
                raise
            raise located from error
        return outputs

    # ---- losses

    def add_loss(self, loss):
        """Add a scalar, or a list of them, to the loss of the training step; called from within `call`."""
        trace = current_trace()
        if trace is None:
            raise ValueError(f"{self._title()}: add_loss belongs in call(), where a loss is part of the "
                             "computation.")
        for term in flatten(loss):
            if shape_of(term) != ():
                raise ValueError(f"{self._title()}: add_loss takes scalars, got shape "
                                 f"{show(shape_of(term))}; reduce it first, for example with "
                                 "pyconv.ops.mean.")
            trace.losses.append(term)

    @property
    def losses(self) -> list:
        """The penalties: those that layers added in the current trace (outside of one: in the last call on
        arrays), then those of the regularizers of the trainable weights."""
        trace = current_trace()
        added = list(trace.losses) if trace else list(self._last_losses)
        return added + [v.regularizer(v) for v in self.trainable_variables if v.regularizer is not None]

    # ---- shapes

    def compute_output_shape(self, input_shape):
        """The shape that the layer gives for inputs of `input_shape` (None where a size is open); nests for
        several.

        Found by tracing the layer; it is built by that if it was not yet.
        """
        try:
            outputs = infer(self, (self._functional_inputs(input_shape),), {})
        except TypeError as error:
            try:                    # a layer that takes integers, as indices
                outputs = infer(self, (self._functional_inputs(input_shape, "int32"),), {})
            except (TypeError, ValueError):
                raise error from None
        return map_structure(lambda t: t.shape, outputs)

    def _functional_inputs(self, shape, dtype=None):
        if is_shape(shape):
            return FunctionalTensor(tuple(None if n is None else int(n) for n in shape), dtype or self.compute_dtype)
        if isinstance(shape, dict):
            return {k: self._functional_inputs(v, dtype) for k, v in shape.items()}
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"{self._title()}: input_shape must be a tuple of ints and None, got "
                            f"{describe(shape)}.")
        return [self._functional_inputs(s, dtype) for s in shape]

    @property
    def input(self):
        """The tensors of the functional API that the layer was first called on."""
        call = self._first_call("input")
        return call.args[0] if call.args else next(iter(call.kwargs.values()))

    @property
    def output(self):
        """The tensors of the functional API that the layer's first call gave."""
        return self._first_call("output").results

    def _first_call(self, what):
        if not self._inbound:
            raise AttributeError(f"{self._title()} has no {what}: it was never called on an Input or what "
                                 "follows one.")
        return self._inbound[0]

    # ---- configuration

    def get_config(self) -> dict:
        """The arguments that make a layer like this one, without its weights, as plain values.

        They are read from the attributes of the same names; where there is none, from what the constructor
        was given.
        """
        args, kwargs = self._init_args
        given = dict(kwargs)
        if args:
            given.update(zip([p for p in parameters(type(self))], args, strict=False))
        config = {"name": self.name, "trainable": self.trainable, "dtype": policy_config(self.dtype_policy)}
        for name in parameters(type(self)):
            if name in config or name in self._not_configured:
                continue
            if name == "activity_regularizer" and self.activity_regularizer is None:
                continue
            if name in self.__dict__ or hasattr(type(self), name):
                config[name] = plain(getattr(self, name))
            elif name in given:
                config[name] = plain(given[name])
        if not self.autocast:
            config["autocast"] = False
        return config

    @classmethod
    def from_config(cls, config):
        """A layer made from what `get_config` gave. Arguments that are unknown here are ignored if None."""
        known = parameters(cls)
        from . import deserialize
        out = {}
        for key, value in config.items():
            if value is None and key not in known:
                continue
            if isinstance(value, dict) and str(value.get("module")).endswith(".layers"):
                value = deserialize(value)
            out[key] = value
        return cls(**out)


def _blank(cls):
    """A layer without attributes, which a copy is filled into."""
    return object.__new__(cls)


@functools.cache
def _constructor(cls):
    return inspect.signature(cls.__init__)


@functools.cache
def _call_parameters(cls) -> tuple:
    """The names of the arguments of `call` after self."""
    return tuple(inspect.signature(cls.call).parameters)[1:]


def _take_training(cls, args, kwargs):
    """(args, kwargs, training) with the argument `training` taken out, None if it was not given."""
    if "training" in kwargs:
        kwargs = dict(kwargs)
        return args, kwargs, kwargs.pop("training")
    names = _call_parameters(cls)
    if "training" in names and (at := names.index("training")) < len(args):
        kwargs = {**kwargs, **dict(zip(names[at + 1:], args[at + 1:], strict=False))}
        return args[:at], kwargs, args[at]
    return args, kwargs, None
