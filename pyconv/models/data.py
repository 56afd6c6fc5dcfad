"""From what users pass to fit, evaluate and predict to what a compiled step takes.

`ArrayData` holds whole arrays: a step is given the numbers of its rows, and the program gathers them itself.
`BatchData` draws ready batches from an iterable. Both are read with::

    run = data.runner(function)
    for item in data.epoch():
        result = run(item)

Arrays that lie on a GPU stay there. On a backend that looks ahead, the next batch is brought to the device while one is
computed; a batch of an iterable is read for that purpose when the step before has been launched.
"""

from __future__ import annotations

import contextlib
import math
import warnings
import weakref

import numpy as np

from .. import random
from ..backends.residence import gathered, taken
from ..config import floatx
from ..graph import canonical, flatten, is_nest, map_structure, pack
from ..ops.function import as_native
from ..utils.foreign import cuda_device, is_foreign, to_hosts

__all__ = ["ArrayData", "BatchData", "as_arrays", "check_count", "is_array_like", "make_data", "split",
           "unpack_x_y_sample_weight"]

DEFAULT_BATCH_SIZE = 32


def check_count(name, value, low=1, optional=True):
    """`value` as an int of at least `low` (or None), otherwise an error."""
    if value is None and optional:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {value!r}.")
    if value < low:
        raise ValueError(f"{name}={value} must be at least {low}.")
    return int(value)


# ---- arrays

def is_array_like(value) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__") or is_foreign(value)


def to_array(value, name, stay=False) -> np.ndarray:
    """One array as programs take it: contiguous, in this machine's byte order, of a type they know.

    float16 becomes float32 and wider floats float64; lists of floats get the default float type. With `stay`, what lies
    on a GPU is left there, as CuPy's array.
    """
    plain = not is_array_like(value)
    if stay and is_foreign(value):
        (value,) = taken([value])
        if cuda_device(value) is not None and value.ndim:
            try:
                canonical(value.dtype)
            except TypeError as error:
                hint = " Convert it first, with x.astype('int64')." if str(value.dtype) == "uint64" else ""
                raise TypeError(f"{name}: {error}{hint}") from None
            return value
    try:
        array = np.asarray(to_hosts(value))
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name} is a list whose parts have different lengths, so it is no array: "
                         f"{error}") from None
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f":
        if plain:
            array = array.astype(floatx())
        elif size not in (4, 8):
            array = array.astype("float32" if size < 4 else "float64")
    elif kind == "u" and size == 8:
        if array.size and int(array.max()) >= 2**63:
            raise ValueError(f"{name} has unsigned 64-bit integers above 2**63 - 1, which no program can "
                             f"take.")
        array = array.astype("int64")
    elif kind not in "biu":
        what = {"O": "Python objects", "c": "complex numbers", "U": "texts", "S": "bytes", "M": "dates",
                "m": "time spans", "V": "records"}.get(kind, str(array.dtype))
        hint = {"O": " Are the samples of different sizes? Pad or cut them to one size first.",
                "c": " Give the real and imaginary parts as two channels.",
                "U": " Turn them into numbers first.", "S": " Turn them into numbers first."}.get(kind, "")
        raise TypeError(f"{name} holds {what} (dtype {array.dtype}); a model takes numbers and bool.{hint}")
    if not array.ndim:
        raise ValueError(f"{name} is a single number, {array!r}; expected an array with one row per sample.")
    return as_native(array)


def _is_samples(value) -> bool:
    """Whether a list or tuple is an array written as nested lists of numbers (rather than several arrays)."""
    while isinstance(value, (list, tuple)):
        if not len(value):
            return True
        value = value[0]
    return np.isscalar(value) or value is None or getattr(value, "ndim", 1) == 0


def as_arrays(value, name, stay=False):
    """A nest of arrays from an array, nested lists of numbers, or a list, tuple or dictionary of these.

    stay: as for `to_array`.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: as_arrays(item, f"{name}[{key!r}]", stay) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not _is_samples(value):
        return tuple(as_arrays(item, f"{name}[{i}]", stay) for i, item in enumerate(value))
    return to_array(value, name, stay)


def names_of(value, name) -> list:
    """The names of the leaves of a nest of arrays, as in `as_arrays`."""
    if isinstance(value, dict):
        return [n for key, item in value.items() for n in names_of(item, f"{name}[{key!r}]")]
    if isinstance(value, (list, tuple)):
        return [n for i, item in enumerate(value) for n in names_of(item, f"{name}[{i}]")]
    return [] if value is None else [name]


def check_lengths(x, y, sample_weight) -> int:
    """The number of samples; ValueError if arrays disagree or there are none."""
    leaves = flatten((x, y, sample_weight))
    names = names_of(x, "x") + names_of(y, "y") + names_of(sample_weight, "sample_weight")
    if not leaves:
        raise ValueError("x is empty: there is no array in it.")
    counts = [a.shape[0] for a in leaves]
    for name, count in zip(names, counts, strict=True):
        if count != counts[0]:
            raise ValueError(f"{names[0]} has {counts[0]} samples and {name} has {count}; the numbers must "
                             f"be equal.")
    if not counts[0]:
        raise ValueError(f"{names[0]} has no samples (shape {leaves[0].shape}).")
    return counts[0]


def unpack_x_y_sample_weight(data):
    """``(x, y, sample_weight)`` from x, (x,), (x, y) or (x, y, sample_weight); None for what is not there."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(f"a batch must be x, (x, y) or (x, y, sample_weight); got a tuple of {len(data)} "
                         f"parts.")
    return (*data, None, None)[:3]


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """The other way round: x alone (in a tuple if it is a tuple or list), (x, y), or (x, y, sample_weight)."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def weights_of_classes(y, class_weight) -> np.ndarray:
    """One weight per sample from a dictionary label -> weight; labels that it lacks weigh 1."""
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight must be a dictionary label -> weight, got "
                        f"{type(class_weight).__name__}.")
    y = to_hosts(y)
    if y is None or is_nest(y):
        raise ValueError("class_weight needs one array of labels y; for several outputs use sample_weight.")
    labels = y
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] != 1 else labels[..., 0]
    if labels.ndim != 1:
        raise ValueError(f"class_weight needs one label per sample, but y has shape {y.shape}; use "
                         f"sample_weight.")
    labels = np.round(labels).astype("int64")
    weights = np.ones(labels.shape, floatx())
    for label, weight in class_weight.items():
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            raise TypeError(f"class_weight has the key {label!r}; its keys must be int labels.")
        if not float(weight) >= 0:
            raise ValueError(f"class_weight[{label}]={weight} must not be negative.")
        weights[labels == label] = weight
    return weights


def weigh(y, sample_weight, class_weight):
    """The sample weights times those of the classes."""
    if class_weight is None:
        return sample_weight
    weights = weights_of_classes(y, class_weight)
    if sample_weight is None:
        return weights
    if is_nest(sample_weight):
        raise ValueError("class_weight and sample_weight for several outputs cannot be used together.")
    return weights.reshape((-1,) + (1,) * (sample_weight.ndim - 1)) * to_hosts(sample_weight)


def split(x, y, sample_weight, fraction):
    """The first part of the samples for training, the last `fraction` of them for validation.

    Raises
    ------
    ValueError
        If the fraction does not lie between 0 and 1, or a part would be empty.
    """
    count = check_lengths(x, y, sample_weight)
    at = math.floor(count * (1.0 - fraction))
    if at in (0, count):
        raise ValueError(f"validation_split={fraction} of {count} samples leaves no samples for "
                         f"{'training' if at == 0 else 'validation'}.")
    parts = x, y, sample_weight
    return map_structure(lambda a: a[:at], parts), map_structure(lambda a: a[at:], parts)


class ArrayData:
    """Whole arrays, taken in batches.

    Parameters
    ----------
    x, y, sample_weight: nests of arrays, from `as_arrays`; the last two may be None
    batch_size: int
    shuffle: bool
        Whether each pass over the samples has a new order, from the process's generator.
    steps: int, optional
        Batches per epoch. Fewer than a pass: the next epoch goes on where this one ended. More: passes follow
        each other. Default: one pass.
    """

    def __init__(self, x, y=None, sample_weight=None, batch_size=DEFAULT_BATCH_SIZE, shuffle=False,
                 steps=None):
        self.args = x, y, sample_weight
        self.count = check_lengths(x, y, sample_weight)
        self.batch_size, self.shuffle, self.steps = batch_size, shuffle, steps
        self.num_batches = steps or -(-self.count // batch_size)
        self._stream = None
        self.upcoming = None        # the rows of the batch after the one that `epoch` gave last, if known

    def _pass(self):
        if self.shuffle:
            order = random.host_generator().permutation(self.count)
        else:
            order = np.arange(self.count)
        order = order.astype("int64", copy=False)
        size, following = self.batch_size, order[:self.batch_size]
        for start in range(size, self.count + size, size):
            rows, following = following, order[start:start + size]
            self.upcoming = following if len(following) else None
            yield rows

    def _passes(self):
        while True:
            yield from self._pass()

    def epoch(self):
        """The row numbers of each batch."""
        if self.steps is None:
            yield from self._pass()
            return
        if self._stream is None:
            self._stream = self._passes()
        for _ in range(self.steps):
            yield next(self._stream)

    def runner(self, function, guard=None):
        """A function that runs one step of a `Function` on an item of `epoch`; the results are on the host."""
        args, leaves, programs = self.args, flatten(self.args), {}

        def run(rows):
            n = len(rows)
            found = programs.get(n)
            if found is None:
                found = programs[n] = function.program(args, leaves, n)
            program, result = found
            if not program.looks_ahead:
                return pack(result, program(leaves, rows))
            upcoming = self.upcoming
            ahead = (leaves, upcoming) if upcoming is not None and len(upcoming) == n else None
            return pack(result, program(leaves, rows, ahead=ahead, on_host=True))
        return run


_left = weakref.WeakKeyDictionary()     # iterator -> (batch, error) that was read ahead and has not had its turn yet


def _can_be_left(source) -> bool:
    try:
        hash(weakref.ref(source))
    except TypeError:
        return False
    return True


class BatchData:
    """Batches from an iterable of x, (x, y) or (x, y, sample_weight).

    An iterable that can be read again (a list, a DataLoader, anything whose `__iter__` starts anew) starts
    anew in each epoch, or, with `steps`, whenever it ends. A generator is read on; when it ends early,
    training ends.

    A batch that was read ahead is the next one also if this object is gone before its turn: a generator loses none. So
    does an error that the iterable raised wait for its turn.
    """

    def __init__(self, source, class_weight=None, steps=None):
        self.source, self.class_weight, self.steps = source, class_weight, steps
        self.restarts = not hasattr(source, "__next__")
        length = getattr(source, "__len__", None)
        self.num_batches = steps
        if steps is None and length is not None:
            self.num_batches = len(source) or None
        self._iterator, self._ended = None, False
        self._epoch = self._following = None        # what is read in this epoch; (batch, error) that was read ahead
        self._may_look = self.restarts or _can_be_left(source)

    def _read(self):
        if self.restarts and not hasattr(self.source, "__iter__"):
            return (self.source[i] for i in range(len(self.source)))
        return iter(self.source) if self.restarts or not self._may_look else self._read_on()

    def _read_on(self):
        """A generator's batches, from the one on that somebody else had read ahead."""
        batch, error = _left.pop(self.source, (None, None))
        if error is not None:
            raise error
        if batch is not None:
            yield batch
        for batch in self.source:           # `yield from` would close the generator together with this one
            yield batch

    def _batches(self):
        """What the iterable gives in one epoch."""
        if self.steps is None:
            for batch in self._read() if not self._ended else ():
                yield batch
            return
        for _ in range(self.steps):
            batch = self._next()
            if batch is None:
                return
            yield batch

    def epoch(self):
        """The batches, as (x, y, sample_weight) nests of arrays."""
        self._epoch, self._following, count = self._batches(), None, 0
        while True:
            batch, error = self._following or self._pull()
            self._following = None
            if not self.restarts and self._may_look:
                _left.pop(self.source, None)
            if error is not None:
                raise error
            if batch is None:
                break
            count += 1
            yield batch
        if self.steps is not None:
            if count < self.steps:
                self._warn(count)
            return
        self._ended = not self.restarts
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()
        if not count:
            self._warn(0)

    def _pull(self, ahead=False) -> tuple:
        """(batch, None), (None, error), or (None, None) at the end."""
        batch = found = None
        try:
            batch = next(self._epoch, None)
            found = None if batch is None else self._prepare(batch), None
        except BaseException as error:          # Ctrl-C in the iterable's code as well: it has its turn
            found = None, error
        if ahead and not self.restarts and (batch is not None or found[1] is not None):
            _left[self.source] = batch, found[1] if batch is None else None
        return found

    def look_ahead(self):
        """The batch after the one that `epoch` gave last; None at the end of the epoch and in place of an error."""
        if self._following is None and self._may_look:
            self._following = self._pull(ahead=True)
        return self._following[0] if self._following else None

    def _next(self):
        for _ in range(2):
            if self._iterator is None:
                if self._ended:
                    return None
                self._iterator = self._read()
            for batch in self._iterator:
                return batch
            self._iterator, self._ended = None, not self.restarts
        return None

    def _warn(self, step):
        self.exhausted = True
        needed = f"{self.steps} batches per epoch" if self.steps else "at least one batch per epoch"
        warnings.warn(f"The data ended after {step} batches of this epoch, but {needed} were expected; "
                      f"training ends here. Give an iterable that can be read again, or a generator that "
                      f"gives enough batches.", stacklevel=3)

    exhausted = False

    def _prepare(self, batch):
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        x, y = as_arrays(x, "x", True), as_arrays(y, "y", True)
        sample_weight = as_arrays(sample_weight, "sample_weight", True)
        check_lengths(x, y, sample_weight)
        gathered(flatten((x, y, sample_weight)), "A batch", mixed=True)
        return x, y, weigh(y, sample_weight, self.class_weight)

    def runner(self, function, guard=None, part=slice(None), on_host=True):
        """A function that runs one step of a `Function` on an item of `epoch`.

        guard: a `WholeSteps`; Ctrl-C does not wait while the iterable is read.
        part: which of (x, y, sample_weight) the `Function` takes. on_host: whether results are NumPy arrays also if the
        batch lies on a GPU.
        """
        def run(batch):
            given = batch[part]

            def ahead():
                if guard and guard.pending:
                    return None
                with guard.opened() if guard else contextlib.nullcontext():
                    following = self.look_ahead()
                found = flatten(following[part]) if following else []
                return (found, None) if kinds(found) == kinds(flatten(given)) else None
            return function(*given, ahead=ahead, on_host=on_host)
        return run


def kinds(leaves) -> list:
    return [(a.shape, a.dtype) for a in leaves]


def _is_batches(x, y) -> bool:
    """Whether x is an iterable of batches rather than data."""
    if is_array_like(x) or isinstance(x, (dict, str, bytes)) or y is not None:
        return False
    if isinstance(x, (list, tuple)):
        return bool(x) and all(isinstance(b, tuple) and all(is_array_like(a) or is_nest(a) or a is None
                                                            for a in b)
                               for b in x)
    return hasattr(x, "__iter__") or hasattr(x, "__getitem__") and hasattr(x, "__len__")


def make_data(x, y=None, sample_weight=None, batch_size=None, shuffle=False, class_weight=None, steps=None):
    """The adapter for the arguments of fit, evaluate or predict.

    Raises
    ------
    ValueError
        If arrays are empty or differ in length, or arguments do not go with an iterable of batches.
    TypeError
        For data that are no numbers.
    """
    batch_size = check_count("batch_size", batch_size)
    if x is None:
        raise ValueError("x is missing: give an array, a list or dictionary of arrays, or an iterable of "
                         "batches.")
    if y is not None and not is_array_like(x) and not isinstance(x, (list, tuple, dict)):
        raise ValueError("x is an iterable of batches, so y must not be given: it should yield (x, y).")
    if _is_batches(x, y):
        for name, value, what in (("sample_weight", sample_weight, "their weights (x, y, sample_weight)"),
                                  ("batch_size", batch_size, "their size")):
            if value is not None:
                raise ValueError(f"{name} goes with arrays; x is an iterable whose batches already have "
                                 f"{what}.")
        return BatchData(x, class_weight, steps)
    if isinstance(x, (str, bytes)):
        raise TypeError(f"x is a text, {x!r}; expected an array or an iterable of batches.")
    x, y = as_arrays(x, "x", True), as_arrays(y, "y", True)
    sample_weight = as_arrays(sample_weight, "sample_weight", True)
    check_lengths(x, y, sample_weight)
    gathered(flatten((x, y, sample_weight)), "x, y and sample_weight", mixed=True)
    sample_weight = weigh(y, sample_weight, class_weight)
    return ArrayData(x, y, sample_weight, batch_size or DEFAULT_BATCH_SIZE, shuffle, steps)
