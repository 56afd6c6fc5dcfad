"""Models: layers that can be trained."""

from __future__ import annotations

from ..graph import current_trace, flatten, map_structure
from ..graph.functional import infer
from ..layers.layer import Layer
from ..metrics import Metric
from ..utils.configurable import describe, serialize
from ..utils.naming import unique_name, unknown
from .functional import Network
from .trainer import Trainer

__all__ = ["Model", "model_from_json"]


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

    _untracked = Layer._untracked | {"_network", "_layer_metrics", "history", "optimizer"}
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
        with self._scope():
            self.built = True

    def __reduce__(self):
        make, args, state = super().__reduce__()
        # The calls come first, in their order: each finds the one before it copied, however deep the network is.
        calls = {"_calls": self._network.calls} if self._network is not None else {}
        state = {name: value for name, value in state.items() if name not in ("_function_holder", "_layer_metrics")}
        return make, args, {**calls, **state}

    def __setstate__(self, state):
        self.__dict__.update((name, value) for name, value in state.items() if name != "_calls")

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
            if not isinstance(name, str):
                raise TypeError(f"{self._title()}: get_layer: name must be a text, got {describe(name)}.")
            if name not in by_name:
                raise unknown(f"{self._title()}: layer", name, by_name)
            return by_name[name]
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"{self._title()}: get_layer: index must be an int, got {describe(index)}.")
        if not -len(layers) <= index < len(layers):
            raise ValueError(f"{self._title()}: get_layer: index {index} is out of range; the model has "
                             f"{len(layers)} layers.")
        return layers[index]

    # ---- metrics

    @property
    def metrics(self) -> list:
        """The metrics: the loss, those given to `compile`, then those that are attributes of the model and
        its layers.

        A layer that makes ``self.size = pyconv.metrics.Mean(name="size")`` and calls
        ``self.size.update_state(...)`` in its `call` has it in the logs of each epoch.
        """
        found = super().metrics
        known = set(map(id, found))
        return found + [m for m in self._metrics_of_layers() if id(m) not in known]

    @property
    def metrics_names(self) -> list:
        names = super().metrics_names
        return names + [m.name for m in self._metrics_of_layers() if m.name not in names]

    def get_metrics_result(self) -> dict:
        results = super().get_metrics_result()
        for metric in self._metrics_of_layers():
            if metric.name not in results:
                results[metric.name] = metric.result()
        return results

    def _metrics_of_layers(self) -> list:
        # Looking through a deep model takes longer than a small step: what was found counts until the steps
        # are traced again, and while they are, layers may make metrics.
        holder, known = self._function_holder, self.__dict__.get("_layer_metrics")
        if holder is not None and known is not None and known[0] is holder and current_trace() is None:
            return known[1]
        found: dict = {}
        for layer in self._flatten_layers():
            for key, value in layer.__dict__.items():
                if key not in layer._untracked and isinstance(value, (Metric, list, tuple, dict)):
                    found.update((id(m), m) for m in flatten([value]) if isinstance(m, Metric))
        self._layer_metrics = holder, list(found.values())
        return self._layer_metrics[1]

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

    def profile(self, x, y=None, sample_weight=None, repeat=5, print_fn=print):
        """Measure where the time of one step goes, by layer, on one thread: of training with `y`, else of inference.

        Weights, optimizer and metrics are afterwards as they were before.

        Parameters
        ----------
        x, y, sample_weight: arrays or nests of arrays
            One batch.
        repeat: int
            How often the step is run, within ten seconds; of each instruction the fastest run counts. Default 5.
        print_fn: callable, optional
            Called with a table of the result; default print. None: no table.

        Returns
        -------
        list of LayerProfile
            In the order of the step: layer, part ("forward" or "backward"), ops, milliseconds, gigaflop, megabytes,
            roofline (the share of what this machine could do at best), and the property gigaflops (a second). What
            belongs to no layer has the name "".

        Raises
        ------
        ValueError
            If the backend is not "cpu", or the model is not compiled and `y` is given.
        """
        from .profiling import measure, table
        records = measure(self, x, y, sample_weight, repeat)
        if print_fn is not None:
            print_fn(table(records, len(flatten(x)[0])))
        return records

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

    # ---- files

    def save(self, filepath, overwrite=True, include_optimizer=True, zipped=None):
        """Save architecture, weights, and the state of the training to a file that ends in ".pyconv".

        `pyconv.models.load_model` makes the model again; for the arguments and errors see
        `pyconv.saving.save_model`.
        """
        from ..saving.model_file import save_model
        save_model(self, filepath, overwrite, include_optimizer, zipped)

    def save_weights(self, filepath, overwrite=True):
        """Save the weights to a safetensors file, such as "model.weights.safetensors".

        Each is named by its place in the model, such as ``conv2d_1/kernel``: layers by their own names, those
        that were named automatically by their class and their number in the model. States of random
        generators are not among the weights. The file is replaced once it is complete.

        Parameters
        ----------
        filepath: str or path
            Must end in ".safetensors".
        overwrite: bool
            Whether an old file is replaced (default); otherwise FileExistsError.

        Raises
        ------
        ValueError
            For other endings, and models that are not built.
        """
        from ..saving.weights import save_weights
        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch=False):
        """Take the weights from a file that `save_weights` or `save` wrote for such a model.

        Parameters
        ----------
        filepath: str or path
            Ends in ".safetensors" or ".pyconv".
        skip_mismatch: bool
            Whether weights of other names or shapes are left alone, with a warning that lists them; default
            False.

        Raises
        ------
        ValueError
            If names or shapes do not fit: the message lists the differences, and nothing has changed. If the
            file is damaged or of another kind, or the model is not built.
        FileNotFoundError
            If there is no such file.
        """
        from ..saving.weights import load_weights
        load_weights(self, filepath, skip_mismatch)

    def compile_from_config(self, config):
        """Call `compile` as `get_compile_config` described. Override both for arguments of your own."""
        from ..saving.objects import resolve_function

        def resolve(value):
            if isinstance(value, dict):
                return value if "class_name" in value else {k: resolve(v) for k, v in value.items()}
            if isinstance(value, (list, tuple)):
                return [resolve(v) for v in value]
            return resolve_function(value)
        self.compile(**{k: v if k == "optimizer" else resolve(v) for k, v in config.items()})

    def to_json(self, **kwargs) -> str:
        """The architecture as JSON, without weights: `pyconv.models.model_from_json` makes the model again.

        kwargs: of `json.dumps`, such as ``indent=1``.
        """
        import json

        from ..saving.objects import to_json
        return json.dumps(to_json(serialize(self), self._title()), **kwargs)


def model_from_json(json_string, custom_objects=None):
    """The model that `Model.to_json` described, with new weights, not compiled.

    custom_objects: dict, optional
        Name -> class or function of one's own, besides the registered ones.

    Raises
    ------
    ValueError
        If the text is no JSON, or describes no model.
    """
    import json

    from ..layers import deserialize
    from ..utils.registry import CustomObjectScope
    try:
        config = json.loads(json_string)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"model_from_json: the text is no JSON: {error}.") from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"model_from_json: the text must describe a model, as Model.to_json() does; got "
                         f"{describe(config)}.")
    with CustomObjectScope(custom_objects):
        model = deserialize(config)
    if not isinstance(model, Model):
        raise ValueError(f"model_from_json: the text describes a {type(model).__name__}, not a model.")
    return model
