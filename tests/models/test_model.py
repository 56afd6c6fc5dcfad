"""Subclassed models, and the summary."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


class Net(pyconv.Model):
    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = [layers.Dense(units, activation="relu") for _ in range(2)]
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(2)

    def call(self, inputs, training=False):
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.head(self.drop(inputs, training=training))


def test_a_subclass_is_built_by_its_first_call():
    model = Net()
    assert not model.weights and not model.built
    y = model(X)
    assert y.shape == (4, 2) and len(model.weights) == 6
    assert [layer.name.split("_")[0] for layer in model.layers] == ["dense", "dense", "dropout", "dense"]
    assert (model(X, training=True) != y).any()
    np.testing.assert_array_equal(model(X), y)


def test_a_subclass_is_built_by_build():
    model = Net()
    model.build((None, 3))
    assert len(model.weights) == 6 and model.built
    assert model.compute_output_shape((None, 3)) == (None, 2)


def test_a_build_that_fails_can_be_repeated():
    class Narrow(pyconv.Model):
        def call(self, inputs):
            return ops.reshape(inputs, (inputs.shape[0], 3, 1))
    model = Narrow()
    with pytest.raises(ValueError, match="Narrow"):
        model.build((None, 4))
    assert not model.built
    model.build((None, 3))


def test_a_subclass_trains_and_round_trips():
    pyconv.utils.set_random_seed(0)
    model = Net(7)
    model.compile("adam", "mse")
    before = model.evaluate(X, X[:, :2], verbose=0)
    model.fit(X, X[:, :2], epochs=60, verbose=0)
    assert model.evaluate(X, X[:, :2], verbose=0) < before
    again = Net.from_config(model.get_config())
    assert again.units == 7
    again(X)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(X), model(X))


def test_a_subclass_in_the_functional_api():
    inputs, net = pyconv.Input((3,)), Net()
    model = pyconv.Model(inputs, layers.Dense(1)(net(inputs)))
    assert model.output_shape == (None, 1) and len(model.weights) == 8
    assert model(X).shape == (4, 1)


def test_a_subclass_of_tensors():
    class Wide(pyconv.Model):
        def __init__(self, units):
            inputs = pyconv.Input((3,))
            super().__init__(inputs=inputs, outputs=layers.Dense(units)(inputs))
            self.units = units
    model = Wide(4)
    assert model(X).shape == (4, 4)
    assert Wide.from_config({"units": 6})(X).shape == (4, 6)


def test_no_call_and_no_tensors():
    with pytest.raises(NotImplementedError, match="defines no call"):
        pyconv.Model()(X)
    with pytest.raises(ValueError, match="'inpts' is not known. Did you mean 'inputs'"):
        pyconv.Model(inpts=3)


def test_nested_inputs_and_outputs_of_a_subclass():
    class Pair(pyconv.Model):
        def call(self, inputs):
            return {"sum": inputs["a"] + inputs["b"], "both": [inputs["a"], inputs["b"]]}
    out = Pair()({"a": X, "b": 2 * X})
    np.testing.assert_array_equal(out["sum"], 3 * X)
    assert isinstance(out["both"], list)


def test_models_on_variables_of_their_own():
    class Mean(pyconv.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.total = self.add_weight((3,), "zeros", trainable=False, name="total")

        def call(self, inputs):
            self.total.assign(self.total + ops.sum(inputs, 0))
            return inputs
    model = Mean()
    model(X), model(X)
    np.testing.assert_allclose(model.total.numpy(), 2 * X.sum(0), rtol=1e-5)


# ---- summary

def lines_of(model, **arguments):
    lines = []
    model.summary(print_fn=lines.append, **arguments)
    return lines


def test_summary_of_a_chain():
    model = pyconv.Sequential([pyconv.Input((6, 6, 1)), layers.Conv2D(2, 3, name="conv"),
                               layers.Flatten(name="flat"),
                               layers.Dense(3, name="top", trainable=False)], name="net")
    text = "\n".join(lines_of(model))
    assert '"net"' in text
    assert [line.split() for line in text.splitlines() if line.startswith(("conv", "flat", "top"))] == [
        ["conv", "(Conv2D)", "(None,", "4,", "4,", "2)", "20", "288"],
        ["flat", "(Flatten)", "(None,", "32)", "0", "0"],
        ["top", "(Dense)", "(None,", "3)", "99", "96"]]
    assert "Total params: 119 (476.00 B)" in text
    assert "Trainable params: 20 (80.00 B)" in text and "Non-trainable params: 99 (396.00 B)" in text
    assert "Multiply-adds per sample: 384" in text
    assert {len(line) for line in lines_of(model, line_length=100) if set(line) == {"="}} == {100}
    assert sum("no" == line.split()[-1] for line in lines_of(model, show_trainable=True)) == 1


def test_summary_of_a_graph():
    a = pyconv.Input((3,), name="a")
    dense = layers.Dense(3, name="dense")
    model = pyconv.Model(a, ops.relu(dense(a) + dense(dense(a))))
    text = "\n".join(lines_of(model))
    assert "Connected to" in text and "relu (function)" in text and "dense, dense" not in text
    assert "Total params: 12 " in text and "Multiply-adds per sample: 27" in text


def test_summary_before_and_after_building():
    model = pyconv.Sequential([layers.Dense(3)])
    text = "\n".join(lines_of(model))
    assert "not built yet" in text and "?" in text
    net = Net()
    assert any("not built yet" in line for line in lines_of(net))
    net(X)
    text = "\n".join(lines_of(net))
    assert "(None, 2)" in text and f"Total params: {net.count_params()}" in text
    assert "Multiply-adds per sample: 50" in text


def test_summary_of_models_in_models():
    inner = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, name="deep")], name="inner")
    model = pyconv.Sequential([inner, layers.Dense(1)])
    assert not any("deep" in line for line in lines_of(model))
    text = "\n".join(lines_of(model, expand_nested=True))
    assert "    deep (Dense)" in text and "Multiply-adds per sample: 8" in text


def test_a_part_of_the_summary():
    model = pyconv.Sequential([pyconv.Input((3,)), *[layers.Dense(2, name=n) for n in "abcd"]])
    text = "\n".join(lines_of(model, layer_range=("b", "c")))
    assert "b (Dense)" in text and "c (Dense)" in text and "a (Dense)" not in text and "d (Dense)" not in text
    with pytest.raises(ValueError, match="'bb' is not known. Did you mean 'b'"):
        lines_of(model, layer_range=("bb", "c"))


def test_print_is_the_default(capsys):
    pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2)]).summary()
    assert "Total params: 8" in capsys.readouterr().out
