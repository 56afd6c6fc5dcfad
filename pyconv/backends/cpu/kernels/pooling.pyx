# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Max and average pooling and their gradients, for both layouts.

Lanes: [block][channel][depth][row][column][lane], a vector is one pixel of one channel, the task is a block or a
slice of one. Plain:
[sample][depth][row][column][channel], a vector is a group of channels of one pixel, the task is a sample. Loop order:
channel or group, then pixels of the output, then the window. Ties: the gradient goes to the first maximum.

Convolution and max pooling in one (float32, lanes, windows of two by two side by side; see pooled.h): a task takes a
block, or some of its pooled rows, in bands whose input stays in the second-level cache; loop order: band, filters, row,
columns. The kernel's gradient: a task takes a block and a range of filters; loop order: channel (a plane of the input,
copied with its border), filters, kernel rows and columns.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from pyconv.backends.cpu.border cimport Border, band_with_border
from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

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
        long by_rows
    int pool_by_rows(const Pool *)
    int pool_apart_fill(const Pool *)
    void avg_pool_f32(const Pool *, const float *, float *, long)
    void avg_pool_f64(const Pool *, const double *, double *, long)
    void avg_pool_gradient_f32(const Pool *, const float *, float *, long)
    void avg_pool_gradient_f64(const Pool *, const double *, double *, long)
    void max_pool_f32(const Pool *, const float *, float *, long)
    void max_pool_f64(const Pool *, const double *, double *, long)
    void max_pool_gradient_f32(const Pool *, const float *, const float *, float *, long)
    void max_pool_gradient_f64(const Pool *, const double *, const double *, double *, long)

cdef extern from "pooled.h" nogil:
    const int POOLED_ROWS, POOLED_PIXELS
    ctypedef struct Pooled:
        const float *x
        const float *w
        const float *bias
        const int32_t *xo
        long taps, down
        float *y
        uint8_t *spots
        long plane, rows, tiles
        int relu
        float least
    ctypedef struct Spotted:
        const float *x
        const float *g
        const uint8_t *spots
        long plane, rows, cols, row
        float *out
        long tap, lanes
    void (*pooled_tiles[3][4])(const Pooled *)
    void spotted(Spotted, long, long)
    void pool_with_spots(const float *, long, long, long, float *, uint8_t *, long, long)
    void spread_to_spots(const float *, const uint8_t *, long, long, float *, long, long)

cdef extern from "gathered.h" nogil:
    const int GATHERS
    ctypedef struct Met:
        int32_t at
        float g
    void gathered(const float *, long, const Met *, long, float *, long, long)
    void gather_spots(const float *, const uint8_t *, long, long, long, long, Met *, long)

cdef extern from "winograd_f32_f64.h" nogil:
    void transposed_f32(const float *, long, long, float *, long, long)

ctypedef fused real:
    float
    double

cdef struct Pooling:
    Operand x, g, y
    Pool pool
    long groups, last                  # vectors of channels, and lanes of the last
    long x_group, y_group              # elements from one to the next
    long zeros, zeroed                 # of dx: elements that are set to zero before a group; how many groups have that

cdef inline long first_of(long channels, const Context *context) noexcept nogil:
    """Of the slice, which is all channels in the plain layout."""
    return channels * context.slice // context.slices

cdef inline long last_of(long channels, const Context *context) noexcept nogil:
    return channels * (context.slice + 1) // context.slices

cdef void pool_task(const Pooling *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef long i, n
    for i in range(first_of(p.groups, context), last_of(p.groups, context)):
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
    for i in range(first_of(p.groups, context), last_of(p.groups, context)):
        if i < p.zeroed:
            memset(dx + i * p.x_group, 0, p.zeros * sizeof(real))
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
    for i in range(first_of(p.groups, context), last_of(p.groups, context)):
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
    for i in range(first_of(p.groups, context), last_of(p.groups, context)):
        if i < p.zeroed:
            memset(dx + i * p.x_group, 0, p.zeros * sizeof(real))
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


cdef void describe(Pooling *p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low, far):
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
    p[0].pool.by_rows = far and in_lanes and dtype == "float32" and pool_by_rows(&p[0].pool)
    p[0].zeros = area * (lanes if in_lanes else channels)
    p[0].zeroed = 0 if pool_apart_fill(&p[0].pool) else p[0].groups if in_lanes else 1


def max_pool(dtype, x, g, y, *, tasks, channels, in_lanes, sizes, outputs, window, strides, dilation, low,
             far=False):
    """y = max pooling of x, or, if g (the gradient of the output) is given, y = the gradient for x.

    in_lanes: the layout. sizes, outputs, window, strides, dilation, low: three ints each (depth, row, column).
    far: x is hardly in a core's caches (it is then read as one stream).
    """
    cdef Pooling p
    memset(&p, 0, sizeof(p))
    p.x, p.y = operand(x), operand(y)
    if g is not None:
        p.g = operand(g)
    describe(&p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low, far)
    if g is None:
        return instruction(pool_f32 if dtype == "float32" else pool_f64, &p, sizeof(p), tasks, 0, None)
    return instruction(gradient_f32 if dtype == "float32" else gradient_f64, &p, sizeof(p), tasks, 0, None)


def avg_pool(dtype, x, g, y, *, tasks, channels, in_lanes, sizes, outputs, window, strides, dilation, low, divisor,
             far=False):
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
    describe(&p, dtype, channels, in_lanes, sizes, outputs, window, strides, dilation, low, far)
    p.pool.divisor = divisor
    if x is not None:
        return instruction(average_f32 if dtype == "float32" else average_f64, &p, sizeof(p), tasks, 0, None)
    return instruction(average_gradient_f32 if dtype == "float32" else average_gradient_f64, &p, sizeof(p), tasks, 0,
                       None)


# Max pooling that notes where the maxima are, and convolution with such a pooling -------------------------------------

pooled_rows = POOLED_ROWS          # filters of a tile


cdef struct WithSpots:
    Operand x, y, spots
    long channels, rows, cols, height, width

cdef void with_spots_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const WithSpots *p = <const WithSpots *>params
    cdef const float *x = <const float *>address(&p.x, task, context)
    cdef float *y = <float *>address(&p.y, task, context)
    cdef uint8_t *spots = <uint8_t *>address(&p.spots, task, context)
    cdef long c, plane = p.rows * p.cols * LANES_F32
    for c in range(first_of(p.channels, context), last_of(p.channels, context)):
        pool_with_spots(x + c * p.height * p.width * LANES_F32, p.width, p.rows, p.cols, y + c * plane,
                        spots + c * plane, p.cols, 0)

cdef void spread_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const WithSpots *p = <const WithSpots *>params
    cdef float *x = <float *>address(&p.x, task, context)
    cdef const float *y = <const float *>address(&p.y, task, context)
    cdef const uint8_t *spots = <const uint8_t *>address(&p.spots, task, context)
    cdef long c, plane = p.rows * p.cols * LANES_F32
    for c in range(first_of(p.channels, context), last_of(p.channels, context)):
        spread_to_spots(y + c * plane, spots + c * plane, p.rows, p.cols, x + c * p.height * p.width * LANES_F32,
                        p.height, p.width)


def pool_spots(x, y, spots, sizes, *, bint spread, long blocks):
    """y = max pooling of x, and where the maxima are; or, with `spread`, x = the gradient, y being that of the output.

    sizes: int64 planes of a block, pooled rows and columns, rows and columns of x.
    """
    cdef WithSpots p
    p.x, p.y, p.spots = operand(x), operand(y), operand(spots)
    memcpy(&p.channels, elements(sizes, 8), 5 * sizeof(long))
    return instruction(spread_task if spread else with_spots_task, &p, sizeof(p), blocks, 0, None)


cdef struct PooledConv:
    Operand x, w, bias, y, spots
    const int32_t *xo
    const int32_t *lines                # per pooled row: the first tap and the number of those that meet the input
    Border border
    long channels, filters, taps, rows, cols
    long blocks, parts                  # parts: tasks of a block
    long bands, band_rows               # bands of all rows; rows of the input for one of these
    long copy, relu                     # copy: a band with its border, to which the taps' offsets are then

cdef void pooled_conv_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PooledConv *p = <const PooledConv *>params
    cdef long block = task // p.parts, part = task % p.parts, band, f, r, r0, r1, i, a, b
    cdef long row = p.border.padded[2] * LANES_F32, nx = ceil_div(p.cols, POOLED_PIXELS) if POOLED_PIXELS > 1 else 1
    cdef const float *x = <const float *>address(&p.x, block, context)
    cdef const float *w = <const float *>address(&p.w, block, context)
    cdef float *bias = <float *>address(&p.bias, block, context)
    cdef float *y = <float *>address(&p.y, block, context)
    cdef uint8_t *spots = <uint8_t *>address(&p.spots, block, context)
    cdef Pooled t
    t.down, t.plane, t.relu, t.least = row, p.rows * p.cols * LANES_F32, p.relu, 0 if p.relu else -INFINITY
    for band in range(p.bands * part // p.parts, p.bands * (part + 1) // p.parts):
        r0, r1 = p.rows * band // p.bands, p.rows * (band + 1) // p.bands
        if p.copy:
            band_with_border(&p.border, <const char *>x, context.scratch, p.channels, LANES_F32 * sizeof(float),
                             2 * r0, p.band_rows)
        for f from 0 <= f < p.filters by POOLED_ROWS:
            t.rows = min(<long>POOLED_ROWS, p.filters - f)
            t.bias = NULL if bias == NULL else bias + f
            for r in range(r0, r1):
                t.xo, t.taps = p.xo + p.lines[2 * r], p.lines[2 * r + 1]
                t.w = w + f * p.taps + p.lines[2 * r] * POOLED_ROWS
                for i in range(nx):
                    a, b = p.cols * i // nx, p.cols * (i + 1) // nx
                    t.x = <const float *>context.scratch - 2 * r0 * row if p.copy else x
                    t.x += 2 * (r * row + a * LANES_F32)
                    t.y = y + f * t.plane + (r * p.cols + a) * LANES_F32
                    t.spots = NULL if spots == NULL else spots + f * t.plane + (r * p.cols + a) * LANES_F32
                    t.tiles = 1 if POOLED_PIXELS > 1 else p.cols
                    pooled_tiles[t.rows][(b - a) // t.tiles](&t)


def conv_pool(x, w, bias, y, spots, sizes, xo, lines):
    """y = max pooling of x * w (+ bias, relu); w packed as [filters / pooled_rows][tap][pooled_rows].

    sizes: int64 numbers of `PooledConv` from `border` on. xo: the taps' offsets. lines: as there.
    """
    cdef PooledConv p
    p.x, p.w, p.bias, p.y, p.spots = operand(x), operand(w), operand(bias), operand(y), operand(spots)
    p.xo, p.lines = <const int32_t *>elements(xo, 4), <const int32_t *>elements(lines, 4)
    memcpy(&p.border, elements(sizes, 8), 21 * sizeof(long))
    return instruction(pooled_conv_task, &p, sizeof(p), p.blocks * p.parts,
                       p.channels * p.band_rows * p.border.padded[2] * LANES_F32 * sizeof(float) + 128, (xo, lines))


cdef struct SpottedGradient:
    Operand x, g, spots, out
    Border border                       # of a channel
    long channels, filters, rows, cols, samples, blocks
    long groups                         # ranges of filters: tasks of a block
    long window[2]

cdef void spotted_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const SpottedGradient *p = <const SpottedGradient *>params
    cdef long block = task // p.groups, group = task % p.groups, c, k
    cdef long f0 = p.filters * group // p.groups, f1 = p.filters * (group + 1) // p.groups
    cdef const float *x = <const float *>address(&p.x, block, context)
    cdef const float *inside
    cdef float *out = <float *>address(&p.out, block, context) + f0
    cdef Spotted t
    t.plane, t.rows, t.cols, t.row = p.rows * p.cols * LANES_F32, p.rows, p.cols, p.border.padded[2] * LANES_F32
    t.g = <const float *>address(&p.g, block, context) + f0 * t.plane
    t.spots = <const uint8_t *>address(&p.spots, block, context) + f0 * t.plane
    t.tap, t.lanes = p.channels * p.filters, min(<long>LANES_F32, p.samples - block * LANES_F32)
    for c in range(p.channels):
        inside = x + c * p.border.n[1] * p.border.n[2] * LANES_F32
        if p.border.needed:
            band_with_border(&p.border, <const char *>inside, context.scratch, 1, LANES_F32 * sizeof(float), 0,
                             p.border.padded[1])
            inside = <const float *>context.scratch
        for k in range(p.window[0]):
            t.x, t.out = inside + k * t.row, out + (k * p.window[1] * p.channels + c) * p.filters
            spotted(t, f1 - f0, p.window[1])


# The same with taps and channels in the lanes, where vectors are short (gathered.h).

gathers = GATHERS
cdef enum:
    MET = 4096                          # entries of a list of what windows have met, for all filters at a time

cdef long sample_size(const SpottedGradient *p) noexcept nogil:
    return p.channels * p.border.padded[1] * p.border.padded[2] + 2 * LANES_F32

cdef long run_vectors(const SpottedGradient *p) noexcept nogil:
    return ceil_div(p.window[1] * p.channels, LANES_F32)

cdef long filters_at_a_time(const SpottedGradient *p) noexcept nogil:
    return max(1, min(p.filters, MET // (p.rows * p.cols)))

cdef void samples_apart(const SpottedGradient *p, const float *x, float *out) noexcept nogil:
    """out[sample][row][column][channel] with its border; what is written too much is overwritten by what follows."""
    cdef long size = sample_size(p), line = p.border.padded[2] * p.channels, area = p.border.n[1] * p.border.n[2]
    cdef long y, k, i, c, step = LANES_F32 if p.channels == 1 else 1
    cdef const float *row
    cdef float *to
    for y in range(p.border.padded[1]):
        i = y - p.border.low[1]
        to = out + y * line
        if i < 0 or i >= p.border.n[1]:
            for k in range(LANES_F32):
                memset(to + k * size, 0, line * sizeof(float))
            continue
        for k in range(LANES_F32):
            memset(to + k * size, 0, p.border.low[2] * p.channels * sizeof(float))
        to += p.border.low[2] * p.channels
        row = x + i * p.border.n[2] * LANES_F32
        if p.channels == 1:
            for k from 0 <= k < p.border.n[2] by LANES_F32:
                transposed_f32(row + k * LANES_F32, LANES_F32, p.border.n[2] - k, to + k, size, 0)
        else:
            for k in range(p.border.n[2]):
                for c from 0 <= c < p.channels by LANES_F32:
                    transposed_f32(row + (c * area + k) * LANES_F32, area * LANES_F32, p.channels - c,
                                   to + k * p.channels + c, size, 0)
        to += p.border.n[2] * p.channels
        i = line - (p.border.low[2] + p.border.n[2]) * p.channels
        for k in range(LANES_F32):
            memset(to + k * size, 0, i * sizeof(float))
    for k in range(LANES_F32):
        memset(out + (k + 1) * size - 2 * LANES_F32, 0, 2 * LANES_F32 * sizeof(float))

cdef void filters_side_by_side(const float *sums, long size, long filters, long n, float *out, long row) noexcept nogil:
    """out[i][filter] = sums[filter][i]: n of each filter, `size` apart; rows of out are `row` apart."""
    cdef long i, f, k, wide, high
    cdef float square[16 * 16]
    for i from 0 <= i < n by LANES_F32:
        high = min(<long>LANES_F32, n - i)
        for f from 0 <= f < filters by LANES_F32:
            wide = min(<long>LANES_F32, filters - f)
            if wide == LANES_F32 and high == LANES_F32:
                transposed_f32(sums + f * size + i, size, wide, out + i * row + f, row, 0)
                continue
            transposed_f32(sums + f * size + i, size, wide, square, LANES_F32, 0)
            for k in range(high):
                memcpy(out + (i + k) * row + f, square + k * LANES_F32, wide * sizeof(float))

cdef void gathered_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const SpottedGradient *p = <const SpottedGradient *>params
    cdef long block = task // p.groups, group = task % p.groups, k, f, i
    cdef long f0 = p.filters * group // p.groups, f1 = p.filters * (group + 1) // p.groups
    cdef long pixels = p.rows * p.cols, plane = pixels * LANES_F32, line = p.border.padded[2] * p.channels
    cdef long many = filters_at_a_time(p), vectors = run_vectors(p), width = p.window[1] * p.channels
    cdef long size = sample_size(p), each = p.window[0] * vectors * LANES_F32
    cdef const float *g = <const float *>address(&p.g, block, context)
    cdef const uint8_t *spots = <const uint8_t *>address(&p.spots, block, context)
    cdef float *out = <float *>address(&p.out, block, context) + f0
    cdef float *x = <float *>context.scratch
    cdef float *sums = x + LANES_F32 * size
    cdef Met *met = <Met *>(sums + (f1 - f0) * each)
    samples_apart(p, <const float *>address(&p.x, block, context), x)
    memset(sums, 0, (f1 - f0) * each * sizeof(float))
    for i from f0 <= i < f1 by many:
        for f in range(i, min(f1, i + many)):
            gather_spots(g + f * plane, spots + f * plane, p.rows, p.cols, line, p.channels, met + (f - i) * pixels,
                         many * pixels)
        for k in range(min(<long>LANES_F32, p.samples - block * LANES_F32)):
            for f in range(i, min(f1, i + many)):
                gathered(x + k * size, line, met + (k * many + f - i) * pixels, pixels, sums + (f - f0) * each,
                         p.window[0], vectors)
    for k in range(p.window[0]):
        filters_side_by_side(sums + k * vectors * LANES_F32, each, f1 - f0, width, out + k * width * p.filters,
                             p.filters)


def kernel_gradient_spots(x, g, spots, out, sizes, bint gathered):
    """Partial sums per block of the kernel's gradient, in the kernel's own order; g is that of the pooled pixels.

    gathered: with taps and channels in the lanes.
    sizes: int64 numbers of `SpottedGradient` from `border` on.
    """
    cdef SpottedGradient p
    p.x, p.g, p.spots, p.out = operand(x), operand(g), operand(spots), operand(out)
    memcpy(&p.border, elements(sizes, 8), 19 * sizeof(long))
    cdef size_t scratch = LANES_F32 * sample_size(&p) + p.filters * p.window[0] * run_vectors(&p) * LANES_F32
    if gathered:
        scratch = scratch * sizeof(float) + filters_at_a_time(&p) * p.rows * p.cols * LANES_F32 * sizeof(Met) + 128
        return instruction(gathered_task, &p, sizeof(p), p.blocks * p.groups, scratch, None)
    return instruction(spotted_task, &p, sizeof(p), p.blocks * p.groups,
                       p.border.padded[1] * p.border.padded[2] * LANES_F32 * sizeof(float) + 128, None)
