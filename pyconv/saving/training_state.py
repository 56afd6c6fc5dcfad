"""An optimizer's state as named arrays: steps taken, learning rate, and what it keeps for each weight."""

from __future__ import annotations

from ..graph import Variable
from .matching import assign_all
from .names import named_variables

__all__ = ["optimizer_arrays", "optimizers_of", "restore_optimizer", "undecayed"]

_SEPARATOR = "//"        # between a weight's name and that of a state variable of it


def optimizers_of(model) -> dict:
    """Attribute -> optimizer of all that a model has: that of `compile`, and those of its own training step."""
    from ..optimizers import Optimizer
    found = {}
    for attribute, value in sorted(vars(model).items(), key=lambda item: item[0] != "optimizer"):
        if isinstance(value, Optimizer) and all(value is not other for other in found.values()):
            found[attribute] = value
    return found


def _names_of_weights(model) -> dict:
    return {id(variable): name for name, variable in named_variables(model, seeds=False).items()}


def _named(optimizer, model) -> dict:
    """Name -> Variable of an optimizer: ``iterations``, ``learning_rate``, ``conv2d/kernel//momentum``."""
    weights, names = _names_of_weights(model), {}
    for table in vars(getattr(optimizer, "inner_optimizer", optimizer)).values():
        if not isinstance(table, dict):
            continue
        for weight in getattr(optimizer, "_weights", ()):
            own = table.get(id(weight), ())
            for index, state in enumerate(own if isinstance(own, (tuple, list)) else [own]):
                if isinstance(state, Variable):
                    slot = state.name.removeprefix(weight.path.replace("/", "_") + "_")
                    slot = slot if slot != state.name else str(index)
                    names[id(state)] = f"{weights.get(id(weight), weight.path)}{_SEPARATOR}{slot}"
    found: dict = {}
    for variable in optimizer.variables:
        name = base = names.get(id(variable), variable.name)
        number = 0
        while name in found:
            number += 1
            name = f"{base}_{number}"
        found[name] = variable
    return found


def optimizer_arrays(optimizer, model) -> dict:
    """Name -> array, in the order of the optimizer's variables."""
    return {name: variable.peek() for name, variable in _named(optimizer, model).items()}


def undecayed(optimizer, model) -> list:
    """The names of the weights that were left out of the weight decay."""
    if not getattr(optimizer, "_excluded", ()):
        return []
    return [name for name, variable in named_variables(model, seeds=False).items()
            if not optimizer._decays(variable)]


def restore_optimizer(optimizer, model, arrays, label, excluded=()):
    """Give a new optimizer the state that `optimizer_arrays` gave.

    It is first built for the weights that the state is about, in the order that it had: weights that were
    frozen later have state too.

    Raises
    ------
    ValueError
        If names or shapes do not fit; the message lists them.
    """
    variables = named_variables(model, seeds=False)
    if excluded:
        optimizer.exclude_from_weight_decay(var_list=[variables[n] for n in excluded if n in variables])
    known = list(dict.fromkeys(name.split(_SEPARATOR)[0] for name in arrays if _SEPARATOR in name))
    trained = [variables[name] for name in known if name in variables]
    if not trained and _took_steps(arrays):     # an optimizer without state per weight, such as plain SGD
        trained = model.trainable_variables
    if trained:
        optimizer.build(trained)
    assign_all(arrays, _named(optimizer, model), label, f"optimizer {optimizer.name!r}",
               advice="With compile=False the model is loaded without its optimizer.")


def _took_steps(arrays) -> bool:
    return "iterations" in arrays and int(arrays["iterations"]) > 0
