# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Gradient for the kernel of a convolution of few channels and taps, samples in the lanes; single precision.

x and g: [block][channel or filter][depth][row][column][lane]. A task is some bands of rows of a block. For each band
the input is copied, with its border. Then some pixels at a time, whose gradients for a few filters stay in the
first-level cache, meet all taps and channels, a few at a time in registers. Nothing is transposed, which for each
gradient takes as long as a dozen products.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from pyconv.backends.cpu.border cimport Border, band_with_border
from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "dots.h" nogil:
    const int LANES_F32, MOST_TAPS
    ctypedef struct Dots:
        const float *x
        const int32_t *xo
        const float *g
        long gc
        const int32_t *xrow
        const int32_t *grow
        long rows, cols, xstep
        float *sums
        long line
        const char *ahead[2]
        long ahead_step[2]
    void (*dots[7][4])(const Dots *)

cdef extern from *:
    """
    static float sum_of_lanes(const float *v, long n) { return sum_lanes_f32(*(const vf32 *)v, n); }
    """
    float sum_of_lanes(const float *, long) nogil


cdef struct KernelGradient:
    Operand x, g, out
    Border border
    long channels, filters, taps, samples
    const int32_t *xo                   # per tap and channel, its place in a band
    const int32_t *xrow                 # per row of results in a band and depth, row after row: where it begins in x
    const int32_t *grow                 # and in g
    long outputs[3]
    long parts, bands, step             # tasks and bands of a block; rows of the input from one of results to the next
    long band_rows, column              # rows of the input for a band; elements from one result to the next
    long lines, cuts                    # rows of results at a time, and parts of a row

cdef void kernel_gradient_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const KernelGradient *p = <const KernelGradient *>params
    cdef long block = task // p.parts, part = task % p.parts, lanes = min(LANES_F32, p.samples - block * LANES_F32)
    cdef const float *x = <const float *>address(&p.x, block, context)
    cdef const float *g = <const float *>address(&p.g, block, context)
    cdef float *out = <float *>address(&p.out, task, context)
    cdef float *sums = <float *>context.scratch
    cdef float *copy = sums + p.taps * p.filters * LANES_F32
    cdef long row = p.outputs[2] * LANES_F32, plane = p.outputs[0] * p.outputs[1] * row
    cdef long tap_tiles = ceil_div(p.taps, MOST_TAPS), filter_tiles = ceil_div(p.filters, 4)
    cdef long in_row = p.border.n[2] * LANES_F32, in_plane = p.border.n[0] * p.border.n[1] * in_row
    cdef long band, r0, r1, all_lines, line, cut, a, i, j, t0, t1, f0, f1, call, calls, first, pixels
    cdef Dots t
    memset(sums, 0, p.taps * p.filters * LANES_F32 * sizeof(float))
    t.gc, t.xstep, t.line = plane, p.column, p.filters * LANES_F32
    for band in range(p.bands * part // p.parts, p.bands * (part + 1) // p.parts):
        r0, r1 = p.outputs[1] * band // p.bands, p.outputs[1] * (band + 1) // p.bands
        band_with_border(&p.border, <const char *>x, <char *>copy, p.channels, LANES_F32 * sizeof(float), r0 * p.step,
                         p.band_rows)
        all_lines, call = (r1 - r0) * p.outputs[0], 0
        calls = ceil_div(all_lines, p.lines) * p.cuts * filter_tiles * tap_tiles
        pixels = all_lines * p.outputs[2] * filter_tiles * tap_tiles
        # With each call a part of the next band's rows, channel by channel, and of the gradients that come next.
        first = min(p.border.n[1], max(0, r0 * p.step + p.band_rows - p.border.low[1]))
        t.ahead_step[1] = (min(p.border.n[1] - first, (r1 - r0) * p.step) * in_row * 4 * p.channels) // pixels
        t.ahead_step[0] = LANES_F32 * sizeof(float)
        for line from 0 <= line < all_lines by p.lines:
            t.xrow, t.grow, t.rows = p.xrow + line, p.grow + line, min(p.lines, all_lines - line)
            for cut in range(p.cuts):
                a = p.outputs[2] * cut // p.cuts
                t.cols = p.outputs[2] * (cut + 1) // p.cuts - a
                t.x = copy + a * p.column
                for j in range(filter_tiles):
                    f0, f1 = p.filters * j // filter_tiles, p.filters * (j + 1) // filter_tiles
                    t.g = g + f0 * plane + r0 * row + a * LANES_F32
                    for i in range(tap_tiles):
                        t0, t1 = p.taps * i // tap_tiles, p.taps * (i + 1) // tap_tiles
                        t.xo, t.sums = p.xo + t0, sums + (t0 * p.filters + f0) * LANES_F32
                        t.ahead[1] = <const char *>(x + call * p.channels // calls * in_plane + first * in_row) \
                            + call * p.channels % calls * t.rows * t.cols * t.ahead_step[1] // p.channels
                        t.ahead[0] = <const char *>(t.g + p.grow[line] + (f1 - f0 + min(i, 3)) * plane)
                        dots[t1 - t0 - 1][f1 - f0 - 1](&t)
                        call += 1
    for i in range(p.taps * p.filters):
        out[i] = sum_of_lanes(sums + i * LANES_F32, lanes)


def kernel_gradient(x, g, out, *, samples, blocks, parts, channels, filters, sizes, outputs, low, padded, bands, step,
                    band_rows, xo, xrow, grow, column, lines, cuts):
    """Partial sums [tap][channel][filter] for each of `parts` of each block's bands.

    bands: of the rows of results of a block; band_rows: rows of the padded input for one; step: from one row of results
    to the next. xo: per tap and channel, where its inputs begin in a copy of a band; xrow, grow: where rows of results
    begin, in the copy and in the band of g, by rows, then depths. column: elements of x from a result to the next.
    lines: such rows at a time, each in `cuts` parts.
    """
    cdef KernelGradient p
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    for i in range(3):
        p.border.n[i], p.border.low[i], p.border.padded[i], p.outputs[i] = sizes[i], low[i], padded[i], outputs[i]
    p.border.needed = True
    p.channels, p.filters, p.taps, p.samples = channels, filters, xo.shape[0], samples
    p.xo, p.xrow = <const int32_t *>elements(xo, 4), <const int32_t *>elements(xrow, 4)
    p.grow, p.lines, p.cuts = <const int32_t *>elements(grow, 4), lines, cuts
    p.parts, p.bands, p.step, p.band_rows, p.column = parts, bands, step, band_rows, column
    cdef size_t scratch = (p.taps * filters + channels * padded[0] * band_rows * padded[2]) * LANES_F32 * 4 + 128
    return instruction(kernel_gradient_task, &p, sizeof(p), blocks * parts, scratch, (xo, xrow, grow))
