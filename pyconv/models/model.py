"""Models: layers that can be trained."""

from __future__ import annotations

from ..graph import flatten, map_structure
from ..graph.functional import infer
from ..layers.layer import Layer
from ..utils.configurable import describe
from ..utils.naming import find, unique_name
from .functional import Network
from .trainer import Trainer

__all__ = ["Model", "clone_model"]


class Model(Trainer, Layer):
    """A layer with a training loop: `compile`, `fit`, `evaluate`, `predict`.

    Either of tensors of the functional API::

        inputs = pyconv.Input((28, 28, 1))
        outputs = layers.Dense(10)(layers.Flatten()(inputs))
        model = pyconv.Model(inputs, outputs)

    or as a subclass that makes layers in ``__init__`` and calls them in ``call(self, inputs)``.

    Parameters
    ----------
    inputs, outputs: FunctionalTensor, or a list, tuple or dictionary of them
        Both or none.
    name, trainable, dtype: see `Layer`.

    Calling a model on arrays gives NumPy arrays; the arrays are cast to the type of the Input within the
    program, and a last axis of length 1 may be missing: images (n, 28, 28) fit an Input((28, 28, 1)).

    Raises
    ------
    ValueError
        If an output depends on an Input that is not among the inputs (its name is told), or two layers have
        one name.
    TypeError
        If inputs or outputs are not tensors of the functional API.
    """

    _untracked = Layer._untracked | {"_network", "history", "optimizer"}
    _not_configured = ("autocast", "inputs", "outputs")

    def __init__(self, inputs=None, outputs=None, name=None, trainable=True, dtype=None, **kwargs):
        if name is None and inputs is not None and type(self) is Model:
            name = unique_name("functional")
        Layer.__init__(self, name=name, trainable=trainable, dtype=dtype, **kwargs)
        self._network = None
        if (inputs is None) != (outputs is None):
            raise ValueError(f"{self._title()}: give both inputs and outputs, or none of them in a subclass "
                             "with a call().")
        if inputs is not None:
            self._set_network(Network(inputs, outputs, self._title()))
        if "__init__" in Trainer.__dict__:
            Trainer.__init__(self)

    def _title(self):
        return super()._title().replace("Layer", "Model", 1)

    def _set_network(self, network):
        self._network = network
        self.autocast = False            # the network casts to the types of its inputs
        self.built = True

    # ---- layers

    def _owned(self):
        variables, seeds, layers = super()._owned()
        if self._network is not None:
            known = {id(layer) for layer in self._network.layers}
            layers = [*self._network.layers, *[layer for layer in layers if id(layer) not in known]]
        return variables, seeds, layers

    @property
    def layers(self) -> list:
        """The layers in the order of the computation, InputLayers included; of attributes in a subclass."""
        return self._sublayers()

    def get_layer(self, name=None, index=None) -> Layer:
        """The layer with a name, or at an index of `layers`.

        Raises ValueError if there is none, with the nearest name; IndexError if the index is out of range.
        """
        if (name is None) == (index is None):
            raise ValueError(f"{self._title()}: get_layer takes either a name or an index.")
        layers = self.layers
        if index is None:
            by_name = {layer.name: layer for layer in layers}
            return by_name[name] if name in by_name else find(f"{self._title()}: layer", name, by_name)
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"{self._title()}: get_layer: index must be an int, got {describe(index)}.")
        if not -len(layers) <= index < len(layers):
            raise ValueError(f"{self._title()}: get_layer: index {index} is out of range; the model has "
                             f"{len(layers)} layers.")
        return layers[index]

    # ---- the functional graph

    def _graph(self, what) -> Network:
        if self._network is None:
            raise AttributeError(f"{self._title()} has no {what}: it was not made of tensors of the "
                                 f"functional API{', or is not built yet' if not self.built else ''}.")
        return self._network

    @property
    def inputs(self) -> list:
        """The tensors of the functional API that the model begins with."""
        return self._graph("inputs").flat_inputs

    @property
    def outputs(self) -> list:
        return self._graph("outputs").flat_outputs

    @property
    def input(self):
        """The inputs in the structure that they were given in; a single one as it is."""
        return self._graph("input").inputs

    @property
    def output(self):
        return self._graph("output").outputs

    @property
    def input_shape(self):
        """The shape of the input, None where open; a nest of shapes if there are several."""
        return map_structure(lambda t: t.shape, self._graph("input_shape").inputs)

    @property
    def output_shape(self):
        return map_structure(lambda t: t.shape, self._graph("output_shape").outputs)

    @property
    def input_names(self) -> list:
        return list(self._graph("input_names").input_names)

    @property
    def output_names(self) -> list:
        """The names of the layers that the outputs come from."""
        graph, names = self._graph("output_names"), []
        for tensor in graph.flat_outputs:
            if any(tensor is t for t in graph.flat_inputs) or tensor.call is None:
                names.append(tensor.name)
            else:
                names.append(getattr(tensor.call.target, "name", None) or tensor.call.target.__name__)
        return names

    # ---- building and calling

    def build(self, input_shape):
        """Make all weights, for inputs of `input_shape`: a tuple, None where open, or a nest of tuples."""
        if self._network is not None:
            return
        self.built = True
        try:
            infer(self, (self._functional_inputs(input_shape),), {})
        except Exception:
            self.built = False
            raise

    def _ensure_built(self, args, kwargs, open_batch=True):
        if type(self).build is Model.build:
            self.built = True           # the layers are built when `call` reaches them
        else:
            super()._ensure_built(args, kwargs, open_batch)

    def _check_inputs(self, inputs):
        if self._network is None:
            super()._check_inputs(inputs)
            return
        try:
            self._network.check(inputs)
        except ValueError as error:
            located = ValueError(f"{self._title()}: {error}")
            located.pyconv_located = True
            raise located from None

    def call(self, inputs):
        if self._network is None:
            raise NotImplementedError(f"{self._title()} has no inputs and outputs and defines no call(self, "
                                      "inputs).")
        return self._network(inputs)

    def compute_output_shape(self, input_shape):
        if self._network is not None and flatten(input_shape) == flatten(self.input_shape):
            return self.output_shape
        return super().compute_output_shape(input_shape)

    # ---- reports and configuration

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False,
                show_trainable=False, layer_range=None):
        """Print a table of the layers: output shape, parameters, and multiply-adds for one sample.

        Parameters
        ----------
        line_length: int, optional
            Width of the table; default as wide as needed.
        print_fn: callable, optional
            Called with each line; default print.
        expand_nested: bool
            Whether layers inside of models that are layers are listed too.
        show_trainable: bool
            Whether a column tells which layers are trained.
        layer_range: pair of str, optional
            The names of the first and last layer to list.

        `positions` is there for code written for Keras, and ignored.
        """
        from .summary import write
        write(self, line_length, print_fn or print, expand_nested, show_trainable, layer_range)

    def get_config(self):
        if self._network is None or type(self).__init__ is not Model.__init__:
            return super().get_config()
        from .configuration import network_config
        return {"name": self.name, "trainable": self.trainable, **network_config(self._network)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A model made from what `get_config` gave, with new weights.

        custom_objects: dict, optional
            Name -> class of layers that are not part of pyconv.
        """
        if "input_layers" not in config:
            return super().from_config(config)
        from .configuration import network_from_config
        inputs, outputs = network_from_config(config, custom_objects)
        return cls(inputs, outputs, name=config.get("name"), trainable=config.get("trainable", True))


def clone_model(model):
    """A model with the same layers and new weights, made from the configuration of `model`."""
    return type(model).from_config(model.get_config())
