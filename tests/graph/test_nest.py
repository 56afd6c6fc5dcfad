"""Nested structures taken apart and put together."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pyconv.graph import flatten, is_nest, map_structure, pack


class Pair(NamedTuple):
    left: object
    right: object


NESTS = st.recursive(st.integers() | st.none(),
                     lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
                     | st.dictionaries(st.text(max_size=2), inner, max_size=3) | st.builds(Pair, inner,
                                                                                           inner),
                     max_leaves=12)


@given(NESTS)
def test_pack_undoes_flatten(nest):
    assert pack(nest, flatten(nest)) == nest
    assert type(pack(nest, flatten(nest))) is type(nest)


@given(NESTS)
def test_map_goes_over_the_leaves(nest):
    doubled = map_structure(lambda leaf: 2 * leaf, nest)
    assert flatten(doubled) == [2 * leaf for leaf in flatten(nest)]


def test_order_and_none():
    assert flatten({"b": 1, "a": [2, (3, None)], "c": {}}) == [1, 2, 3]
    assert map_structure(str, {"b": 1, "a": [None, Pair(2, 3)]}) == {"b": "1", "a": [None, Pair("2", "3")]}
    assert flatten(5) == [5] and pack(5, [6]) == 6


def test_what_is_a_nest():
    assert all(map(is_nest, ([], {}, ())))
    assert not any(map(is_nest, (1, None, "ab")))
