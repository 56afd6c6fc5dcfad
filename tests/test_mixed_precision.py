"""Policies, half precision on the CPU and the reference, and scaling of the loss."""

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


@pytest.mark.parametrize("call,error,message", [
    (lambda: pyconv.DTypePolicy("mixed_flaot16"), ValueError, "Did you mean 'mixed_float16'"),
    (lambda: pyconv.DTypePolicy("float16"), ValueError, "the policy 'mixed_float16' computes in float16"),
    (lambda: pyconv.DTypePolicy(3), TypeError, "name must be a string such as 'mixed_float16', got 3"),
    (lambda: config.set_dtype_policy("int8"), ValueError, "'int8' is not known. .*Known: 'float32'"),
    (lambda: dtype_policies.get({"class_name": "DTypePolicy"}), ValueError, "'config', which has a 'name'"),
    (lambda: dtype_policies.get(np.int32), ValueError, "no dtype policy"),
    (lambda: layers.Dense(2, name="d", dtype="mixed"), ValueError, "'d'.*dtype must be 'float32', 'float64' or a dty"),
    (lambda: Variable(1.0, "bfloat16", name="v"), TypeError, "'v' cannot be bfloat16.*'mixed_bfloat16'"),
    (lambda: optimizers.LossScaleOptimizer("adam"), TypeError, "inner_optimizer must be an optimizer"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 0.0), ValueError, "initial_scale=0.0"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0), ValueError, "clipnorm to the inner"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False), ValueError, "loss_scale_factor"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(), 2, dynamic_growth_steps=0), ValueError, "at least 1"),
    (lambda: optimizers.LossScaleOptimizer(optimizers.LossScaleOptimizer(optimizers.SGD())), ValueError, "already"),
    (lambda: optimizers.get("LossScaleOptimizer"), ValueError, "wraps another optimizer")], ids=range(15))
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
