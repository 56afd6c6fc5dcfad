"""Which types layers compute in and keep their variables in, by name: "float32", "mixed_float16" and so on.

A layer with a mixed policy casts its float inputs and its weights to float16 or bfloat16 and computes in it; the
weights themselves, and what the optimizer keeps, stay float32.
Source: Micikevicius et al., *Mixed precision training*, 2018.
"""

from __future__ import annotations

import difflib

from .config import dtype_policy

__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "get", "serialize"]

# name -> (type of the computation, type of the variables)
POLICIES = {"float32": ("float32", "float32"), "float64": ("float64", "float64"),
            "mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}


class DTypePolicy:
    """The types of a layer's computation and of its variables.

    Parameters
    ----------
    name: str, optional
        "float32", "float64", "mixed_float16" or "mixed_bfloat16"; default the current policy,
        `pyconv.config.dtype_policy()`.

    Attributes
    ----------
    compute_dtype: str
        "float32", "float64", "float16" or "bfloat16".
    variable_dtype: str
        "float32" or "float64".

    Raises
    ------
    ValueError
        For unknown names; the message says what there is.
    TypeError
        If `name` is no string.
    """

    def __init__(self, name=None):
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise TypeError(f"DTypePolicy: name must be a string such as 'mixed_float16', got {name!r}.")
        if name not in POLICIES:
            close = difflib.get_close_matches(name, POLICIES, 1, 0.5)
            hint = f"pyconv keeps weights in float32; the policy 'mixed_{name}' computes in {name}. " \
                if name in ("float16", "bfloat16") else f"Did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"The dtype policy {name!r} is not known. {hint}Known: "
                             f"{', '.join(map(repr, POLICIES))}.")
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_dtype(self) -> str:
        return POLICIES[self._name][0]

    @property
    def variable_dtype(self) -> str:
        return POLICIES[self._name][1]

    @property
    def quantization_mode(self):
        """None: nothing is quantized."""
        return None

    def get_config(self) -> dict:
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and other._name == self._name

    def __hash__(self):
        return hash(("DTypePolicy", self._name))

    def __repr__(self):
        return f'<DTypePolicy "{self._name}">'


FloatDTypePolicy = DTypePolicy      # Keras has both names


def serialize(policy: DTypePolicy) -> dict:
    """The policy as a dictionary of its class name and configuration."""
    return {"class_name": "DTypePolicy", "config": policy.get_config()}


def deserialize(config: dict, custom_objects=None) -> DTypePolicy:
    """The policy that `serialize`, or Keras's, described. custom_objects: there for code written for Keras."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict) or "name" not in config["config"]:
        raise ValueError(f"A dtype policy's configuration is a dictionary with 'class_name' and 'config', which has a "
                         f"'name'; got {config!r}.")
    return DTypePolicy(config["config"]["name"])


def get(identifier) -> DTypePolicy:
    """A policy from its name, its configuration, an element type such as ``np.float32``, or itself.

    None is the current policy. ValueError for anything else.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(POLICY_OF.get(identifier, identifier))
    from .graph import canonical
    try:
        name = canonical(identifier)
    except TypeError:
        name = None
    if name not in POLICIES:
        raise ValueError(f"{identifier!r} is no dtype policy; give one of {', '.join(map(repr, POLICIES))}.")
    return DTypePolicy(name)


POLICY_OF = {"<f4": "float32", "<f8": "float64", "float": "float32"}
