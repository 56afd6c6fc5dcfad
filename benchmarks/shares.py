"""Where the time of pyconv's step goes: its layers, in families."""

from __future__ import annotations

FAMILIES = {"convolution": {"conv", "conv_input_gradient", "conv_kernel_gradient"}, "dense": {"matmul"},
            "pooling": {"max_pool", "max_pool_gradient", "avg_pool", "avg_pool_gradient"}}
REST, OUTSIDE = "normalization and others", "loss, optimizer, metrics, data"


def family(record) -> str:
    for name, ops in FAMILIES.items():
        if ops & set(record.ops):
            return name
    return REST if record.layer else OUTSIDE


def families(records) -> dict:
    """Family -> {"milliseconds" of one thread, "gigaflop" by the definition, "megabytes"}, from `Model.profile`.

    Of a fused layer those ops count that are left to it: a batch normalization in training is one of its own.
    """
    found: dict = {}
    for record in records:
        entry = found.setdefault(family(record), {"milliseconds": 0.0, "gigaflop": 0.0, "megabytes": 0.0})
        for key in entry:
            entry[key] += getattr(record, key)
    return found
