# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolution: forward, gradient for the input, gradient for the kernel.

Lanes layout: an array is [block][channel][depth][row][column][lane]; a block is LANES samples, one per lane. A tile
of CB filters x XB columns stays in registers while the taps (kernel depth and row, channel, kernel column) go by; the
columns are read from a copy with a zero border (scratch; a band of rows that fits into the second-level cache, one
group of channels), so that no tap needs a test, and taps that would meet nothing but border rows are left out. Loop
order: band, group, phase, depth, filters, row, columns; the task is a block or some of its bands. Where the taps read
more than the first-level cache holds, it is row, columns, part of the taps, filters, and the sums wait in the results.
The weights are packed as [group][phase][filters / CB][tap][CB].

Gradient for the kernel, with few filters: tiles of TB taps x CB filters are summed over the pixels of a block (without
rows that meet the border only), then over its lanes, then over the blocks in their order. With filters enough to fill
the lanes, a task takes rows of results from any blocks, some channels and some filters, and adds up P[tap][channel]
[filter] in its cache, a few pixels at a time: the gradients are transposed into [pixel][lane][filter], and multiplied
with the inputs as scalars.

The gradient for the input is the same sum: with stride s, the inputs of each remainder modulo s are one phase, a
convolution of stride 1 with the taps that reach them.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset


from pyconv.backends.cpu.border cimport Border, band_with_border, with_border
from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "tiles_f32_f64.h" nogil:
    const int LANES_F32, LANES_F64, ACCUMULATORS
    ctypedef struct Outer:
        const void *x
        const int32_t *xo
        long xj
        const void *w
        const int32_t *wo
        long wc, taps
        void *y
        long yc, yj, rows, last
        const void *bias
        int accumulate, relu
    ctypedef struct Dot:
        const void *x
        const int32_t *xo
        const void *g
        long gc
        const int32_t *xrow
        const int32_t *grow
        long rows, cols, xstep
        void *out
        long ot, oc, lanes
        int accumulate
    void (*packed_tiles_f32[9][9])(const Outer *)
    void (*packed_tiles_f64[9][9])(const Outer *)
    void (*dot_tiles_f32[9][9])(const Dot *)
    void (*dot_tiles_f64[9][9])(const Dot *)

cdef extern from "winograd_f32_f64.h" nogil:
    void strided_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void strided_product_f64(const double *, long, const double *, long, long, double *, long, int, long, long)
    void transposed_f32(const float *, long, long, float *, long, long)
    void transposed_f64(const double *, long, long, double *, long, long)

ctypedef fused real:
    float
    double


def tiles():
    """Which (rows, vectors) tiles there are: two sets, for packed weights and for dot products."""
    cdef int i, j
    packed = {(i, j) for i in range(9) for j in range(9) if packed_tiles_f32[i][j] != NULL}
    dot = {(i, j) for i in range(9) for j in range(9) if dot_tiles_f32[i][j] != NULL}
    return packed, dot


def lanes():
    """Elements in a vector of float32 and of float64."""
    return LANES_F32, LANES_F64


# A block with a border of zeros ---------------------------------------------------------------------------------

cdef Border border(sizes, low, padded) except *:
    cdef Border b
    for i in range(3):
        b.n[i], b.low[i], b.padded[i] = sizes[i], low[i], padded[i]
    b.needed = tuple(sizes) != tuple(padded)
    return b


# Weights ----------------------------------------------------------------------------------------------------------

cdef struct Pack:
    Operand w, out
    const int32_t *sources      # per tap, where its first scalar lies in w
    const int32_t *begin        # per section, its first tap
    long sections, rows, cb, blocks, row_stride

cdef inline void copy_scalars(real *out, const real *src, long n) noexcept nogil:
    """A few scalars; the counts of the common tiles are constants, so that these are one or two moves."""
    if n == 4:
        memcpy(out, src, 4 * sizeof(real))
    elif n == 3:
        memcpy(out, src, 3 * sizeof(real))
    elif n == 6:
        memcpy(out, src, 6 * sizeof(real))
    elif n == 8:
        memcpy(out, src, 8 * sizeof(real))
    else:
        memcpy(out, src, n * sizeof(real))

cdef void pack_task(const Pack *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef long section = task // p.blocks, block = task % p.blocks, t, c
    cdef long first = p.begin[section], taps = p.begin[section + 1] - first
    cdef real *out = <real *>address(&p.out, 0, context) + (first * p.blocks + block * taps) * p.cb
    cdef long rows = min(p.cb, p.rows - block * p.cb), s = p.row_stride
    cdef const real *src
    if s == 1 and rows == p.cb:
        for t in range(taps):
            copy_scalars(out, w + p.sources[first + t] + block * p.cb, rows)
            out += rows
        return
    for t in range(taps):
        src = w + p.sources[first + t] + block * p.cb * s
        for c in range(rows):
            out[c] = src[c * s]
        for c in range(rows, p.cb):
            out[c] = 0
        out += p.cb

cdef void pack_f32(const void *p, long task, const Context *c) noexcept nogil:
    pack_task[float](<const Pack *>p, task, c, NULL)

cdef void pack_f64(const void *p, long task, const Context *c) noexcept nogil:
    pack_task[double](<const Pack *>p, task, c, NULL)


def pack(dtype, w, out, sources, begin, long rows, long cb, long row_stride):
    """Order weights by [section][rows / cb][tap][cb]; `sources` lists the taps of all sections, `begin` delimits."""
    cdef Pack p
    p.w, p.out = operand(w), operand(out)
    p.sources, p.begin = <const int32_t *>elements(sources, 4), <const int32_t *>elements(begin, 4)
    p.sections, p.rows, p.cb, p.row_stride = begin.shape[0] - 1, rows, cb, row_stride
    p.blocks = ceil_div(rows, cb)
    return instruction(pack_f32 if dtype == "float32" else pack_f64, &p, sizeof(p), p.sections * p.blocks, 0,
                       (sources, begin))


# Forward and gradient for the input, samples in the lanes -------------------------------------------------------

cdef struct Phase:
    int64_t first, taps              # its section of the tap table
    int64_t origin                   # of its results in a plane
    int64_t n[3]                     # how many results along each axis
    int64_t ys[3]                    # elements from one to the next in y
    int64_t xs[3]                    # and in the bordered input
    int64_t lines                    # where its rows begin in the table of lines

cdef struct Conv:
    Operand x, w, y, bias
    Border border
    long groups, channels, filters   # the latter two per group
    long cb, xb, plane               # tile; elements of a filter's plane in y
    long phases
    const Phase *phase
    const int32_t *xo                # per tap: offset in the bordered input
    const int32_t *lines             # per row of results: first tap and number of taps that meet more than zeros
    long rows, band                  # rows of results of the longest phase; of a band
    long band_rows, step             # rows of the input for a band; from one row of results to the next
    long parts                       # tasks of a block
    int copy, relu

cdef inline void conv_tile(const Conv *p, const Phase *q, Outer *t, const real *w, real *bias, const real *x, real *y,
                           const int32_t *line, long f, long width) noexcept nogil:
    """One tile: the filters from f * cb on, `width` results of a row, the taps of `line`; w: the weights of the group
    and phase."""
    w += (f * q.taps + line[0]) * p.cb
    t.xo, t.w, t.taps, t.x = p.xo + q.first + line[0], w, line[1], x
    t.rows = min(p.cb, p.filters - f * p.cb)
    t.bias = NULL if bias == NULL else bias + f * p.cb
    t.y = y + f * p.cb * p.plane
    if real is float:
        packed_tiles_f32[p.cb][width](t)
    else:
        packed_tiles_f64[p.cb][width](t)

cdef void conv_task(const Conv *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long block = task // p.parts, part = task % p.parts
    cdef const real *x = <const real *>address(&p.x, block, context)
    cdef const real *w = <const real *>address(&p.w, block, context)
    cdef real *bias = <real *>address(&p.bias, block, context)
    cdef real *y = <real *>address(&p.y, block, context)
    cdef real *group_bias
    cdef const real *weights
    cdef const real *inside
    cdef const int32_t *line
    cdef long in_plane = p.border.n[0] * p.border.n[1] * p.border.n[2] * lanes
    cdef long blocks = ceil_div(p.filters, p.cb), bands = ceil_div(p.rows, p.band)
    cdef long band, g, h, f, z, r, r0, r1, i, nx, a, b
    cdef real *out
    cdef const Phase *q
    cdef Outer t
    memset(&t, 0, sizeof(t))
    t.yc, t.wc, t.relu = p.plane, p.cb, p.relu
    for band in range(bands * part // p.parts, bands * (part + 1) // p.parts):
        r0, r1 = p.rows * band // bands, p.rows * (band + 1) // bands
        for g in range(p.groups):
            inside = x + g * p.channels * in_plane
            if p.copy:
                band_with_border(&p.border, <const char *>inside, context.scratch, p.channels, lanes * sizeof(real),
                                 r0 * p.step, p.band_rows)
                inside = <const real *>context.scratch - r0 * p.phase[0].xs[1]
            group_bias = NULL if bias == NULL else bias + g * p.filters
            for h in range(p.phases):
                q = &p.phase[h]
                nx = ceil_div(q.n[2], p.xb)
                t.xj, t.yj = q.xs[2], q.ys[2]
                weights = w + (g * p.phase[p.phases].first + q.first) * blocks * p.cb
                out = y + g * p.filters * p.plane + q.origin
                for z in range(q.n[0]):
                    for f in range(blocks):
                        for r in range(r0, min(r1, q.n[1])):
                            line = p.lines + 2 * (q.lines + z * q.n[1] + r)
                            for i in range(nx):
                                a, b = q.n[2] * i // nx, q.n[2] * (i + 1) // nx
                                conv_tile(p, q, &t, weights, group_bias,
                                          inside + z * q.xs[0] + r * q.xs[1] + a * q.xs[2],
                                          out + z * q.ys[0] + r * q.ys[1] + a * q.ys[2], line, f, b - a)

cdef void conv_f32(const void *p, long task, const Context *c) noexcept nogil:
    conv_task[float](<const Conv *>p, task, c, NULL)

cdef void conv_f64(const void *p, long task, const Context *c) noexcept nogil:
    conv_task[double](<const Conv *>p, task, c, NULL)


def conv(dtype, x, w, y, bias, *, blocks, parts, sizes, low, padded, groups, channels, filters, cb, xb, plane,
         phases, xo, lines, rows, band, band_rows, step, copy, relu):
    """y = x * w (+ bias, relu); a task is a block, or one of `parts` of its rows.

    phases: int64 rows of `Phase`, and one more whose `first` is the number of all taps. xo: the taps' offsets.
    lines: per row of results, all phases: first tap and number of taps.
    channels, filters: per group. cb, xb: the tile. plane: elements of a plane of y.
    rows: of the results, in bands of at most `band`; copy: whether a band of the input is copied (and its offsets are
    those of planes of band_rows rows); step: rows of the input from one of the results to the next.
    """
    cdef Conv p
    cdef size_t item = 4 if dtype == "float32" else 8
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    p.border = border(sizes, low, padded)
    p.groups, p.channels, p.filters = groups, channels, filters
    p.cb, p.xb, p.plane, p.relu = cb, xb, plane, relu
    p.phases, p.phase, p.xo = phases.shape[0] - 1, <const Phase *>elements(phases, 8), <const int32_t *>elements(xo, 4)
    p.lines = <const int32_t *>elements(lines, 4)
    p.rows, p.band, p.band_rows, p.step, p.parts = rows, band, band_rows, step, parts
    p.copy = copy
    cdef size_t scratch = channels * padded[0] * band_rows * padded[2] * lanes * item + 128 if copy else 0
    return instruction(conv_f32 if dtype == "float32" else conv_f64, &p, sizeof(p), blocks * parts, scratch,
                       (phases, xo, lines))


# Gradient for the kernel, samples in the lanes -------------------------------------------------------------------

cdef struct KernelGradient:
    Operand x, g, out
    Border border
    long groups, channels, filters, taps, tb, cb
    long plane                          # elements of a plane of g
    const int32_t *xo
    const int32_t *xrow                 # rows of pixels that meet more than the border, for each group of taps
    const int32_t *grow
    const int32_t *begin                # per group of `per_line` taps, its first row in xrow and grow
    long lines, per_line, cols, xstep
    long samples, blocks, per_task      # blocks of a task

cdef void kernel_gradient_task(const KernelGradient *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long in_plane = p.border.n[0] * p.border.n[1] * p.border.n[2] * lanes
    cdef long nt = ceil_div(p.per_line, p.tb), nc = ceil_div(p.filters, p.cb)
    cdef long block, k, g, i, j, t0, t1, c0, c1, line
    cdef long first = task * p.per_task
    cdef const real *x
    cdef const real *grad
    cdef real *out = <real *>address(&p.out, task, context)
    cdef Dot t
    t.gc, t.cols, t.xstep = p.plane, p.cols, p.xstep
    t.ot, t.oc = p.filters, 1
    for k in range(min(p.per_task, p.blocks - first)):
        block = first + k
        t.lanes, t.accumulate = min(lanes, p.samples - block * lanes), k > 0
        for g in range(p.groups):
            x = <const real *>address(&p.x, block, context) + g * p.channels * in_plane
            grad = <const real *>address(&p.g, block, context) + g * p.filters * p.plane
            if p.border.needed:
                with_border(&p.border, <const char *>x, context.scratch, p.channels, lanes * sizeof(real))
                x = <const real *>context.scratch
            t.x = x
            for j in range(nc):
                c0, c1 = p.filters * j // nc, p.filters * (j + 1) // nc
                t.g = grad + c0 * p.plane
                for i in range(p.lines * nt):
                    line = i // nt
                    t0 = line * p.per_line + p.per_line * (i % nt) // nt
                    t1 = line * p.per_line + p.per_line * (i % nt + 1) // nt
                    t.xrow, t.grow = p.xrow + p.begin[line], p.grow + p.begin[line]
                    t.rows = p.begin[line + 1] - p.begin[line]
                    t.xo, t.out = p.xo + t0, out + (g * p.taps + t0) * p.filters + c0
                    if real is float:
                        dot_tiles_f32[t1 - t0][c1 - c0](&t)
                    else:
                        dot_tiles_f64[t1 - t0][c1 - c0](&t)

cdef void kernel_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[float](<const KernelGradient *>p, task, c, NULL)

cdef void kernel_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[double](<const KernelGradient *>p, task, c, NULL)


def kernel_gradient(dtype, x, g, out, *, samples, blocks, per_task, sizes, low, padded, groups, channels, filters,
                    tb, cb, plane, xo, xrow, grow, begin, cols,
                    xstep):
    """Partial sums [group][tap][filter] per task of `per_task` blocks; x and g must not be local if that is over 1.

    Taps go in lines of equal length; line i is summed over the rows begin[i] to begin[i + 1] of xrow and grow.
    """
    cdef KernelGradient p
    cdef size_t item = 4 if dtype == "float32" else 8
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    p.border = border(sizes, low, padded)
    p.groups, p.channels, p.filters, p.taps, p.tb, p.cb = groups, channels, filters, xo.shape[0], tb, cb
    p.plane, p.xo = plane, <const int32_t *>elements(xo, 4)
    p.xrow, p.grow = <const int32_t *>elements(xrow, 4), <const int32_t *>elements(grow, 4)
    p.lines, p.cols, p.xstep, p.begin = begin.shape[0] - 1, cols, xstep, <const int32_t *>elements(begin, 4)
    p.per_line = p.taps // p.lines
    p.samples, p.blocks, p.per_task = samples, blocks, per_task
    cdef size_t scratch = channels * padded[0] * padded[1] * padded[2] * lanes * item + 128 if p.border.needed else 0
    return instruction(kernel_gradient_f32 if dtype == "float32" else kernel_gradient_f64, &p, sizeof(p),
                       ceil_div(blocks, per_task), scratch, (xo, xrow, grow, begin))


cdef struct Outers:
    Operand x, g, out
    long n[3]                           # sizes of the input
    long outputs[3]
    long window[3]
    long strides[3]
    long dilation[3]
    long low[3]
    long channels, filters, samples, blocks
    long parts, channel_groups, groups, width    # ranges of rows of results and of channels; of `width` filters
    long chunk, columns, channel_step   # pixels at a time; columns of the input for them, per remainder of the stride
    long taps
    int few                             # channels: all taps are multiplied together, to fill the tiles

cdef void input_columns(const Outers *p, const real *row, long plane, long channels, long first,
                        real *out) noexcept nogil:
    """Columns of the input from `first` on, sorted by remainder modulo the stride; zeros outside of the row."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long c, s, k, x
    cdef size_t vector = lanes * sizeof(real)
    for c in range(channels):
        for s in range(p.strides[2]):
            for k in range(p.columns):
                x = first + k * p.strides[2] + s
                if 0 <= x < p.n[2]:
                    memcpy(out + (s * p.columns + k) * lanes, row + x * lanes, vector)
                else:
                    memset(out + (s * p.columns + k) * lanes, 0, vector)
        row += plane
        out += p.channel_step

cdef void input_taps(const Outers *p, const real *x, long z, long y, long first, long n, real *out) noexcept nogil:
    """[tap][channel][pixel][lane] for n pixels of a row of results; zeros outside of the input."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long tap, c, k, iz, iy, ix
    cdef const real *row
    cdef size_t vector = lanes * sizeof(real)
    for tap in range(p.taps):
        iz = z * p.strides[0] - p.low[0] + tap // (p.window[1] * p.window[2]) * p.dilation[0]
        iy = y * p.strides[1] - p.low[1] + tap // p.window[2] % p.window[1] * p.dilation[1]
        for c in range(p.channels):
            if iz < 0 or iz >= p.n[0] or iy < 0 or iy >= p.n[1]:
                memset(out, 0, n * vector)
            else:
                row = x + ((c * p.n[0] + iz) * p.n[1] + iy) * p.n[2] * lanes
                ix = first * p.strides[2] - p.low[2] + tap % p.window[2] * p.dilation[2]
                for k in range(n):
                    if 0 <= ix < p.n[2]:
                        memcpy(out + k * lanes, row + ix * lanes, vector)
                    else:
                        memset(out + k * lanes, 0, vector)
                    ix += p.strides[2]
            out += p.channel_step

cdef void outers_task(const Outers *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long in_plane = p.n[0] * p.n[1] * p.n[2] * lanes
    cdef long lines = p.outputs[0] * p.outputs[1], out_plane = lines * p.outputs[2] * lanes
    cdef long group = task % p.groups, channel_group = task // p.groups % p.channel_groups
    cdef long part = task // (p.groups * p.channel_groups)
    cdef long c0 = p.channels * channel_group // p.channel_groups
    cdef long channels = p.channels * (channel_group + 1) // p.channel_groups - c0
    cdef long f0 = p.width * group, filters = min(p.width, p.filters - f0), wide = ceil_div(filters, lanes) * lanes
    cdef long chunks = ceil_div(p.outputs[2], p.chunk)
    cdef long line, block, z, y, i, a, n, f, k, kz, ky, kx, iz, iy, valid, full, ahead
    cdef real *sums = <real *>context.scratch
    cdef real *q = sums + p.taps * channels * wide
    cdef real *columns = q + p.chunk * lanes * wide
    cdef real *out = <real *>address(&p.out, part, context)
    cdef const real *x
    cdef const real *g
    cdef const real *w
    memset(sums, 0, p.taps * channels * wide * sizeof(real))
    for line in range(p.blocks * lines * part // p.parts, p.blocks * lines * (part + 1) // p.parts):
        block, z, y = line // lines, line % lines // p.outputs[1], line % p.outputs[1]
        x = <const real *>address(&p.x, block, context) + c0 * in_plane
        g = <const real *>address(&p.g, block, context) + f0 * out_plane + line % lines * p.outputs[2] * lanes
        valid = min(lanes, p.samples - block * lanes)
        for i in range(chunks):
            a = p.outputs[2] * i // chunks
            n = p.outputs[2] * (i + 1) // chunks - a
            for f from 0 <= f < filters by lanes:
                ahead = lanes * out_plane if f + 2 * lanes <= filters else 0
                for k in range(n):
                    if real is float:
                        transposed_f32(g + f * out_plane + (a + k) * lanes, out_plane, filters - f,
                                       q + k * lanes * wide + f, wide, ahead)
                    else:
                        transposed_f64(g + f * out_plane + (a + k) * lanes, out_plane, filters - f,
                                       q + k * lanes * wide + f, wide, ahead)
            # Lanes without a sample may hold anything: all lanes together, or those of each pixel that count.
            full = n if valid == lanes else 1
            if p.few:
                input_taps(p, x, z, y, a, n, columns)
                for f from 0 <= f < n by full:
                    if real is float:
                        strided_product_f32(columns + f * lanes, p.channel_step, q + f * lanes * wide, wide,
                                            full * valid, sums, wide, 1, p.taps * channels, wide // lanes)
                    else:
                        strided_product_f64(columns + f * lanes, p.channel_step, q + f * lanes * wide, wide,
                                            full * valid, sums, wide, 1, p.taps * channels, wide // lanes)
                continue
            for kz in range(p.window[0]):
                iz = z * p.strides[0] - p.low[0] + kz * p.dilation[0]
                if iz < 0 or iz >= p.n[0]:
                    continue
                for ky in range(p.window[1]):
                    iy = y * p.strides[1] - p.low[1] + ky * p.dilation[1]
                    if iy < 0 or iy >= p.n[1]:
                        continue
                    input_columns(p, x + (iz * p.n[1] + iy) * p.n[2] * lanes, in_plane, channels,
                                  a * p.strides[2] - p.low[2], columns)
                    for kx in range(p.window[2]):
                        k = kx * p.dilation[2]
                        w = columns + (k % p.strides[2] * p.columns + k // p.strides[2]) * lanes
                        k = (kz * p.window[1] + ky) * p.window[2] + kx
                        for f from 0 <= f < n by full:
                            if real is float:
                                strided_product_f32(w + f * lanes, p.channel_step, q + f * lanes * wide, wide,
                                                    full * valid, sums + k * channels * wide, wide, 1, channels,
                                                    wide // lanes)
                            else:
                                strided_product_f64(w + f * lanes, p.channel_step, q + f * lanes * wide, wide,
                                                    full * valid, sums + k * channels * wide, wide, 1, channels,
                                                    wide // lanes)
    for k in range(p.taps):
        for a in range(channels):
            memcpy(out + (k * p.channels + c0 + a) * p.filters + f0, sums + (k * channels + a) * wide,
                   filters * sizeof(real))

cdef void outers_f32(const void *p, long task, const Context *c) noexcept nogil:
    outers_task[float](<const Outers *>p, task, c, NULL)

cdef void outers_f64(const void *p, long task, const Context *c) noexcept nogil:
    outers_task[double](<const Outers *>p, task, c, NULL)


def kernel_gradient_wide(dtype, x, g, out, *, samples, blocks, parts, channel_groups, width, chunk, channels, filters,
                         sizes, outputs, window, strides, dilation, low):
    """Partial sums of the kernel's gradient, in the kernel's own order, per range of rows of results; one group.

    parts, channel_groups: ranges of rows and of channels; width: filters of a task; chunk: pixels at a time.
    """
    cdef Outers p
    cdef size_t item = 4 if dtype == "float32" else 8
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    for i in range(3):
        p.n[i], p.outputs[i], p.window[i] = sizes[i], outputs[i], window[i]
        p.strides[i], p.dilation[i], p.low[i] = strides[i], dilation[i], low[i]
    p.channels, p.filters, p.samples, p.blocks = channels, filters, samples, blocks
    p.parts, p.channel_groups, p.groups, p.width = parts, channel_groups, ceil_div(filters, width), width
    p.taps, p.chunk = window[0] * window[1] * window[2], chunk
    p.columns = chunk + (window[2] - 1) * dilation[2] // strides[2]
    # An odd number of vectors from channel to channel, so that they lie in different lines of a cache.
    p.channel_step = (p.columns * p.strides[2] | 1) * lanes
    cdef long rows = ceil_div(channels, channel_groups), wide = ceil_div(min(width, filters), lanes) * lanes
    p.few = channels < 8 and channel_groups == 1
    if p.few:
        p.channel_step = (chunk | 1) * lanes
    cdef size_t scratch = (p.taps * rows * wide + chunk * lanes * wide
                           + (p.taps if p.few else 1) * rows * p.channel_step) * item
    return instruction(outers_f32 if dtype == "float32" else outers_f64, &p, sizeof(p),
                       parts * channel_groups * p.groups, scratch, None)


cdef struct Gather:
    Operand partial, out
    const int32_t *targets
    long taps, filters, parts, size
    long rows, transposed               # taps of a task

cdef void gather_task(const Gather *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef real *first = <real *>address(&p.partial, 0, context) + task * p.rows * p.filters
    cdef real *out = <real *>address(&p.out, 0, context)
    cdef real *sums = first if p.transposed else out + p.targets[task]
    cdef const real *partial = first
    cdef real square[16 * 16]
    cdef long rows = min(p.rows, p.taps - task * p.rows), k, c
    if not p.transposed:
        memcpy(sums, partial, p.filters * sizeof(real))
    for k in range(1, p.parts):
        partial += p.size
        for c in range(rows * p.filters):
            sums[c] += partial[c]
    if p.transposed:
        for c from 0 <= c < p.filters by lanes:
            if real is float:
                transposed_f32(first + c, p.filters, rows, square, lanes, 0)
            else:
                transposed_f64(first + c, p.filters, rows, square, lanes, 0)
            for k in range(min(lanes, p.filters - c)):
                memcpy(out + (c + k) * p.taps + task * lanes, square + k * lanes, rows * sizeof(real))

cdef void gather_f32(const void *p, long task, const Context *c) noexcept nogil:
    gather_task[float](<const Gather *>p, task, c, NULL)

cdef void gather_f64(const void *p, long task, const Context *c) noexcept nogil:
    gather_task[double](<const Gather *>p, task, c, NULL)


def gather(dtype, partial, out, targets, long filters, long parts, long size, transposed=False):
    """Add `parts` partial sums, `size` elements apart, in their order; row i of `filters` goes to out + targets[i].

    transposed: it becomes column i of out instead, and the partial sums are spoilt.
    """
    cdef Gather p
    p.partial, p.out, p.targets = operand(partial), operand(out), <const int32_t *>elements(targets, 4)
    p.taps, p.filters, p.parts, p.size, p.transposed = targets.shape[0], filters, parts, size, transposed
    p.rows = 1 if not transposed else LANES_F32 if dtype == "float32" else LANES_F64
    return instruction(gather_f32 if dtype == "float32" else gather_f64, &p, sizeof(p), ceil_div(p.taps, p.rows), 0,
                       (targets,))


# A copy with a border, for the plain layout -------------------------------------------------------------------------

cdef struct BorderCopy:
    Operand x, y
    Border border
    size_t pixel

cdef void border_copy(const void *params, long task, const Context *context) noexcept nogil:
    cdef const BorderCopy *p = <const BorderCopy *>params
    with_border(&p.border, address(&p.x, task, context), address(&p.y, task, context), 1, p.pixel)


def add_border(x, y, *, samples, sizes, low, padded, pixel):
    """A copy of each sample [depth][row][column][pixel bytes] in the middle of zeros."""
    cdef BorderCopy p
    p.x, p.y, p.border, p.pixel = operand(x), operand(y), border(sizes, low, padded), pixel
    return instruction(border_copy, &p, sizeof(p), samples, 0, None)
