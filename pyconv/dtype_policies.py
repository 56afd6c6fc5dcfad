"""Which types layers compute in and keep their variables in, by name: "float32", "mixed_float16" and so on.

A layer with a mixed policy casts its float inputs and its weights to float16 or bfloat16 and computes in it; the
weights themselves, and what the optimizer keeps, stay float32.
Source: Micikevicius et al., *Mixed precision training*, 2018.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import MutableMapping

from .config import dtype_policy

__all__ = ["DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "deserialize", "get", "serialize"]

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
            name = _default(dtype_policy()).name
        if not isinstance(name, str):
            raise TypeError(f"DTypePolicy: name must be a string such as 'mixed_float16', got {name!r}.")
        if name not in POLICIES:
            close = difflib.get_close_matches(name, POLICIES, 1, 0.5)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            if name in ("float16", "bfloat16"):
                hint = f"pyconv keeps weights, and what optimizers know of them, in float32, as {name} would lose " \
                       f"small updates; the policy 'mixed_{name}' computes in {name}. "
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
        return type(other) is DTypePolicy and other._name == self._name

    def __hash__(self):
        return hash(("DTypePolicy", self._name))

    def __repr__(self):
        return f'<DTypePolicy "{self._name}">'


FloatDTypePolicy = DTypePolicy      # Keras has both names


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Policies of layers by their paths, and one for all other layers. Behaves like a dictionary.

    A layer that is given a map, or is made while one is the policy of the process, looks up its `path` when it is
    built::

        policies = pyconv.dtype_policies.DTypePolicyMap("mixed_float16")
        policies["classifier"] = "float32"                    # the layer with this path
        policies[r"encoder/.*"] = "mixed_bfloat16"            # layers whose whole path fits the regular expression
        pyconv.config.set_dtype_policy(policies)

    Parameters
    ----------
    default_policy: str or DTypePolicy, optional
        That of paths that fit no key; default the current policy, `pyconv.config.dtype_policy()`, also when a map is
        made again from its configuration.
    policy_map: dict, optional
        path or regular expression -> policy.

    Attributes
    ----------
    default_policy: DTypePolicy
    name: str
        "map_" and the default's name. `compute_dtype`, `variable_dtype` and `quantization_mode` are the default's.

    Raises
    ------
    ValueError
        For policies that are not known, maps within a map, keys that are there already, keys that are no regular
        expressions, and paths that fit several of these (but no key exactly).
    TypeError
        If `policy_map` is no dictionary, or a key no string.
    """

    def __init__(self, default_policy=None, policy_map=None):
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(f"DTypePolicyMap: policy_map must be a dictionary path -> policy, got {policy_map!r}.")
        self._given = None if default_policy is None else _plain(default_policy, "default_policy")
        self._default_policy, self._policies = self._given or _default(dtype_policy()), {}
        for key, policy in (policy_map or {}).items():
            self[key] = policy

    @property
    def default_policy(self) -> DTypePolicy:
        return self._default_policy

    @property
    def name(self) -> str:
        return f"map_{self._default_policy.name}"

    @property
    def _name(self) -> str:
        return self._default_policy.name

    def __getitem__(self, path) -> DTypePolicy:
        """The policy of the layer with this path."""
        if path in self._policies:
            return self._policies[path]
        fitting = [key for key in self._policies if re.fullmatch(key, path)]
        if len(fitting) > 1:
            raise ValueError(f"DTypePolicyMap: the path {path!r} fits {' and '.join(map(repr, fitting))}. "
                             f"Make the regular expressions exclude each other, or add the path itself.")
        return self._policies[fitting[0]] if fitting else self._default_policy

    def __setitem__(self, key, policy):
        if not isinstance(key, str):
            raise TypeError(f"DTypePolicyMap: keys are paths of layers or regular expressions, got {key!r}.")
        if key in self._policies:
            raise ValueError(f"DTypePolicyMap: {key!r} has the policy {self._policies[key].name!r} already; delete it "
                             f"first.")
        try:
            re.compile(key)
        except re.error as error:
            raise ValueError(f"DTypePolicyMap: the key {key!r} is no regular expression: {error}.") from None
        self._policies[key] = _plain(policy, f"the policy of {key!r}")

    def __delitem__(self, key):
        del self._policies[key]

    def __contains__(self, key):
        return key in self._policies

    def __iter__(self):
        return iter(self._policies)

    def __len__(self):
        return len(self._policies)

    def get_config(self) -> dict:
        return {"default_policy": None if self._given is None else serialize(self._given),
                "policy_map": {key: serialize(policy) for key, policy in self._policies.items()}}

    def __eq__(self, other):
        return type(other) is DTypePolicyMap and other._default_policy == self._default_policy \
            and other._policies == self._policies

    __hash__ = None

    def __repr__(self):
        mapping = {key: policy.name for key, policy in self._policies.items()}
        return f"<DTypePolicyMap default_policy={self._default_policy.name!r}, mapping={mapping}>"


def _plain(policy, what) -> DTypePolicy:
    policy = get(policy)
    if isinstance(policy, DTypePolicyMap):
        raise ValueError(f"DTypePolicyMap: {what} cannot be a map itself.")
    return policy


def _default(policy) -> DTypePolicy:
    return policy.default_policy if isinstance(policy, DTypePolicyMap) else policy


def has_float16(policy) -> bool:
    """Whether layers may compute in float16 under a policy, whose gradients need scaling."""
    names = [policy.name]
    if isinstance(policy, DTypePolicyMap):
        names = [policy.default_policy.name, *(p.name for p in policy._policies.values())]
    return "mixed_float16" in names


def serialize(dtype_policy: DTypePolicy) -> dict:
    """The policy as a dictionary of its class name and configuration."""
    return {"class_name": type(dtype_policy).__name__, "config": dtype_policy.get_config()}


def deserialize(config: dict, custom_objects=None) -> DTypePolicy:
    """The policy that `serialize`, or Keras's, described. custom_objects: there for code written for Keras."""
    inner = config.get("config") if isinstance(config, dict) else None
    if isinstance(inner, dict) and config.get("class_name") == "DTypePolicyMap" and "policy_map" in inner:
        return DTypePolicyMap(inner.get("default_policy"), dict(inner["policy_map"]))
    if not isinstance(inner, dict) or "name" not in inner:
        raise ValueError(f"A dtype policy's configuration is a dictionary with 'class_name' and 'config', which has a "
                         f"'name'; got {config!r}.")
    return DTypePolicy(inner["name"])


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
