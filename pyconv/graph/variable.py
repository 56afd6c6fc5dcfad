"""Variables: arrays that live longer than a program's run, such as weights and optimizer state."""

from __future__ import annotations

import itertools
import math
import sys
import weakref

import numpy as np

from ..utils.foreign import PLAIN, to_hosts
from ..utils.locks import RLock
from .dtypes import canonical, is_half
from .tensor import Node, Operators, Spec, Tensor
from .trace import current_trace

# Kernels may read (never write) a whole vector past the last element, so storage has this much more at its end.
ALIGNMENT = SLACK = 128


def aligned_empty(shape, dtype) -> np.ndarray:
    """An uninitialised C-ordered array on a 128-byte boundary, with 128 readable bytes after its end."""
    dtype = np.dtype(dtype)
    nbytes = int(math.prod(shape)) * dtype.itemsize
    raw = np.empty(nbytes + ALIGNMENT + SLACK, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    raw[start + nbytes:] = 0
    return raw[start:start + nbytes].view(dtype).reshape(shape)


_versions = itertools.count(1)      # (a step of it cannot be interrupted by another thread)
_lent = weakref.WeakValueDictionary()       # by id: the variables whose storage was handed out
_lending = RLock()


def _references(variable) -> tuple:
    """How many references there are to a variable's storage, and to the memory that it is a view of, as all views of
    it are."""
    return sys.getrefcount(variable._array), sys.getrefcount(variable._array.base)


class Variable(Operators):
    """An array with a name that programs read and update in place.

    Parameters
    ----------
    value: array_like
        Initial value; copied.
    dtype: str, optional
        Element type; default that of `value`, for Python floats `pyconv.config.floatx()`.
    name: str
    trainable: bool
        Whether the optimizer updates it.
    autocast: bool
        Whether layers that compute in half precision read it in their type; default True.

    Raises
    ------
    TypeError
        For element types that variables do not have: those of half precision among them.
    """

    __slots__ = ("name", "path", "shape", "dtype", "trainable", "regularizer", "constraint", "autocast", "version",
                 "_array", "_fetch", "__weakref__")

    # Whether any variable of this process has been copied to a device: until then, nothing needs to be kept in step.
    travelling = False
    # The version that some variable got last: as long as it stays, so does every value (but see `settle`).
    latest = 0
    lent = _lent.data         # not empty if somebody may hold a variable's storage

    def __init__(self, value, dtype=None, name="variable", trainable=True, autocast=True):
        if dtype is None and isinstance(value, (float, list, tuple)) and np.asarray(value).dtype == "float64":
            from ..config import floatx
            dtype = floatx()          # a Python number has no precision of its own
        value = np.asarray(to_hosts(value))
        self.name = self.path = name
        self.dtype = canonical(dtype or value.dtype)
        if is_half(self.dtype):
            raise TypeError(f"Variable {name!r} cannot be {self.dtype}: variables are kept in float32 or float64. "
                            f"Layers with the policy 'mixed_{self.dtype}' compute in {self.dtype}.")
        self.shape = value.shape
        self.trainable, self.autocast = trainable, autocast
        self.regularizer = self.constraint = None
        self._array = aligned_empty(self.shape, self.dtype)
        self._array[...] = value
        self.version = 0          # another number for each new value, higher than any before
        self._fetch = None        # copies the value into an array, if a device has a newer one than the storage

    @property
    def array(self) -> np.ndarray:
        """The storage itself. Programs hold its address: change its content, never replace it.

        Where a device has a newer value, it is brought here first; and as the caller may write, the device will take
        the value from here again. Ask anew after a program has run, and use `peek` for reading alone.
        """
        array = self.peek()             # held from here on, as `settle` will see
        with _lending:
            _lent[id(self)] = self
            self.touch([self])
        return array

    @staticmethod
    def touch(variables):
        """Say that the storage of these variables has new values."""
        version = next(_versions)
        for variable in variables:
            variable.version = version
        Variable.latest = version        # last, so that whoever sees this number sees the variables' as well

    @staticmethod
    def settle() -> int:
        """Count what may have been written to storage that was handed out by `array`; returns `latest`.

        As long as somebody holds the array, or a view of it, every call counts as a change.
        """
        if Variable.lent:
            with _lending:
                for key, variable in list(_lent.items()):
                    given_back = _references(variable) == _ALONE
                    Variable.touch([variable])      # what was written before it was given back counts too
                    if given_back:
                        del _lent[key]
        return Variable.latest

    def peek(self) -> np.ndarray:
        """The storage with the current value, for reading only."""
        fetch = self._fetch
        if fetch is not None:
            fetch(self._array)
            if self._fetch is fetch:        # otherwise a program has run meanwhile, in another thread
                self._fetch = None
        return self._array

    def moved_to(self, fetch) -> int:
        """Say that the value is new and not in the storage: ``fetch(array)`` copies it there. Returns its version."""
        self._fetch = fetch
        self.touch([self])
        return self.version

    @property
    def value(self):
        """The current value: a symbolic tensor while a model is traced, otherwise an array (a copy)."""
        return self.read() if current_trace() else self.numpy()

    @property
    def spec(self):
        """Shape and type that it is read with."""
        return self.read().spec if current_trace() else Spec(self.shape, self.dtype)

    def __getstate__(self):
        """For copies, deep ones and by pickle: with the current value, wherever it is."""
        return {name: getattr(self, name) for name in ("name", "path", "trainable", "regularizer", "constraint",
                                                        "autocast")}, self.numpy()

    def __setstate__(self, state):
        attributes, value = state
        self.__init__(value)
        for name, attribute in attributes.items():
            setattr(self, name, attribute)

    def numpy(self) -> np.ndarray:
        """A copy of the current value."""
        return self.peek().copy()

    def __array__(self, dtype=None, copy=None):
        return np.array(self.peek(), dtype=dtype)

    def read(self) -> Tensor:
        """The value as a symbolic tensor of the trace that is under way (after the updates made in it so far)."""
        trace = current_trace()
        if trace is None:
            return Node("variable", (), {"variable": self}, [Spec(self.shape, self.dtype)]).output
        return trace.read(self)

    def assign(self, value):
        """Set the value: at once outside a trace, as an update of the program inside one. Returns the new value."""
        if tuple(np.shape(value) if not hasattr(value, "shape") else value.shape) != self.shape:
            shape = value.shape if hasattr(value, "shape") else np.shape(value)
            raise ValueError(f"Variable {self.path!r} has shape {self.shape}; a value of shape {tuple(shape)} "
                             f"cannot be assigned to it.")
        value, trace = to_hosts(value), current_trace()
        if trace is not None:
            return trace.update(self, value)
        if isinstance(value, Tensor):
            raise ValueError(f"Variable {self.path!r} cannot take a symbolic value outside of a trace.")
        self.array[...] = value
        return self

    def assign_add(self, value):
        return self.assign(self._own() + value)

    def assign_sub(self, value):
        return self.assign(self._own() - value)

    def _own(self):
        """The current value in the variable's own type."""
        trace = current_trace()
        return trace.read(self, False) if trace else self.numpy()

    def __bool__(self):
        return bool(self.peek())

    def __float__(self):
        return float(self.peek())

    def __int__(self):
        return int(self.peek())

    def __repr__(self):
        return f"<Variable {self.path} {self.shape} {self.dtype}{'' if self.trainable else ' not trainable'}>"


PLAIN.add(Variable)
_ALONE = _references(Variable(0.0))       # where nobody else holds the storage
