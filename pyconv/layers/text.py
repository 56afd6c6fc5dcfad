"""Texts as numbers. Strings are no tensors: this works on lists and NumPy arrays before a model, never inside of it.

Texts are made numbers once, ahead of training, or batch by batch on the way into the model::

    vectorize = layers.TextVectorization(max_tokens=5000, output_sequence_length=40)
    vectorize.adapt(texts)
    model.fit(vectorize(texts), labels)                                     # all at once
    model.predict(vectorize(batch) for batch in batches_of_texts)           # batch by batch

A `pyconv.data.PyDataset` calls it in its ``__getitem__``, on threads of its own. What was learned is part of
the configuration, so ``layers.serialize(vectorize)`` beside the model's file is all that serving needs.
"""

from __future__ import annotations

import os
import string
from collections import Counter

import numpy as np

from ..graph import FunctionalTensor, Tensor
from ..utils.configurable import describe
from . import checks
from .layer import Layer

__all__ = ["TextVectorization"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_STANDARD = {"lower_and_strip_punctuation": lambda text: text.lower().translate(_PUNCTUATION), "lower": str.lower,
             "strip_punctuation": lambda text: text.translate(_PUNCTUATION)}
_MODES = ("int", "multi_hot", "count", "tf_idf")
OOV = "[UNK]"


class TextVectorization(Layer):
    """Texts as numbers of words: each text is cleaned, split, and its words (or n-grams) looked up in a vocabulary.

    Called on a list or array of texts (batch,) or (batch, 1), or on one text. It is no part of a model; see the head of
    this module for how it stands before one. It has no weights.

    Parameters
    ----------
    max_tokens: int, optional
        The largest size of the vocabulary, the token for unknown words (and in "int" mode that for padding) included.
    standardize: str or callable, optional
        "lower_and_strip_punctuation" (default), "lower", "strip_punctuation", None, or a function of an array of texts.
    split: str or callable, optional
        "whitespace" (default), "character", None (each text is a token), or a function of a list of texts that gives
        a list of lists.
    ngrams: int or tuple of ints, optional
        Words in a row that count as a token, joined by spaces: up to so many, or of exactly these lengths.
    output_mode: str
        "int" (default): (batch, tokens), int64; 0 is padding, 1 an unknown token. "multi_hot": (batch, vocabulary), 1
        for tokens that occur. "count": how often they do. "tf_idf": that times ``log(1 + texts / (1 + texts with the
        token))``, as `adapt` counted them. These are of the layer's float type; column 0 is for unknown tokens.
    output_sequence_length: int, optional
        In "int" mode texts are cut or filled with 0 to so many tokens; default the longest of the batch.
    pad_to_max_tokens: bool
        In the other modes, whether there are `max_tokens` columns however many words are known. Default False.
    vocabulary: list of str, or path of a file with a token in each line, optional
        Instead of `adapt`; without the special tokens, which are added (and left out if they lead the list).
    idf_weights: list of float, optional
        For "tf_idf": one for each token of `vocabulary`.
    sparse, ragged: bool
        Only False.
    encoding: str
        Of texts given as bytes, and of the file; default "utf-8".
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, texts that are none, and calls before there is a vocabulary.
    """

    def __init__(self, max_tokens=None, standardize="lower_and_strip_punctuation", split="whitespace", ngrams=None,
                 output_mode="int", output_sequence_length=None, pad_to_max_tokens=False, vocabulary=None,
                 idf_weights=None, sparse=False, ragged=False, encoding="utf-8", name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if sparse is not False or ragged is not False:
            raise ValueError(f"{self._title()}: sparse and ragged results are not supported; both must be False.")
        self.sparse = self.ragged = False
        if standardize is not None and not callable(standardize):
            checks.choice(self, "standardize", standardize, tuple(_STANDARD))
        if split is not None and not callable(split):
            checks.choice(self, "split", split, ("whitespace", "character"))
        if not isinstance(encoding, str):
            checks.fail(self, "encoding", encoding, "the name of an encoding", TypeError)
        self.standardize, self.split, self.encoding = standardize, split, encoding
        widths = ngrams if isinstance(ngrams, (tuple, list)) else (ngrams,) if ngrams is not None else ()
        widths = tuple(checks.integer(self, "ngrams", n) for n in widths)
        self.ngrams = ngrams if ngrams is None else widths if isinstance(ngrams, (tuple, list)) else widths[0]
        self._widths = tuple(range(1, self.ngrams + 1)) if isinstance(self.ngrams, int) else widths
        self.output_mode = checks.choice(self, "output_mode", output_mode, _MODES)
        self._special = ["", OOV] if self.output_mode == "int" else [OOV]
        self.max_tokens = None if max_tokens is None else checks.integer(self, "max_tokens", max_tokens,
                                                                         len(self._special) + 1)
        self.output_sequence_length = None if output_sequence_length is None \
            else checks.integer(self, "output_sequence_length", output_sequence_length)
        self.pad_to_max_tokens = checks.boolean(self, "pad_to_max_tokens", pad_to_max_tokens)
        if output_sequence_length is not None and self.output_mode != "int":
            raise ValueError(f"{self._title()}: output_sequence_length is for output_mode='int', not for "
                             f"{self.output_mode!r}.")
        if pad_to_max_tokens and (max_tokens is None or self.output_mode == "int"):
            raise ValueError(f"{self._title()}: pad_to_max_tokens needs max_tokens and another output_mode than 'int'.")
        if idf_weights is not None and (vocabulary is None or self.output_mode != "tf_idf"):
            raise ValueError(f"{self._title()}: idf_weights need a vocabulary that they belong to, and "
                             "output_mode='tf_idf'.")
        self._tokens, self._index, self._idf = None, {}, None
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        self.built = True

    # ---- the vocabulary

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary of texts: the most frequent tokens first, equally frequent ones in reverse order.

        data: a list or array of texts, or an iterable of such batches, of which the first `steps` are used.
        `batch_size` is accepted and of no effect.
        """
        self.reset_state()
        whole = isinstance(data, (str, bytes, np.ndarray)) \
            or isinstance(data, (list, tuple)) and all(isinstance(d, (str, bytes, np.str_)) for d in data) \
            or isinstance(data, (list, tuple)) and all(isinstance(d, (list, tuple)) and len(d) == 1 for d in data)
        for step, batch in enumerate([data] if whole else data):
            if steps is not None and step == steps:
                break
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self):
        """Forget what `update_state` counted."""
        self._counts, self._documents, self._texts = Counter(), Counter(), 0

    def update_state(self, data):
        """Count the tokens of a batch of texts."""
        for tokens in self._tokenized(data)[0]:
            self._counts.update(tokens)
            self._documents.update(set(tokens))
            self._texts += 1

    def finalize_state(self):
        """Make the vocabulary of what was counted."""
        for token in self._special:
            self._counts.pop(token, None)
        order = sorted(self._counts, key=lambda token: (self._counts[token], token), reverse=True)
        if self.max_tokens is not None:
            order = order[:self.max_tokens - len(self._special)]
        idf = None
        if self.output_mode == "tf_idf":
            idf = [float(np.log1p(self._texts / (1 + self._documents[token]))) for token in order]
        self.set_vocabulary(order, idf)
        self.reset_state()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Use these tokens (a list, or the path of a file with one in each line), and for "tf_idf" their weights."""
        if isinstance(vocabulary, (str, os.PathLike)):
            try:
                file = open(vocabulary, encoding=self.encoding)
            except (OSError, LookupError) as error:
                raise ValueError(f"{self._title()}: the file {os.fspath(vocabulary)!r} of the vocabulary cannot be "
                                 f"read: {error}.") from error
            with file:
                vocabulary = [line for line in file.read().split("\n") if line]
        if not isinstance(vocabulary, (list, tuple, np.ndarray)):
            checks.fail(self, "vocabulary", vocabulary, "a list of strings or the path of a file", TypeError)
        tokens = [self._text(token) for token in (np.ravel(vocabulary) if isinstance(vocabulary, np.ndarray)
                                                  else vocabulary)]
        if tokens[:len(self._special)] == self._special:
            tokens = tokens[len(self._special):]
        repeated = [token for token, n in Counter(tokens).items() if n > 1 or token in ("", OOV)]
        if repeated:
            raise ValueError(f"{self._title()}: the vocabulary has {repeated[0]!r} more than once, or in another place "
                             "than where special tokens stand.")
        if self.max_tokens is not None and len(tokens) + len(self._special) > self.max_tokens:
            raise ValueError(f"{self._title()}: a vocabulary of {len(tokens)} tokens and {len(self._special)} special "
                             f"ones is larger than max_tokens={self.max_tokens}.")
        if idf_weights is not None:
            try:
                idf_weights = np.asarray(idf_weights, "float64")
            except (TypeError, ValueError):
                checks.fail(self, "idf_weights", idf_weights, "a list of numbers", TypeError)
        if (self.output_mode == "tf_idf") != (idf_weights is not None) or idf_weights is not None \
                and idf_weights.shape != (len(tokens),):
            raise ValueError(f"{self._title()}: idf_weights must be one number for each of the {len(tokens)} tokens in "
                             f"output_mode='tf_idf', and None in the others, got {describe(idf_weights)}.")
        self._tokens = self._special + tokens
        self._index = {token: i for i, token in enumerate(self._tokens)}
        self._idf = None
        if idf_weights is not None:
            # Unknown words count like the average one.
            self._idf = np.concatenate([[idf_weights.mean() if len(idf_weights) else 0.0], idf_weights])

    def get_vocabulary(self, include_special_tokens=True) -> list:
        """The tokens, in the order of their numbers."""
        tokens = list(self._tokens or self._special)
        return tokens if include_special_tokens else tokens[len(self._special):]

    def vocabulary_size(self) -> int:
        """The number of tokens, special ones included."""
        return len(self._tokens or self._special)

    # ---- texts

    def _text(self, value) -> str:
        if isinstance(value, bytes):
            return value.decode(self.encoding)
        if not isinstance(value, str):
            raise TypeError(f"{self._title()}: texts must be strings, got {describe(value)}.")
        return str(value)

    def _tokenized(self, data) -> tuple:
        """(list of tokens of each text, whether it was a single text)."""
        try:
            array = np.asarray(data, object)
        except ValueError:
            array = np.zeros((0, 0))
        if array.ndim > 2 or array.ndim == 2 and array.shape[1] != 1 and self.split is not None:
            raise ValueError(f"{self._title()}: texts must have the shape (batch,) or (batch, 1), got {array.shape}.")
        rows = [[self._text(v) for v in row] for row in array.reshape(-1, array.shape[1] if array.ndim == 2 else 1)]
        if callable(self.standardize):
            wide = np.array(rows, str).reshape(len(rows), -1) if rows else np.zeros((0, 1), str)
            rows = np.asarray(self.standardize(wide)).tolist()
        elif self.standardize:
            rows = [[_STANDARD[self.standardize](text) for text in row] for row in rows]
        if callable(self.split):
            rows = [list(tokens) for tokens in self.split([row[0] for row in rows])]
        elif self.split:
            rows = [row[0].split() if self.split == "whitespace" else list(row[0]) for row in rows]
        if self._widths:
            rows = [[" ".join(row[i:i + n]) for n in self._widths for i in range(len(row) - n + 1)] for row in rows]
        return rows, array.ndim == 0

    def __call__(self, inputs, *args, **kwargs):
        """The numbers of texts, a NumPy array; see the class."""
        if isinstance(inputs, (Tensor, FunctionalTensor)):
            raise TypeError(f"{self._title()} works on lists and arrays of texts, before a model: a program has no "
                            "strings. Call it on the texts and give the model the numbers, for example "
                            "model.fit(vectorize(texts), labels) or model.predict(vectorize(b) for b in batches).")
        if self._tokens is None:
            raise ValueError(f"{self._title()} has no vocabulary yet: call adapt(texts), or give a vocabulary.")
        rows, single = self._tokenized(inputs)
        unknown = self._index[OOV]
        numbers = [[self._index.get(token, unknown) for token in row] for row in rows]
        if self.output_mode == "int":
            width = self.output_sequence_length or max(map(len, numbers), default=0)
            out = np.zeros((len(numbers), width), "int64")
            for to, row in zip(out, numbers, strict=True):
                to[:min(width, len(row))] = row[:width]
            if self.split is None and not self._widths and np.ndim(inputs) < 2 and not self.output_sequence_length:
                out = out[:, 0] if len(out) else out.reshape(0)
        else:
            columns = self.max_tokens if self.pad_to_max_tokens else len(self._tokens)
            out = np.zeros((len(numbers), columns), self.dtype)
            for to, row in zip(out, numbers, strict=True):
                np.add.at(to, np.asarray(row, "int64"), 1)
            if self.output_mode == "multi_hot":
                out = np.minimum(out, 1)
            elif self.output_mode == "tf_idf":
                out[:, :len(self._idf)] *= self._idf.astype(self.dtype)
        return out[0] if single else out

    def compute_output_shape(self, input_shape):
        batch = tuple(input_shape[:1])
        if self.output_mode == "int":
            return (*batch, self.output_sequence_length)
        return (*batch, self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size())

    def get_config(self):
        config = super().get_config()
        config["vocabulary"] = None if self._tokens is None else self.get_vocabulary(False)
        config["idf_weights"] = None if self._idf is None else self._idf[1:].tolist()
        return config
