"""Initializers: formulas, seeds, names, errors."""

import json
import math

import numpy as np
import pytest

from pyconv import initializers
from pyconv.random import SeedGenerator
from pyconv.utils import set_random_seed

RANDOM = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "GlorotUniform",
          "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal", "Orthogonal")
ALL = (*RANDOM, "Zeros", "Ones", "Constant", "Identity")


@pytest.mark.parametrize("shape,expected", [((), (1, 1)), ((7,), (7, 7)), ((3, 4), (3, 4)),
                                            ((5, 5, 3, 8), (75, 200)), ((2, 3, 4), (6, 8))])
def test_fans(shape, expected):
    assert initializers.compute_fans(shape) == expected


@pytest.mark.parametrize("name,variance,limit", [
    ("GlorotUniform", 2 / (75 + 200), math.sqrt(6 / 275)), ("HeUniform", 2 / 75, math.sqrt(6 / 75)),
    ("LecunUniform", 1 / 75, math.sqrt(3 / 75)),
    ("GlorotNormal", 2 / 275, 2 / 0.87962566 * math.sqrt(2 / 275)),
    ("HeNormal", 2 / 75, 2 / 0.87962566 * math.sqrt(2 / 75)),
    ("LecunNormal", 1 / 75, 2 / 0.87962566 * math.sqrt(1 / 75))])
def test_variance_and_range(name, variance, limit):
    """The formulas of Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998, for fans 75 and 200."""
    draws = np.stack([getattr(initializers, name)(seed=s)((5, 5, 3, 8), "float64") for s in range(200)])
    assert abs(draws.mean()) < 4 * math.sqrt(variance / draws.size)
    np.testing.assert_allclose(draws.var(), variance, rtol=0.02)
    assert 0.98 * limit < np.abs(draws).max() <= limit * (1 + 1e-6)


def test_simple_distributions():
    n = initializers.RandomNormal(1.0, 0.5, seed=1)((200, 200))
    assert abs(n.mean() - 1) < 0.01 and abs(n.std() - 0.5) < 0.01
    u = initializers.RandomUniform(-1, 3, seed=1)((200, 200))
    assert -1 <= u.min() < -0.99 and 2.99 < u.max() <= 3 and abs(u.mean() - 1) < 0.02
    t = initializers.TruncatedNormal(0.0, 1.0, seed=1)((200, 200))
    assert 1.99 < np.abs(t).max() <= 2 and abs(t.std() - 0.8796) < 0.01
    v = initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=1)((400, 100), "float64")
    np.testing.assert_allclose(v.var(), 3 / 100, rtol=0.02)


@pytest.mark.parametrize("shape", [(6, 6), (10, 4), (4, 10), (3, 3, 2, 5)])
def test_orthogonal(shape):
    w = initializers.Orthogonal(gain=2.0, seed=3)(shape, "float64").reshape(-1, shape[-1])
    small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_fixed_values():
    assert (initializers.Zeros()((2, 3)) == 0).all() and (initializers.Ones()((2, 3), "int32") == 1).all()
    assert (initializers.Constant(2.5)((2,)) == 2.5).all()
    np.testing.assert_array_equal(initializers.Constant([1, 2])((3, 2)), [[1, 2]] * 3)
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    np.testing.assert_array_equal(initializers.get(np.arange(3.0))((3,)), [0, 1, 2])


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    cls = getattr(initializers, name)
    one = cls(seed=5)
    np.testing.assert_array_equal(one((4, 3)), one((4, 3)))
    np.testing.assert_array_equal(one((4, 3)), cls.from_config(one.get_config())((4, 3)))
    assert (cls(seed=6)((4, 3)) != one((4, 3))).any()
    free = cls()
    set_random_seed(1)
    first, second = free((4, 3)), free((4, 3))
    assert (first != second).any()
    set_random_seed(1)
    np.testing.assert_array_equal(free((4, 3)), first)
    moving = cls(seed=SeedGenerator(2))
    assert (moving((4, 3)) != moving((4, 3))).any()
    np.testing.assert_array_equal(cls(seed=SeedGenerator(2))((4, 3)), cls(seed=SeedGenerator(2))((4, 3)))
    assert moving.get_config()["seed"] is None


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_shapes_and_configurations(name, dtype):
    one = initializers.get(name)
    w = one((4, 3), dtype=dtype)
    assert w.dtype == dtype and w.shape == (4, 3)
    config = json.loads(json.dumps(initializers.serialize(one)))
    again = initializers.deserialize(config)
    assert type(again) is type(one) and again.get_config() == one.get_config()
    assert initializers.get(one) is one and type(initializers.get(type(one))) is type(one)
    assert type(one.clone()) is type(one)


def test_names():
    assert isinstance(initializers.get("he_normal"), initializers.HeNormal)
    assert isinstance(initializers.get("uniform"), initializers.RandomUniform)
    assert initializers.he_normal is initializers.HeNormal
    assert initializers.get(None) is None
    with pytest.raises(ValueError, match="'he_norml' is not known. Did you mean 'he_normal'"):
        initializers.get("he_norml")
    with pytest.raises(TypeError, match="initializer must be a name"):
        initializers.get(3)
    with pytest.raises(AttributeError):
        initializers.nonsense  # noqa: B018


def test_a_users_initializer_has_a_name():
    class Half(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 0.5, dtype)
    assert (initializers.get("half")((2,), "float32") == 0.5).all()
    assert type(initializers.deserialize(initializers.serialize(Half()))) is Half


@pytest.mark.parametrize("make,expected", [
    (lambda: initializers.RandomNormal(stddev=-1), "RandomNormal: stddev must be finite and at least 0"),
    (lambda: initializers.RandomUniform(1, 0), "maxval=0 must not be below minval=1"),
    (lambda: initializers.VarianceScaling(0), "scale must be above 0"),
    (lambda: initializers.VarianceScaling(mode="fan"), "mode='fan' is not known"),
    (lambda: initializers.VarianceScaling(distribution="x"), "distribution='x' is not known"),
    (lambda: initializers.GlorotUniform(seed="a"), "GlorotUniform: seed must be an int"),
    (lambda: initializers.GlorotUniform(seed=-1), "seed must be 0 or more"),
    (lambda: initializers.Constant("a"), "Constant: value must be a number"),
    (lambda: initializers.Constant([1, 2])((3,)), "does not spread"),
    (lambda: initializers.Orthogonal()((3,)), "at least 2 axes"),
    (lambda: initializers.Identity()((3,)), "2 axes"),
    (lambda: initializers.GlorotUniform()((3,), "int32"), "draws float32 or float64"),
])
def test_errors(make, expected):
    with pytest.raises((ValueError, TypeError), match=expected):
        make()
