# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The forward convolution of batches too small to fill the lanes.

Plain layout: [sample][depth][row][column][channel], with its border; the filters in the lanes, pixels as scalars. A
tile of pixels x vectors of filters stays in registers while the taps go by. The task is a row of one sample, or a part
of it. The weights are read where they are, [position][channel][filter], or packed by the vectors of a tile,
[tile][position][channel][filter].

With max pooling by windows of two by two right behind, single precision, the results are the pooled ones: a tile has
all pixels of some windows, and what is pooled is never stored.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand, row_start)

cdef extern from "tiles_f32_f64.h" nogil:
    const int LANES_F32, LANES_F64
    ctypedef struct Outer:
        const void *x
        const int32_t *xo
        long xj
        const void *w
        const int32_t *wo
        long wc, taps
        void *y
        long yc, yj, rows, tiles, last
        const void *bias
        int accumulate, relu
        const void *other
    void (*strided_tiles_f32[9][9])(const Outer *)
    void (*strided_tiles_f64[9][9])(const Outer *)

cdef extern from "windows.h" nogil:
    void (*windows[9][9])(const Outer *)

ctypedef fused real:
    float
    double


def tiles():
    """Which (pixels, vectors of filters) tiles there are, and which for pooled pixels."""
    cdef int i, j
    return ({(i, j) for i in range(9) for j in range(9) if strided_tiles_f32[i][j] != NULL},
            {(i, j) for i in range(9) for j in range(9) if windows[i][j] != NULL})


cdef struct Plain:
    Operand x, w, y, bias, other
    long n[3]                      # results along each axis
    long xs[4]                     # elements from one result to the next in x; the last: from sample to sample
    long ys[4]                     # the same in y
    long pixel, below              # if what is returned is pooled: from a pixel to the next, to the row below it; or 0
    long groups, channels, filters, all_filters
    const int32_t *taps_x
    const int32_t *taps_w
    long taps, cb, xb
    long part                      # in w, from the vectors of a tile to the next ones
    long cuts                      # parts of a row
    int relu

cdef void plain_task(const Plain *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long cut = task % p.cuts, line = task // p.cuts
    # A row's tiles are of two sizes, first the larger ones; a task has some of them.
    cdef long tiles = ceil_div(p.n[2], p.cb), few = p.n[2] // tiles, more = p.n[2] % tiles
    cdef long first = tiles * cut // p.cuts, count = tiles * (cut + 1) // p.cuts - first
    cdef long begin = first * few + min(first, more)
    cdef const real *x = <const real *>address(&p.x, 0, context) + row_start(line, p.n, p.xs) \
        + begin * p.xs[2]
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef long start = row_start(line, p.n, p.ys) + begin * p.ys[2]
    cdef real *y = <real *>address(&p.y, 0, context) + start
    cdef const real *other = <const real *>address(&p.other, 0, context)
    cdef long vectors = ceil_div(p.filters, lanes), nv = ceil_div(vectors, p.xb)
    cdef long g, i, j, a, b, v0, v1, f, larger = min(count, max(0, more - first))
    cdef Outer t
    memset(&t, 0, sizeof(t))
    t.xo, t.wo, t.wc, t.xj = p.taps_w, p.taps_x, p.pixel, p.below
    t.taps, t.yc, t.relu = p.taps, p.ys[2], p.relu
    for g in range(p.groups):
        for j in range(nv):
            v0, v1 = j * p.xb, min(vectors, (j + 1) * p.xb)
            f = g * p.filters + v0 * lanes
            t.x, t.bias = w + g * p.filters + j * p.part, NULL if bias == NULL else bias + f
            t.last = min(p.filters - (v1 - 1) * lanes, lanes)
            a = 0
            for i in range(2):
                b, t.tiles = few + 1 - i, count - larger if i else larger
                t.w, t.y = x + g * p.channels + a * p.xs[2], y + a * p.ys[2] + f
                t.other = other + start + a * p.ys[2] + f if other else NULL
                if t.tiles == 0:
                    continue
                elif real is float and p.below:
                    windows[b][v1 - v0](&t)
                elif real is float:
                    strided_tiles_f32[b][v1 - v0](&t)
                else:
                    strided_tiles_f64[b][v1 - v0](&t)
                a += b * t.tiles

cdef void plain_f32(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[float](<const Plain *>p, task, c, NULL)

cdef void plain_f64(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[double](<const Plain *>p, task, c, NULL)


cdef set_sizes(Plain *p, outputs, steps, pooled):
    for i in range(3):
        p.n[i] = outputs[i]
    for i in range(4):
        p.xs[i] = steps[i]
    p.pixel, p.below = p.xs[2], p.xs[1] if pooled else 0
    if pooled:
        p.xs[1], p.xs[2] = 2 * p.xs[1], 2 * p.xs[2]

def conv_plain(dtype, x, w, y, bias, other, *, samples, outputs, steps, groups, channels, filters, taps_x, taps_w, cb,
               xb, cuts, relu, pooled, places=None, packed=False):
    """y = x * w (+ bias, other, relu) with the filters in the lanes; x already has its border.

    One task for each of `cuts` parts of a row. places: elements from one result to the next in y, as `steps` has them
    for x; None: they lie side by side. pooled: outputs are those of a max pooling by two by two after it. packed: w is
    [filters / xb vectors][tap][xb vectors].
    """
    cdef Plain p
    p.x, p.w, p.y, p.bias, p.other = operand(x), operand(w), operand(y), operand(bias), operand(other)
    set_sizes(&p, outputs, steps, pooled)
    p.groups, p.channels, p.filters, p.all_filters = groups, channels, filters, filters * groups
    p.taps_x, p.taps_w = <const int32_t *>elements(taps_x, 4), <const int32_t *>elements(taps_w, 4)
    p.taps, p.cb, p.xb, p.cuts, p.relu = taps_x.shape[0], cb, xb, cuts, relu
    p.part = xb * (LANES_F32 if dtype == "float32" else LANES_F64) * (p.taps if packed else 1)
    p.ys[2] = p.all_filters
    p.ys[1] = p.ys[2] * p.n[2]
    p.ys[0] = p.ys[1] * p.n[1]
    p.ys[3] = p.ys[0] * p.n[0]
    if places is not None:
        for i in range(4):
            p.ys[i] = places[i]
    return instruction(plain_f32 if dtype == "float32" else plain_f64, &p, sizeof(p),
                       samples * p.n[0] * p.n[1] * cuts, 0, (taps_x, taps_w))


# Few filters of a single channel ---------------------------------------------------------------------------------

cdef extern from "pairs.h" nogil:
    ctypedef struct Pairs:
        const float *x
        const int32_t *offsets
        long taps
        const float *w
        long line
        const float *bias
        float *y
        float *end
        long filters, count, pixels, below
        int relu
    void (*pairs_of[3][8])(const Pairs *)

cdef enum:
    MOST_PAIRS = 7

cdef void pairs_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Plain *p = <const Plain *>params
    cdef long half = LANES_F32 // 2
    cdef const float *x = <const float *>address(&p.x, 0, context) + row_start(task, p.n, p.xs)
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context) + task * p.n[2] * p.filters
    cdef long step = 1 if p.below else 2          # results of a pair
    cdef long all_pairs = ceil_div(p.n[2], step)
    cdef long groups = ceil_div(p.filters, half), g, a, b
    cdef Pairs t
    t.offsets, t.taps, t.line, t.filters, t.relu = p.taps_x, p.taps, groups * LANES_F32, p.filters, p.relu
    t.below = p.below
    # The last filters first, in whole vectors: what these spoil of the next pixel is computed after it.
    t.end = y + p.n[2] * p.filters
    for g in range(groups - 1, -1, -1):
        t.w, t.bias = w + g * LANES_F32, bias + g * LANES_F32 if bias else NULL
        t.count = min(half, p.filters - g * half)
        a = 0
        while a < all_pairs:
            b = min(all_pairs - a, MOST_PAIRS)
            if b < MOST_PAIRS <= all_pairs:         # some once more rather than few at a time
                b, a = MOST_PAIRS, all_pairs - MOST_PAIRS
            elif b < MOST_PAIRS:
                b = 4 if b >= 4 else 2 if b >= 2 else 1
            t.x, t.y, t.pixels = x + 2 * a, y + step * a * p.filters + g * half, p.n[2] - step * a
            pairs_of[3 - step][b](&t)
            a += b

def conv_pairs(x, w, y, bias, *, samples, outputs, steps, filters, taps_x, relu, pooled):
    """y = x * w (+ bias, relu) for single precision, a single channel and no strides along rows; a task is a row.
    pooled: as for `conv_plain`.

    w: [tap][filter][2], every number twice, the filters filled up to half vectors; bias likewise.
    """
    cdef Plain p
    memset(&p, 0, sizeof(p))
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    set_sizes(&p, outputs, steps, pooled)
    p.filters, p.taps, p.relu = filters, taps_x.shape[0], relu
    p.taps_x = <const int32_t *>elements(taps_x, 4)
    return instruction(pairs_task, &p, sizeof(p), samples * p.n[0] * p.n[1], 0, (taps_x,))
