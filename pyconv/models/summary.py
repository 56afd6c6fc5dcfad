"""The table that `Model.summary` prints."""

from __future__ import annotations

import math

from ..graph import Call, flatten, is_nest, map_structure, trace
from ..layers.input_spec import is_shape, show
from ..layers.layer import Layer

__all__ = ["multiply_adds", "write"]


def count_nodes(graph) -> int:
    """The multiplications (each with an addition) of all convolutions and matrix products of a graph."""
    total = 0
    for node in graph.nodes():
        if node.op == "conv":
            total += math.prod(node.output.shape) * math.prod(node.inputs[1].shape[:-1])
        elif node.op == "conv_input_gradient":       # as many as the convolution that it transposes
            total += math.prod(node.inputs[0].shape) * math.prod(node.inputs[1].shape[:-1])
        elif node.op == "matmul":
            inner = node.inputs[0].shape[-2 if node.attrs["transpose_a"] else -1]
            total += math.prod(node.output.shape) * inner
    return total


def multiply_adds(call: Call) -> int | None:
    """Multiply-adds of a recorded call for one sample; None if a size other than the batch is open."""
    if any(None in t.shape[1:] for t in call.inputs):
        return None
    specs = [((1, *t.shape[1:]) if t.shape else (), t.dtype) for t in call.inputs]
    keys = [id(t) for t in call.inputs]
    return count_nodes(trace(lambda *tensors: call(dict(zip(keys, tensors, strict=True))), specs)[0])


def _shapes(nest) -> str:
    if nest is None:
        return "?"
    shapes = map_structure(lambda t: _Shape(t.shape), nest)
    if isinstance(shapes, _Shape):
        return show(shapes.shape)
    return ", ".join(show(s.shape) for s in flatten(shapes))


class _Shape:
    def __init__(self, shape):
        self.shape = shape


def _rows(model, expand, depth=0, prefix=""):
    """(name (type), output shape, parameters, multiply-adds, connected to, trainable, depth)"""
    network = model._network
    if network is None:
        for layer in model.layers:
            yield (f"{layer.name} ({type(layer).__name__})", _traced_shape(layer),
                   layer.count_params() if layer.built else None, _traced_multiply_adds(layer), "",
                   layer.trainable, depth)
            if expand and hasattr(layer, "_network"):
                yield from _rows(layer, expand, depth + 1)
        return
    names = {id(t): layer.name for layer, t in zip(network.input_layers, network.flat_inputs, strict=True)}
    seen = set()
    if not hasattr(model, "_sequence"):
        for layer in network.input_layers:
            yield f"{layer.name} (InputLayer)", show(layer.batch_shape), 0, 0, "-", True, depth
    for call in network.calls:
        target = call.target
        is_layer = isinstance(target, Layer)
        name = target.name if is_layer else target.__name__
        for tensor in flatten(call.results):
            names.setdefault(id(tensor), name)
        label = f"{name} ({type(target).__name__ if is_layer else 'function'})"
        parameters = target.count_params() if is_layer and id(target) not in seen else 0
        sources = ", ".join(dict.fromkeys(names[id(t)] for t in call.inputs))
        yield (label, _shapes(call.results), parameters, multiply_adds(call), sources,
               target.trainable if is_layer else True, depth)
        if expand and is_layer and hasattr(target, "_network") and id(target) not in seen:
            yield from _rows(target, expand, depth + 1)
        seen.add(id(target))


def _traced_shape(layer) -> str:
    """What a layer of a subclassed model gave when it was last traced."""
    nest = layer._traced[1] if layer._traced else None
    if nest is None:
        return "?"
    if is_shape(nest):
        return show((None, *nest[1:]))
    return ", ".join(show((None, *s[1:])) for s in (nest.values() if isinstance(nest, dict) else nest)
                     if is_nest(s))


def _traced_multiply_adds(layer) -> int | None:
    """Multiply-adds for one sample of a subclassed model's layer, at the shape that it was last given."""
    if not layer._traced or not is_shape(layer._traced[0]):
        return None
    try:
        return count_nodes(trace(layer, [((1, *layer._traced[0][1:]), layer.compute_dtype)])[0])
    except (ValueError, TypeError):             # it takes something other than one float tensor
        return None


def _number(n) -> str:
    return "?" if n is None else f"{n:,}"


def _size(n_bytes) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if n_bytes < 1024 or unit == "GB":
            return f"{n_bytes:.2f} {unit}"
        n_bytes /= 1024


def _total(variables) -> str:
    count = sum(math.prod(v.shape) for v in variables)
    return f"{count:,} ({_size(sum(v.peek().nbytes for v in variables))})"


def write(model, line_length, print_fn, expand_nested, show_trainable, layer_range):
    """Print the table line by line with `print_fn`."""
    rows = list(_rows(model, expand_nested))
    if layer_range is not None:
        rows = _between(model, rows, layer_range)
    chain = all(row[4] in ("", "-") or "," not in row[4] for row in rows) and not _branches(model)
    columns = ["Layer (type)", "Output shape", "Params", "Multiply-adds"]
    table = [["    " * row[6] + row[0], row[1], _number(row[2]), _number(row[3])] for row in rows]
    if not chain:
        columns.append("Connected to")
        table = [[*line, row[4]] for line, row in zip(table, rows, strict=True)]
    if show_trainable:
        columns.append("Trainable")
        table = [[*line, "yes" if row[5] else "no"] for line, row in zip(table, rows, strict=True)]
    widths = [max(len(line[i]) for line in [columns, *table]) for i in range(len(columns))]
    spare = (line_length or 0) - sum(widths) - 2 * len(widths) + 2
    if spare > 0:
        widths[0] += spare
    elif line_length:
        widths[0] = max(12, widths[0] + spare)       # long names are cut, numbers never
    width = sum(widths) + 2 * len(widths) - 2

    def line(cells):
        parts = [cell[:w].rjust(w) if i in (2, 3) else cell[:w].ljust(w)
                 for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
        return "  ".join(parts).rstrip()

    print_fn(f'{type(model).__name__}: "{model.name}"')
    print_fn("-" * width)
    print_fn(line(columns))
    print_fn("=" * width)
    for cells in table:
        print_fn(line(cells))
    print_fn("=" * width)
    if not model.built or any(row[2] is None for row in rows):
        print_fn("Some layers are not built yet: their weights are made at the first call, or by "
                 "build(input_shape).")
    print_fn(f"Total params: {_total(model.weights)}")
    print_fn(f"Trainable params: {_total(model.trainable_weights)}")
    print_fn(f"Non-trainable params: {_total(model.non_trainable_weights)}")
    macs = [row[3] for row in rows if row[6] == 0]
    if macs and None not in macs:
        print_fn(f"Multiply-adds per sample: {sum(macs):,}")
    print_fn("-" * width)


def _branches(model) -> bool:
    """Whether some tensor of the functional graph is used twice, or there are several inputs or outputs."""
    if model._network is None:
        return False
    uses = [id(t) for call in model._network.calls for t in call.inputs]
    return len(set(uses)) < len(uses) or len(model.inputs) > 1 or len(model.outputs) > 1


def _between(model, rows, layer_range):
    names = [row[0].split(" (")[0] for row in rows]
    if not isinstance(layer_range, (list, tuple)) or len(layer_range) != 2:
        raise ValueError("layer_range must be the names of the first and the last layer, got "
                         f"{layer_range!r}.")
    for name in layer_range:
        if name not in names:
            model.get_layer(name)                    # raises with the nearest name
    first, last = (names.index(name) for name in layer_range)
    return rows[first:last + 1]
