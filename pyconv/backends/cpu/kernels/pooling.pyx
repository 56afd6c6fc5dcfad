# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Max and average pooling and their gradients, for both layouts.

Lanes: [block][channel][depth][row][column][lane], a vector is one pixel of one channel, the task is a block. Plain:
[sample][depth][row][column][channel], a vector is a group of channels of one pixel, the task is a sample. Loop order:
channel or group, then pixels of the output, then the window. Ties: the gradient goes to the first maximum.
"""

from libc.string cimport memset

from pyconv.backends.cpu.executor cimport Context, Instruction, Operand, address, ceil_div, instruction, operand

cdef extern from "pooling_types.h" nogil:
    const int LANES_F32, LANES_F64
    ctypedef struct Pool:
        long n[3]
        long out[3]
        long window[3]
        long strides[3]
        long dilation[3]
        long low[3]
        long pixel
        long divisor
    int pool_pairs_fill(const Pool *)
    int pool_apart_fill(const Pool *)
    void avg_pool_f32(const Pool *, const float *, float *, long)
    void avg_pool_f64(const Pool *, const double *, double *, long)
    void avg_pool_gradient_f32(const Pool *, const float *, float *, long)
    void avg_pool_gradient_f64(const Pool *, const double *, double *, long)
    void max_pool_f32(const Pool *, const float *, float *, long)
    void max_pool_f64(const Pool *, const double *, double *, long)
    void max_pool_gradient_f32(const Pool *, const float *, const float *, float *, long)
    void max_pool_gradient_f64(const Pool *, const double *, const double *, double *, long)

ctypedef fused real:
    float
    double

cdef struct Pooling:
    Operand x, g, y
    Pool pool
    long groups, last                  # vectors of channels, and lanes of the last
    long x_group, y_group              # elements from one to the next
    size_t gradient_bytes              # of a task's dx

cdef void pool_task(const Pooling *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef long i, n
    for i in range(p.groups):
        n = lanes if i < p.groups - 1 else p.last
        if real is float:
            max_pool_f32(&p.pool, x + i * p.x_group, y + i * p.y_group, n)
        else:
            max_pool_f64(&p.pool, x + i * p.x_group, y + i * p.y_group, n)

cdef void gradient_task(const Pooling *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef const real *g = <const real *>address(&p.g, task, context)
    cdef real *dx = <real *>address(&p.y, task, context)
    cdef long i, n
    if p.last != lanes or not pool_pairs_fill(&p.pool):
        memset(dx, 0, p.gradient_bytes)
    for i in range(p.groups):
        n = lanes if i < p.groups - 1 else p.last
        if real is float:
            max_pool_gradient_f32(&p.pool, x + i * p.x_group, g + i * p.y_group, dx + i * p.x_group, n)
        else:
            max_pool_gradient_f64(&p.pool, x + i * p.x_group, g + i * p.y_group, dx + i * p.x_group, n)

cdef void average_task(const Pooling *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef long i, n
    for i in range(p.groups):
        n = lanes if i < p.groups - 1 else p.last
        if real is float:
            avg_pool_f32(&p.pool, x + i * p.x_group, y + i * p.y_group, n)
        else:
            avg_pool_f64(&p.pool, x + i * p.x_group, y + i * p.y_group, n)

cdef void average_gradient_task(const Pooling *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *g = <const real *>address(&p.g, task, context)
    cdef real *dx = <real *>address(&p.y, task, context)
    cdef long i, n
    if not pool_apart_fill(&p.pool):
        memset(dx, 0, p.gradient_bytes)
    for i in range(p.groups):
        n = lanes if i < p.groups - 1 else p.last
        if real is float:
            avg_pool_gradient_f32(&p.pool, g + i * p.y_group, dx + i * p.x_group, n)
        else:
            avg_pool_gradient_f64(&p.pool, g + i * p.y_group, dx + i * p.x_group, n)

cdef void average_f32(const void *p, long task, const Context *c) noexcept nogil:
    average_task[float](<const Pooling *>p, task, c, NULL)
cdef void average_f64(const void *p, long task, const Context *c) noexcept nogil:
    average_task[double](<const Pooling *>p, task, c, NULL)
cdef void average_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    average_gradient_task[float](<const Pooling *>p, task, c, NULL)
cdef void average_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    average_gradient_task[double](<const Pooling *>p, task, c, NULL)

cdef void pool_f32(const void *p, long task, const Context *c) noexcept nogil:
    pool_task[float](<const Pooling *>p, task, c, NULL)
cdef void pool_f64(const void *p, long task, const Context *c) noexcept nogil:
    pool_task[double](<const Pooling *>p, task, c, NULL)
cdef void gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    gradient_task[float](<const Pooling *>p, task, c, NULL)
cdef void gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    gradient_task[double](<const Pooling *>p, task, c, NULL)


cdef void describe(Pooling *p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low):
    """Fill in all but the operands. The three spatial axes are depth, row, column."""
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef long area = sizes[0] * sizes[1] * sizes[2], out_area = outputs[0] * outputs[1] * outputs[2]
    for i in range(3):
        p[0].pool.n[i] = sizes[i]
        p[0].pool.out[i] = outputs[i]
        p[0].pool.window[i] = window[i]
        p[0].pool.strides[i] = strides[i]
        p[0].pool.dilation[i] = dilation[i]
        p[0].pool.low[i] = low[i]
    p[0].pool.pixel = lanes if in_lanes else channels
    if in_lanes:
        p[0].groups, p[0].last, p[0].x_group, p[0].y_group = channels, lanes, area * lanes, out_area * lanes
    else:
        p[0].groups = ceil_div(channels, lanes)
        p[0].last, p[0].x_group, p[0].y_group = channels - (p[0].groups - 1) * lanes, lanes, lanes
    p[0].gradient_bytes = channels * area * (lanes if in_lanes else 1) * (4 if dtype == "float32" else 8)


def max_pool(dtype, x, g, y, *, tasks, channels, in_lanes, sizes, outputs, window, strides, dilation, low):
    """y = max pooling of x, or, if g (the gradient of the output) is given, y = the gradient for x.

    in_lanes: the layout. sizes, outputs, window, strides, dilation, low: three ints each (depth, row, column).
    """
    cdef Pooling p
    memset(&p, 0, sizeof(p))
    p.x, p.y = operand(x), operand(y)
    if g is not None:
        p.g = operand(g)
    describe(&p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low)
    if g is None:
        return instruction(pool_f32 if dtype == "float32" else pool_f64, &p, sizeof(p), tasks, 0, None)
    return instruction(gradient_f32 if dtype == "float32" else gradient_f64, &p, sizeof(p), tasks, 0, None)


def avg_pool(dtype, x, g, y, *, tasks, channels, in_lanes, sizes, outputs, window, strides, dilation, low, divisor):
    """y = average pooling of x, or, if x is None, y = its gradient, g being that of the output.

    divisor: 0 (one: the sum), 1 (the size of the window) or 2 (the number of elements in it).
    """
    cdef Pooling p
    memset(&p, 0, sizeof(p))
    p.y = operand(y)
    if x is not None:
        p.x = operand(x)
    else:
        p.g = operand(g)
    describe(&p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low)
    p.pool.divisor = divisor
    if x is not None:
        return instruction(average_f32 if dtype == "float32" else average_f64, &p, sizeof(p), tasks, 0, None)
    return instruction(average_gradient_f32 if dtype == "float32" else average_gradient_f64, &p, sizeof(p), tasks, 0,
                       None)
