"""Texts as numbers: the vocabulary, each way to clean, split and count, and a network that reads them."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers

TEXTS = ["The cat sat, the cat ran!", "A dog ran.", "the end"]


def adapted(texts=TEXTS, **arguments):
    layer = layers.TextVectorization(**arguments)
    layer.adapt(texts)
    return layer


def test_frequent_tokens_come_first_and_equal_ones_in_reverse_order():
    layer = adapted()
    assert layer.get_vocabulary() == ["", "[UNK]", "the", "ran", "cat", "sat", "end", "dog", "a"]
    assert layer.get_vocabulary(include_special_tokens=False)[0] == "the" and layer.vocabulary_size() == 9
    assert adapted(max_tokens=4).get_vocabulary() == ["", "[UNK]", "the", "ran"]


def test_numbers():
    layer = adapted(["foo bar", "bar baz", "baz bada boom"], output_sequence_length=4)
    y = layer([["foo qux bar"], ["qux baz"]])
    assert y.dtype == "int64"
    np.testing.assert_array_equal(y, [[4, 1, 3, 0], [1, 2, 0, 0]])
    np.testing.assert_array_equal(layer("bar bar bar bar bar"), [3, 3, 3, 3])
    longest = layers.TextVectorization(vocabulary=["x"])
    np.testing.assert_array_equal(longest(np.array(["x", "x y x", ""])), [[2, 0, 0], [2, 1, 2], [0, 0, 0]])
    assert longest([]).shape == (0, 0)


@pytest.mark.parametrize("mode, expected", [
    ("multi_hot", [[1, 1, 1, 0], [0, 0, 0, 1]]), ("count", [[1, 2, 1, 0], [0, 0, 0, 3]])])
def test_bags_of_words(mode, expected):
    layer = layers.TextVectorization(output_mode=mode, vocabulary=["the", "cat", "dog"])
    assert layer.get_vocabulary() == ["[UNK]", "the", "cat", "dog"]
    y = layer(["The cat? the bird", "dog dog dog"])
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, expected)
    wide = layers.TextVectorization(max_tokens=6, output_mode=mode, vocabulary=["the", "cat", "dog"],
                                    pad_to_max_tokens=True)
    np.testing.assert_array_equal(wide(["dog"])[0], [0, 0, 0, 1, 0, 0])


def test_inverse_document_frequencies():
    layer = adapted(output_mode="tf_idf", dtype="float64")
    weights = {"the": np.log1p(3 / 3), "ran": np.log1p(3 / 3), "cat": np.log1p(3 / 2), "sat": np.log1p(3 / 2),
               "end": np.log1p(3 / 2), "dog": np.log1p(3 / 2), "a": np.log1p(3 / 2)}
    y = layer(["cat the cat bird"])[0]
    expected = [np.mean(list(weights.values())), weights["the"], 0, 2 * weights["cat"], 0, 0, 0, 0]
    np.testing.assert_allclose(y, expected)
    given = layers.TextVectorization(output_mode="tf_idf", vocabulary=["a", "b"], idf_weights=[0.5, 2.0])
    np.testing.assert_allclose(given(["a b b c"]), [[1.25, 0.5, 4.0]])


@pytest.mark.parametrize("arguments, tokens", [
    ({"standardize": None}, {"The", "cat", "sat,", "the", "ran!"}),
    ({"standardize": "lower"}, {"the", "cat", "sat,", "ran!"}),
    ({"standardize": "strip_punctuation"}, {"The", "cat", "sat", "the", "ran"}),
    ({"standardize": lambda texts: np.char.replace(np.char.upper(texts), "!", "")}, {"THE", "CAT", "SAT,", "RAN"}),
    ({"split": "character", "standardize": None}, set(TEXTS[0])),
    ({"split": None}, {"the cat sat the cat ran"}),
    ({"split": lambda texts: [t.split(" the ") for t in texts]}, {"the cat sat", "cat ran"}),
    ({"ngrams": 2}, {"the", "cat", "sat", "ran", "the cat", "cat sat", "sat the", "cat ran"}),
    ({"ngrams": (3,)}, {"the cat sat", "cat sat the", "sat the cat", "the cat ran"}),
])
def test_tokens(arguments, tokens):
    assert set(adapted(TEXTS[:1], **arguments).get_vocabulary(False)) == tokens


def test_order_of_ngrams_and_texts_that_are_tokens():
    layer = layers.TextVectorization(ngrams=2, vocabulary=["a", "b", "a b", "b a"])
    np.testing.assert_array_equal(layer(["a b a"]), [[2, 3, 2, 4, 5]])
    whole = layers.TextVectorization(split=None, standardize=None, vocabulary=["a b", "c"])
    np.testing.assert_array_equal(whole(["c", "a b", "a"]), [3, 2, 1])


def test_batches_bytes_and_files(tmp_path):
    layer = layers.TextVectorization()
    layer.adapt(iter([TEXTS[:2], TEXTS[2:], ["never seen"]]), steps=2)
    assert layer.get_vocabulary() == adapted().get_vocabulary()
    np.testing.assert_array_equal(layer([t.encode() for t in TEXTS]), layer(TEXTS))
    np.testing.assert_array_equal(layer(np.array(TEXTS)[:, None]), layer(TEXTS))
    path = tmp_path / "words.txt"
    path.write_text("the\ncafé\n", encoding="utf-8")
    assert layers.TextVectorization(vocabulary=str(path)).get_vocabulary() == ["", "[UNK]", "the", "café"]


@pytest.mark.parametrize("mode", ["int", "multi_hot", "count", "tf_idf"])
def test_configurations_hold_what_was_learned(mode):
    layer = adapted(output_mode=mode, ngrams=(1, 2), name="words")
    config = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(config)
    np.testing.assert_array_equal(again(TEXTS), layer(TEXTS))
    assert again.name == "words" and json.loads(json.dumps(layers.serialize(again))) == config
    assert layers.TextVectorization.from_config(layers.TextVectorization().get_config()).vocabulary_size() == 2


def test_a_network_reads():
    rng = np.random.default_rng(0)
    good, bad, other = ["good", "fine", "great"], ["bad", "awful", "poor"], ["film", "the", "was", "a"]
    labels = np.arange(200) % 2
    texts = [" ".join(rng.permutation([*rng.choice(other, 5), rng.choice(good if label else bad)])) for label in labels]
    vectorize = adapted(texts, output_sequence_length=6)
    model = pyconv.Sequential([
        pyconv.Input((6,), dtype="int64"), layers.Embedding(vectorize.vocabulary_size(), 8),
        layers.Conv1D(8, 3, padding="same", activation="relu"), layers.GlobalMaxPooling1D(), layers.Dense(1)])
    model.compile(pyconv.optimizers.Adam(0.02), pyconv.losses.BinaryCrossentropy(from_logits=True))
    model.fit(vectorize(texts), labels, epochs=12, batch_size=20, verbose=0)
    batches = (vectorize(texts[i:i + 50]) for i in range(0, 200, 50))
    scores = model.predict(batches, verbose=0)[:, 0]
    assert np.mean((scores > 0) == labels) > 0.95


@pytest.mark.parametrize("call, error, message", [
    (lambda: layers.TextVectorization()(["a"]), ValueError, "no vocabulary yet"),
    (lambda: layers.TextVectorization(vocabulary=["a"])(pyconv.Input((1,))), TypeError, "before a model"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([1]), TypeError, "texts must be strings"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([["a", "b"]]), ValueError, r"\(batch,\) or \(batch, 1\)"),
    (lambda: layers.TextVectorization(vocabulary=["a", "a"]), ValueError, "more than once"),
    (lambda: layers.TextVectorization(vocabulary=["a", "b"], max_tokens=3), ValueError, "larger than max_tokens"),
    (lambda: layers.TextVectorization(output_mode="tf_idf", vocabulary=["a"]), ValueError, "one number for each"),
    (lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3), ValueError, "is for output_mode"),
    (lambda: layers.TextVectorization(output_mode="cont"), ValueError, "Did you mean 'count'"),
    (lambda: layers.TextVectorization(ragged=True), ValueError, "not supported"),
    (lambda: layers.TextVectorization(pad_to_max_tokens=True), ValueError, "needs max_tokens"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
