# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolutions with few filters, of batches too small to fill the lanes; single precision.

Plain layout: [sample][depth][row][column][channel], with its border; weights [position][filter][channel]. Channels are
in the lanes. A task is a row of results of one sample, or a part of it.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand, row_start)

cdef extern from "few.h" nogil:
    ctypedef struct Few:
        const float *x
        const int32_t *xo
        long xj
        const float *w
        const int32_t *wo
        long taps, channels
        float *y
        long yc
        const float *bias
        int relu
    void (*few_tiles[4])(const Few *)
    void (*few_singles[4])(const Few *)
    const long few_pixels[4]
    int IN_SUMS(int)


cdef struct Conv:
    Operand x, w, y, bias
    Few tile                       # what all tiles have in common
    long n[3]                      # results along each axis
    long xs[4]                     # elements from one result to the next in x; the last: from sample to sample
    long ys[4]                     # the same in y
    long filters, cuts

cdef void conv_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Conv *p = <const Conv *>params
    cdef long cut = task % p.cuts, line = task // p.cuts
    cdef const float *x = <const float *>address(&p.x, 0, context) + row_start(line, p.n, p.xs)
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef float *bias = <float *>address(&p.bias, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context) + row_start(line, p.n, p.ys)
    cdef long begin = p.n[2] * cut // p.cuts, end = p.n[2] * (cut + 1) // p.cuts, parts = ceil_div(p.filters, 4)
    cdef long i, a, f, count, pixels
    cdef int k
    cdef float biases[16]
    cdef Few t = p.tile
    for i in range(parts):
        f = p.filters * i // parts
        count = p.filters * (i + 1) // parts - f
        pixels = few_pixels[count - 1]
        t.w = w + f * t.channels
        if bias != NULL:
            for k in range(16):
                biases[IN_SUMS(k)] = bias[f + k % count]
            t.bias = biases
        a = begin
        while a < end:
            # The last tile goes back over what has been computed rather than pixel by pixel.
            if a + pixels > end and end - begin >= pixels:
                a = end - pixels
            t.x, t.y = x + a * p.xs[2], y + a * p.ys[2] + f
            if a + pixels <= end:
                few_tiles[count - 1](&t)
                a += pixels
            else:
                few_singles[count - 1](&t)
                a += 1


def conv(x, w, y, bias, *, samples, outputs, steps, places, channels, filters, taps_x, taps_w, cuts, relu):
    """y = x * w (+ bias, relu); x already has its border. One task for each of `cuts` parts of a row.

    steps, places: elements from one result to the next in x and in y along each axis, and from sample to sample.
    taps_x, taps_w: where each tap's inputs and weights begin.
    """
    cdef Conv p
    memset(&p, 0, sizeof(p))            # no bias in the tile
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    for i in range(3):
        p.n[i] = outputs[i]
    for i in range(4):
        p.xs[i], p.ys[i] = steps[i], places[i]
    p.filters, p.cuts = filters, cuts
    p.tile.xo, p.tile.wo = <const int32_t *>elements(taps_x, 4), <const int32_t *>elements(taps_w, 4)
    p.tile.xj, p.tile.yc, p.tile.taps, p.tile.channels = p.xs[2], p.ys[2], taps_x.shape[0], channels
    p.tile.relu = relu
    return instruction(conv_task, &p, sizeof(p), samples * p.n[0] * p.n[1] * cuts, 0, (taps_x, taps_w))
