"""The ready-made networks: parameters against papers and torchvision, shapes, formats, training."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import pyconv
from pyconv import applications
from pyconv.layers import tracking

rng = np.random.default_rng(0)


@pytest.fixture
def weightless(monkeypatch):
    """Variables whose elements all lie in one place: networks of 500 MB are made in a moment."""
    def one_place(shape, dtype):
        return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), tuple(shape), (0,) * len(shape))

    class Small(tracking.Variable):
        def __init__(self, value, dtype=None, *options):
            super().__init__(np.zeros((), dtype), dtype, *options)
            self.shape, self._array = value.shape, value
    monkeypatch.setattr(tracking, "Variable", Small)
    monkeypatch.setattr(tracking.initializers, "get", lambda _: lambda shape, dtype: one_place(shape, dtype))


def trained(model) -> int:
    return sum(math.prod(v.shape) for v in model.trainable_variables)


# From torchvision's documentation of the models of these names (its "num_params" counts what is trained);
# AlexNet of 2012 is Caffe's; MobileNet Keras's summary; the CIFAR networks those of He's table 6, exact from
# the definition.
COUNTS = [("alexnet", {}, 61_100_840), ("alexnet", {"form": "2012"}, 60_965_224),
          ("vgg11", {}, 132_863_336), ("vgg13", {}, 133_047_848), ("vgg16", {}, 138_357_544),
          ("vgg19", {}, 143_667_240), ("vgg11", {"batch_norm": True}, 132_868_840),
          ("vgg13", {"batch_norm": True}, 133_053_736), ("vgg16", {"batch_norm": True}, 138_365_992),
          ("vgg19", {"batch_norm": True}, 143_678_248), ("vgg16", {"include_top": False}, 14_714_688),
          ("resnet18", {}, 11_689_512), ("resnet34", {}, 21_797_672), ("resnet50", {}, 25_557_032),
          ("resnet", {"depth": 101}, 44_549_160), ("resnet", {"depth": 152}, 60_192_808),
          ("resnet20", {}, 269_722), ("resnet32", {}, 464_154), ("resnet56", {}, 853_018),
          ("resnet_cifar", {"depth": 44}, 658_586), ("resnet_cifar", {"depth": 110}, 1_727_962),
          ("mobilenet", {}, 4_231_976)]


@pytest.mark.parametrize("name,arguments,count", COUNTS)
def test_parameters(name, arguments, count, weightless):
    model = getattr(applications, name)(**arguments)
    assert trained(model) == count
    if arguments.get("include_top", True):
        assert model.output_shape == (None, 10 if count < 2e6 else 1000)


def test_all_parameters_of_mobilenet(weightless):
    assert applications.mobilenet().count_params() == 4_253_864


def conv(size, inputs, filters):
    return size * inputs * filters + filters


def test_zfnet_by_its_figure(weightless):
    expected = (conv(49, 3, 96) + conv(25, 96, 256) + conv(9, 256, 384) + conv(9, 384, 384)
                + conv(9, 384, 256) + conv(1, 6 * 6 * 256, 4096) + conv(1, 4096, 4096) + conv(1, 4096, 1000))
    model = applications.zfnet()
    assert trained(model) == expected == 62_357_608
    sizes = [layer.output.shape[1] for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert sizes == [110, 55, 26, 13, 13, 13, 13, 6]


def unet_count(channels, classes, filters=64, depth=4):
    pairs = [conv(9, channels, filters) + conv(9, filters, filters)]
    for level in range(1, depth + 1):
        n = filters * 2 ** level
        pairs.append(conv(9, n // 2, n) + conv(9, n, n))             # down
        pairs.append(conv(4, n, n // 2) + conv(9, n, n // 2) + conv(9, n // 2, n // 2))      # up
    return sum(pairs) + conv(1, filters, classes)


def test_unet_by_its_figure(weightless):
    model = applications.unet((572, 572, 1), padding="valid")
    assert trained(model) == unet_count(1, 2) == 31_030_658 and model.output_shape == (None, 388, 388, 2)
    small = applications.unet((32, 32, 3), 5, 8, 2)
    assert trained(small) == unet_count(3, 5, 8, 2) and small.output_shape == (None, 32, 32, 5)


def dense_norm(inputs, units):
    return inputs * units + 3 * units                        # weights, biases, gamma and beta


def chain(*sizes):
    return sum(dense_norm(a, b) for a, b in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize("transforms,rounded", [(True, 3.5), (False, 0.8)])
def test_pointnet_by_its_figure_and_table(transforms, rounded, weightless):
    plain = chain(3, 64, 64) + chain(64, 64, 128, 1024) + chain(1024, 512, 256) + 256 * 40 + 40

    def turn(size):
        return chain(size, 64, 128, 1024, 512, 256) + 257 * size * size
    model = applications.pointnet(transforms=transforms)
    assert trained(model) == plain + (turn(3) + turn(64) if transforms else 0)
    assert round(trained(model) / 1e6, 1) == rounded


@pytest.mark.peers
def test_unet_against_torch():
    """The number of parameters of the same network, put together by hand."""
    nn = pytest.importorskip("torch.nn")

    def pair(a, b):
        return [nn.Conv2d(a, b, 3), nn.Conv2d(b, b, 3)]
    modules = pair(3, 8) + pair(8, 16) + pair(16, 32) + [nn.ConvTranspose2d(32, 16, 2)] + pair(32, 16)
    modules += [nn.ConvTranspose2d(16, 8, 2)] + pair(16, 8) + [nn.Conv2d(8, 5, 1)]
    expected = sum(p.numel() for m in modules for p in m.parameters())
    assert trained(applications.unet((32, 32, 3), 5, 8, 2)) == expected


# ---- small ones that compute

SMALL = {"vgg11": {"input_shape": (32, 32, 3), "classes": 4, "hidden": (16,)},
         "resnet18": {"input_shape": (32, 32, 3), "classes": 4}, "resnet20": {"input_shape": (16, 16, 3)},
         "mobilenet": {"alpha": 0.25, "input_shape": (32, 32, 3), "classes": 4},
         "unet": {"input_shape": (16, 16, 3), "filters": 4, "depth": 2}}


def first(arguments):
    height, width, channels = arguments["input_shape"]
    return {**arguments, "input_shape": (channels, height, width), "data_format": "channels_first"}


@pytest.mark.parametrize("name", ["vgg11", "resnet20", "mobilenet", "unet"])
def test_channels_first_is_the_same_network(name):
    arguments = {**SMALL[name], **({"batch_norm": True} if name in ("vgg11", "unet") else {})}
    a, b = getattr(applications, name)(**arguments), getattr(applications, name)(**first(arguments))
    weights = a.get_weights()
    if name == "vgg11":                     # its rows follow the order of flattened pixels: one pixel here
        assert a.get_layer("flatten").output.shape == (None, 512)
    b.set_weights(weights)
    x = rng.normal(size=(2, *arguments["input_shape"])).astype("float32")
    expected, found = a(x), b(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1) if found.ndim == 4 else found, expected, rtol=1e-3,
                               atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["resnet20", "mobilenet", "unet"])
def test_a_step_of_training(name):
    model = getattr(applications, name)(**SMALL[name])
    x = rng.normal(size=(4, *SMALL[name]["input_shape"])).astype("float32")
    y = rng.integers(0, 2, (4, 16, 16) if name == "unet" else 4)
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    history = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert not any(np.array_equal(a, b) for a, b, v in zip(before, model.get_weights(), model.weights,
                                                           strict=True) if v.name == "kernel")


@pytest.mark.parametrize("name", ["resnet20", "mobilenet", "unet"])
def test_configuration_and_file(name, tmp_path):
    from pyconv.saving import load_model
    model = getattr(applications, name)(**SMALL[name])
    model.save(tmp_path / "m.pyconv")
    x = rng.normal(size=(1, *SMALL[name]["input_shape"])).astype("float32")
    np.testing.assert_array_equal(load_model(tmp_path / "m.pyconv")(x), model(x))


def test_features_without_the_top():
    x = rng.normal(size=(1, 40, 48, 3)).astype("float32")
    model = applications.resnet18(include_top=False, input_shape=(None, None, 3))
    maps = model(x)
    assert maps.shape == (1, 2, 2, 512)
    mean = applications.resnet18(include_top=False, input_shape=(None, None, 3), pooling="avg")
    mean.set_weights(model.get_weights())
    np.testing.assert_allclose(mean(x), maps.mean((1, 2)), rtol=1e-4, atol=1e-5)


# ---- PointNet

def test_pointnet_does_not_see_the_order_of_points(tmp_path):
    model = applications.pointnet(32, classes=3)
    x = rng.normal(size=(2, 32, 3)).astype("float32")
    np.testing.assert_allclose(model(x[:, rng.permutation(32)]), model(x), rtol=1e-4, atol=1e-5)


def test_the_transforms_start_as_identity_and_are_kept_orthogonal():
    layer = applications.pointnet.__globals__["TransformPoints"](0.5)
    x, change = rng.normal(size=(2, 5, 3)).astype("float32"), rng.normal(size=(2, 3, 3)).astype("float32")
    np.testing.assert_array_equal(layer([x, np.zeros_like(change)]), x)
    assert float(layer.losses[0]) == 0
    matrix = change + np.eye(3)
    np.testing.assert_allclose(layer([x, change]), x @ matrix, rtol=1e-4, atol=1e-5)
    distance = np.sum((matrix @ matrix.transpose(0, 2, 1) - np.eye(3)) ** 2, (1, 2))
    np.testing.assert_allclose(layer.losses[0], 0.5 * distance.mean(), rtol=1e-4)


def test_pointnet_is_loaded_in_a_new_process(tmp_path):
    model = applications.pointnet(8, classes=2)
    model.save(tmp_path / "m.pyconv")
    subprocess.run([sys.executable, "-c", "from pyconv.saving import load_model\n"
                    f"load_model({str(tmp_path / 'm.pyconv')!r}).summary()"], check=True, capture_output=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


@pytest.mark.parametrize("call,expected", [
    (lambda: applications.alexnet("2013"), "form='2013'"),
    (lambda: applications.vgg(12), "depth=12 must be one"),
    (lambda: applications.resnet(21), "depth=21"), (lambda: applications.resnet_cifar(21), "6n [+] 2"),
    (lambda: applications.mobilenet(0), "alpha=0"),
    (lambda: applications.unet((30, 32, 1)), "multiples of 16"),
    (lambda: applications.unet((570, 570, 1), padding="valid"), "cannot be halved"),
    (lambda: applications.unet((32, 32)), "must be 3 sizes"),
    (lambda: applications.pointnet(classes=0), "classes=0"),
    (lambda: applications.vgg(11, include_top=False, input_shape=(32, 32, 3), pooling="sum"),
     "pooling='sum'"),
    (lambda: applications.unet((32, 32, 1), padding="full"), "padding='full'"),
    (lambda: applications.resnet(data_format="first"), "data_format='first'")])
def test_errors(call, expected):
    with pytest.raises(ValueError, match=expected):
        call()
