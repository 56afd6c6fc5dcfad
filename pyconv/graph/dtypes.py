"""Which element types exist, and which type comes out when several meet."""

import numpy as np

FLOATS = ("float32", "float64")
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64")
ALL = FLOATS + INTEGERS


def canonical(dtype) -> str:
    """The name of an element type: ``np.float32``, ``"<f4"`` and ``"float32"`` all give ``"float32"``.

    Raises
    ------
    TypeError
        For types that pyconv does not compute with (float16, complex, object, strings...).
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in ALL:
        hint = " Convert it first, for example with x.astype('float32')." if name in ("float16", "longdouble") else ""
        raise TypeError(f"dtype {name!r} is not supported; expected one of {', '.join(ALL)}.{hint}")
    return name


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def promote(*dtypes: str) -> str:
    """The type of an operation's result: the widest float if there is one, otherwise NumPy's integer rule.

    Unlike NumPy, an integer never widens a float: int64 with float32 gives float32, as in Keras and JAX.
    """
    floats = [d for d in dtypes if is_float(d)]
    return np.result_type(*(floats or dtypes)).name
