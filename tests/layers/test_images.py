"""Layers that change images: what they do in training. Shapes, errors and configurations are tested with all layers."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import layers, ops
from pyconv.layers.images.mixing import TRIES, beta, shuffled

from layer_cases import CASES, make

os.environ.setdefault("KERAS_BACKEND", "torch")
RANDOM = [case for case in CASES if case.startswith("random_")]
# One decision for the whole batch, as in Keras.
TOGETHER = ("random_crop", "random_crop_first")
# Without random numbers.
FIRM = ("random_equalization",)
# In which most samples are left as they are, or that do the same to all that they change.
SELDOM = ("random_flip", "random_flip_first", "random_invert", "random_grayscale", "random_posterization",
          "random_mix_up", "random_cut_mix", "random_erasing_fill", "random_perspective", "random_gaussian_blur",
          "random_zoom_both")
COLORS = [case for case in RANDOM if issubclass(CASES[case][0], layers.images.color._Color)]


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def equal_images(case, rng, batch=8):
    """A batch of one and the same image within the case's value range."""
    low, high = CASES[case][1].get("value_range", (0, 1))
    return np.tile(rng.uniform(low, high, (1, *CASES[case][2])), (batch, *[1] * 3)).astype("float32")


def pixels(layer, x):
    """The batch with channels last."""
    return x if layer.data_format == "channels_last" else np.moveaxis(x, 1, -1)


@pytest.mark.parametrize("case", RANDOM)
def test_identity_in_inference(case, rng, backend):
    if case in TOGETHER:
        return
    x = rng.uniform(0, 255, (3, *CASES[case][2]))
    for dtype in ("uint8", "float32", "int64"):
        y = make(case)(x.astype(dtype))
        assert y.dtype == "float32"
        np.testing.assert_array_equal(y, x.astype(dtype).astype("float32"))


@pytest.mark.parametrize("case", RANDOM)
def test_a_seed_decides_all(case, rng):
    """The same numbers for the same seed, others in the next call, and the same for any number of threads."""
    low, high = CASES[case][1].get("value_range", (0, 1))
    x = rng.uniform(low, high, (5, *CASES[case][2])).astype("float32")
    before, found = pyconv.config.num_threads(), []
    try:
        for threads in (1, 2, 5):
            pyconv.config.set_num_threads(threads)
            pyconv.utils.set_random_seed(3)
            layer = make(case)
            found.append([layer(x, training=True).tobytes() for _ in range(6)])
    finally:
        pyconv.config.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert (len(set(found[0])) > 1) != (case in FIRM)


@pytest.mark.parametrize("case", RANDOM)
def test_the_reference_agrees(case, rng):
    low, high = CASES[case][1].get("value_range", (0, 1))
    x = rng.uniform(low, high, (5, *CASES[case][2])).astype("float32")
    found = {}
    for name in ("cpu", "reference"):
        pyconv.set_backend(name)
        pyconv.utils.set_random_seed(5)
        found[name] = make(case)(x, training=True)
    pyconv.set_backend("cpu")
    np.testing.assert_allclose(found["cpu"], found["reference"], atol=3e-5)


@pytest.mark.parametrize("case", RANDOM)
def test_each_sample_is_changed_in_its_own_way(case, rng):
    layer = make(case)
    y = np.concatenate([layer(equal_images(case, rng), training=True).reshape(8, -1) for _ in range(2)])
    different = len({row.tobytes() for row in np.round(y[:8], 4)})
    if case in (*TOGETHER, *FIRM) or "mix" in case:
        assert different == 1
    elif case in SELDOM:
        assert different > 1
    else:
        assert different >= 5
    assert np.isfinite(y).all()


@pytest.mark.parametrize("case", COLORS)
def test_colors_stay_in_their_range(case, rng):
    low, high = CASES[case][1].get("value_range", (0, 1))
    x = rng.uniform(low, high, (40, *CASES[case][2]))
    y = make(case)(x, training=True)
    assert y.min() >= low - 1e-5 and y.max() <= high + 1e-5


@pytest.mark.parametrize("case", RANDOM)
def test_a_single_image(case, rng):
    layer = make(case)
    x = rng.uniform(0, 1, CASES[case][2])
    one, batch = layer(x, training=True), make(case)
    assert one.shape == layer.compute_output_shape(x.shape)
    if "seed" in CASES[case][1]:
        np.testing.assert_array_equal(one, batch(x[None], training=True)[0])


@pytest.mark.parametrize("case", RANDOM)
def test_masks_and_labels_go_along(case, rng):
    """Masks are changed like images and keep their type and their values; labels of one-hot rows stay distributions."""
    layer = make(case)
    x = rng.uniform(0, 1, (6, *CASES[case][2]))
    channels = 3 if layer.data_format == "channels_last" else 1
    masks = np.round(np.take(x, [0], channels) * 3).astype("uint8")
    labels = np.eye(6, 4, dtype="float32")
    out = layer({"images": x, "labels": labels, "segmentation_masks": masks, "name": np.arange(6)}, training=True)
    found = out["segmentation_masks"]
    assert list(out) == ["images", "labels", "segmentation_masks", "name"]
    np.testing.assert_array_equal(out["name"], np.arange(6))
    if case == "random_mix_up":
        assert found.dtype == "float32"
    else:
        assert found.dtype == "uint8" and set(np.unique(found)) <= {*np.unique(masks), 0}
    np.testing.assert_allclose(out["labels"].sum(1), labels.sum(1)[:6] if "mix" not in case else out["labels"].sum(1))
    if "mix" not in case:
        np.testing.assert_array_equal(out["labels"], labels)
    if case in COLORS:
        np.testing.assert_array_equal(found, masks)


def test_a_resumed_run_draws_the_same_numbers(tmp_path, rng):
    x, y = rng.uniform(0, 255, (40, 8, 8, 3)).astype("uint8"), rng.integers(0, 3, 40)

    def model():
        pyconv.utils.set_random_seed(1)
        net = pyconv.Sequential([layers.Input((8, 8, 3)), layers.RandomFlip(), layers.RandomRotation(0.1),
                                 layers.RandomErasing(), layers.Rescaling(1 / 255), layers.Conv2D(4, 3),
                                 layers.Flatten(), layers.Dense(3)])
        net.compile("sgd", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net
    whole = model()
    whole.fit(x, y, epochs=4, verbose=0, shuffle=False)
    first = model()
    first.fit(x, y, epochs=2, verbose=0, shuffle=False)
    first.save(tmp_path / "run.pyconv")
    second = pyconv.saving.load_model(tmp_path / "run.pyconv")
    second.fit(x, y, epochs=4, initial_epoch=2, verbose=0, shuffle=False)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --------------------------------------------------------------------------------------------------- geometry

def test_flips_are_exact(rng, backend):
    x = rng.integers(0, 256, (40, 3, 4, 2)).astype("uint8")
    for mode, flipped in (("horizontal", x[:, :, ::-1]), ("vertical", x[:, ::-1]),
                          ("horizontal_and_vertical", x[:, ::-1, ::-1])):
        y = layers.RandomFlip(mode, seed=1)(x, training=True)
        kinds = [1 if (a == f).all() else 0 if (a == b).all() else None for a, b, f in zip(y, x, flipped, strict=True)]
        assert set(kinds) == {0, 1} and 8 <= sum(kinds) <= 32


def test_a_quarter_turn_is_counter_clockwise(rng, backend):
    x = rng.normal(size=(2, 5, 5, 3)).astype("float32")
    for mode in ("constant", "reflect", "wrap"):
        y = layers.RandomRotation((0.25, 0.25), mode)(x, training=True)
        np.testing.assert_allclose(y, np.rot90(x, axes=(1, 2)), atol=1e-5)


def test_translations_by_whole_pixels(rng, backend):
    """One down, two to the left."""
    x = rng.normal(size=(2, 4, 6, 1)).astype("float32")
    for mode, numpy_mode in (("reflect", "symmetric"), ("wrap", "wrap"), ("nearest", "edge"), ("constant", "constant")):
        y = layers.RandomTranslation((0.25, 0.25), (-1 / 3, -1 / 3), mode)(x, training=True)
        expected = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)), numpy_mode)[:, :4, 2:]
        np.testing.assert_allclose(y, expected, atol=2e-6)


def test_zoom_and_shear(rng, backend):
    x = rng.normal(size=(1, 5, 5, 1)).astype("float32")
    smaller = layers.RandomZoom((1, 1), fill_mode="constant", fill_value=7.0)(x, training=True)[0, :, :, 0]
    np.testing.assert_allclose(smaller[1:4, 1:4], x[0, ::2, ::2, 0], atol=1e-6)
    assert (smaller[[0, -1]] == 7).all() and (smaller[:, [0, -1]] == 7).all()
    slanted = layers.RandomShear((1, 1), 0.0, fill_mode="wrap", seed=1)(np.tile(x, (9, 1, 1, 1)), training=True)
    expected = {sign: np.stack([np.roll(x[0, i, :, 0], sign * i) for i in range(5)]) for sign in (-1, 1)}
    assert {sign for y in slanted[..., 0] for sign in expected if np.allclose(y, expected[sign], atol=1e-6)} == {-1, 1}


@pytest.mark.parametrize("make_layer", [
    lambda: layers.RandomTranslation(0.4, 0.3, "constant", "nearest"), lambda: layers.RandomCrop(4, 3),
    lambda: layers.RandomRotation(0.5, "reflect", "nearest"), lambda: layers.RandomZoom(0.5, 0.6, "wrap", "nearest"),
    lambda: layers.RandomShear(0.5, 0.5, "nearest", "nearest"), lambda: layers.RandomPerspective(1.0, 0.7, "nearest")])
def test_the_nearest_pixels_are_the_images_own(make_layer, rng):
    x = np.arange(6 * 7 * 5, dtype="float32").reshape(5, 6, 7, 1) + 1
    y = make_layer()(x, training=True)
    for a, b in zip(y, x, strict=True):
        assert set(a.ravel()) <= {*b.ravel(), 0.0}
        assert len(set(a.ravel())) > 5


def test_the_range_of_factors(rng):
    """The moved middle of a bright spot tells the translation that was drawn."""
    x = np.zeros((400, 21, 31, 1), "float32")
    x[:, 10, 15] = 1
    y = layers.RandomTranslation((0.1, 0.3), 0.2, "constant", seed=2)(x, training=True)[..., 0]
    down = (y.sum(2) @ np.arange(21) - 10) / 21
    right = (y.sum(1) @ np.arange(31) - 15) / 31
    assert 0.1 <= down.min() + 1e-5 < 0.11 and 0.29 < down.max() <= 0.3 + 1e-5
    assert -0.2 <= right.min() + 1e-5 < -0.19 and 0.19 < right.max() <= 0.2 + 1e-5
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2


def test_a_perspective_keeps_the_images_it_does_not_choose(rng):
    x = rng.normal(size=(200, 5, 6, 1)).astype("float32")
    y = layers.RandomPerspective((0.3, 0.3), 0.8, seed=1)(x, training=True)
    changed = np.abs(y - x).reshape(200, -1).max(1) > 0
    assert 30 < changed.sum() < 90


# ------------------------------------------------------------------------------------------------------ sizes

def test_windows_at_random_places(rng, backend):
    x = rng.integers(0, 255, (2, 7, 6, 3)).astype("uint8")
    layer, places = layers.RandomCrop(4, 5, seed=3), set()
    for _ in range(60):
        y = layer(x, training=True)
        found = [(i, j) for i in range(4) for j in range(2) if (x[:, i:i + 4, j:j + 5] == y).all()]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 8
    assert layer(x[:, :3], training=True).shape == (2, 4, 5, 3)


@pytest.mark.peers
@pytest.mark.parametrize("name, size, options", [
    ("CenterCrop", (4, 3), {}), ("CenterCrop", (5, 12), {}), ("Resizing", (4, 3), {}),
    ("Resizing", (4, 3), {"interpolation": "bicubic", "crop_to_aspect_ratio": True}),
    ("Resizing", (5, 9), {"interpolation": "nearest", "pad_to_aspect_ratio": True})])
def test_cropping_and_resizing_equal_keras(name, size, options, rng):
    keras = pytest.importorskip("keras")
    x = rng.uniform(0, 255, (2, 6, 7, 1)).astype("uint8")
    y = getattr(layers, name)(*size, **options)(x)
    expected = keras.ops.convert_to_numpy(getattr(keras.layers, name)(*size, **options)(x))
    assert y.dtype == expected.dtype
    # A half may round to the one or the other: its last bit before differs. (Floats are compared with ops.resize.)
    np.testing.assert_allclose(y.astype(float), expected.astype(float), atol=1 if y.dtype == "uint8" else 1e-3)
    assert np.mean(np.abs(y.astype(float) - expected) > 1e-3) < 0.1


# ----------------------------------------------------------------------------------------------------- colors

FIXED = [("RandomBrightness", {"factor": (0.3, 0.3)}), ("RandomBrightness", {"factor": (-0.2, -0.2)}),
         ("RandomContrast", {"factor": (0, 0)}), ("RandomSaturation", {"factor": (0.3, 0.3), "value_range": (0, 1)}),
         ("RandomColorDegeneration", {"factor": (0.4, 0.4)}), ("RandomGrayscale", {"factor": 1.0}),
         ("RandomInvert", {"factor": (1, 1)}), ("RandomPosterization", {"factor": (3, 3)}),
         ("RandomSharpness", {"factor": (0.9, 0.9)}), ("RandomGaussianBlur", {"factor": (1, 1), "sigma": (0.7, 0.7)}),
         ("AutoContrast", {})]


@pytest.mark.peers
@pytest.mark.parametrize("name, options", FIXED)
def test_fixed_factors_give_keras_numbers(name, options, rng):
    keras = pytest.importorskip("keras")
    high = options.get("value_range", (0, 255))[1]
    x = rng.uniform(0.1 * high, 0.7 * high, (2, 5, 6, 3)).astype("float32")
    y = getattr(layers, name)(**options)(x, training=True)
    expected = keras.ops.convert_to_numpy(getattr(keras.layers, name)(**options)(x, training=True))
    np.testing.assert_allclose(y, expected, atol=2e-4 * high)
    assert not np.allclose(y, x) or options["factor"] == (0, 0)


@pytest.mark.peers
def test_changes_that_were_drawn_give_keras_numbers(rng):
    keras = pytest.importorskip("keras")
    x = rng.uniform(0, 255, (3, 5, 6, 3)).astype("float32")
    factor = rng.uniform(0.5, 1.5, (3, 1, 1, 1)).astype("float32")
    for name, arguments, drawn, theirs in (
            ("RandomContrast", (0.5,), {"contrast_factor": factor}, None),
            ("RandomBrightness", (0.5,), {"factor": (factor - 1) / 2}, {"rgb_delta": (factor - 1) / 2 * 255}),
            ("RandomHue", (0.5,), {"factor": (factor - 1) / 2}, {"factor": (factor - 1)[:, 0, 0, 0] / 2}),
            ("Solarization", (), {"additions": factor * 20, "thresholds": factor * 80}, None)):
        y = getattr(layers, name)(*arguments).transform_images(x, drawn)
        expected = getattr(keras.layers, name)(*arguments).transform_images(
            keras.ops.convert_to_tensor(x), {k: keras.ops.convert_to_tensor(v) for k, v in (theirs or drawn).items()})
        np.testing.assert_allclose(y, keras.ops.convert_to_numpy(expected), atol=5e-3, err_msg=name)


@pytest.mark.peers
def test_equalization_equals_keras(rng, backend):
    """Image by image; in a batch Keras counts them together."""
    keras = pytest.importorskip("keras")
    x = np.round(255 * rng.random((2, 6, 7, 2)) ** 2).astype("float32")
    x[1, ..., 0] = 40
    for bins in (256, 32):
        y = layers.Equalization(bins=bins)(x, training=True)
        for found, image in zip(y, x, strict=True):
            expected = keras.ops.convert_to_numpy(keras.layers.Equalization(bins=bins)(image[None], training=True))
            np.testing.assert_allclose(found, expected[0], atol=1e-3)
    first = layers.Equalization(bins=bins, data_format="channels_first")(x.transpose(0, 3, 1, 2), training=True)
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), y)


def test_a_choice_of_changes(rng):
    """With one change per image, each image is what one of the layers makes of it."""
    x = rng.uniform(0, 255, (12, 6, 5, 3)).astype("float32")
    layer = layers.RandAugment(num_ops=1, factor=0.5, seed=3)
    drawn = layer.get_random_transformation({"images": x})
    y, chosen = layer.transform_images(x, drawn), drawn["layer_idxes"].ravel().astype(int)
    assert len(set(chosen)) > 4 and chosen.max() <= 10
    for i, k in enumerate(chosen):
        alone = layer._steps[k].transform_images(x, drawn["transforms"][k])
        np.testing.assert_allclose(y[i], alone[i], atol=1e-4)
    masks = (x[..., :1] > 128).astype("uint8")
    assert layers.RandAugment()({"images": x, "segmentation_masks": masks}, training=True)["images"].shape == x.shape


def test_bits_that_are_kept(rng):
    x = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    for bits in (1, 4, 8):
        y = layers.RandomPosterization((bits, bits))(x, training=True)
        np.testing.assert_array_equal(y, x // 2**(8 - bits) * 2**(8 - bits))
    y = layers.RandomPosterization((2, 5), seed=1)(np.tile(x, (60, 1, 1, 1)), training=True)
    assert {len(np.unique(image)) for image in y} == {4, 8, 16}


# ----------------------------------------------------------------------------------------------------- mixing

@settings(max_examples=20)
@given(seed=st.integers(0, 999), n=st.integers(0, 40), ties=st.booleans())
def test_shuffled_is_a_permutation(seed, n, ties):
    keys = np.random.default_rng(seed).integers(0, 3 if ties else 2**30, n).astype("float32")
    order = shuffled(keys)
    assert order.dtype == "int32"
    np.testing.assert_array_equal(np.argsort(order), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.2, 1.0, 4.0])
def test_the_beta_distribution(alpha, rng):
    n = 20000
    found = beta(alpha, rng.normal(size=(n, 2, TRIES)), rng.random((n, 2, TRIES)), rng.random((n, 2)))
    assert ((found >= 0) & (found <= 1)).all()
    for power, moment in ((1, 0.5), (2, (alpha + 1) / (2 * (2 * alpha + 1))),
                          (4, np.prod([(alpha + k) / (2 * alpha + k) for k in range(4)]))):
        samples = found**power
        assert abs(samples.mean() - moment) < 4.5 * samples.std() / np.sqrt(n)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_labels_say_what_was_mixed(name, rng, backend):
    """Image i has the value 2 ** i everywhere, so that its pixels tell where they come from."""
    x = np.broadcast_to(2.0 ** np.arange(8)[:, None, None, None], (8, 7, 6, 2))
    layer = getattr(layers, name)(seed=5)
    mixed = 0
    for _ in range(4):
        out = layer({"images": x, "labels": np.eye(8)}, training=True)
        images, labels = out["images"].astype("float64"), out["labels"]
        np.testing.assert_allclose(images.mean((1, 2, 3)), labels @ 2.0 ** np.arange(8), rtol=1e-4)
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
        mixed += (labels > 1e-3).sum(1).max() == 2
        for i, image in enumerate(images):
            if name == "MixUp":
                np.testing.assert_allclose(image, image[0, 0, 0], rtol=1e-6)
            else:                                  # a rectangle, the same in all channels
                changed = (image != 2.0 ** i)
                assert (changed[..., 0] == changed[..., 1]).all()
                rows, columns = changed[..., 0].any(1), changed[..., 0].any(0)
                np.testing.assert_array_equal(changed[..., 0], rows[:, None] & columns)
                assert all((np.diff(np.flatnonzero(side)) == 1).all() for side in (rows, columns))
    assert mixed
    floats = layer({"images": x, "labels": np.arange(8.0)}, training=True)["labels"]
    assert floats.shape == (8,) and not np.array_equal(floats, np.arange(8.0))


def test_erased_rectangles(rng, backend):
    x = np.full((300, 20, 30, 1), -1.0, "float32")
    y = layers.RandomErasing((1, 1), (0.04, 0.25), 0.5, (0, 1), seed=1)(x, training=True)
    assert set(np.unique(y)) == {-1.0, 0.5}
    tall, wide = (y[..., 0] > 0).any(2).sum(1), (y[..., 0] > 0).any(1).sum(1)
    np.testing.assert_array_equal((y > 0).sum((1, 2, 3)), tall * wide)
    assert 4 <= tall.min() <= 5 and 9 <= tall.max() <= 11 and 6 <= wide.min() <= 7 and 14 <= wide.max() <= 16
    noise = layers.RandomErasing((0.5, 0.5), (1, 1), value_range=(0, 1), seed=1)(x, training=True)
    erased = noise.reshape(300, -1).max(1) > -1
    assert 110 < erased.sum() < 190 and 0.45 < (noise[erased] == 0).mean() < 0.55


# -------------------------------------------------------------------------------------------- in models, errors

def test_in_a_program_with_convolutions(rng):
    """Bytes in, augmentation, convolution: one program, on samples in lanes and on small batches."""
    x, y = rng.integers(0, 256, (36, 12, 12, 3)).astype("uint8"), rng.integers(0, 2, 36)
    found = {}
    for name in ("cpu", "reference"):
        pyconv.set_backend(name)
        pyconv.utils.set_random_seed(2)
        net = pyconv.Sequential([
            layers.Input((12, 12, 3), dtype="uint8"), layers.RandomTranslation(0.2, 0.2), layers.RandomZoom(0.2),
            layers.RandomContrast(0.3), layers.Resizing(10, 10), layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(2)])
        net.compile("sgd", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
        net.fit(x, y, batch_size=32, epochs=2, verbose=0)
        found[name] = net.get_weights() + [net.predict(x, verbose=0)]
    pyconv.set_backend("cpu")
    for a, b in zip(found["cpu"], found["reference"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_layer_of_ones_own(rng):
    class Darker(layers.images.ImageLayer):
        def get_random_transformation(self, data, training=True, seed=None):
            return np.arange(1.0, data["images"].shape[0] + 1).reshape(-1, 1, 1, 1)

        def transform_images(self, images, transformation, training=True):
            return ops.divide(images, transformation)
    x = rng.uniform(size=(3, 2, 2, 1)).astype("float32")
    np.testing.assert_allclose(Darker()(x, training=True), x / [[[[1]]], [[[2]]], [[[3]]]], rtol=1e-6)
    np.testing.assert_array_equal(Darker()(x), x)


@pytest.mark.parametrize("make_layer, message", [
    (lambda: layers.RandomRotation(1.5), "RandomRotation.*factor must be from -1 to 1, got 1.5"),
    (lambda: layers.RandomRotation((0.1, 0.2, 0.3)), "factor must be a number or a pair"),
    (lambda: layers.RandomRotation(0.1, "mirror"), "fill_mode must be 'reflect' or"),
    (lambda: layers.RandomZoom((-1, 0)), "height_factor must be above -1"),
    (lambda: layers.RandomShear(-0.1), "x_factor must be from 0 to 1"),
    (lambda: layers.RandomFlip("sideways"), "mode must be 'horizontal'"),
    (lambda: layers.RandomGrayscale(1.1), "factor must be from 0 to 1"),
    (lambda: layers.RandomBrightness(0.1, (1,)), "value_range must be a pair"),
    (lambda: layers.RandomGaussianBlur(kernel_size=2), "kernel_size must be odd"),
    (lambda: layers.MixUp(0), "alpha must be above 0"),
    (lambda: layers.Resizing(3, 4, "bilinaer"), "Did you mean 'bilinear'"),
    (lambda: layers.Resizing(3, 4, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "cannot both be True"),
    (lambda: layers.MixUp()({"images": np.zeros((2, 3, 3, 1)), "labels": np.zeros(2, "int32")}, training=True),
     "one_hot"),
    (lambda: layers.RandomFlip()({"images": np.zeros((2, 3, 3, 1)), "bounding_boxes": np.zeros((2, 1, 4))}),
     "is called on images or a dictionary"),
    (lambda: layers.RandomErasing(fill_value=(1, 2))(np.zeros((2, 3, 3, 3)), training=True), "one number per channel"),
])
def test_errors(make_layer, message):
    with pytest.raises(ValueError, match=message):
        make_layer()


def test_single_numbers_in_keras_configurations():
    """A number stands for a range there, which our layer takes as the same."""
    for layer, key, pair in ((layers.RandomShear(0.2), "x_factor", [-0.2, 0.2]),
                             (layers.RandomRotation(0.2), "factor", [-0.2, 0.2]),
                             (layers.RandomInvert(0.2), "factor", [0, 0.2])):
        config = json.loads(json.dumps(layer.get_config())) | {key: pair}
        x = np.random.default_rng(0).normal(size=(3, 4, 4, 1))
        seeded = {"seed": 3}
        one, two = type(layer).from_config(config | seeded), type(layer).from_config(layer.get_config() | seeded)
        np.testing.assert_array_equal(one(x, training=True), two(x, training=True))


@pytest.mark.parametrize("case", RANDOM)
def test_images_without_samples_and_of_one_pixel(case):
    layer = make(case)
    channels = CASES[case][2][-1 if layer.data_format == "channels_last" else 0]
    for sizes in ((0, 4, 5), (2, 1, 1), (1, 1, 7), (3, 5, 1)):
        x = np.full((*sizes, channels), 0.5, "float32")
        x = x if layer.data_format == "channels_last" else np.moveaxis(x, -1, 1)
        y = layer(x, training=True)
        assert y.shape == layer.compute_output_shape(x.shape) and np.isfinite(y).all()
