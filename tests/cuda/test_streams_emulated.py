"""The next batch comes on a stream of its own: right under any order that streams allow, and only with every wait."""

import random

import numpy as np
import pytest

import pyconv
from pyconv import backends, layers, ops
from pyconv.graph import Variable, trace
from tests.cuda.devices import events, near
from tests.cuda.emulator import standin, streams

X = np.random.default_rng(0).integers(0, 256, (40, 6)).astype("uint8")
SCHEDULES = ["early", "late", *range(6)]


@pytest.fixture
def order():
    """A function that sets when operations on streams run; a number is the seed of a random order."""
    def set_schedule(which):
        streams.schedule = which if isinstance(which, str) else "random"
        streams.generator = random.Random(which)
    yield set_schedule
    set_schedule("late")


def sums(ahead=True):
    """What a program with a state gives for the batches of X, each told which comes next."""
    state = Variable(np.zeros(6, "float32"))

    def step(x):
        state.assign(state.value * 0.5 + ops.sum(ops.cast(x, "float32"), 0))
        return ops.transpose(ops.cast(x, "float32")) * 2
    program = backends.get("cuda").compile(trace(step, [((4, 6), "uint8")])[0])
    arrays, rows, found = [X], [np.arange(i, i + 4)[::-1].copy() for i in range(0, 40, 4)], []
    for now, following in zip(rows, [*rows[1:], None], strict=True):
        told = {"ahead": (arrays, following)} if ahead and following is not None else {}
        found.append(program(arrays, now, **told)[0])
    return [*found, state.numpy()]


@pytest.fixture(scope="module")
def expected():
    state, out = np.zeros(6, "float32"), []
    for i in range(0, 40, 4):
        state = state * np.float32(0.5) + X[i:i + 4].astype("float32").sum(0)
        out.append(X[i:i + 4][::-1].T.astype("float32") * 2)
    return [*out, state]


def wrong(found, expected) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.devices
@pytest.mark.parametrize("which", SCHEDULES)
def test_any_order_gives_the_same(which, order, expected):
    order(which)
    assert not wrong(sums(), expected) and not wrong(sums(ahead=False), expected)


@pytest.mark.parametrize("who, what", [("stream", "computing does not wait for the batch"),
                                       ("copies", "the copy does not wait until the batch before is read")])
def test_a_missing_wait_between_streams_is_found(who, what, order, expected, monkeypatch):
    wait, device = standin.Stream.wait_event, backends.get("cuda").driver
    monkeypatch.setattr(standin.Stream, "wait_event",
                        lambda self, event: None if self is getattr(device, who) else wait(self, event))

    def found(which):
        order(which)
        return wrong(sums(), expected)
    assert any(map(found, SCHEDULES)), what


def test_a_missing_wait_of_the_host_is_found(order, expected, monkeypatch):
    """Memory of the host is written again while the copy from it has not been made."""
    monkeypatch.setattr(standin.Event, "synchronize", lambda self: None)
    order("late")
    assert wrong(sums(), expected)


def test_the_copy_comes_while_the_batch_before_is_computed(order):
    order("early")
    start = len(standin.log)
    sums()
    runs = "".join({"H2D": "h", "D2D": "d", "graph": "g", "D2H": "r"}.get(e, "") for e in standin.log[start:])
    # From the third run on: what was copied is taken, a graph, the copy for the next run, the result.
    assert "dghrdghrdghr" in runs and runs.endswith("dgrr")


@pytest.mark.devices
def test_another_batch_than_the_one_that_was_announced(order):
    program = backends.get("cuda").compile(trace(lambda x: ops.cast(x, "float32") + 1, [((4, 6), "uint8")])[0])
    rows, arrays = [np.arange(i, i + 4) for i in range(0, 20, 4)], [X]
    for which in SCHEDULES:
        order(which)
        for now, announced in ((0, 1), (2, 3), (3, 4), (1, 1), (1, 0)):
            found = program(arrays, rows[now], ahead=(arrays, rows[announced]))[0]
            np.testing.assert_array_equal(found, X[rows[now]].astype("float32") + 1)
    # One that cannot be gathered is an error when its turn comes, not before.
    wrong_rows = np.array([0, 1, 2, 99])
    program(arrays, rows[0], ahead=(arrays, wrong_rows))
    with pytest.raises(IndexError):
        program(arrays, wrong_rows)
    np.testing.assert_array_equal(program(arrays, rows[2])[0], X[rows[2]].astype("float32") + 1)


@pytest.mark.devices
@pytest.mark.parametrize("which", ["late", 1])
def test_fit_evaluate_and_predict_look_ahead(which, order):
    order(which)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(34, 5)).astype("float32"), rng.integers(0, 3, 34)

    def run(backend):
        with pyconv.device(backend):
            pyconv.random.set_random_seed(7)
            model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(4, activation="tanh"), layers.Dense(3)])
            model.compile(pyconv.optimizers.SGD(0.1, 0.9),
                          pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(x, y, batch_size=8, epochs=2, verbose=0)
            return [*model.get_weights(), model.evaluate(x, y, batch_size=8, verbose=0),
                    model.predict(x, batch_size=8, verbose=0)]
    found, seen = events(lambda: run("cuda"))
    assert seen is None or seen.count("D2D") >= 2 * 3 + 3 + 3
    for a, b in zip(found, run("cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=near(1e-5, 1e-3), atol=near(1e-6, 1e-4))
