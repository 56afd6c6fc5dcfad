# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Moving elements: between the plain and the lanes layout, and from one set of strides to another.

Plain: C order, [sample][features]. Lanes: [block][features, in any order][lane]; sample n is lane n % LANES of block
n / LANES. The lanes of the last block that hold no sample are filled with zeros here, and are later on garbage that
nothing reads into a result.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t
from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "layout.h" nogil:
    const int LANES_F32
    long to_lanes_squares(const void **, void *, const int32_t *, long, int)
    long from_lanes_squares(const int32_t *, int32_t **, const int32_t *, long)

ctypedef fused item:
    int8_t
    int16_t
    int32_t
    int64_t

cdef enum:
    DIMS = 8

cdef struct Lanes:
    Operand plain, blocked, rows
    int use_rows
    long samples, features, lanes
    const int32_t *order          # where each logical feature lies in a block, or NULL

cdef void to_lanes_task(const Lanes *p, long task, const Context *context, item *tag) noexcept nogil:
    cdef const item *x = <const item *>address(&p.plain, 0, context)
    cdef item *y = <item *>address(&p.blocked, task, context)
    cdef const int64_t *rows = NULL
    cdef long l, f, at, n, done = 0, lanes = p.lanes, first = task * p.lanes
    cdef const item *rest[64]
    if p.use_rows:
        rows = <const int64_t *>address(&p.rows, 0, context)
    n = min(lanes, p.samples - first)
    for l in range(n):
        rest[l] = x + (rows[first + l] if rows else first + l) * p.features
    if item is int32_t or item is int8_t:
        # A full block of samples: squares of elements are turned over in registers.
        if n == lanes == LANES_F32:
            done = to_lanes_squares(<const void **>rest, y, p.order, p.features, sizeof(item))
    # Feature by feature: the lanes of one share cache lines, and the next may lie a power of two further.
    for f in range(done, p.features):
        at = (p.order[f] if p.order else f) * lanes
        for l in range(n):
            y[at + l] = rest[l][f]
        for l in range(n, lanes):
            y[at + l] = 0

cdef void from_lanes_task(const Lanes *p, long task, const Context *context, item *tag) noexcept nogil:
    cdef item *x = <item *>address(&p.plain, 0, context)
    cdef const item *y = <const item *>address(&p.blocked, task, context)
    cdef long l, f, at, n, done = 0, lanes = p.lanes, first = task * p.lanes
    cdef int32_t *whole[16]
    cdef item *rest[64]
    if item is int32_t:
        if lanes == LANES_F32 and first + lanes <= p.samples:
            for l in range(lanes):
                whole[l] = x + (first + l) * p.features
            done = from_lanes_squares(y, whole, p.order, p.features)
    n = min(lanes, p.samples - first)
    for l in range(n):
        rest[l] = x + (first + l) * p.features
    for f in range(done, p.features):
        at = (p.order[f] if p.order else f) * lanes
        for l in range(n):
            rest[l][f] = y[at + l]

cdef void to_lanes_1(const void *p, long task, const Context *c) noexcept nogil:
    to_lanes_task[int8_t](<const Lanes *>p, task, c, NULL)
cdef void to_lanes_2(const void *p, long task, const Context *c) noexcept nogil:
    to_lanes_task[int16_t](<const Lanes *>p, task, c, NULL)
cdef void to_lanes_4(const void *p, long task, const Context *c) noexcept nogil:
    to_lanes_task[int32_t](<const Lanes *>p, task, c, NULL)
cdef void to_lanes_8(const void *p, long task, const Context *c) noexcept nogil:
    to_lanes_task[int64_t](<const Lanes *>p, task, c, NULL)
cdef void from_lanes_1(const void *p, long task, const Context *c) noexcept nogil:
    from_lanes_task[int8_t](<const Lanes *>p, task, c, NULL)
cdef void from_lanes_2(const void *p, long task, const Context *c) noexcept nogil:
    from_lanes_task[int16_t](<const Lanes *>p, task, c, NULL)
cdef void from_lanes_4(const void *p, long task, const Context *c) noexcept nogil:
    from_lanes_task[int32_t](<const Lanes *>p, task, c, NULL)
cdef void from_lanes_8(const void *p, long task, const Context *c) noexcept nogil:
    from_lanes_task[int64_t](<const Lanes *>p, task, c, NULL)


cdef _lanes(plain, blocked, rows, long samples, long features, long lanes, order, Lanes *p):
    p.plain, p.blocked = operand(plain), operand(blocked)
    p.use_rows = rows is not None
    if rows is not None:
        p.rows = operand(rows)
    p.samples, p.features, p.lanes, p.order = samples, features, lanes, NULL
    if order is not None and features:
        p.order = <const int32_t *>elements(order, 4)

def to_lanes(int size, plain, blocked, *, samples, features, lanes, order=None, rows=None):
    """Plain to lanes, elements of `size` bytes; with `rows`, sample n is row rows[n] of a longer array."""
    cdef Lanes p
    _lanes(plain, blocked, rows, samples, features, lanes, order, &p)
    return instruction(to_lanes_1 if size == 1 else to_lanes_2 if size == 2 else to_lanes_4 if size == 4
                       else to_lanes_8, &p, sizeof(p), ceil_div(samples, lanes), 0, order)

def from_lanes(int size, plain, blocked, *, samples, features, lanes, order=None):
    """Lanes to plain, elements of `size` bytes."""
    cdef Lanes p
    _lanes(plain, blocked, None, samples, features, lanes, order, &p)
    return instruction(from_lanes_1 if size == 1 else from_lanes_2 if size == 2 else from_lanes_4 if size == 4
                       else from_lanes_8, &p, sizeof(p), ceil_div(samples, lanes), 0, order)


cdef struct Rows:
    Operand x, y, rows
    int use_rows
    long size, count, each

cdef void rows_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Rows *p = <const Rows *>params
    cdef const char *x = address(&p.x, 0, context)
    cdef char *y = address(&p.y, 0, context)
    cdef const int64_t *rows = <const int64_t *>address(&p.rows, 0, context) if p.use_rows else NULL
    cdef long i, first = task * p.each, last = min(p.count, first + p.each)
    if rows == NULL:
        memcpy(y + first * p.size, x + first * p.size, (last - first) * p.size)
        return
    for i in range(first, last):
        memcpy(y + i * p.size, x + rows[i] * p.size, p.size)

def copy_rows(x, y, rows, *, long size, long count):
    """`count` rows of `size` bytes, as they lie or, with `rows`, those of the given numbers."""
    cdef Rows p
    p.x, p.y, p.size, p.count = operand(x), operand(y), size, count
    p.use_rows = rows is not None
    if rows is not None:
        p.rows = operand(rows)
    p.each = max(1, 65536 // max(1, size))
    return instruction(rows_task, &p, sizeof(p), ceil_div(count, p.each), 0, None)


cdef struct Copy:
    Operand x, y
    int dims, size
    int64_t shape[DIMS]
    int64_t xs[DIMS]         # strides in bytes
    int64_t ys[DIMS]
    int64_t split            # the task is an index along the first axis (1) or a block (0)

cdef enum:
    SHORT = 8                # elements of an axis which is not worth a call for each of them: the one before it is

cdef void copy_run(const char *x, char *y, long xs, long ys, long n, int size) noexcept nogil:
    cdef long i
    if xs == size and ys == size:
        memcpy(y, x, n * size)
    elif size == 4 and xs == 0 and ys == 4:
        for i in range(n):
            (<int32_t *>y)[i] = (<const int32_t *>x)[0]
    elif size == 4:
        for i from 0 <= i < n - 1 by 2:         # by twos: as fast wherever the compiler puts the loop
            (<int32_t *>(y + i * ys))[0] = (<const int32_t *>(x + i * xs))[0]
            (<int32_t *>(y + (i + 1) * ys))[0] = (<const int32_t *>(x + (i + 1) * xs))[0]
        if n & 1:
            (<int32_t *>(y + (n - 1) * ys))[0] = (<const int32_t *>(x + (n - 1) * xs))[0]
    elif size == 8:
        for i in range(n):
            (<int64_t *>(y + i * ys))[0] = (<const int64_t *>(x + i * xs))[0]
    elif size == 1:
        for i in range(n):
            y[i * ys] = x[i * xs]
    else:
        for i in range(n):
            memcpy(y + i * ys, x + i * xs, size)

cdef void copy_axis(const Copy *p, int d, const char *x, char *y) noexcept nogil:
    cdef long i
    if d == p.dims - 1:
        copy_run(x, y, p.xs[d], p.ys[d], p.shape[d], p.size)
    else:
        for i in range(p.shape[d]):
            copy_axis(p, d + 1, x + i * p.xs[d], y + i * p.ys[d])

cdef void copy_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Copy *p = <const Copy *>params
    if p.split:
        copy_axis(p, 1, address(&p.x, 0, context) + task * p.xs[0], address(&p.y, 0, context) + task * p.ys[0])
    else:
        copy_axis(p, 0, address(&p.x, task, context), address(&p.y, task, context))

def copy(int size, x, y, shape, x_strides, y_strides, *, blocks=0):
    """Copy elements of `size` bytes; strides in bytes, 0 repeats, negative ones count down.

    blocks: number of tasks in the lanes layout; else each index of the first axis is a task.
    """
    cdef Copy p
    # Axes of length 1 go; neighbours that are one run for both sides become one axis.
    axes = [[n, a, b] for n, a, b in zip(shape, x_strides, y_strides) if n != 1] or [[1, size, size]]
    last = axes[0]
    joined = [last]
    for n, a, b in axes[1:]:
        if last[1] == n * a and last[2] == n * b:
            last[0], last[1], last[2] = last[0] * n, a, b
        else:
            last = [n, a, b]
            joined.append(last)
    inner = [joined.pop()]
    if joined:
        before = joined.pop()
        inner.insert(inner[0][0] < SHORT <= before[0], before)
    if not blocks:
        if not joined and (len(inner) == 1 or inner[0][0] < SHORT):
            # Tasks of a few thousand elements of the longer axis, in parts of equal size: the largest of up to 16384,
            # unless that is far too small.
            n, a, b = inner.pop()
            each = n
            for k in range(-(-n // 16384), n // 256 if n > 8192 else 0):
                if n % k == 0:
                    each = n // k
                    break
            joined = [[n // each, a * each, b * each]] if n else [[0, a, b]]
            inner.append([each or 1, a, b])
        p.split = 1
    else:
        p.split = 0
    joined += inner
    p.dims, p.size = len(joined), size
    if p.dims > DIMS:
        raise ValueError("too many axes")
    for i, (n, a, b) in enumerate(joined):
        p.shape[i], p.xs[i], p.ys[i] = n, a, b
    p.x, p.y = operand(x), operand(y)
    return instruction(copy_task, &p, sizeof(p), blocks or p.shape[0], 0, None)
