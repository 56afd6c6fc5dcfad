"""What programs compute once from the weights, such as packed kernels, is never older than the weights."""

import gc
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import Variable, backends, config, layers, losses, models, ops
from pyconv.graph import trace

SHAPE = (12, 12, 3)
SIZES = (1, 20)
IMAGES = np.random.default_rng(0).normal(size=(max(SIZES), *SHAPE)).astype("float32")
LABELS = np.arange(max(SIZES)) % 4


def build(shared=None):
    """Convolutions of each kind, batch normalization to be folded, and dense layers; `shared` is one of them."""
    shared = shared or layers.Conv2D(24, 3, padding="same", name="shared")
    model = models.Sequential([
        layers.Input(SHAPE), layers.Conv2D(20, 3, use_bias=False), layers.BatchNormalization(),
        layers.Activation("relu"), shared, layers.BatchNormalization(), layers.Conv2D(9, 5, strides=2),
        layers.Flatten(), layers.Dense(40, activation="relu"), layers.Dense(4)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, shared


def check(*found):
    """Predictions have the bits of those of new models with the same weights."""
    for model in found:
        fresh, _ = build()
        fresh.set_weights(model.get_weights())
        for size in SIZES:
            expected = fresh.predict(IMAGES[:size])
            for _ in range(2):
                np.testing.assert_array_equal(model.predict(IMAGES[:size]), expected)


def changes(folder):
    """Name -> function (model, weight, array of its shape): every way in which a weight can change."""
    held = []

    def load(model, weight, value):
        other, _ = build()
        other.set_weights([value if w is weight else w.numpy() for w in model.weights])
        other.save_weights(folder / "w.safetensors")
        model.load_weights(folder / "w.safetensors")

    def hold(model, weight, value):
        held.append(weight.array)
        model.predict(IMAGES[:1])
        held[-1][...] = value

    def hold_view(model, weight, value):
        held.append(weight.array.reshape(-1)[1:].view(np.uint8))
        model.predict(IMAGES[:1])
        held[-1].view(np.float32)[...] = value.ravel()[1:]

    def write_to_held(model, weight, value):
        for array in held:
            array.view(np.float32)[..., :1] = value.ravel()[0]

    return {
        "assign": lambda model, weight, value: weight.assign(value),
        "assign_add": lambda model, weight, value: weight.assign_add(value * 0.1),
        "array": lambda model, weight, value: weight.array.__setitem__(..., value),
        "array of integers": lambda model, weight, value: weight.array.view(np.int32).__ixor__(1),
        "memoryview": lambda model, weight, value: memoryview(weight.array.reshape(-1)).__setitem__(0, value.flat[0]),
        "set_weights": lambda model, weight, value: model.set_weights(
            [value if w is weight else w.numpy() for w in model.weights]),
        "load_weights": load,
        "train": lambda model, weight, value: model.train_on_batch(IMAGES, LABELS),
        "fit": lambda model, weight, value: model.fit(IMAGES, LABELS, batch_size=8, verbose=0),
        "program": lambda model, weight, value: backends.current().compile(trace(
            lambda: weight.assign(ops.add(weight, 1.0)), [])[0])([]),
        "reference": lambda model, weight, value: backends.get("reference").compile(trace(
            lambda: weight.assign(ops.add(weight, 1.0)), [])[0])([]),
        "hold": hold, "hold view": hold_view, "write to held": write_to_held, "give back": lambda *_: held.clear(),
    }


NAMES = tuple(changes(None))


@settings(max_examples=6)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 100), st.booleans()), min_size=1, max_size=6))
def test_predictions_follow_the_weights(tmp_path_factory, steps):
    ways, rng = changes(tmp_path_factory.mktemp("weights")), np.random.default_rng(len(steps))
    one, shared = build()
    two, _ = build(shared)
    check(one, two)
    for name, number, second in steps:
        model = two if second else one
        weight = model.weights[number % len(model.weights)]
        ways[name](model, weight, rng.uniform(0.1, 1, weight.shape).astype("float32"))
        check(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_each_way(name, tmp_path):
    model, _ = build()
    check(model)
    ways, rng = changes(tmp_path), np.random.default_rng(1)
    for weight in (model.weights[0], model.weights[2]):
        ways[name](model, weight, rng.uniform(0.1, 1, weight.shape).astype("float32"))
        check(model)


def test_work_is_done_once():
    """The preparation runs again only after a change; an array that was given back costs nothing any more."""
    model, _ = build()
    x = IMAGES[:20]
    model.predict(x)
    program, _ = model._functions(x).predict.program((x,))
    runs = []

    class Counted:
        def __init__(self, program):
            self.program = program

        def run(self, *args):
            runs.append(1)
            return self.program.run(*args)
    program.preparation = Counted(program.preparation)
    array = model.weights[0].array
    model.predict(x), model.predict(x)
    assert len(runs) == 2                       # held: whoever has it may have written
    del array
    gc.collect()
    model.predict(x), model.predict(x), model.predict(x)
    assert len(runs) == 3
    Variable(np.zeros(3)).assign(np.ones(3))    # of no concern here
    model.predict(x)
    assert len(runs) == 3
    model.weights[0].assign(model.weights[0].numpy())
    model.predict(x), model.predict(x)
    assert len(runs) == 4


def test_only_what_a_program_leaves_alone_is_prepared():
    """A step of training prepares what depends on frozen weights, not on those that it changes."""
    v, frozen = Variable(np.ones((3, 5), "float32")), Variable(np.ones((5, 2), "float32"))

    def step(x):
        scaled = ops.matmul(v, frozen * 2.0)
        v.assign_add(x)
        return scaled
    program = backends.get("cpu").compile(trace(step, [((3, 5), "float32")])[0])
    assert program.sources == [frozen]
    for n in range(1, 4):
        (out,) = program([np.ones((3, 5), "float32")])
        np.testing.assert_array_equal(out, np.full((3, 2), 10.0 * n))
    frozen.assign(np.zeros((5, 2)))
    np.testing.assert_array_equal(program([np.ones((3, 5), "float32")])[0], 0)


def test_an_error_in_the_preparation_comes_each_time():
    v = Variable(np.array([1.0, np.nan], "float32"))
    program = backends.get("cpu").compile(trace(
        lambda x: ops.add(ops.exp(ops.check_finite(v, "bad weights") * 2.0), x), [((2,), "float32")])[0])
    for _ in range(2):
        with pytest.raises(ValueError, match="bad weights"):
            program([np.zeros(2, "float32")])
    v.assign(np.zeros(2))
    np.testing.assert_array_equal(program([np.zeros(2, "float32")])[0], 1)


def test_threads_predict_at_once_while_weights_change():
    model, _ = build()
    weight, values = model.weights[0], [np.full(model.weights[0].shape, k, "float32") for k in range(3)]
    expected = []
    for value in values:
        weight.assign(value)
        expected.append([model.predict(IMAGES[:size]) for size in SIZES])
    failures, barrier = [], threading.Barrier(4)

    def work():
        try:
            for k in [0, 1, 2] * 5:
                if barrier.wait() == 0:
                    weight.assign(values[k])
                barrier.wait()
                for size, y in zip(SIZES, expected[k], strict=True):
                    np.testing.assert_array_equal(model.predict(IMAGES[:size]), y)
                barrier.wait()
        except Exception as error:
            failures.append(error)
            barrier.abort()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_any_number_of_threads_gives_the_same_bits():
    model, _ = build()
    for size in SIZES:
        found = []
        for threads in (1, 2, 3, 5):
            config.set_num_threads(threads)
            fresh, _ = build()
            fresh.set_weights(model.get_weights())
            found.append(fresh.predict(IMAGES[:size]))
        for other in found[1:]:
            np.testing.assert_array_equal(found[0], other)
