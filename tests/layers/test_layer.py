"""The base class: users' own layers, building, tracking, training mode, errors, losses."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.graph import Variable, trace
from pyconv.random import SeedGenerator
from pyconv.testing import check_gradients


class Scale(pyconv.Layer):
    """A user's layer: no configuration method, no backward, a weight."""

    def __init__(self, start=2.0, **kwargs):
        super().__init__(**kwargs)
        self.start, self.builds = start, []

    def build(self, input_shape):
        self.builds.append(input_shape)
        def initializer(shape, dtype):
            return np.full(shape, self.start, dtype)
        self.scale = self.add_weight((input_shape[-1],), initializer, name="scale")

    def call(self, inputs):
        return inputs * self.scale


class Block(pyconv.Layer):
    """A user's layer made of layers, in a list, a dictionary, and an attribute."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.chain = [layers.Dense(units, activation="tanh"), layers.Dropout(0.5, seed=1)]
        self.named = {"scale": Scale()}
        self.norm = Variable(np.zeros(2, "float32"), name="free")

    def call(self, inputs):
        for layer in self.chain:
            inputs = layer(inputs)
        return self.named["scale"](inputs)


class Mode(pyconv.Layer):
    def call(self, inputs, training=False):
        return inputs + (1.0 if training else 0.0)


class Outer(pyconv.Layer):
    def __init__(self, inner_training=None, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.inner_training = Mode(), inner_training

    def call(self, inputs):
        if self.inner_training is None:
            return self.inner(inputs)
        return self.inner(inputs, training=self.inner_training)


X = np.arange(6, dtype="float32").reshape(2, 3)


def test_a_users_layer_is_built_once_and_computes():
    layer = Scale()
    np.testing.assert_array_equal(layer(X), 2 * X)
    layer(X[:1])
    layer(pyconv.Input((3,)))
    assert layer.builds == [(None, 3)] and layer.built
    assert [v.path for v in layer.weights] == ["scale/scale"] or layer.weights[0].name == "scale"


def test_a_users_layer_has_gradients():
    layer = Scale(dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 3))
    layer(x)
    check_gradients(layer, [x], layer.trainable_variables)


def test_a_users_layer_round_trips_without_get_config():
    class ScaleOfItsOwnName(Scale):         # of classes with one name the last counts, and other tests have a Scale too
        pass
    layer = ScaleOfItsOwnName(3.5, name="mine", trainable=False)
    assert layer.get_config() == {"name": "mine", "trainable": False, "dtype": "float32", "start": 3.5}
    again = layers.deserialize(layers.serialize(layer))
    assert type(again) is ScaleOfItsOwnName and again.start == 3.5 and not again.trainable


def test_a_layer_whose_argument_is_a_layer_round_trips():
    class Wrapper(pyconv.Layer):
        def __init__(self, layer, **kwargs):
            super().__init__(**kwargs)
            self.layer = layer

        def call(self, inputs):
            return self.layer(inputs)
    again = Wrapper.from_config(Wrapper(layers.Dense(4, kernel_initializer="ones")).get_config())
    assert again.layer.units == 4
    assert again(X).shape == (2, 4) and len(again.weights) == 2


def test_build_and_add_weight_take_keras_forms():
    class Old(pyconv.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], 2), initializer="random_normal", trainable=True)
            self.b = self.add_weight((2,), "zeros", "float32", False)
            super().build(input_shape)

        def call(self, inputs):
            return ops.matmul(inputs, self.w) + self.b
    layer = Old()
    layer.build((None, 3))
    assert layer.built and [v.shape for v in layer.weights] == [(3, 2), (2,)]
    layer.build((None, 3))
    assert len(layer.weights) == 2
    assert [v.trainable for v in layer.weights] == [True, False]
    assert layer(X).shape == (2, 2)


def test_build_with_several_shapes():
    class Two(pyconv.Layer):
        def build(self, left_shape, right_shape):
            self.shapes = left_shape, right_shape

        def call(self, left, right):
            return left + right
    layer = Two()
    np.testing.assert_array_equal(layer(X, right=X[:1]), X + X[:1])
    assert layer.shapes == ((None, 3), (None, 3))
    model = pyconv.Model([a := pyconv.Input((3,)), b := pyconv.Input((1,))], Two()(a, b))
    np.testing.assert_array_equal(model([X, X[:, :1]]), X + X[:, :1])


def test_the_first_value_exists_while_tracing():
    layer = layers.Dense(4)
    trace(layer, [((2, 3), "float32")])
    assert np.abs(layer.kernel.numpy()).sum() > 0


def test_weights_are_found_in_lists_and_dictionaries():
    block = Block()
    block(X)
    assert [v.name for v in block.weights] == ["free", "kernel", "bias", "scale"]
    assert [v.name for v in block.variables] == ["free", "kernel", "bias", "seed_state", "scale"]
    assert [v.name for v in block.non_trainable_variables] == ["seed_state"]
    block.chain.append(layers.Dense(1))
    block(X, training=True)
    assert len(block._flatten_layers()) == 5
    assert block.count_params() == 2 + 12 + 3 + 4


def test_a_list_that_grows_is_tracked():
    layer = Block()
    layer.chain.insert(0, layers.Dense(7))
    layer(X)
    assert len(layer.weights) == 6


def test_a_seed_generator_moves_with_every_call():
    class Noise(pyconv.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seeds = SeedGenerator(4)

        def call(self, inputs):
            return inputs + ops.random_uniform(self.seeds.next(), inputs.shape)
    layer = Noise()
    assert [v.name for v in layer.non_trainable_variables] == ["seed_state"] and not layer.weights
    first, second = layer(X), layer(X)
    assert (first != second).all()
    assert layer.seeds.state.numpy()[1] == 2


def test_freezing_is_recursive_and_comes_back():
    block = Block()
    block(X)
    block.trainable = False
    assert not block.trainable_variables and len(block.non_trainable_variables) == 5
    assert not block.chain[0].trainable
    block.trainable = True
    block.chain[0].trainable = False
    assert [v.name for v in block.trainable_variables] == ["free", "scale"]
    with pytest.raises(TypeError, match="Block.*trainable must be True or False"):
        block.trainable = "no"


def test_training_mode_comes_from_the_nearest_statement():
    assert Mode()(X[:1, :1]) == 0 and Mode()(X[:1, :1], training=True) == 1 and Mode()(X[:1, :1], True) == 1
    assert Outer()(X[:1, :1]) == 0
    assert Outer()(X[:1, :1], training=True) == 1
    assert Outer(False)(X[:1, :1], training=True) == 0
    assert Outer(True)(X[:1, :1]) == 1
    _, result = trace(Outer(), [((1, 1), "float32")], training=True)
    graph, _ = trace(lambda x: Outer()(x), [((1, 1), "float32")], training=True)
    assert [n.attrs["value"].array for n in graph.nodes() if n.op == "constant"] == [1]
    layer = layers.Dropout(0.5)
    assert (layer(np.ones((4, 50)), training=True) == 0).any() and (layer(np.ones((4, 50))) == 1).all()


def test_autocast():
    layer = layers.Dense(2, dtype="float64")
    assert layer(X).dtype == "float64"
    kept = layers.Identity(autocast=False)
    assert kept(X.astype("float64")).dtype == "float64"
    assert layers.Identity()(X.astype("float64")).dtype == "float32"
    assert layers.Identity()(X.astype("int64")).dtype == "int64"
    pyconv.config.set_floatx("float64")
    assert layers.Dense(2)(X).dtype == "float64"


def test_lists_of_numbers_are_arrays():
    assert layers.Dense(2)([[1, 2, 3]]).shape == (1, 2)
    assert layers.Flatten()([[[1.0], [2.0]]]).shape == (1, 2)


def test_calling_does_not_compile_twice():
    layer = layers.Dense(2)
    layer(X)
    (function,) = [f for k, f in layer._programs.items() if k != "version"]
    layer(X + 1)
    assert len(function.programs) == 1
    layer(X[:1])
    assert len(function.programs) == 2


# ---- errors

class Broken(pyconv.Layer):
    def __init__(self, error, **kwargs):
        super().__init__(**kwargs)
        self.error = error

    def call(self, inputs):
        raise self.error


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


@pytest.mark.parametrize("error", [ValueError("oh"), KeyError("oh"), Odd("oh", 3), ZeroDivisionError("oh"),
                                   TypeError()],
                         ids=lambda e: type(e).__name__)
def test_an_error_in_a_layer_tells_which_layer_and_shapes(error):
    with pytest.raises(type(error)) as caught:
        Broken(error, name="bad")(X)
    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "In Layer 'bad' (Broken), called on inputs of shape (2, 3)" in text


def test_only_the_innermost_layer_speaks():
    class Around(pyconv.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inside = Broken(ValueError("oh"), name="inside")

        def call(self, inputs):
            return self.inside(inputs)
    model = pyconv.Sequential([Around(name="around")])
    with pytest.raises(ValueError, match="oh") as caught:
        model(X)
    assert str(caught.value).count("In Layer") == 1 and "'inside'" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_open_sizes_stay_open_in_messages():
    with pytest.raises(ValueError, match=r"'bad' \(Broken\), called on inputs of shape \(None, None, 3\)"):
        Broken(ValueError("oh"), name="bad")(pyconv.Input((None, 3)))


@pytest.mark.parametrize("make,expected", [
    (lambda: layers.Conv2D(8, kernal_size=3), r"Conv2D.*'kernal_size'.*Did you mean 'kernel_size'"),
    (lambda: layers.Conv2D(8, 3, activation="rellu"), r"Conv2D\): activation.*'rellu'.*Did you mean 'relu'"),
    (lambda: layers.Conv2D(8, 3, padding="smae"), r"Conv2D\): padding.*'smae'.*Did you mean 'same'"),
    (lambda: layers.Conv2D(0, 3), r"Conv2D\): filters must be at least 1, got 0"),
    (lambda: layers.Conv2D(8, (3, 0)), r"kernel_size=\(3, 0\) must be at least 1, got 0"),
    (lambda: layers.Conv2D(8, (3, 3, 3)), r"kernel_size=\(3, 3, 3\) must be an int or a tuple of 2 ints"),
    (lambda: layers.Conv2D(8, 3, strides=2, dilation_rate=2), r"strides=\(2, 2\) and dilation_rate=\(2, 2\)"),
    (lambda: layers.Conv2D(8, 3, groups=3), r"filters=8 must be a multiple of groups=3"),
    (lambda: layers.Conv2D(8, 3, kernel_initializer="he_norml"),
     r"kernel_initializer.*Did you mean 'he_normal'"),
    (lambda: layers.Conv2D(8, 3, data_format="channel_last"), r"data_format.*Did you mean 'channels_last'"),
    (lambda: layers.Dense(3, name="a/b"), "name must be a string"),
    (lambda: layers.Dense(3, dtype="float16"), r"dtype must be.*the policy 'mixed_float16'"),
    (lambda: layers.Dense(), r"Dense.*missing.*'units'"),
    (lambda: layers.Dropout(1.5), "rate must be from 0 to 1"),
    (lambda: layers.MaxPooling2D(2, padding=2), "padding=2 must be smaller than pool_size"),
    (lambda: layers.Permute((0, 1)), r"dims must be a permutation of \(1, 2\)"),
    (lambda: layers.Reshape((-1, -1)), "may have one -1"),
    (lambda: pyconv.Input(28), r"write \(28,\)"),
])
def test_messages_of_constructors(make, expected):
    with pytest.raises((ValueError, TypeError), match=expected):
        make()


@pytest.mark.parametrize("make,shape,expected", [
    (lambda: layers.Conv2D(8, 3), (28, 28), r"expects an input with 4 axes, got 3.*\(None, 28, 28\)"),
    (lambda: layers.Conv2D(8, 5), (3, 9, 1), "reaches over more than the input"),
    (lambda: layers.Conv2D(8, 3, groups=2), (9, 9, 3), "multiple of groups=2"),
    (lambda: layers.Dense(8), (4, None), "last axis has a known size"),
    (lambda: layers.MaxPooling2D(5), (3, 9, 1), "pool_size.*larger than the input"),
    (lambda: layers.Reshape((4, 4)), (15,), "has 15 elements, which do not fill"),
])
def test_messages_about_inputs(make, shape, expected):
    with pytest.raises(ValueError, match=expected):
        make()(pyconv.Input(shape))


def test_other_channels_after_the_first_call():
    layer = layers.Conv2D(2, 1)
    layer(np.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="expects an input with 3 elements along axis -1, got 4"):
        layer(np.ones((1, 2, 2, 4)))


def test_a_forgotten_super_init():
    class Forgetful(pyconv.Layer):
        def __init__(self):
            self.x = 1
    with pytest.raises(RuntimeError, match="Forgetful.*super\\(\\).__init__"):
        Forgetful()(X)


def test_get_and_set_weights():
    a, b = layers.Dense(2), layers.Dense(2)
    a(X), b(X)
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(a(X), b(X))
    with pytest.raises(ValueError, match=r"Dense.*got 1 arrays; the layer has 2 weights.*kernel \(3, 2\)"):
        a.set_weights([np.zeros((3, 2))])
    with pytest.raises(ValueError, match=r"kernel' has shape \(3, 2\); got an array of shape \(2, 3\)"):
        a.set_weights([np.zeros((2, 3)), np.zeros(2)])
    with pytest.raises(ValueError, match="not built yet"):
        layers.Dense(2).set_weights([np.zeros((2, 3)), np.zeros(2)])
    with pytest.raises(ValueError, match="not built yet"):
        layers.Dense(2).count_params()


# ---- losses

class Penalty(pyconv.Layer):
    def call(self, inputs):
        self.add_loss(ops.sum(inputs))
        return inputs


def test_losses():
    layer = Penalty()
    layer(X)
    assert [float(v) for v in layer.losses] == [15.0]
    with pytest.raises(ValueError, match="belongs in call"):
        layer.add_loss(1.0)

    class Wrong(pyconv.Layer):
        def call(self, inputs):
            self.add_loss(inputs)
            return inputs
    with pytest.raises(ValueError, match=r"takes scalars, got shape \(2, 3\)"):
        Wrong()(X)


def test_regularizers_are_losses():
    dense = layers.Dense(2, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2",
                         kernel_initializer="ones")
    y = dense(X)
    activity, kernel, bias = map(float, dense.losses)
    np.testing.assert_allclose([activity, kernel, bias], [0.01 * (y**2).sum(), 0.06, 0], rtol=1e-6)
    dense.trainable = False
    assert len(dense.losses) == 1


def test_losses_are_trained():
    inputs = pyconv.Input((3,))
    model = pyconv.Model(inputs, Penalty()(layers.Dense(2, kernel_initializer="ones")(inputs)))
    model.compile("sgd")
    first = model.train_on_batch(X)
    assert model.train_on_batch(X) < first


# ---- single layers

def test_dropout_keeps_the_mean_and_counts():
    x = np.ones((100, 100), "float32")
    layer = layers.Dropout(0.3, seed=1)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.02
    assert (layer(x, training=True) != y).any()
    np.testing.assert_array_equal(layers.Dropout(0.3, seed=1)(x, training=True), y)
    channels = layers.Dropout(0.5, noise_shape=(None, 1))(x, training=True)
    assert all(len(set(row)) == 1 for row in channels)
    assert not layers.Dropout(1)(x, training=True).any()
    assert not layers.Dropout(0).variables


def test_flatten_puts_channels_last():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(layers.Flatten("channels_first")(x), x.transpose(0, 2, 3, 1).reshape(1, -1))


def test_causal_convolution_sees_no_future():
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = np.random.default_rng(0).normal(size=(1, 9, 2))
    y = layer(x)
    x[:, 5:] = 0
    np.testing.assert_array_equal(layer(x)[:, :5], y[:, :5])
    assert y.shape == (1, 9, 2)


def test_rescaling_takes_bytes():
    x = np.arange(256, dtype="uint8").reshape(1, 256)
    y = layers.Rescaling(1 / 255)(x)
    assert y.dtype == "float32" and y[0, 0] == 0 and abs(y[0, 255] - 1) < 1e-6


def test_merge_functions():
    a = pyconv.Input((3,))
    assert layers.add([a, a]).shape == layers.maximum([a, a], name="top").shape == (None, 3)
    assert layers.concatenate([a, a], axis=-1).shape == (None, 6)
    np.testing.assert_array_equal(layers.subtract([X, X]), 0 * X)
    with pytest.raises(ValueError, match="Subtract.*list of 2 tensors, got 3"):
        layers.Subtract()([X, X, X])
    with pytest.raises(ValueError, match=r"Add.*\(None, 3\), \(None, 2\)"):
        layers.Add()([a, pyconv.Input((2,))])


def test_aliases():
    assert layers.MaxPool2D is layers.MaxPooling2D and layers.Convolution1D is layers.Conv1D
    assert pyconv.Input((2,)).shape == (None, 2)
    assert pyconv.Input((2,), batch_size=4).shape == (4, 2)


def test_deserialize_names_the_nearest_class():
    with pytest.raises(ValueError, match="'Conv2' is not known. Did you mean 'Conv"):
        layers.deserialize({"class_name": "Conv2", "config": {}})
    with pytest.raises(TypeError, match="class_name"):
        layers.deserialize("Dense")


def test_input_layer_round_trip():
    layer = layers.InputLayer((3, None), dtype="uint8", name="bytes")
    again = layers.InputLayer.from_config(layer.get_config())
    assert again.output.shape == (None, 3, None) and again.output.dtype == "uint8" and again.name == "bytes"
