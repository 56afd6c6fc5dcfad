"""Policies, half precision on the CPU and the reference, and scaling of the loss."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import Variable, backends, config, dtype_policies, layers, losses, mixed_precision, ops, optimizers
from pyconv.graph import autocast, simplify, trace
from pyconv.testing.contract import HALF_OPS, compare_halves
from pyconv.testing.strategies import arguments

HALVES = ("float16", "bfloat16")
RNG = np.random.default_rng(4)


def images(n=48):
    """Images of three kinds: a bright row, a bright column, neither."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 0.3, (n, 8, 8, 1)), np.arange(n) % 3
    for image, kind in zip(x, y, strict=True):
        at = rng.integers(8)
        image[(at, slice(None)) if kind == 0 else (slice(None), at) if kind == 1 else slice(0)] += 0.7
    return x.astype("float32"), y.astype("int32")


def convnet(policy):
    pyconv.utils.set_random_seed(2)
    return pyconv.Sequential([
        pyconv.Input((8, 8, 1)), layers.Conv2D(8, 3, dtype=policy), layers.BatchNormalization(dtype=policy),
        layers.ReLU(dtype=policy), layers.MaxPooling2D(2, dtype=policy), layers.Flatten(dtype=policy),
        layers.Dense(16, "tanh", dtype=policy), layers.Dense(3)], name="convnet")


def trained(policy, backend="cpu", steps=12, optimizer=None):
    with pyconv.device(backend):
        model = convnet(policy)
        model.compile(optimizer or optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = images()
        found = [float(model.train_on_batch(x, y)) for _ in range(steps)]
    return np.array(found), model


# ---- policies

@pytest.mark.parametrize("name,compute,variable", [("float32", "float32", "float32"), ("float64", "float64", "float64"),
                                                   ("mixed_float16", "float16", "float32"),
                                                   ("mixed_bfloat16", "bfloat16", "float32")])
def test_policies(name, compute, variable):
    policy = pyconv.DTypePolicy(name)
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (name, compute, variable)
    for same in (name, policy, dtype_policies.serialize(policy), {"module": "keras", "class_name": "DTypePolicy",
                                                                  "config": {"name": name}, "registered_name": None}):
        assert dtype_policies.get(same) == policy and hash(dtype_policies.get(same)) == hash(policy)
    layer = layers.Dense(3, dtype=name)
    assert (layer.compute_dtype, layer.variable_dtype, layer.dtype) == (compute, variable, variable)
    again = layers.Dense.from_config(layer.get_config())
    assert again.dtype_policy == layer.dtype_policy == policy and layer.get_config()["dtype"] == name
    layer.build((None, 2))
    assert layer.kernel.dtype == variable
    assert ops.square(np.ones(2, "float16")).dtype == "float16"


def test_the_policy_of_the_process():
    assert config.dtype_policy().name == "float32"
    config.set_dtype_policy("mixed_bfloat16")
    try:
        assert layers.Dense(3).compute_dtype == "bfloat16" and pyconv.DTypePolicy().name == "mixed_bfloat16"
        assert layers.Dense(3, dtype="float32").compute_dtype == "float32"
        assert pyconv.Input((3,)).dtype == "float32"
        attention = layers.MultiHeadAttention(2, 4)
        attention.build((None, 3, 4), (None, 3, 4))
        assert {part.compute_dtype for part in attention._flatten_layers()} == {"bfloat16"}
    finally:
        config.set_dtype_policy(None)
    config.set_floatx("float64")
    try:
        assert layers.Dense(3).compute_dtype == "float64"
    finally:
        config.set_floatx("float32")
    assert mixed_precision.Policy is pyconv.DTypePolicy and mixed_precision.global_policy() == config.dtype_policy()


# ---- policies by path

KEYS = ("encoder/.*", "encoder/a", "decoder", ".*/b", "encoder", "[ab]", "model/a", ".*")
PATHS = ("encoder/a", "encoder/b", "encoder", "decoder", "decoder/a", "a", "b", "model/a", "model/c", "")


@settings(max_examples=100)
@given(st.sampled_from(("float32", "mixed_float16")),
       st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("float32", "float64", "mixed_bfloat16")), max_size=3))
def test_paths_find_the_policies_that_they_find_in_keras(default, entries):
    keras = pytest.importorskip("keras")
    own = dtype_policies.DTypePolicyMap(default)
    theirs = keras.dtype_policies.DTypePolicyMap(keras.dtype_policies.get(default))
    for key, policy in entries.items():
        own[key] = theirs[key] = policy
    assert own.name == theirs.name and list(own) == list(theirs) and len(own) == len(theirs)
    assert own.compute_dtype == theirs.compute_dtype and own.variable_dtype == theirs.variable_dtype
    for path in PATHS:
        try:
            expected = theirs[path].name
        except ValueError:
            with pytest.raises(ValueError, match="exclude each other"):
                own[path]
            continue
        assert own[path].name == expected and (path in own) == (path in theirs)
    again = dtype_policies.get(json.loads(json.dumps(dtype_policies.serialize(own))))
    assert again == own and dict(again.items()) == dict(own.items()) and again != dtype_policies.get(default)


def nets(library):
    """Layers in models of all kinds, by a name."""
    k = library.layers

    class Outer(k.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = k.Dense(2, name="inner")

        def call(self, x):
            return self.inner(x)

    class Subclass(library.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first, self.outer = k.Dense(2, name="first"), Outer(name="outer")
            self.parts = library.Sequential([k.Dense(2, name="part")], name="parts")

        def call(self, x):
            return self.outer(self.parts(self.first(x)))
    ones, found = np.ones((1, 3), "float32"), {}
    sequence = library.Sequential([library.Input((3,)), k.Dense(4, name="dense"), Outer(name="outer")], name="sequence")
    late = library.Sequential([k.Dense(4, name="dense")], name="late")
    late.build((None, 3))
    within = library.Sequential([k.Dense(2, name="x")], name="in")
    nested = library.Sequential([library.Input((3,)), within], name="out")
    start = library.Input((3,))
    dense, outer = k.Dense(2, name="functional"), Outer(name="last")
    model = library.Model(start, outer(dense(start)), name="model")
    own = Subclass(name="own")
    own(ones)
    alone = Outer(name="alone")
    alone(ones)
    for name, layer in {
            "sequence": sequence, "in sequence": sequence.layers[0], "within": sequence.layers[1].inner, "late": late,
            "in late": late.layers[0], "nested": nested.layers[0], "in nested": nested.layers[0].layers[0],
            "model": model, "functional": dense, "last": outer.inner, "own": own, "first": own.first,
            "part": own.parts.layers[0], "inner": own.outer.inner, "alone": alone.inner}.items():
        found[name] = layer.path
    return found


def test_paths_of_layers_are_those_of_keras():
    keras = pytest.importorskip("keras")
    assert nets(pyconv) == nets(keras)
    assert layers.Dense(2).path is None


def mapped():
    policies = dtype_policies.DTypePolicyMap("float32", {"net/conv": "mixed_float16"})
    policies[r".*/hidden/.*"] = "mixed_bfloat16"
    config.set_dtype_policy(policies)
    try:
        pyconv.utils.set_random_seed(2)
        return pyconv.Sequential([
            pyconv.Input((8, 8, 1)), layers.Conv2D(8, 3, 2, name="conv"), layers.Flatten(),
            pyconv.Sequential([layers.Dense(8, "tanh", name="a")], name="hidden"), layers.Dense(3)], name="net")
    finally:
        config.set_dtype_policy(None)


def test_a_model_with_a_map(tmp_path):
    model = mapped()
    conv, _, hidden, last = model.layers
    assert [layer.compute_dtype for layer in (conv, hidden.layers[0], last)] == ["float16", "bfloat16", "float32"]
    assert {w.dtype for w in model.weights} == {"float32"}
    model.compile(optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy(from_logits=True))
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)       # as a part of it is float16
    x, y = images()
    model.save(tmp_path / "m.pyconv")
    found = {}
    for backend in ("cpu", "reference"):
        with pyconv.device(backend):
            again = pyconv.models.load_model(tmp_path / "m.pyconv")
            assert [layer.compute_dtype for layer in again.layers] == [layer.compute_dtype for layer in model.layers]
            assert again.layers[0].dtype_policy == conv.dtype_policy and again.layers[0].path == "net/conv"
            found[backend] = [again.train_on_batch(x, y) for _ in range(12)]
    assert found["cpu"][-1] < 0.9 * found["cpu"][0]
    np.testing.assert_allclose(found["cpu"], found["reference"], rtol=5e-3)
    assert type(layers.Dense.from_config(last.get_config()).dtype_policy) is dtype_policies.DTypePolicyMap


def test_policies_that_are_set_later():
    layer = layers.Dense(2)
    layer.dtype_policy = "mixed_bfloat16"
    assert (layer.compute_dtype, layer.dtype) == ("bfloat16", "float32") and layer(np.ones((1, 2))).dtype == "float32"
    layer.dtype_policy = "float32"
    rounded = np.float32(1.00390625)            # needs nine digits: bfloat16 has eight
    layer.set_weights([np.eye(2, dtype="float32"), np.zeros(2, "float32")])
    assert layer(np.full((1, 2), rounded))[0, 0] == rounded
    layer.dtype_policy = "mixed_bfloat16"
    assert layer(np.full((1, 2), rounded))[0, 0] == 1
    with pytest.raises(ValueError, match="weights are float32 already.*cannot become 'float64'.*dtype='float64'"):
        layer.dtype_policy = "float64"
    policies = dtype_policies.DTypePolicyMap("float32")
    other = layers.Dense(2, dtype=policies, name="d")
    other(np.ones((1, 2)))
    other.dtype_policy = "mixed_float16"
    assert policies["d"].name == "mixed_float16" and other.compute_dtype == "float16" and other.dtype_policy is policies
    other.dtype_policy = "float32"
    assert list(policies.items()) == [("d", pyconv.DTypePolicy("float32"))] and other.compute_dtype == "float32"


def test_the_map_s_default_is_that_of_the_process():
    config.set_dtype_policy("mixed_bfloat16")
    try:
        policies = dtype_policies.DTypePolicyMap()
        assert policies["any"].name == "mixed_bfloat16" and policies.get_config()["default_policy"] is None
        config.set_dtype_policy(policies)
        assert pyconv.DTypePolicy().name == dtype_policies.DTypePolicyMap().default_policy.name == "mixed_bfloat16"
        config.set_dtype_policy("float32")
        assert dtype_policies.deserialize(dtype_policies.serialize(policies))["any"].name == "float32"
    finally:
        config.set_dtype_policy(None)


@pytest.mark.parametrize("call,error,message", [
    (lambda: pyconv.DTypePolicy("mixed_flaot16"), ValueError, "Did you mean 'mixed_float16'"),
    (lambda: pyconv.DTypePolicy("float16"), ValueError, "the policy 'mixed_float16' computes in float16"),
    (lambda: pyconv.DTypePolicy(3), TypeError, "name must be a string such as 'mixed_float16', got 3"),
    (lambda: config.set_dtype_policy("int8"), ValueError, "'int8' is not known. .*Known: 'float32'"),
    (lambda: dtype_policies.get({"class_name": "DTypePolicy"}), ValueError, "'config', which has a 'name'"),
    (lambda: dtype_policies.get(np.int32), ValueError, "no dtype policy"),
    (lambda: layers.Dense(2, name="d", dtype="mixed"), ValueError, "'d'.*dtype must be 'float32', 'float64' or a dty"),
    (lambda: Variable(1.0, "bfloat16", name="v"), TypeError, "'v' cannot be bfloat16.*'mixed_bfloat16'"),
    (lambda: layers.Dense(2, name="d", dtype="float16"), ValueError, "'d'.*small updates; the policy 'mixed_float16'"),
    (lambda: config.set_dtype_policy("bfloat16"), ValueError, "'mixed_bfloat16' computes in bfloat16"),
    (lambda: config.set_floatx("float16"), ValueError, "'float32' or 'float64'.*'mixed_float16'"),
    (lambda: layers.Layer(name="l").add_weight((2,), dtype="float16"), TypeError, "cannot be float16.*'mixed_float16'"),
    (lambda: dtype_policies.DTypePolicyMap(dtype_policies.DTypePolicyMap()), ValueError, "cannot be a map itself"),
    (lambda: dtype_policies.DTypePolicyMap("float32", [("a", "float32")]), TypeError, "policy_map must be a dict"),
    (lambda: dtype_policies.DTypePolicyMap("float32", {"a": "flaot32"}), ValueError, "Did you mean 'float32'"),
    (lambda: dtype_policies.DTypePolicyMap("float32", {"(": "float32"}), ValueError, "no regular expression"),
    (lambda: dtype_policies.DTypePolicyMap("float32", {3: "float32"}), TypeError, "keys are paths.*got 3"),
    (lambda: dtype_policies.DTypePolicyMap("float32", {"a": "float32"}).__setitem__("a", "float64"), ValueError,
     "'a' has the policy 'float32' already"),
    (lambda: optimizers.LossScaleOptimizer("adam"), TypeError, "inner_optimizer must be an optimizer"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 0.0), ValueError, "initial_scale=0.0"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0), ValueError, "clipnorm to the inner"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False), ValueError, "loss_scale_factor"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 2, dynamic_growth_steps=0), ValueError, "at least 1"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.LossScaleOptimizer(optimizers.SGD())), ValueError, "already"),
    (lambda: optimizers.get("LossScaleOptimizer"), ValueError, "wraps another optimizer")], ids=range(25))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- the arithmetic

@pytest.mark.parametrize("name", HALF_OPS)
@settings(max_examples=6)
@given(data=st.data())
def test_each_op_in_halves(name, data):
    arrays, attrs = data.draw(arguments(name, dtypes=("float32", "int32", "bool"), layouts=("C",)))
    dtype = data.draw(st.sampled_from(HALVES))
    for backend in ("reference", "cpu"):
        compare_halves(name, arrays, attrs, dtype, backend)


@settings(max_examples=60)
@given(st.floats(width=32), st.sampled_from(HALVES))
def test_rounding_is_that_of_the_formats(value, dtype):
    with np.errstate(over="ignore"):
        x = np.array([value, -value, value * 1.5, value / 3]).astype("float32")
        expected = x.astype("float16") if dtype == "float16" else None
    if expected is None:
        import struct

        def nearest(v):             # of the two neighbours in the upper half of the bits
            bits = struct.unpack("<I", struct.pack("<f", v))[0]
            low, high = (struct.unpack("<f", struct.pack("<I", b))[0] for b in (bits & 0xFFFF0000,
                                                                                (bits & 0xFFFF0000) + 0x10000))
            if not np.isfinite(v):
                return v
            high = 2.0**128 if np.isinf(high) else abs(high)
            up = high - abs(v) < abs(v) - abs(low) or (high - abs(v) == abs(v) - abs(low) and bits & 0x10000)
            return np.copysign(np.inf if up and high == 2.0**128 else high if up else abs(low), v)
        expected = np.array([nearest(float(v)) for v in x], "float32")
    for backend in ("reference", "cpu"):
        found = backends.get(backend).execute(f"round_{dtype}", [x], {})
        np.testing.assert_array_equal(found, expected.astype("float32"))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_arrays_of_halves():
    """float16 arrays come back as such, bfloat16 numbers as float32; a half meets a wider type there."""
    for backend in ("reference", "cpu"):
        with pyconv.device(backend):
            x = np.array([1, 2.5, -3], "float16")
            assert ops.add(x, 1.0).dtype == "float16" and ops.add(x, np.ones(3, "float32")).dtype == "float32"
            np.testing.assert_array_equal(ops.cast(np.array([1.01, 3e-40]), "bfloat16"),
                                          np.array([1.0078125, 3 * 2.0**-133], "float32"))
            assert layers.Dense(2)(x[None]).dtype == "float32"
            assert layers.Dense(2, dtype="mixed_float16")(np.ones((2, 3), "float32")).dtype == "float16"
            assert layers.Dense(2, dtype="mixed_bfloat16")(np.ones((2, 3))).dtype == "float32"


def test_sums_have_room():
    """Statistics, means and the softmax are computed in float32: a sum in float16 would be infinite."""
    x = RNG.normal(300, 5, (64, 8, 8, 4)).astype("float32")
    for policy in ("mixed_float16", "mixed_bfloat16"):
        layer = layers.BatchNormalization(dtype=policy)
        y = layer(x, training=True)
        assert abs(y.mean()) < 0.01 and abs(y.std() - 1) < 0.02
        np.testing.assert_allclose(layer.moving_mean.numpy(), 0.01 * x.mean((0, 1, 2)), rtol=1e-5)
        pooled = layers.GlobalAveragePooling2D(dtype=policy)(x)
        np.testing.assert_allclose(pooled, x.mean((1, 2)), rtol=5e-3)
        p = layers.Softmax(dtype=policy)(np.zeros((1, 40000)))
        np.testing.assert_allclose(p, 1 / 40000, rtol=5e-3)


def test_weights_are_cast_once_and_gradients_reach_them():
    shared = layers.Dense(3, use_bias=False, dtype="mixed_float16")
    shared.build((None, 3))

    def step(x):
        loss = ops.sum(ops.cast(shared(shared(x)), "float32"))
        return pyconv.graph.gradients(loss, [shared.kernel.read()])
    graph = simplify(trace(step, [((4, 3), "float32")])[0])
    casts = [n for n in graph.nodes() if n.op == "cast" and n.inputs[0].node.op == "variable"]
    assert len(casts) == 1 and graph.outputs[0].dtype == "float32"
    matmuls = [n for n in graph.nodes() if n.op == "matmul"]
    assert len(matmuls) == 4 and all(t.dtype == "float16" for n in matmuls for t in (*n.inputs, n.output))


def test_own_layers_and_their_variables():
    class Counts(pyconv.Layer):
        def build(self, shape):
            self.kept = self.add_weight((), "zeros", trainable=False, name="kept")
            self.exact = self.add_weight((), "ones", autocast=False, name="exact")
            self.factor = self.add_weight((), "ones", name="factor")

        def call(self, x):
            self.kept.assign_add(1e-4 + ops.mean(x) * 0)
            assert x.dtype == self.factor.value.dtype == (self.factor * 2).dtype == "bfloat16"
            assert self.exact.value.dtype == "float32"
            with autocast(None):
                assert self.factor.value.dtype == "float32"
            return x * self.factor
    layer = Counts(dtype="mixed_bfloat16")
    for _ in range(3):
        layer(np.ones((2, 2), "float32"))
    np.testing.assert_allclose(layer.kept.numpy(), 3e-4, rtol=1e-2)
    embedding = layers.Embedding(5, 3, dtype="mixed_float16")
    assert embedding(np.array([[1, 4]])).dtype == "float16"


# ---- training

@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_training_comes_close_to_float32(policy):
    expected, _ = trained("float32")
    found, model = trained(policy)
    assert expected[-1] < 0.5 * expected[0]
    np.testing.assert_allclose(found, expected, rtol=0.05 if policy == "mixed_float16" else 0.15, atol=0.01)
    oracle, _ = trained(policy, "reference", 3)
    np.testing.assert_allclose(found[:3], oracle, rtol=2e-3 if policy == "mixed_float16" else 2e-2)
    assert model.predict(images()[0], verbose=0).dtype == "float32"
    again, other = trained(policy)
    np.testing.assert_array_equal(again, found)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bits_do_not_depend_on_threads():
    def run(threads):
        config.set_num_threads(threads)
        try:
            return trained("mixed_float16", steps=3)[1].get_weights()
        finally:
            config.set_num_threads(None)
    for a, b in zip(run(1), run(2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_compile_wraps_the_optimizer():
    def compiled(policy, **options):
        model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, dtype=policy)], name="m")
        model = pyconv.Model(model.inputs, model.outputs, dtype=policy)
        model.compile("sgd", "mse", **options)
        return type(model.optimizer).__name__
    assert compiled("mixed_float16") == "LossScaleOptimizer"
    assert compiled("mixed_float16", auto_scale_loss=False) == "SGD"
    assert compiled("mixed_bfloat16") == compiled("float32") == "SGD"


# ---- scaling of the loss

def scaled_model(scale, growth=2, inner=None):
    model = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)], name="m")
    model = pyconv.models.clone_model(model)
    for layer in model.layers:
        layer.set_weights([np.full(w.shape, 0.1, "float32") for w in layer.weights])
    optimizer = optimizers.LossScaleOptimizer(inner or optimizers.SGD(0.1, momentum=0.9), scale, growth)
    model.compile(optimizer, "mse")
    return model, optimizer


def test_steps_that_overflow_are_skipped():
    config.set_dtype_policy("mixed_float16")
    try:
        model, optimizer = scaled_model(2.0**18)
    finally:
        config.set_dtype_policy(None)
    x, y = np.ones((4, 4), "float32"), np.full((4, 1), 3.0, "float32")
    before, scales = model.get_weights(), []
    for _ in range(12):
        model.train_on_batch(x, y)
        scales.append(float(optimizer.dynamic_scale))
        if int(optimizer.iterations) == 0:
            for a, b in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(a, b)
            assert not any(np.any(v.numpy()) for v in optimizer.variables if v.name.endswith("momentum"))
    assert scales[0] == 2.0**17 and min(scales) < 2.0**17 and max(scales[4:]) > min(scales)
    assert 0 < int(optimizer.iterations) < 12
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("traced", [False, True])
def test_scales_follow_the_gradients(traced):
    """Finite or not, given by hand: doubled after 3 in a row, halved at once; a skipped step changes nothing."""
    weight, inner = Variable(np.array([1.0, 2.0], "float32"), name="w"), optimizers.Adam(0.1)
    optimizer = optimizers.LossScaleOptimizer(inner, 8.0, 3)
    plain, other = optimizers.Adam(0.1), Variable(np.array([1.0, 2.0], "float32"), name="w")
    optimizer.build([weight])
    program = pyconv.Function(lambda g: optimizer.apply([g], [weight]) or 0.0, training=True)
    scales, counts, good = [], [], True
    for value in (1, 1, np.nan, 1, 1, 1, -np.inf, 1, 2, 3, 4):
        scale = float(optimizer.dynamic_scale)
        gradient = np.array([value * scale, 0.5 * scale], "float32")
        old = [v.numpy() for v in inner.variables]
        if traced:
            program(gradient)
        else:
            optimizer.apply([gradient], [weight])
        good = np.isfinite(value)
        if good:
            plain.apply([gradient / np.float32(scale)], [other])
        else:
            for a, b in zip(inner.variables, old, strict=True):
                np.testing.assert_array_equal(a.numpy(), b)
        scales.append(float(optimizer.dynamic_scale)), counts.append(int(optimizer.step_counter))
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-6)
    assert scales == [8, 8, 4, 4, 4, 8, 4, 4, 4, 8, 8] and counts == [1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 1]
    assert int(optimizer.iterations) == 9


def test_saved_training_goes_on_with_the_same_bits(tmp_path):
    config.set_dtype_policy("mixed_float16")
    try:
        model, _ = scaled_model(2.0**18, 3, optimizers.Adam(0.05, use_ema=True))
    finally:
        config.set_dtype_policy(None)
    x, y = RNG.normal(size=(40, 4)).astype("float32"), RNG.normal(size=(40, 1)).astype("float32")
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    model.save(tmp_path / "m.pyconv")
    loaded = pyconv.models.load_model(tmp_path / "m.pyconv")
    assert [layer.dtype_policy.name for layer in loaded.layers] == ["mixed_float16"] * len(loaded.layers)
    assert type(loaded.optimizer) is optimizers.LossScaleOptimizer
    assert float(loaded.optimizer.dynamic_scale) == float(model.optimizer.dynamic_scale) != 2.0**18
    for m in (model, loaded):
        m.fit(x, y, batch_size=8, verbose=0, shuffle=False,
              callbacks=[pyconv.callbacks.SwapEMAWeights(), pyconv.callbacks.LearningRateScheduler(lambda e: 0.01)])
    for a, b in zip([*model.variables, *model.optimizer.variables], [*loaded.variables, *loaded.optimizer.variables],
                    strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


# ---- beside Keras

@pytest.mark.peers
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_policies_of_layers_are_those_of_keras(policy):
    keras = pytest.importorskip("keras")
    for make in (lambda m: m.Dense(3, dtype=policy), lambda m: m.Conv2D(4, 3, dtype=policy),
                 lambda m: m.BatchNormalization(dtype=policy), lambda m: m.LayerNormalization(dtype=policy),
                 lambda m: m.Softmax(dtype=policy), lambda m: m.MaxPooling2D(dtype=policy),
                 lambda m: m.Embedding(4, 3, dtype=policy)):
        own, theirs = make(layers), make(keras.layers)
        assert (own.compute_dtype, own.variable_dtype, own.dtype, own.dtype_policy.name) == \
            (theirs.compute_dtype, theirs.variable_dtype, theirs.dtype, theirs.dtype_policy.name)
        x = np.ones((2, 6, 6, 3), "float32")
        if isinstance(own, layers.Embedding):
            x = np.ones((2, 3), "int32")
        traced = trace(own, [(x.shape, x.dtype.name)])[0].outputs[0].dtype
        assert traced == keras.backend.standardize_dtype(theirs(x).dtype)
        assert layers.deserialize({"class_name": type(own).__name__, "config": theirs.get_config()}).dtype_policy \
            == own.dtype_policy


@pytest.mark.peers
@settings(max_examples=5)
@given(st.lists(st.sampled_from([0.5, 1.0, np.inf, np.nan]), min_size=4, max_size=9))
def test_scales_are_those_of_keras(values):
    keras = pytest.importorskip("keras")
    theirs = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 16.0, 2)
    weight = keras.Variable(np.ones(2, "float32"))
    theirs.build([weight])
    state, values_of = [v.value for v in theirs.variables], [weight.value]
    ours, mine = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), 16.0, 2), Variable(np.ones(2, "float32"))
    for value in values:
        gradient = np.array([value, 1.0], "float32")
        values_of, state = theirs.stateless_apply(state, [keras.ops.convert_to_tensor(gradient)], values_of)
        for variable, new in zip([*theirs.variables, weight], [*state, *values_of], strict=True):
            variable.assign(new)
        ours.apply([gradient], [mine])
        assert float(ours.dynamic_scale) == float(theirs.dynamic_scale)
        assert int(ours.step_counter) == int(theirs.step_counter)
        assert int(ours.iterations) == int(theirs.iterations)
        np.testing.assert_allclose(mine.numpy(), np.asarray(weight.value), rtol=1e-6)
    assert float(ours.scale_loss(np.float32(3))) == float(theirs.scale_loss(keras.ops.convert_to_tensor(3.0)))
