"""Attention: for each query a mean of values, weighted by how well their keys fit."""

from __future__ import annotations

import numpy as np

from .. import constraints, initializers, ops, regularizers
from ..ops.nn import masked
from ..utils.configurable import describe, plain
from . import checks
from .core import EinsumDense
from .input_spec import is_data, is_shape, show
from .layer import Layer
from .regularization import Dropout

__all__ = ["Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"]


class Attention(Layer):
    """Dot-product attention on a list [query, value] or [query, value, key] (Luong et al., 2015).

    ``softmax(query @ transpose(key)) @ value``. query: (batch, t, n). value: (batch, s, m). key: (batch, s, n), default
    the value. Output: (batch, t, m). `call` also takes ``mask``, a list [query mask (batch, t), value mask (batch, s)]
    of bool or None, ``return_attention_scores`` (also returns the weights, (batch, t, s)) and ``use_causal_mask``
    (query i sees the values up to i).

    Parameters
    ----------
    use_scale: bool
        A learned factor of the scores; weight scale, (). Default False.
    score_mode: str
        "dot" (default), or "concat": the sum of ``tanh(query + key)`` times a learned number, weight
        concat_score_weight, ().
    dropout: float
        Of the weights, in training; default 0.
    seed: int, optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs that are no list of 2 or 3 tensors.
    """

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.use_scale = checks.boolean(self, "use_scale", use_scale)
        self.score_mode = checks.choice(self, "score_mode", score_mode, ("dot", "concat"))
        self.dropout = checks.number(self, "dropout", dropout, 0, 1)
        self.seed = checks.seed_argument(self, seed)
        self._dropout_layer = Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def _check_inputs(self, inputs):
        if not isinstance(inputs, (list, tuple)) or not 2 <= len(inputs) <= 3 or not all(map(is_data, inputs)):
            got = f"{len(inputs)}" if isinstance(inputs, (list, tuple)) else describe(inputs)
            error = ValueError(f"{self._title()} is called on a list of 2 or 3 tensors, [query, value] or [query, "
                               f"value, key], got {got}.")
            error.pyconv_located = True
            raise error

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        self.scale = self.add_weight((), "ones", name="scale") if self.use_scale else None
        self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight") \
            if self.score_mode == "concat" else None

    def _scores(self, query, key):
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -1, -2))
            return scores if self.scale is None else scores * self.scale
        both = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        return self.concat_score_weight * ops.sum(ops.tanh(both if self.scale is None else self.scale * both), -1)

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        query, value = inputs[:2]
        scores = self._scores(query, inputs[2] if len(inputs) > 2 else value)
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        allowed = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            causal = np.tri(*scores.shape[-2:], dtype=bool)
            allowed = causal if allowed is None else ops.logical_and(allowed, causal)
        weights = ops.softmax(masked(scores, allowed))
        weights = self._dropout_layer(weights, training=training)
        result = ops.matmul(weights, value)
        if query_mask is not None:
            result = ops.where(ops.expand_dims(query_mask, -1), result, 0.0)
        return (result, weights) if return_attention_scores else result

    def compute_output_shape(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or is_shape(input_shape) or not 2 <= len(input_shape) <= 3:
            raise ValueError(f"{self._title()} is built for 2 or 3 shapes, got {show(input_shape)}.")
        query, value = (tuple(s) for s in input_shape[:2])
        key = tuple(input_shape[-1])
        if not len(query) == len(value) == len(key) >= 3 or value[:-1] != key[:-1] or not query[-1] \
                or query[-1] != key[-1]:
            raise ValueError(f"{self._title()} needs a query (batch, t, n), a value (batch, s, m) and a key (batch, "
                             f"s, n), which without a third tensor is the value, got shapes {show(list(input_shape))}.")
        return (*query[:-1], value[-1])


class AdditiveAttention(Attention):
    """Attention with the scores ``sum(scale * tanh(query + key))`` (Bahdanau et al., 2015).

    Inputs, output and the arguments of `call` are those of `Attention`. Weight with `use_scale` (default): scale, (n,).
    """

    _not_configured = ("autocast", "score_mode")

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale") if self.use_scale else None

    def _scores(self, query, key):
        terms = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        return ops.sum(terms if self.scale is None else self.scale * terms, -1)


class MultiHeadAttention(Layer):
    """Attention with several heads, each with projections of its own of queries, keys and values.

    Called as ``layer(query, value, key=None)``: query (batch, t, n), value (batch, s, m), key (batch, s, k), default
    the value. Output: (batch, t, n), or with `output_shape` (batch, t, *output_shape). More axes than t and s are
    possible. `call` also takes

    - attention_mask: bool, (batch, t, s), or with fewer axes if it broadcasts: True where a query may look;
    - query_mask, value_mask, key_mask: bool, (batch, t) and (batch, s), joined with it;
    - use_causal_mask: whether query i sees the values up to i only;
    - return_attention_scores: whether the weights, (batch, num_heads, t, s), are returned too.

    Weights: query (n, heads, key_dim), key (k, heads, key_dim), value (m, heads, value_dim), attention_output
    (heads, value_dim, n), each kernel followed by its bias, and with `use_gate` gate (n, heads, value_dim).
    Source: Vaswani et al., *Attention is all you need*, 2017.

    Parameters
    ----------
    num_heads, key_dim: int
        Number of heads, and the size of each head's queries and keys.
    value_dim: int, optional
        The size of each head's values; default `key_dim`.
    dropout: float
        Of the weights, in training; default 0.
    use_bias: bool
        Default True.
    output_shape: int or tuple, optional
        Sizes in the place of the query's last axis; default that of the query.
    attention_axes: int or tuple, optional
        The axes that are attended over; default all between the batch and the features.
    sliding_window: int, optional
        Query i sees the values from ``i - sliding_window + 1`` to i + sliding_window - 1 only.
    flash_attention: accepted, and of no effect.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
    bias_constraint: of each projection
    use_gate: bool
        Whether the heads' results are multiplied with the sigmoid of another projection of the query (Qiu et al.,
        *Gated attention for large language models*, 2025). Default False.
    seed: int, optional
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose shapes do not fit each other.
    """

    _not_configured = ("autocast", "flash_attention")

    def __init__(self, num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, output_shape=None,
                 attention_axes=None, sliding_window=None, flash_attention=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, use_gate=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = checks.integer(self, "num_heads", num_heads)
        self.key_dim = checks.integer(self, "key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else checks.integer(self, "value_dim", value_dim)
        self.dropout = checks.number(self, "dropout", dropout, 0, 1)
        self.use_bias, self.use_gate = (checks.boolean(self, n, v) for n, v in (("use_bias", use_bias),
                                                                               ("use_gate", use_gate)))
        self.output_shape = self._ints("output_shape", output_shape)
        self.attention_axes = self._ints("attention_axes", attention_axes)
        self.sliding_window = None if sliding_window is None else checks.integer(self, "sliding_window", sliding_window)
        modules = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        self._common = {name: self._get(modules[name.rpartition("_")[2]], name, value) for name, value in (
            ("kernel_initializer", kernel_initializer), ("bias_initializer", bias_initializer),
            ("kernel_regularizer", kernel_regularizer), ("bias_regularizer", bias_regularizer),
            ("activity_regularizer", activity_regularizer), ("kernel_constraint", kernel_constraint),
            ("bias_constraint", bias_constraint))}
        self.seed = checks.seed_argument(self, seed)
        self._groups = self.num_heads          # heads of the keys and values

    def _ints(self, argument, value):
        values = (value,) if isinstance(value, int) and not isinstance(value, bool) else value
        if values is not None and (not isinstance(values, (tuple, list)) or not values
                                   or any(isinstance(v, bool) or not isinstance(v, int) for v in values)):
            raise TypeError(f"{self._title()}: {argument} must be an int or a tuple of ints, got {describe(value)}.")
        return None if values is None else tuple(values)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        if any(not is_shape(s) or len(s) < 3 for s in (query_shape, value_shape, key_shape)) \
                or len({len(query_shape), len(value_shape), len(key_shape)}) > 1 \
                or tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(f"{self._title()} needs a query (batch, t, n), a value (batch, s, m) and a key (batch, s, "
                             f"k), got shapes {show(query_shape)}, {show(value_shape)} and {show(key_shape)}.")
        free = "bcdefghijklmnopq"[:len(query_shape) - 2]
        given = tuple(None for _ in free)

        def projection(name, shape, size, heads=self.num_heads, **options):
            layer = self._dense(f"a{free}z,zxy->a{free}xy", (*given, heads, size), "xy", name, **options)
            layer.build(shape)
            return layer
        # Keras's order of the weights
        self._query_dense = projection("query", query_shape, self.key_dim)
        self._key_dense = projection("key", key_shape, self.key_dim, self._groups)
        if self.use_gate:
            self._gate_dense = projection("gate", query_shape, self.value_dim, activation="sigmoid")
        self._value_dense = projection("value", value_shape, self.value_dim, self._groups)
        out = self.output_shape or (query_shape[-1],)
        letters = "ABCDEFGHIJ"[:len(out)]
        self._output_dense = self._dense(f"a{free}xy,xy{letters}->a{free}{letters}", (*given, *out), letters,
                                         "attention_output")
        self._output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        axes = self.attention_axes or tuple(range(1, len(query_shape) - 1))
        # Negative ones are counted as if the heads were not there.
        self._axes = tuple(sorted(a if a >= 0 else a + len(query_shape) for a in axes))
        if not all(0 < a < len(query_shape) - 1 for a in self._axes):
            raise ValueError(f"{self._title()}: attention_axes={self.attention_axes} must lie between the batch and "
                             f"the last axis of the query, whose shape is {show(query_shape)}.")

    def _dense(self, equation, shape, bias_axes, name, **options):
        return EinsumDense(equation, shape, bias_axes=bias_axes if self.use_bias else None, name=name,
                           dtype=self.dtype_policy, **self._common, **options)

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):
        key = value if key is None else key
        mask = self._mask(query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        gate = self._gate_dense(query) if self.use_gate else None
        query, key, value = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        if self._groups != self.num_heads:
            key, value = (ops.repeat(x, self.num_heads // self._groups, -2) for x in (key, value))
        rank = len(query.shape)
        # Letters of an axis of the target: small; of the source, where it is attended over: capital.
        target = [*"abcdefghijklm"[:rank - 2], "x", "y"]
        source = [c.upper() if i in self._axes else c for i, c in enumerate(target)]
        over = "".join(target[i] for i in self._axes)
        batch = "".join(c for i, c in enumerate(target[:-1]) if i not in self._axes)
        weights = ops.einsum(f"{''.join(target)},{''.join(source)}->{batch}{over}{over.upper()}",
                             query * self.key_dim ** -0.5, key)
        if mask is not None:
            for _ in range(len(weights.shape) - len(mask.shape)):
                mask = ops.expand_dims(mask, len(mask.shape) - 2 * len(self._axes))
        weights = ops.softmax(masked(weights, mask), tuple(range(-len(self._axes), 0)))
        dropped = self._dropout_layer(weights, training=bool(training))
        result = ops.einsum(f"{batch}{over}{over.upper()},{''.join(source)}->{''.join(target)}", dropped, value)
        result = self._output_dense(result if gate is None else result * gate)
        return (result, weights) if return_attention_scores else result

    def _mask(self, query, value, query_mask, value_mask, key_mask, attention_mask, causal):
        parts = [ops.expand_dims(ops.cast(m, "bool"), axis)
                 for m, axis in ((query_mask, -1), (value_mask, -2), (key_mask, -2)) if m is not None]
        t, s = query.shape[1], value.shape[1]
        if causal:
            parts.append(np.tri(t, s, dtype=bool)[None])
        if self.sliding_window is not None:
            parts.append(np.abs(np.arange(t)[:, None] - np.arange(s)) < self.sliding_window)
        if attention_mask is not None:
            parts.append(ops.cast(attention_mask, "bool"))
        found = None
        for part in parts:
            found = part if found is None else ops.logical_and(found, part)
        return found

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return (*query_shape[:-1], *(self.output_shape or query_shape[-1:]))

    def get_config(self):
        config = {name: value for name, value in super().get_config().items() if name not in self._common}
        return config | {name: plain(value) for name, value in self._common.items()}


class GroupQueryAttention(MultiHeadAttention):
    """`MultiHeadAttention` in which groups of the query's heads share a head of keys and values.

    Called in the same way, with a query (batch, t, n), a value (batch, s, m) and a key (batch, s, k). Weights: query
    (n, num_query_heads, head_dim), key and value (k or m, num_key_value_heads, head_dim), attention_output
    (num_query_heads, head_dim, n), each kernel followed by its bias.
    Source: Ainslie et al., *GQA: training generalized multi-query transformer models*, 2023.

    Parameters
    ----------
    head_dim: int
        The size of each head.
    num_query_heads, num_key_value_heads: int
        The second divides the first.
    dropout, use_bias, sliding_window, flash_attention, use_gate, seed, initializers, regularizers, constraints: as of
    `MultiHeadAttention`

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs whose shapes do not fit each other.
    """

    # arguments of `MultiHeadAttention`, which follow from those here
    _not_configured = (*MultiHeadAttention._not_configured, "num_heads", "key_dim", "value_dim", "output_shape",
                       "attention_axes")

    def __init__(self, head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, sliding_window=None,
                 flash_attention=None, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, use_gate=False, seed=None, **kwargs):
        self.name = kwargs.get("name")
        self.head_dim = checks.integer(self, "head_dim", head_dim)
        self.num_query_heads = checks.integer(self, "num_query_heads", num_query_heads)
        self.num_key_value_heads = checks.integer(self, "num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(f"{self._title()}: num_query_heads={num_query_heads} must be a multiple of "
                             f"num_key_value_heads={num_key_value_heads}.")
        super().__init__(num_query_heads, head_dim, dropout=dropout, use_bias=use_bias, sliding_window=sliding_window,
                         kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
                         kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
                         activity_regularizer=activity_regularizer, kernel_constraint=kernel_constraint,
                         bias_constraint=bias_constraint, use_gate=use_gate, seed=seed, **kwargs)
        self._groups = self.num_key_value_heads
