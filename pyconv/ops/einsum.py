"""Sums of products by a formula, brought to matrix products."""

from __future__ import annotations

import math

from .base import match, operation, spec_of
from .linear import matmul
from .reductions import sum as _sum
from .shape import broadcast_to, reshape, transpose

__all__ = ["einsum"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def parse(subscripts, ranks) -> tuple:
    """The labels of each operand and of the result, "..." spelled out, for operands with so many axes."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} is for {len(terms)} operands, got {len(ranks)}.")
    used, dots = set(subscripts), 0
    for term, rank in zip(terms, ranks, strict=True):
        named = term.replace("...", "")
        if "." in named or term.count("...") > 1 or len(set(named)) != len(named) \
                or (named and not named.isalpha()):
            raise ValueError(f"einsum: {term!r} in {subscripts!r} must be made of different letters and at most one "
                             f"'...'.")
        if len(named) > rank or ("..." not in term and len(named) != rank):
            raise ValueError(f"einsum: {term!r} in {subscripts!r} does not fit an operand with {rank} axes.")
        if "..." in term:
            dots = max(dots, rank - len(named))
    extra = [c for c in LETTERS if c not in used][:dots]
    spelled = [term.replace("...", "".join(extra[dots - (rank - len(term.replace("...", ""))):]))
               for term, rank in zip(terms, ranks, strict=True)]
    if arrow:
        out = right.replace("...", "".join(extra))
    else:
        letters = "".join(spelled)
        out = "".join(extra) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in extra))
    if len(set(out)) != len(out) or not set(out) <= set("".join(spelled)):
        raise ValueError(f"einsum: the result {right!r} of {subscripts!r} must have different letters, all of which "
                         f"occur on the left.")
    return spelled, out


@operation
def einsum(subscripts, *operands):
    """The sum of products that `subscripts` describes (Einstein's notation), for one or two operands.

    Each operand has a letter for each axis, "..." standing for any number of leading axes; letters that the result
    does not have are summed over: ``einsum("bij,bjk->bik", x, y)`` is a product of matrices for each b. An operand
    has each letter once. ValueError for formulas that do not fit the operands.
    """
    if not isinstance(subscripts, str) or not 1 <= len(operands) <= 2:
        raise ValueError(f"einsum takes a formula and one or two operands, got {len(operands)} operands.")
    operands = list(match(*operands))
    terms, out = parse(subscripts, [len(spec_of(x).shape) for x in operands])
    sizes: dict = {}
    for term, x in zip(terms, operands, strict=True):
        for letter, n in zip(term, spec_of(x).shape, strict=True):
            known = sizes.setdefault(letter, n)
            if n != known and 1 not in (n, known):
                raise ValueError(f"einsum: {subscripts!r} has sizes {known} and {n} for {letter!r}, from shapes "
                                 f"{' and '.join(str(spec_of(x).shape) for x in operands)}.")
            sizes[letter] = max(n, known)
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        # Sum what only this operand has, and spread axes of length 1.
        other = "".join(terms[:i] + terms[i + 1:]) + out
        alone = tuple(k for k, c in enumerate(term) if c not in other)
        if alone:
            x, terms[i] = _sum(x, alone), "".join(c for c in term if c in other)
        shape = tuple(sizes[c] for c in terms[i])
        operands[i] = x if spec_of(x).shape == shape else broadcast_to(x, shape)
    if len(operands) == 1:
        return _ordered(operands[0], terms[0], out)
    (a, b), (x, y) = terms, operands
    batch = [c for c in out if c in a and c in b]
    summed = [c for c in a if c in b and c not in out]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]

    def count(letters):
        return math.prod(sizes[c] for c in letters)
    x = reshape(_ordered(x, a, batch + rows + summed), (*(sizes[c] for c in batch), count(rows), count(summed)))
    y = reshape(_ordered(y, b, batch + summed + columns), (*(sizes[c] for c in batch), count(summed), count(columns)))
    result = reshape(matmul(x, y), tuple(sizes[c] for c in batch + rows + columns))
    return _ordered(result, batch + rows + columns, out)


def _ordered(x, old, new):
    axes = tuple(list(old).index(c) for c in new)
    return x if axes == tuple(range(len(axes))) else transpose(x, axes)
