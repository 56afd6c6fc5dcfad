"""`Model.profile`: what it lists, and that it leaves no trace. Times are never judged."""

import numpy as np
import pytest

import pyconv
from pyconv import layers


def network():
    model = pyconv.Sequential([
        layers.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same", name="first"),
        layers.BatchNormalization(name="norm"), layers.Activation("relu", name="relu"),
        layers.MaxPooling2D(2, name="pool"), layers.Dropout(0.5, name="drop"),
        layers.Flatten(name="flat"), layers.Dense(5, name="last")])
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def batch(n=20):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 8, 8, 3)).astype("float32"), rng.integers(0, 5, n)


def by_name(records):
    assert len({(r.layer, r.part) for r in records}) == len(records)
    return {(r.layer, r.part): r for r in records}


@pytest.mark.parametrize("n", [1, 20])
def test_layers_of_a_training_step(n):
    x, y = batch(n)
    found = by_name(network().profile(x, y, repeat=2, print_fn=None))
    for name in ("first", "norm", "pool", "last"):
        assert {("forward"), ("backward")} <= {part for layer, part in found if layer == name}
    assert ("", "forward") in found                      # the loss and the optimizer
    assert {r.part for r in found.values()} == {"forward", "backward"}
    macs = {"first": n * 8 * 8 * 4 * 27, "last": n * 5 * 64}
    for name, expected in macs.items():
        forward, backward = found[name, "forward"], found[name, "backward"]
        assert forward.gigaflop * 1e9 == pytest.approx(2 * expected, rel=0.05)
        # the weights' gradient, and in the last layer that of the input
        assert backward.gigaflop * 1e9 >= 2 * expected * (1 if name == "first" else 2)
    for r in found.values():
        assert r.milliseconds >= 0 and r.megabytes >= 0 and r.roofline >= 0 and r.ops
        assert r.gigaflops == pytest.approx(r.gigaflop / r.milliseconds * 1e3 if r.milliseconds else 0)


def test_inference_has_no_backward_part():
    found = by_name(network().profile(batch()[0], print_fn=None))
    assert {part for _, part in found} == {"forward"}
    # The pooling is part of the convolution before it.
    assert {"first", "last"} <= {layer for layer, _ in found} <= {"first", "norm", "relu", "pool", "flat", "last", "",
                                                                  "drop"}


def test_nothing_changes():
    """Weights, statistics, optimizer, metrics and random numbers are as before."""
    x, y = batch()
    pyconv.utils.set_random_seed(3)
    model = network()
    model.fit(x, y, verbose=0)
    plain = model.train_on_batch(x, y)
    pyconv.utils.set_random_seed(3)
    again = network()
    again.fit(x, y, verbose=0)
    weights = [v.numpy() for v in (*again.variables, *again.optimizer.variables)]
    again.profile(x, y, repeat=3, print_fn=None)
    for v, before in zip((*again.variables, *again.optimizer.variables), weights, strict=True):
        np.testing.assert_array_equal(v.numpy(), before)
    assert again.train_on_batch(x, y) == plain


def test_table(capsys):
    x, y = batch()
    records = network().profile(x, y, repeat=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(records) + 4
    assert lines[0].split() == ["Layer", "Part", "ms", "%", "GFLOP/s", "MB", "Roofline"]
    assert [line.split()[:2] for line in lines[2:-2] if line.startswith("first")] == [["first", "forward"],
                                                                                    ["first", "backward"]]
    assert "20 samples" in lines[-1] and lines[-2].startswith("Total")


def test_errors():
    x, y = batch()
    with pytest.raises(ValueError, match=r"must be compiled before profile"):
        pyconv.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)]).profile(x, y)
    with pytest.raises(ValueError, match="repeat"):
        network().profile(x, y, repeat=0)
    model, before = network(), pyconv.backends.current().name
    try:
        pyconv.set_backend("reference")
        with pytest.raises(ValueError, match="profile.*'cpu'.*'reference'"):
            model.profile(x, y)
    finally:
        pyconv.set_backend(before)
