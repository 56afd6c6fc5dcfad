# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Max pooling and its gradient, for both layouts.

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
    int pool_pairs_fill(const Pool *)
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

cdef void pool_f32(const void *p, long task, const Context *c) noexcept nogil:
    pool_task[float](<const Pooling *>p, task, c, NULL)
cdef void pool_f64(const void *p, long task, const Context *c) noexcept nogil:
    pool_task[double](<const Pooling *>p, task, c, NULL)
cdef void gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    gradient_task[float](<const Pooling *>p, task, c, NULL)
cdef void gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    gradient_task[double](<const Pooling *>p, task, c, NULL)


def max_pool(dtype, x, g, y, *, tasks, channels, in_lanes, sizes, outputs, window, strides, dilation, low):
    """y = max pooling of x, or, if g (the gradient of the output) is given, y = the gradient for x.

    in_lanes: the layout. sizes, outputs, window, strides, dilation, low: three ints each (depth, row, column).
    """
    cdef Pooling p
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef long area = sizes[0] * sizes[1] * sizes[2], out_area = outputs[0] * outputs[1] * outputs[2]
    memset(&p, 0, sizeof(p))
    p.x, p.y = operand(x), operand(y)
    if g is not None:
        p.g = operand(g)
    for i in range(3):
        p.pool.n[i] = sizes[i]
        p.pool.out[i] = outputs[i]
        p.pool.window[i] = window[i]
        p.pool.strides[i] = strides[i]
        p.pool.dilation[i] = dilation[i]
        p.pool.low[i] = low[i]
    p.pool.pixel = lanes if in_lanes else channels
    if in_lanes:
        p.groups, p.last, p.x_group, p.y_group = channels, lanes, area * lanes, out_area * lanes
    else:
        p.groups = ceil_div(channels, lanes)
        p.last, p.x_group, p.y_group = channels - (p.groups - 1) * lanes, lanes, lanes
    p.gradient_bytes = channels * area * (lanes if in_lanes else 1) * (4 if dtype == "float32" else 8)
    if g is None:
        return instruction(pool_f32 if dtype == "float32" else pool_f64, &p, sizeof(p), tasks, 0, None)
    return instruction(gradient_f32 if dtype == "float32" else gradient_f64, &p, sizeof(p), tasks, 0, None)
