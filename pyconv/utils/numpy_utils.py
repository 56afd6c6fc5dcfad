"""Arrays that a training needs: one-hot labels, normalized vectors, sequences of one length."""

from __future__ import annotations

import numpy as np

from ..config import floatx
from .configurable import describe
from .foreign import to_hosts

__all__ = ["normalize", "pad_sequences", "to_categorical"]


def to_categorical(x, num_classes=None):
    """Class numbers as one-hot vectors.

    Parameters
    ----------
    x: array_like of integers
        Of any shape; an axis of length 1 at the end is dropped, as in Keras.
    num_classes: int, optional
        Default the largest number and 1.

    Returns
    -------
    array (..., num_classes) of the default float type

    Raises
    ------
    ValueError
        For numbers below 0 or from `num_classes` on, and values that are no whole numbers.
    """
    given = np.asarray(to_hosts(x))
    labels = given.astype("int64")
    if not np.array_equal(labels, given):
        raise ValueError("to_categorical takes class numbers, but x has values that are no whole numbers.")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 0:
        raise ValueError(f"to_categorical: num_classes={describe(num_classes)} must be an int of at least 0.")
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"to_categorical: x has class numbers from {labels.min()} to {labels.max()}; with "
                         f"num_classes={num_classes} they must be from 0 to {num_classes - 1}.")
    out = np.zeros((labels.size, num_classes), floatx())
    out[np.arange(labels.size), labels.reshape(-1)] = 1
    return out.reshape(*labels.shape, num_classes)


def normalize(x, axis=-1, order=2):
    """Vectors divided by their norm; vectors of zeros stay what they are.

    Parameters
    ----------
    x: array_like
    axis: int
        Along which the vectors lie; default -1.
    order: int or float
        Of the norm: 2 (default) is Euclid's, 1 the sum of absolute values, numpy.inf the largest.

    Returns
    -------
    array of the shape of x; floats keep their type, integers become the default float type
    """
    x = np.asarray(to_hosts(x))
    if x.dtype.kind != "f":
        x = x.astype(floatx())
    norm = np.atleast_1d(np.linalg.norm(x, order, axis, keepdims=True) if x.ndim else np.abs(x))
    return x / np.where(norm == 0, 1, norm).reshape(norm.shape if x.ndim else ()).astype(x.dtype)


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Sequences of different lengths as one array.

    Parameters
    ----------
    sequences: list of sequences
        Each a list or array of numbers, or of arrays of one shape.
    maxlen: int, optional
        The length of the result; default that of the longest sequence.
    dtype: str
        Default "int32".
    padding: "pre" or "post"
        Where `value` fills up sequences that are shorter; default "pre", as in Keras.
    truncating: "pre" or "post"
        Where sequences that are longer are cut; default "pre".
    value: float or str
        Default 0.

    Returns
    -------
    array (len(sequences), maxlen, ...)

    Raises
    ------
    ValueError
        For other words than "pre" and "post", and sequences whose elements have different shapes.
    TypeError
        If `sequences` is no list of sequences.
    """
    for name, word in (("padding", padding), ("truncating", truncating)):
        if word not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name}={describe(word)} must be 'pre' or 'post'.")
    if not hasattr(sequences, "__len__"):
        raise TypeError(f"pad_sequences takes a list of sequences, got {describe(sequences)}.")
    for index, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise TypeError(f"pad_sequences: element {index} of sequences must be a sequence, got "
                            f"{describe(sequence)}.")
    if maxlen is None:
        maxlen = max(map(len, sequences), default=0)
    if isinstance(maxlen, bool) or not isinstance(maxlen, (int, np.integer)) or maxlen < 0:
        raise ValueError(f"pad_sequences: maxlen={describe(maxlen)} must be an int of at least 0.")
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(f"pad_sequences: value={value!r} is a text, but dtype={dtype!r} holds numbers; use "
                         "dtype=object.")
    rest = next((np.shape(s)[1:] for s in sequences if len(s)), ())
    out = np.full((len(sequences), maxlen, *rest), value, dtype)
    for index, sequence in enumerate(sequences):
        if not len(sequence) or not maxlen:
            continue
        part = np.asarray(sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen], dtype)
        if part.shape[1:] != rest:
            raise ValueError(f"pad_sequences: the elements of sequence {index} have shape {part.shape[1:]}; "
                             f"expected {rest}, as in the sequences before.")
        if padding == "post":
            out[index, :len(part)] = part
        else:
            out[index, maxlen - len(part):] = part
    return out
