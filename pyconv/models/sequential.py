"""Models that are a chain of layers."""

from __future__ import annotations

from ..graph import FunctionalTensor, flatten
from ..layers import deserialize
from ..layers.core import InputLayer
from ..layers.input_spec import is_data, is_shape, shape_of
from ..layers.layer import Layer, policy_config
from ..utils.configurable import describe, serialize
from .functional import Network
from .model import Model

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers, each called on what the one before gives.

    With an `Input` in front, the weights are made as layers are added; without, at the first call or by
    ``build(input_shape)``::

        model = pyconv.Sequential([pyconv.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])

    Parameters
    ----------
    layers: list of Layer, optional
        The first may be an `Input`.
    trainable, name: see `Layer`.

    Raises
    ------
    TypeError
        For things that are no layers.
    ValueError
        If two layers have the same name, or a layer does not fit behind the one before.
    """

    _untracked = Model._untracked | {"_tensors"}

    def __init__(self, layers=None, trainable=True, name=None, **kwargs):
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._sequence = []          # the layers, an InputLayer among them
        self._tensors = []           # the input of the functional API, and what each layer makes of it
        self._dtype_hint = None
        for layer in layers or []:
            self.add(layer)

    @property
    def layers(self) -> list:
        """The layers in order, without the Input."""
        return [layer for layer in self._sequence if not isinstance(layer, InputLayer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError(f"{self._title()}: layers are changed with add() and pop().")

    def _owned(self):
        return Layer._owned(self)    # in order of the list, whether built or not

    def _has_input(self):
        return bool(self._sequence) and isinstance(self._sequence[0], InputLayer)

    # ---- the list

    def add(self, layer, rebuild=True):
        """Append a layer. `rebuild` is there for code written for Keras, and ignored."""
        if isinstance(layer, FunctionalTensor) and layer.call is None:
            layer = InputLayer(input_tensor=layer, name=layer.name)
        if not isinstance(layer, Layer):
            hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"{self._title()}: only layers can be added, got {describe(layer)}{hint}.")
        if any(layer is other for other in self._sequence):
            raise ValueError(f"{self._title()}: layer {layer.name!r} is in the model already; a layer can "
                             f"stand in a Sequential model once. Use the functional API to share it.")
        if any(layer.name == other.name for other in self._sequence):
            raise ValueError(f"{self._title()}: the model has a layer with the name {layer.name!r} already; "
                             f"names must differ.")
        if isinstance(layer, InputLayer):
            if self._sequence:
                raise ValueError(f"{self._title()}: an Input can only come first; the model has "
                                 f"{len(self._sequence)} layers already.")
            self._sequence, self._tensors = [layer], [layer.output]
            return
        if not self._sequence:
            self._begin(layer)
        elif not self._has_input():
            self._forget()           # built without an Input: the shapes are found out again at the next call
        if self._tensors:
            self._append(layer)
        self._sequence.append(layer)
        self._changed()

    def _begin(self, layer):
        """The Input that a first layer may bring: by its argument `input_shape`, or being a model itself."""
        shape = layer._input_shape_argument
        if shape is not None:
            self.add(InputLayer(shape))
        elif isinstance(layer, Model) and layer._network is not None and len(layer.inputs) == 1:
            self.add(InputLayer(batch_shape=layer.inputs[0].shape, dtype=layer.inputs[0].dtype))

    def pop(self, rebuild=True) -> Layer:
        """Remove the last layer and return it. IndexError if there is none."""
        if not self.layers:
            raise IndexError(f"{self._title()} has no layer to remove.")
        layer = self._sequence.pop()
        if len(self._tensors) > 1:
            tensor = self._tensors.pop()
            layer._inbound = [call for call in layer._inbound if call is not flatten(tensor)[0].call]
        self._changed()
        return layer

    def _append(self, layer):
        last = self._tensors[-1]
        if not isinstance(last, FunctionalTensor):
            raise ValueError(f"{self._title()}: layer {layer.name!r} cannot follow one with several "
                             f"outputs; use the functional API.")
        with self._scope():
            self._tensors.append(layer(last))

    def _forget(self):
        for layer, tensor in zip(self.layers, self._tensors[1:], strict=False):
            layer._inbound = [call for call in layer._inbound if call is not flatten(tensor)[0].call]
        self._tensors = []

    def _changed(self):
        """Renew what follows from the list."""
        self._programs, self._function_holder = {}, None
        built = len(self._tensors) > 1
        self._network = Network(self._tensors[0], self._tensors[-1], self._title()) if built else None
        self.autocast = not self._has_input()
        self.built = built

    # ---- building and calling

    def build(self, input_shape=None):
        """Make all weights, for inputs of `input_shape`, with None for the batch and other open sizes."""
        if not self.layers:
            raise ValueError(f"{self._title()} has no layers; add some first.")
        if self._has_input():
            return
        if not is_shape(input_shape):
            raise ValueError(f"{self._title()}: input_shape must be one tuple of ints and None, got "
                             f"{describe(input_shape)}.")
        self._tensors = [FunctionalTensor(tuple(input_shape), self._dtype_hint or self.dtype, "input")]
        try:
            for layer in self.layers:
                self._append(layer)
        except Exception:
            self._forget()
            raise
        self._changed()

    def _ensure_built(self, args, kwargs, open_batch=True):
        if not self.built:
            tensors = [t for t in flatten(args[:1]) if is_data(t)]
            if len(tensors) != 1:
                raise TypeError(f"{self._title()} takes one tensor or array, got {len(tensors)}.")
            self._dtype_hint = str(tensors[0].dtype)
            shape = shape_of(tensors[0])
            self.build((None, *shape[1:]) if open_batch and shape else shape)

    def _check_inputs(self, inputs):
        if self._has_input():
            super()._check_inputs(inputs)

    def call(self, inputs):
        x = self._network.standardize(inputs)[0] if self._has_input() else inputs
        for layer in self.layers:
            x = layer(x)
        return x

    def compute_output_shape(self, input_shape):
        """The shape that the model gives for inputs of `input_shape`."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # ---- configuration

    def get_config(self):
        config = {"name": self.name, "trainable": self.trainable, "dtype": policy_config(self.dtype_policy),
                  "layers": [serialize(layer) for layer in self._sequence]}
        if self._tensors:
            config["build_input_shape"] = self._tensors[0].shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if "layers" not in config:
            return Layer.from_config.__func__(cls, config)
        model = cls(name=config.get("name"), trainable=config.get("trainable", True),
                    dtype=config.get("dtype"))
        for layer in config["layers"]:
            model.add(deserialize(layer, custom_objects))
        shape = config.get("build_input_shape")
        if shape and not model.built and model.layers:
            model.build(tuple(shape))
        return model
