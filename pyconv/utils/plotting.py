"""Pictures of models, in the language of Graphviz."""

from __future__ import annotations

import os

from ..graph import flatten
from ..layers.input_spec import show
from ..layers.layer import Layer
from .configurable import describe

__all__ = ["model_to_dot", "plot_model"]

SPLINES = ("ortho", "curved", "polyline", "spline", "line")


def _text(value) -> str:
    """A text within quotes, or within a record's field."""
    for char in '\\{}|<>"':
        value = value.replace(char, "\\" + char)
    return value


def _shape_of(layer, call, outputs) -> str:
    if call is not None:
        tensors = flatten(call.results) if outputs else call.inputs
    else:
        tensors = [layer.output] if hasattr(layer, "output") else []
    return ", ".join(show(t.shape) for t in tensors)


class _Drawing:
    """The lines of a graph, for a model and those within it."""

    def __init__(self, shapes, dtypes, names, activations, trainable, expand):
        self.options = shapes, dtypes, names, activations, trainable
        self.expand, self.lines, self.count = expand, [], 0

    def label(self, target, call):
        shapes, dtypes, names, activations, trainable = self.options
        kind = type(target).__name__ if isinstance(target, Layer) else target.__name__ + "()"
        name = getattr(target, "name", None)
        title = f"{name} ({kind})" if names and name else kind
        activation = getattr(target, "activation", None)
        if activations and activation is not None:
            title += f" | {getattr(activation, '__name__', type(activation).__name__)}"
        if trainable and isinstance(target, Layer) and target.weights:
            title += " | " + ("trainable" if target.trainable else "frozen")
        fields = [_text(title).replace(" \\| ", " | ")]
        if shapes:
            inside = _text(_shape_of(target, call, False)) if call is not None else ""
            fields.append((f"in: {inside} | " if inside else "") + f"out: "
                                                                   f"{_text(_shape_of(target, call, True))}")
        if dtypes:
            tensors = flatten(call.results) if call is not None else [target.output]
            fields.append(_text(", ".join(t.dtype for t in tensors)))
        return " | ".join("{" + f + "}" if " | " in f else f for f in fields)

    def node(self, target, call, indent):
        self.count += 1
        key = f"n{self.count}"
        self.lines.append(f'{indent}{key} [label="{{{self.label(target, call)}}}"];')
        return key

    def draw(self, model, given, indent):
        """Draw a model; `given` are the nodes of its inputs, or None. Returns the nodes of its outputs."""
        network, keys = model._network, {}
        for index, (layer, tensor) in enumerate(zip(network.input_layers, network.flat_inputs, strict=True)):
            keys[id(tensor)] = given[index] if given else self.node(layer, None, indent)
        for call in network.calls:
            inner = getattr(call.target, "_network", None) if self.expand else None
            sources = [keys[id(t)] for t in call.inputs]
            results = flatten(call.results)
            if inner is not None and len(inner.flat_inputs) == len(sources):
                self.lines.append(f'{indent}subgraph "cluster_{len(self.lines)}" {{')
                self.lines.append(f'{indent}  label="{_text(call.target.name)}";')
                outputs = self.draw(call.target, sources, indent + "  ")
                self.lines.append(indent + "}")
                keys.update((id(t), key) for t, key in zip(results, outputs, strict=True))
                continue
            key = self.node(call.target, call, indent)
            self.lines += [f"{indent}{source} -> {key};" for source in dict.fromkeys(sources)]
            keys.update((id(t), key) for t in results)
        return [keys[id(t)] for t in network.flat_outputs]


def model_to_dot(model, show_shapes=False, show_dtype=False, show_layer_names=True, rankdir="TB",
                 expand_nested=False, dpi=200, subgraph=False, show_layer_activations=False, show_trainable=False,
                 splines="ortho") -> str:
    """A model's graph in the DOT language of Graphviz, a text; see `plot_model` for the arguments.

    subgraph: whether the text is a cluster, to be part of another graph; default False.
    """
    from ..models import Model
    if not isinstance(model, Model):
        raise TypeError(f"model_to_dot takes a model, got {describe(model)}.")
    if model._network is None:
        raise ValueError(f"{model._title()} has no graph of layers to draw: it is a subclass with a call() "
                         f"of its "
                         "own, or not built yet.")
    if rankdir not in ("TB", "BT", "LR", "RL"):
        raise ValueError(f"rankdir={describe(rankdir)} must be 'TB', 'BT', 'LR' or 'RL'.")
    if splines not in SPLINES:
        raise ValueError(f"splines={describe(splines)} must be one of {', '.join(map(repr, SPLINES))}.")
    drawing = _Drawing(show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable,
                       expand_nested)
    drawing.draw(model, None, "  ")
    if subgraph:
        head = [f'subgraph "cluster_{_text(model.name)}" {{', f'  label="{_text(model.name)}";', "  style=dashed;"]
    else:
        head = [f'digraph "{_text(model.name)}" {{', f"  rankdir={rankdir};", f"  dpi={int(dpi)};",
                f"  splines={splines};", '  node [shape=record, fontname="Helvetica"];']
    return "\n".join([*head, *drawing.lines, "}", ""])


def plot_model(model, to_file="model.png", show_shapes=False, show_dtype=False, show_layer_names=False,
               rankdir="TB", expand_nested=False, dpi=200, show_layer_activations=False,
               show_trainable=False, splines="ortho") -> str:
    """Draw a functional or sequential model.

    Parameters
    ----------
    model: Model
        It must be built.
    to_file: str or path
        Ends in ".dot" for the text of the graph, which needs nothing; else ".png", ".svg", ".pdf" or any
        other format of Graphviz, whose program ``dot`` must be installed.
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: bool
        What stands in each box besides the class; default nothing.
    rankdir: str
        "TB" from top to bottom (default), or "LR" from left to right.
    expand_nested: bool
        Whether models within the model are drawn layer by layer.
    dpi: int
        Default 200.
    splines: str
        How arrows are drawn: "ortho" (default, right angles), "curved", "polyline", "spline", "line".

    Returns
    -------
    str
        The path of the file.

    Raises
    ------
    ValueError
        For models without a graph, and files without an ending.
    RuntimeError
        If Graphviz is missing or fails; the message tells what to do.
    """
    import subprocess

    from ..saving.atomic import replacing
    path = os.fspath(to_file)
    kind = os.path.splitext(path)[1].lstrip(".").lower()
    if not kind:
        raise ValueError(f"plot_model: to_file={path!r} needs an ending, such as .png, .svg or .dot.")
    text = model_to_dot(model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
                        False, show_layer_activations, show_trainable, splines).encode()
    if kind not in ("dot", "gv"):
        try:
            text = subprocess.run(["dot", f"-T{kind}"], input=text, capture_output=True, check=True).stdout
        except FileNotFoundError:
            raise RuntimeError("plot_model draws with Graphviz, whose program 'dot' was not found: install "
                               "graphviz (apt install graphviz, brew install graphviz), or write the text of "
                               "the graph with to_file='model.dot'.") from None
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"Graphviz could not draw {path!r}: "
                               f"{error.stderr.decode(errors='replace').strip()}") from None
    with replacing(path) as file:
        file.write(text)
    return path
