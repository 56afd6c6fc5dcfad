# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolutions with kernels of one tap, samples in the lanes, single precision: products of matrices.

Forward, and gradient for the input: the task is a block, or some of its pixels, and takes a few pixels at a time. Their
channels go to a panel in the first-level cache, and by it all weights, a tile of filters after the other; the weights
are read where they are. So what is large is read and written once, and the next pixels are fetched meanwhile.

Gradient for the kernel: a task takes chunks of pixels from any blocks, some rows and some columns of the result, which
it adds up in its cache. The values of the columns' channels (those of the input or of the gradient, whichever are
fewer) are transposed into panels [pixel][lane][channel], and multiplied with the others as scalars, which are read
where they are.
"""

from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport Context, Instruction, Operand, address, ceil_div, instruction, operand

cdef extern from "pointwise.h" nogil:
    const int LANES_F32, SWEEP_ROWS, SWEEP_PIXELS, GRADIENT_ROWS
    ctypedef struct Sweep:
        const float *x
        long xs, xj
        const float *w
        long ws, wc, wr, steps
        float *y
        long yc, yj, rows
        const float *bias
        const float *ahead
        float *panel
        int relu, past
    void STREAMED()
    void (*sweeps[4])(const Sweep *)

cdef extern from "paired.h" nogil:
    const int ROWS_PAIRED, PLAIN_PAIRED, PIXELS_COPIED
    long SUMS_PAIRED(long)
    long MATRIX_PAIRED(long)
    void paired_matrix(const float *, long, long, float *)
    void paired_pixels(const float *, long, long, float *)
    void paired_plain(const float *, long, const float *, long, const float *, const float *, float *, long, int)
    void pair_rows(const float *, long, long, long, float *)
    void (*paired_sweeps[4])(const Sweep *)
    void paired_columns(float *, long, long, long, float *, float *)
    void paired_rows(const float *, long, long, long, long, float *)
    void (*paired_dots[4])(const float *, long, const float *, const float *, const float *, long, long, float *, long,
                             const float *, long, long)

cdef extern from "winograd_f32_f64.h" nogil:
    void strided_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void transposed_f32(const float *, long, long, float *, long, long)

cdef enum:
    MOST_VECTORS = 3

cdef struct Pointwise:
    Operand x, w, y, bias
    long n[3]                        # results along each axis that are not known to be zero
    long xs[3]                       # elements from one to the next in x
    long m[3]                        # all results along each axis
    long apart[3]                    # how many there are from one of the former to the next
    long x_plane, y_plane            # from channel to channel
    long groups, channels, filters   # the latter two per group
    long ws, wc, wr, group           # weights: from channel to channel, from filter to filter of a tile and, for each
                                     # of a tile's filters, from tile to tile, from group to group
    long parts                       # tasks of a block
    int relu, past, spread, paired

cdef void clear(const Pointwise *p, float *y, long z, long r) noexcept nogil:
    """Zeros in all results from the row (z, r) on to the next that has others."""
    cdef long depths = min(p.apart[0], p.m[0] - z), rows = min(p.apart[1], p.m[1] - r), c, d
    for c in range(p.filters):
        for d in range(depths):
            memset(y + c * p.y_plane + ((z + d) * p.m[1] + r) * p.m[2] * LANES_F32, 0,
                   rows * p.m[2] * LANES_F32 * sizeof(float))

cdef void pointwise_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Pointwise *p = <const Pointwise *>params
    cdef long block = task // p.parts, part = task % p.parts, g, tile, z, r, a, b, width = 0
    cdef const float *x = <const float *>address(&p.x, block, context)
    cdef const float *w = <const float *>address(&p.w, block, context)
    cdef float *y = <float *>address(&p.y, block, context)
    cdef float *bias = <float *>address(&p.bias, block, context)
    cdef long tiles = ceil_div(p.n[2], SWEEP_PIXELS), unit = tiles if p.spread else 1
    cdef long units = p.n[0] * p.n[1] * tiles // unit
    cdef long first = units * part // p.parts * unit, last = units * (part + 1) // p.parts * unit
    cdef Sweep t
    t.xs, t.xj, t.ws, t.wc, t.wr, t.steps = p.x_plane, p.xs[2], p.ws, p.wc, p.wr, p.channels
    t.yc, t.yj, t.rows, t.relu, t.past = p.y_plane, p.apart[2] * LANES_F32, p.filters, p.relu, p.past
    t.panel = <float *>context.scratch
    for g in range(p.groups):
        t.w, t.bias, t.x = w + g * p.group, NULL if bias == NULL else bias + g * p.filters, NULL
        for tile in range(first, last + 1):
            # A tile is computed when it is known where the next one begins.
            z, r = tile // tiles // p.n[1], tile // tiles % p.n[1]
            a, b = ceil_div(p.n[2] * (tile % tiles), tiles), ceil_div(p.n[2] * (tile % tiles + 1), tiles)
            t.ahead = x + z * p.xs[0] + r * p.xs[1] + a * p.xs[2] if tile < tiles * p.n[0] * p.n[1] else t.x
            if t.x:
                if p.paired:
                    paired_sweeps[width](&t)
                else:
                    sweeps[width](&t)
            z, r = z * p.apart[0], r * p.apart[1]
            if p.spread and a == 0 and tile < last:
                clear(p, y, z, r)
            t.x, t.y, width = t.ahead, y + ((z * p.m[1] + r) * p.m[2] + a * p.apart[2]) * LANES_F32, b - a
        x += p.channels * p.x_plane
        y += p.filters * p.y_plane
    if p.past:
        STREAMED()


def sweep_rows():
    """The least number of filters that `pointwise` takes."""
    return SWEEP_ROWS


def pointwise(x, w, y, bias, *, blocks, parts, pixels, steps, results, apart, x_plane, groups, channels, filters, ws,
              wc, wr, group, relu, past, paired=False):
    """y = x * w (+ bias, relu) for a kernel of one tap; a task is a block, or one of `parts` of its pixels.

    pixels: results along each axis; steps: elements of x from one to the next; x_plane: from channel to channel. They
    may be spread among zeros, of `results` along each axis those `apart` from one to the next. channels, filters (at
    least as many as a tile has rows): per group. ws, wc, group: elements of w from channel to channel, from filter to
    filter of a tile, and from group to group; wr: from tile to tile, over the filters of one. past: the results go
    past the caches. paired: by pairs, w from `pair_weights`; one group, whose filters are whole tiles.
    """
    cdef Pointwise p
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    for i in range(3):
        p.n[i], p.xs[i], p.m[i], p.apart[i] = pixels[i], steps[i], results[i], apart[i]
    p.x_plane, p.y_plane = x_plane, results[0] * results[1] * results[2] * LANES_F32
    p.spread = p.n[0] * p.n[1] * p.n[2] * LANES_F32 < p.y_plane
    p.groups, p.channels, p.filters, p.ws, p.wc, p.wr, p.group = groups, channels, filters, ws, wc, wr, group
    p.parts, p.relu, p.past, p.paired = parts, relu, past, paired
    return instruction(pointwise_task, &p, sizeof(p), blocks * parts,
                       (channels + SUMS_PAIRED(channels)) * SWEEP_PIXELS * LANES_F32 * 4, None)


cdef struct PairWeights:
    Operand w, out
    long ws, wc, channels

cdef void pair_weights_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PairWeights *p = <const PairWeights *>params
    pair_rows(<const float *>address(&p.w, 0, context) + task * SWEEP_ROWS * p.wc, p.ws, p.wc, p.channels,
              <float *>address(&p.out, 0, context) + task * SWEEP_ROWS * (p.channels + 1 + SUMS_PAIRED(p.channels)))


def paired_lines(long channels):
    """How many numbers a filter's weights are then: besides its channels the inverse of its scale, and sums."""
    return channels + 1 + SUMS_PAIRED(channels)


def pair_weights(w, out, *, channels, filters, ws, wc):
    """The weights as `pointwise` takes them if `paired`: [tile of filters][paired_lines(channels)][filter]."""
    cdef PairWeights p
    p.w, p.out, p.ws, p.wc, p.channels = operand(w), operand(out), ws, wc, channels
    return instruction(pair_weights_task, &p, sizeof(p), filters // SWEEP_ROWS, 0, None)


# Small batches, by pairs ---------------------------------------------------------------------------------------------

cdef struct PairedPlain:
    Operand x, w, y, bias, other
    long pixels, channels, filters, parts
    int relu

cdef enum:
    PIXEL_TILES = 4                     # that a tile of weights meets while it is in the cache

cdef void matrix_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PairedPlain *p = <const PairedPlain *>params
    paired_matrix(<const float *>address(&p.w, 0, context) + task * PLAIN_PAIRED * LANES_F32, p.filters, p.channels,
                  <float *>address(&p.y, 0, context) + task * MATRIX_PAIRED(p.channels))


def paired_weights(w, out, *, channels, filters):
    """The weights of `pointwise_plain`."""
    cdef PairedPlain p
    memset(&p, 0, sizeof(p))
    p.w, p.y, p.channels, p.filters = operand(w), operand(out), channels, filters
    return instruction(matrix_task, &p, sizeof(p), filters // (PLAIN_PAIRED * LANES_F32), 0, None)


cdef void plain_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PairedPlain *p = <const PairedPlain *>params
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef const float *x = <const float *>address(&p.x, 0, context)
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    cdef const float *other = <const float *>address(&p.other, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context)
    cdef float *copy = <float *>context.scratch
    cdef long tiles = ceil_div(p.pixels, SWEEP_ROWS), end = tiles * (task + 1) // p.parts, a, f, i, n, at
    cdef long wide = PLAIN_PAIRED * LANES_F32
    for a from tiles * task // p.parts <= a < end by PIXEL_TILES:
        n = min(PIXEL_TILES, end - a)
        for i in range(n):
            at = (a + i) * SWEEP_ROWS
            paired_pixels(x + at * p.channels, p.pixels - at, p.channels, copy + i * PIXELS_COPIED)
        for f from 0 <= f < p.filters by wide:
            for i in range(n):
                at = (a + i) * SWEEP_ROWS
                paired_plain(copy + i * PIXELS_COPIED, p.pixels - at, w + f // wide * MATRIX_PAIRED(p.channels),
                             p.channels, bias + f if bias else NULL,
                             other + at * p.filters + f if other else NULL, y + at * p.filters + f, p.filters, p.relu)


def pointwise_plain(x, w, y, bias, other, *, pixels, channels, filters, parts, relu):
    """y = x * w (+ bias, other, relu), channels last, by pairs; a task is some of the pixels.

    channels, filters: multiples of one and of two vectors. w: from `paired_weights`.
    """
    cdef PairedPlain p
    p.x, p.w, p.y, p.bias, p.other = operand(x), operand(w), operand(y), operand(bias), operand(other)
    p.pixels, p.channels, p.filters, p.parts, p.relu = pixels, channels, filters, parts, relu
    return instruction(plain_task, &p, sizeof(p), parts, PIXEL_TILES * PIXELS_COPIED * 4, None)


# Gradient for the kernel --------------------------------------------------------------------------------------------

cdef struct PointwiseGradient:
    Operand x, g, out                   # x: whose channels are in the lanes of the results, g: in their rows
    long n[3]                           # pixels of g
    long xs[3]                          # elements from one to the next in x
    long x_plane, g_plane               # from channel to channel
    long channels, rows, samples, blocks
    long parts, row_groups, groups, width       # tasks: ranges of chunks, of rows, and of `width` channels
    long chunks, most                   # of pixels, in a block; pixels of the largest
    int paired

cdef void pointwise_gradient_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PointwiseGradient *p = <const PointwiseGradient *>params
    cdef long group = task % p.groups, row_group = task // p.groups % p.row_groups
    cdef long part = task // (p.groups * p.row_groups), pixels = p.n[0] * p.n[1] * p.n[2]
    cdef long r0 = p.rows * row_group // p.row_groups, rows = p.rows * (row_group + 1) // p.row_groups - r0
    cdef long c0 = p.width * group, channels = min(p.width, p.channels - c0), vectors = ceil_div(channels, LANES_F32)
    cdef long wide = vectors * LANES_F32, panels = ceil_div(vectors, MOST_VECTORS)
    cdef long asked = ceil_div(GRADIENT_ROWS, panels)
    cdef long chunk, block, a, n, i, v, v0, v1, k, valid, full, step, line, column, ahead
    cdef float *sums = <float *>context.scratch
    cdef float *q = sums + rows * wide
    cdef float *copy = q + p.most * LANES_F32 * wide        # by pairs: rows, and of columns inverse scales and sums
    cdef float *inverse = copy + ROWS_PAIRED
    cdef float *panel
    cdef float *out = <float *>address(&p.out, part, context)
    cdef const float *x
    cdef const float *g
    cdef const float *at = NULL
    cdef const float *later = NULL
    cdef long unit = 3 if p.paired else 1
    memset(sums, 0, rows * wide * sizeof(float))
    for chunk in range(p.blocks * p.chunks * part // p.parts, p.blocks * p.chunks * (part + 1) // p.parts):
        block, i = chunk // p.chunks, chunk % p.chunks
        # By pairs, all but the last of a block have whole threes of pixels.
        a = ceil_div(pixels, unit) * i // p.chunks * unit
        n = min(pixels, ceil_div(pixels, unit) * (i + 1) // p.chunks * unit) - a
        x = <const float *>address(&p.x, block, context) + c0 * p.x_plane
        g = <const float *>address(&p.g, block, context) + r0 * p.g_plane + a * LANES_F32
        valid = min(LANES_F32, p.samples - block * LANES_F32)
        # Lanes without a sample may hold anything: all lanes together, or those of each pixel that count.
        full = n if valid == LANES_F32 else 1
        ahead = p.most * p.xs[2] if i + 1 < p.chunks else 0
        for i in range(panels):
            v0, v1 = vectors * i // panels, vectors * (i + 1) // panels
            panel, step = q + n * LANES_F32 * v0 * LANES_F32, (v1 - v0) * LANES_F32
            for v in range(v0, v1):
                column = p.n[2]
                for k in range(n):
                    if column == p.n[2]:
                        line, column = (a + k) // p.n[2], (a + k) % p.n[2]
                        at = x + v * LANES_F32 * p.x_plane + line // p.n[1] * p.xs[0] + line % p.n[1] * p.xs[1] \
                            + column * p.xs[2]
                    if p.paired and k < n // 3 * 3:
                        transposed_f32(at, p.x_plane, channels - v * LANES_F32,
                                       panel + (k // 3 * 3 * LANES_F32 + k % 3) * step + (v - v0) * LANES_F32,
                                       3 * step, ahead)
                    else:
                        transposed_f32(at, p.x_plane, channels - v * LANES_F32,
                                       panel + k * LANES_F32 * step + (v - v0) * LANES_F32, step, ahead)
                    at, column = at + p.xs[2], column + 1
                if p.paired:
                    paired_columns(panel + (v - v0) * LANES_F32, step, n, valid, inverse + v * LANES_F32,
                                   inverse + wide + v * LANES_F32)
        for a from 0 <= a < rows by GRADIENT_ROWS:
            if p.paired:
                paired_rows(g + a * p.g_plane, p.g_plane, rows - a, n, valid, copy)
                later = g + (a + GRADIENT_ROWS) * p.g_plane if a + GRADIENT_ROWS < rows else g + n * LANES_F32
            for i in range(panels):
                v0, v1 = vectors * i // panels, vectors * (i + 1) // panels
                panel, step = q + n * LANES_F32 * v0 * LANES_F32, (v1 - v0) * LANES_F32
                if p.paired:
                    paired_dots[v1 - v0](copy, rows - a, panel, inverse + v0 * LANES_F32,
                                         inverse + wide + v0 * LANES_F32, n, valid, sums + a * wide + v0 * LANES_F32,
                                         wide, later + i * asked * p.g_plane, p.g_plane, asked)
                    continue
                for k from 0 <= k < n by full:
                    strided_product_f32(g + a * p.g_plane + k * LANES_F32, p.g_plane, panel + k * LANES_F32 * step,
                                        step, full * valid, sums + a * wide + v0 * LANES_F32, wide, 1,
                                        min(GRADIENT_ROWS, rows - a), v1 - v0)
    for a in range(rows):
        memcpy(out + (r0 + a) * p.channels + c0, sums + a * wide, channels * sizeof(float))


def pointwise_gradient(x, g, out, *, samples, blocks, parts, row_groups, width, most, pixels, steps, x_plane, channels,
                       rows, paired=False):
    """Partial sums [row][channel] over samples and pixels of g[row] * x[channel], per range of chunks of pixels.

    pixels: of g, along each axis; steps: elements of x from one to the next; x_plane: from channel to channel. most:
    pixels at a time (by pairs 32 at most). parts, row_groups: ranges of chunks and of rows; width: channels of a task.
    """
    cdef PointwiseGradient p
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    for i in range(3):
        p.n[i], p.xs[i] = pixels[i], steps[i]
    p.x_plane, p.g_plane = x_plane, pixels[0] * pixels[1] * pixels[2] * LANES_F32
    p.channels, p.rows, p.samples, p.blocks = channels, rows, samples, blocks
    p.parts, p.row_groups, p.groups, p.width = parts, row_groups, ceil_div(channels, width), width
    p.paired, p.most = paired, most // 3 * 3 if paired else most
    p.chunks = ceil_div(pixels[0] * pixels[1] * pixels[2], p.most)
    cdef long wide = ceil_div(min(width, channels), LANES_F32) * LANES_F32
    return instruction(pointwise_gradient_task, &p, sizeof(p), parts * row_groups * p.groups,
                       (ceil_div(rows, row_groups) + most * LANES_F32 + 2) * wide * 4 + ROWS_PAIRED * 4, None)
