# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolutions in groups of few channels, of batches too small to fill the lanes; single precision.

Plain layout: [sample][depth][row][column][channel], with its border, and weights [position][channel][filter]; the
filters of several groups lie side by side in the lanes. A task of the forward convolution is a row of results of a
sample, for a part of the groups; one of the gradient for the kernel is some groups, for some taps of a row.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand, row_start)

cdef extern from "grouped.h" nogil:
    const int MOST_GROUPED
    ctypedef struct Grouped:
        const float *x
        const int32_t *xo
        long column
        const float *w
        const int32_t *wo
        long wc
        const int32_t *lanes
        long taps, channels
        float *y
        long yc, last, tiles
        const float *bias
        const float *other
        int relu
    ctypedef struct GroupedGradient:
        const float *x
        const int64_t *xrow
        long column
        const float *g
        long gc
        const int32_t *lanes
        long rows, count, channels
        float *out
        long to, co, last
    void (*grouped_tiles[4][7])(const Grouped *)
    void (*grouped_gradients[3][3])(const GroupedGradient *)


cdef long kind(long run, long stride) noexcept:
    """Which tiles, by number, are those of `run` taps side by side with results `stride` columns apart."""
    return 0 if run == 1 else 3 if run == 2 else stride


cdef struct Conv:
    Operand x, w, y, bias, other
    Grouped tile                   # what all tiles have in common
    long n[3]                      # results along each axis
    long xs[4]                     # elements from one result to the next in x; the last: from sample to sample
    long ys[4]                     # the same in y
    long groups, filters, side     # filters of a group; groups in a vector
    long parts, kind

cdef void conv_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Conv *p = <const Conv *>params
    cdef long part = task % p.parts, line = task // p.parts
    cdef const float *x = <const float *>address(&p.x, 0, context) + row_start(line, p.n, p.xs)
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef float *bias = <float *>address(&p.bias, 0, context)
    cdef float *other = <float *>address(&p.other, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context)
    cdef long start = row_start(line, p.n, p.ys)
    # A row's tiles are of two sizes, first the larger ones.
    cdef long tiles = ceil_div(p.n[2], MOST_GROUPED), few = p.n[2] // tiles, more = p.n[2] % tiles
    cdef long vectors = ceil_div(p.groups, p.side), v, i, a, b, f
    cdef Grouped t = p.tile
    for v in range(vectors * part // p.parts, vectors * (part + 1) // p.parts):
        f = v * p.side * p.filters
        t.w, t.bias = w + f, NULL if bias == NULL else bias + f
        t.last = min(p.side, p.groups - v * p.side) * p.filters
        a = 0
        for i in range(2):
            b, t.tiles = few + 1 - i, tiles - more if i else more
            if t.tiles == 0:
                continue
            t.x = x + v * p.side * t.channels + a * p.xs[2]
            t.y = y + start + a * p.ys[2] + f
            t.other = NULL if other == NULL else other + start + a * p.ys[2] + f
            grouped_tiles[p.kind][b - 1](&t)
            a += b * t.tiles


def conv(x, w, y, bias, other, *, samples, outputs, steps, places, groups, channels, filters, side, taps_x, taps_w, wc,
         run, stride, lanes, parts, relu):
    """y = x * w (+ bias, other, relu); x already has its border. A task is a row, for one of `parts` of the groups.

    steps, places: elements from one result to the next in x and in y along each axis, and from sample to sample.
    channels, filters: of a group; side: groups in a vector. taps_x, taps_w: where each tap's inputs and weights begin,
    wc: elements of w from channel to channel. run: taps side by side, 1 to 3, with results `stride` columns apart.
    lanes: for each channel, which lanes of the inputs' vector its results read.
    """
    cdef Conv p
    memset(&p, 0, sizeof(p))
    p.x, p.w, p.y, p.bias, p.other = operand(x), operand(w), operand(y), operand(bias), operand(other)
    for i in range(3):
        p.n[i] = outputs[i]
    for i in range(4):
        p.xs[i], p.ys[i] = steps[i], places[i]
    p.groups, p.filters, p.side, p.parts, p.kind = groups, filters, side, parts, kind(run, stride)
    p.tile.xo, p.tile.wo = <const int32_t *>elements(taps_x, 4), <const int32_t *>elements(taps_w, 4)
    p.tile.lanes = <const int32_t *>elements(lanes, 4)
    p.tile.column, p.tile.wc, p.tile.yc = p.xs[2] // (1 if run == 1 else stride), wc, p.ys[2]
    p.tile.taps, p.tile.channels, p.tile.relu = taps_x.shape[0], channels, relu
    return instruction(conv_task, &p, sizeof(p), samples * p.n[0] * p.n[1] * parts, 0, (taps_x, taps_w, lanes))


cdef struct KernelGradient:
    Operand x, g, out
    GroupedGradient sums           # what all tasks have in common
    const int64_t *taps
    long all_filters, groups, filters, side, run, kind

cdef void kernel_gradient_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const KernelGradient *p = <const KernelGradient *>params
    cdef long vectors = ceil_div(p.groups, p.side), v = task % vectors, tap = task // vectors * p.run
    cdef long f = v * p.side * p.filters, q = 0 if p.sums.channels <= 2 else 1 if p.sums.channels <= 4 else 2
    cdef GroupedGradient t = p.sums
    t.x = <const float *>address(&p.x, 0, context) + p.taps[tap] + v * p.side * t.channels
    t.g = <const float *>address(&p.g, 0, context) + f
    t.out = <float *>address(&p.out, 0, context) + tap * t.to + f
    t.last = min(p.side, p.groups - v * p.side) * p.filters
    grouped_gradients[q][p.kind](&t)


def kernel_gradient(x, g, out, *, rows, count, column, taps, run, stride, groups, channels, filters, side, lanes):
    """The kernel's gradient [tap][channel][filter]; x already has its border. A task is a run of taps and a vector of
    groups.

    rows: where each row of results begins in x; those of g, of `count` pixels, follow each other. column: elements of x
    from one column to the next, or from one result to the next where `run` is 1; taps: where each tap's inputs begin.
    The others are as for `conv`.
    """
    cdef KernelGradient p
    memset(&p, 0, sizeof(p))
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    p.groups, p.filters, p.side, p.run, p.kind = groups, filters, side, run, kind(run, stride)
    p.taps, p.sums.xrow = <const int64_t *>elements(taps, 8), <const int64_t *>elements(rows, 8)
    p.sums.lanes = <const int32_t *>elements(lanes, 4)
    p.sums.rows, p.sums.count, p.sums.column, p.sums.channels = rows.shape[0], count, column, channels
    p.sums.gc = p.sums.co = groups * filters
    p.sums.to = channels * p.sums.co
    return instruction(kernel_gradient_task, &p, sizeof(p), taps.shape[0] // run * ceil_div(groups, side), 0,
                       (rows, taps, lanes))
