"""Nested tuples, lists and dictionaries of tensors, taken apart and put together again."""


def is_nest(value) -> bool:
    return isinstance(value, (tuple, list, dict))


def flatten(value) -> list:
    """The leaves in order; dictionaries in order of their keys as inserted. None is no leaf."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flatten(item)]
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in flatten(item)]
    return [] if value is None else [value]


def map_structure(function, value):
    """The same nest with `function` applied to each leaf."""
    if isinstance(value, dict):
        return {key: map_structure(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [map_structure(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return None if value is None else function(value)


def pack(structure, leaves):
    """The nest `structure` with its leaves replaced, in order, by `leaves`."""
    iterator = iter(leaves)
    return map_structure(lambda _: next(iterator), structure)
