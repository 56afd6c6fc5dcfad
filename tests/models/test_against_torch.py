"""The whole LeNet-5 against PyTorch, with copied weights: outputs, loss, gradients, steps of SGD and Adam."""

import numpy as np
import pytest

import pyconv
from pyconv import config, losses, optimizers
from pyconv.applications import lenet5

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(4)
IMAGES = RNG.integers(0, 256, (50, 28, 28), dtype="uint8")
LABELS = RNG.integers(0, 10, 50)
# Two orders of adding up to some thousand products; see tests/test_reproducible.py. Relative to the largest value.
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


def peer_of(form, dtype):
    """The network from the definition of the form, in torch's own layers."""
    nn = torch.nn
    if form == "1998":
        parts = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                 nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                 nn.Linear(84, 10)]
    else:
        parts = [nn.Conv2d(1, 20, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5, padding=2),
                 nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2450, 500), nn.ReLU(), nn.Linear(500, 10)]
    return nn.Sequential(*parts).to(getattr(torch, dtype))


def to_torch(arrays):
    """Weights in torch's shapes: (filters, channels, height, width), and (units, inputs).

    The first dense layer's inputs are rearranged from height, width, channels to channels, height, width.
    """
    found, channels = [], None
    for a in arrays:
        if a.ndim == 4:
            channels, a = a.shape[3], a.transpose(3, 2, 0, 1)
        elif a.ndim == 2:
            if channels:
                side = round((a.shape[0] // channels) ** 0.5)
                a = a.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(a.shape)
                channels = None
            a = a.T
        found.append(np.ascontiguousarray(a))
    return found


def pair(form, dtype, optimizer):
    """Our compiled model, the peer with its weights, and the peer's images and labels."""
    config.set_floatx(dtype)
    pyconv.utils.set_random_seed(2)
    model = lenet5(form)
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    peer = peer_of(form, dtype)
    with torch.no_grad():
        for parameter, weight in zip(peer.parameters(), to_torch(model.get_weights()), strict=True):
            parameter.copy_(torch.from_numpy(weight))
    x = torch.from_numpy(IMAGES[:, None].astype(dtype) / 255)
    return model, peer, x, torch.from_numpy(LABELS)


def close(found, expected, dtype, steps=1):
    expected = expected.detach().numpy()
    assert found.shape == expected.shape and found.dtype == expected.dtype == dtype
    assert np.abs(found - expected).max() <= steps * TOLERANCE[dtype] * np.abs(expected).max()


@pytest.fixture(autouse=True)
def one_thread():
    """torch's threads wait for each other by spinning, which takes long where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


CASES = [(form, dtype) for form in ("1998", "lecture") for dtype in ("float32", "float64")]


@pytest.mark.parametrize(("form", "dtype"), CASES)
def test_outputs_and_loss(form, dtype, backend):
    """For a batch, for one image, and in the call of the model."""
    model, peer, x, y = pair(form, dtype, "sgd")
    expected = peer(x)
    close(model.predict(IMAGES), expected, dtype)
    close(model.predict(IMAGES[:1]), expected[:1], dtype)
    close(model(IMAGES), expected, dtype)
    loss, accuracy = model.evaluate(IMAGES, LABELS, batch_size=50, verbose=0)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(expected, y).item(), rel=TOLERANCE[dtype])
    assert accuracy == pytest.approx((expected.argmax(1) == y).float().mean().item())


@pytest.mark.parametrize(("form", "dtype"), CASES)
def test_gradients(form, dtype, backend):
    """A step of SGD with the learning rate 1 moves each weight by its gradient."""
    model, peer, x, y = pair(form, dtype, optimizers.SGD(1.0))
    before = model.get_weights()
    model.train_on_batch(IMAGES[:21], LABELS[:21])
    gradients = to_torch([a - b for a, b in zip(before, model.get_weights(), strict=True)])
    torch.nn.functional.cross_entropy(peer(x[:21]), y[:21]).backward()
    for weight, found, parameter in zip(before, gradients, peer.parameters(), strict=True):
        expected = parameter.grad
        # The difference of two weights has their rounding, which is coarser than the gradient's own.
        rounding = np.finfo(dtype).eps * np.abs(weight).max()
        assert np.abs(found - expected.numpy()).max() <= TOLERANCE[dtype] * expected.abs().max().item() + rounding


@pytest.fixture
def direct():
    """Winograd's coarser rounding would make the ties that same_way tells of more frequent."""
    config.set_conv_algorithm("direct")


def of_the_largest(found, expected, start):
    return np.abs(found - expected).max() / np.abs(expected).max()


def of_the_way(found, expected, start):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected - start)


# Learning rates that float32 has exactly: our optimizers keep theirs in float32 as Keras does, torch in float64.
@pytest.mark.parametrize(("ours", "theirs"), [
    (lambda: optimizers.SGD(1 / 16, 0.9), lambda p: torch.optim.SGD(p, 1 / 16, 0.9)),
    (lambda: optimizers.SGD(1 / 16, 0.9, nesterov=True), lambda p: torch.optim.SGD(p, 1 / 16, 0.9, nesterov=True)),
], ids=["momentum", "nesterov"])
@pytest.mark.parametrize(("form", "dtype"), CASES)
def test_steps_of_sgd(form, dtype, ours, theirs, direct):
    same_way(form, dtype, ours, theirs, of_the_largest, 10 * TOLERANCE[dtype])


@pytest.mark.parametrize(("form", "dtype"), CASES)
def test_steps_of_adam(form, dtype, direct):
    """Keras adds epsilon to the root of the second moment before its correction, torch after it.

    An epsilon far below every gradient makes them the same. But then a weight whose gradient is hardly more than
    its rounding moves by a whole step in either direction, which in float32 happens: there the way of an array as a
    whole is compared.
    """
    measure = (of_the_way, 0.02) if dtype == "float32" else (of_the_largest, 10 * TOLERANCE[dtype])
    same_way(form, dtype, lambda: optimizers.Adam(1 / 1024, epsilon=1e-30),
             lambda p: torch.optim.Adam(p, 1 / 1024, eps=1e-30), *measure)


def same_way(form, dtype, ours, theirs, difference, tolerance):
    """Ten steps from the same weights: the losses agree, and each array's difference is within the tolerance.

    Where two pixels of a pooling window, or a pixel and ReLU's zero, are equal but for rounding, the gradient goes to
    either, and from there on the steps differ. In float32 up to a third of the draws of images have such a tie, and
    which ones depends on the peer's order of adding up, thus on the processor. A mistake shows in every draw, so one
    that agrees is enough.
    """
    apart = []
    for seed in range(8 if dtype == "float32" else 1):
        rng = np.random.default_rng(seed)
        images, labels = rng.integers(0, 256, IMAGES.shape, dtype="uint8"), rng.integers(0, 10, LABELS.shape)
        pairs, arrays = ten_steps(*pair(form, dtype, ours())[:2], images, labels, theirs, dtype)
        apart.append((max(abs(found / expected - 1) for found, expected in pairs),
                      max(difference(*three) for three in arrays)))
        if apart[-1][0] <= (1e-4 if dtype == "float32" else 1e-12) and apart[-1][1] <= tolerance:
            return
    pytest.fail(f"Largest differences of the losses and of the arrays, for each draw: {apart}")


def ten_steps(model, peer, images, labels, theirs, dtype):
    """Our loss and the peer's of each step on batches of 20, 20 and 10; then our weights, the peer's and the first."""
    x, y = torch.from_numpy(images[:, None].astype(dtype) / 255), torch.from_numpy(labels)
    start, optimizer, pairs = to_torch(model.get_weights()), theirs(peer.parameters()), []
    for step in range(10):
        part = slice(20 * (step % 3), min(20 * (step % 3) + 20, 50))
        found = model.train_on_batch(images[part], labels[part])[0]
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(peer(x[part]), y[part])
        pairs.append((found, expected.item()))
        expected.backward()
        optimizer.step()
    peers = [parameter.detach().numpy() for parameter in peer.parameters()]
    return pairs, list(zip(to_torch(model.get_weights()), peers, start, strict=True))
