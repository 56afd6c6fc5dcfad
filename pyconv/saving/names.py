"""Names for a model's variables that depend on its structure alone.

A layer that was given no name is called dense_3 in one process and dense in another. In files such names are
counted anew within each model: a name is a path such as ``encoder/conv2d_1/kernel``.
"""

from __future__ import annotations

import re

from ..graph import Variable
from ..layers.tracking import Owner
from ..random import SeedGenerator
from ..utils.naming import snake_case

__all__ = ["named_variables", "short_names"]


def _free(name, taken) -> str:
    """`name`, or with the first number that makes it new; it counts as taken from then on."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def short_names(layers) -> list:
    """One name per layer, each once: its own, or, where that was made automatically, its class's name with a
    number in the order of the list."""
    bases = [snake_case(type(layer).__name__).lstrip("_") for layer in layers]
    automatic = [bool(re.fullmatch(re.escape(base) + r"(_\d+)?", layer.name)) or _is_network_name(layer)
                 for layer, base in zip(layers, bases, strict=True)]
    taken = {layer.name for layer, auto in zip(layers, automatic, strict=True) if not auto}
    return [_free(base, taken) if auto else layer.name
            for layer, base, auto in zip(layers, bases, automatic, strict=True)]


def _is_network_name(layer) -> bool:
    return getattr(layer, "_network", None) is not None and bool(re.fullmatch(r"functional(_\d+)?",
                                                                              layer.name))


def _members(owner) -> list:
    """(name, variable, seed generator or sub-layer) of an owner, in the order of its attributes."""
    found, seen, taken = [], {id(owner)}, set()

    def visit(name, value):
        if isinstance(value, (Variable, SeedGenerator, Owner)):
            if id(value) not in seen:
                seen.add(id(value))
                found.append((_free(name, taken), value))
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                visit(f"{name}/{index}", item)
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(f"{name}/{key}", item)

    for variable in owner.__dict__.get("_weights", ()):
        visit(variable.name, variable)
    layers = _chain(owner)
    for name, layer in zip(short_names(layers), layers, strict=True):
        visit(name, layer)
    for key, value in owner.__dict__.items():
        if key not in owner._untracked:
            visit(key.lstrip("_"), value)
    return found


def _chain(owner) -> list:
    """The layers of a functional or sequential model, without its inputs."""
    network = getattr(owner, "_network", None)
    layers = owner.__dict__.get("_sequence") or (network.layers if network is not None else [])
    return [layer for layer in layers if type(layer).__name__ != "InputLayer"]


def named_variables(owner, seeds=True) -> dict:
    """Name -> Variable of all variables of a layer or model, those of random generators too if `seeds`.

    The order is that of the structure; a shared layer stands where it is met first.
    """
    found, seen = {}, set()

    def visit(owner, prefix):
        if id(owner) in seen:
            return
        seen.add(id(owner))
        for name, member in _members(owner):
            if isinstance(member, Owner):
                visit(member, f"{prefix}{name}/")
            elif isinstance(member, SeedGenerator):
                if seeds:
                    found.setdefault(member.state, f"{prefix}{name}/{member.state.name}")
            else:
                found.setdefault(member, prefix + name)

    visit(owner, "")
    taken: set = set()
    names = {_free(name, taken): variable for variable, name in found.items()}
    for variable in owner.variables if seeds else owner.weights:      # whatever an owner of another kind has
        if variable not in found:
            names[_free(variable.path, taken)] = variable
    return names
