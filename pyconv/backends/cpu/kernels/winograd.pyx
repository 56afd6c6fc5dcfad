# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolution with rows of 3 to 5 taps, of as many or one, by Winograd's algorithm, samples in the lanes.

Layouts as in convolution.pyx. A tile of 4 x 4 results takes N = 36 values for kernels of 3 x 3, 64 for those of 5 x 5,
and one of 5 x 5 results 64 for kernels of 4 x 4; a tile of one row, for kernels with one, takes 8, and has 6 results
with 3 taps, 5 with 4, and 4 with 5. The tiles of all blocks are numbered: block, depth, row, column. A task takes a
range of them and a range of filters, and goes through its tiles in chunks:

1. the tiles of all channels are transformed into V[N][channel][tile];
2. for a group of filters at a time, N products with the transformed weights U[N][channel][filter] give
   M[N][filter][tile] (filters x tiles in registers), which is transformed into results, with bias,
   another map and relu.

V and M of a chunk stay in the caches. U is made by each task: that costs as much as a few tiles. Where a task is a
block, it can go on to other instructions.

Kernels with depth are sums over their slices, whose channels follow each other. So are those with strides over their
phases: with stride 2 even taps meet even pixels and odd ones odd pixels, and a kernel of 7 x 7 is four of at most 4 x 4
taps and stride 1. All have the same tiles, and one transform back. Below, a slice means a phase of a slice.

The gradient for the input is the same with the kernel turned around and its channels and filters exchanged; or, where
that takes fewer tiles, the transpose of the algorithm: tiles of the gradient, which lie side by side, are transformed
into V, and those of the results, which overlap, are added up.

The gradient for the kernel: a task has a range of tiles, of channels and of filters. Chunk by chunk,
V[N][channel][tile][lane] and the transformed gradients Q[N][tile][lane][filter], filters in the lanes, are multiplied
and added to the sums P[N][channel][filter], which stay in the cache and are transformed back at the end. Tasks of the
same weights write partial sums, which are added in their order.

Plain layout, for batches too small to fill the lanes: [sample][row][column][channel], channels and then filters in the
lanes. V[N][tile][channel] is read as scalars, and multiplied with U[N][channel][filter] into M[N][tile][filter].

Rows of 5 taps on few channels, with max pooling behind them: see lines.h.
"""

from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport (LOCAL, Context, Instruction, Operand, address, ceil_div, elements,
                                           instruction, operand)

cdef extern from *:
    "#define PRODUCTS_HERE"

cdef extern from "winograd_f32_f64.h" nogil:
    ctypedef struct Planes:
        long pixel, h, w, dy, dx
    const int LANES_F32, LANES_F64
    void packed_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void packed_product_f64(const double *, long, const double *, long, long, double *, long, int, long, long)
    void strided_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void strided_product_f64(const double *, long, const double *, long, long, double *, long, int, long, long)
    void transposed_f32(const float *, long, long, float *, long, long)
    void transposed_f64(const double *, long, long, double *, long, long)
    void copy_rows_f32(const float *, long, long, long, float *, long, long)
    void copy_rows_f64(const double *, long, long, long, double *, long, long)
    void input_tiles_f32(int, int, const float *, const float *, const Planes *, long, long, long, float *,
                         long, long, long)
    void input_tiles_f64(int, int, const double *, const double *, const Planes *, long, long, long, double *,
                         long, long, long)
    void output_tiles_f32(int, int, const float *, long, float, const float *, int, float *, long, long, long, long,
                          long)
    void output_tiles_f64(int, int, const double *, long, double, const double *, int, double *, long, long, long,
                          long, long)
    void spread_tile_f32(int, const float *, long, long, long, float *, long)
    void spread_tile_f64(int, const double *, long, long, long, double *, long)
    void gather_tile_f32(int, const float *, long, float *, long, long, long, long)
    void gather_tile_f64(int, const double *, long, double *, long, long, long, long)
    void output_tile_plain_f32(int, int, const float *, long, const float *, const float *, int, float *, long, long,
                               long, long, long)
    void output_tile_plain_f64(int, int, const double *, long, const double *, const double *, int, double *, long,
                               long, long, long, long)
    void even_product_f32(const float *, long, const float *, long, long, float *, long, long, long)
    void even_product_f64(const double *, long, const double *, long, long, double *, long, long, long)
    void weights_f32(int, int, const float *, long, long, float *, long)
    void weights_f64(int, int, const double *, long, long, double *, long)
    void gradient_tile_f32(int, int, const float *, long, long, long, long, long, float *, long, long, long)
    void gradient_tile_f64(int, int, const double *, long, long, long, long, long, double *, long, long, long)
    void weights_back_f32(int, int, const float *, long, float *, long, long, long, long, long)
    void weights_back_f64(int, int, const double *, long, double *, long, long, long, long, long)

cdef extern from "lines.h" nogil:
    ctypedef struct Lines:
        long low[2]
        long h, w, channels, filters, wide, kernel_rows, rows, cols, relu
    long lines_scratch(const Lines *)
    void pooled_lines(const Lines *, const float *, const float *, const float *, float *, float *)

ctypedef fused real:
    float
    double

cdef enum:
    MOST_GROUP = 32                        # filters that are multiplied before they are transformed back, at most
    MOST_TILES = 64                        # tiles of a chunk, at most


# Tiles ------------------------------------------------------------------------------------------------------------

cdef struct Tiles:
    long in_sizes[3]
    long out_sizes[3]
    long low[3]                            # zeros before the input along each axis
    Planes planes                          # of the input, and strides along rows and columns
    long step, phases, phase_columns       # stride along the depth; phases of a slice, and of a row
    int taps, lines                        # of a phase's row; of a transform: 6 or 8, or 1 without columns
    long values, height, side              # of a transform; rows of results, 1 of a single line, and columns: 4 to 6
    long rows, columns, per_block          # tiles of a plane; of a block
    long total, parts, chunk               # tiles of all blocks; ranges that they are split into; tiles of a chunk

cdef struct Tile:
    long block, z, y, x                    # results from (y, x) on in depth z

cdef inline Tile tile_of(const Tiles *t, long i) noexcept nogil:
    cdef long inside = i % t.per_block, plane = t.rows * t.columns
    return Tile(i // t.per_block, inside // plane, inside % plane // t.columns * t.height,
                inside % t.columns * t.side)

cdef inline long ahead_of(const Operand *o, size_t bytes, long elements) noexcept nogil:
    """How far ahead to ask for an array: 0 if a block of it, of so many bytes, is likely to be in the cache."""
    return 0 if o.place == LOCAL or bytes < 500000 else elements

cdef inline long slice_of(const Tiles *t, long z, long slice) noexcept nogil:
    """The depth in the input that a slice of the kernel meets, or -1."""
    cdef long d = z * t.step - t.low[0] + slice // t.phases
    return d if 0 <= d < t.in_sizes[0] else -1

cdef inline long same_row(const Tiles *t, const Tile *at, long i, long n) noexcept nogil:
    """How many of n tiles follow each other from tile i on in its row."""
    return min(n - i, t.columns - at[i].x // t.side)

cdef inline long cut(const Tiles *t, long begin, long end, long i, long chunks) noexcept nogil:
    """Where chunk i of a range of tiles begins: in threes, as registers hold them, if chunks are of such sizes."""
    cdef long unit = 1 if t.chunk % 3 else 3
    return min(end, begin + ceil_div(end - begin, unit) * i // chunks * unit)

cdef Tiles tiles_of(window, strides) except *:
    """What does not depend on the sizes of planes."""
    cdef Tiles t
    memset(&t, 0, sizeof(t))
    t.taps, t.step, t.planes.dy, t.planes.dx = ceil_div(window[2], strides[2]), strides[0], strides[1], strides[2]
    cdef int points = 6 if t.taps == 3 and window[1] > 1 else 8
    t.side, t.lines = points + 1 - t.taps, 1 if window[1] == 1 else points
    t.height = 1 if t.lines == 1 else t.side
    t.phase_columns = t.planes.dx
    t.phases, t.values = t.phase_columns * (1 if t.lines == 1 else t.planes.dy), points * t.lines
    return t

cdef Tiles tiles_for(in_sizes, out_sizes, low, window, strides, long pixel, long blocks, long parts, long chunk,
                     bint of_input=False) except *:
    """Tiles of the results or, with `of_input`, of the rows and columns of the input."""
    cdef Tiles t = tiles_of(window, strides)
    grid = in_sizes if of_input else out_sizes
    for i in range(3):
        t.in_sizes[i], t.out_sizes[i], t.low[i] = in_sizes[i], out_sizes[i], low[i]
    t.planes.pixel, t.planes.h, t.planes.w = pixel, t.in_sizes[1], t.in_sizes[2]
    t.rows, t.columns = ceil_div(grid[1], t.height), ceil_div(grid[2], t.side)
    t.per_block = t.rows * t.columns * out_sizes[0]
    t.total, t.parts, t.chunk = t.per_block * blocks, parts, chunk
    if chunk > MOST_TILES:
        raise ValueError(chunk)
    return t


cdef void transform_inputs(const Tiles *t, const Operand *x, const Context *context, const Tile *at, long n,
                           long slice, long first, long sample, const real *zeros, real *v, long step, long tile,
                           long ahead) noexcept nogil:
    """V of n tiles for one channel, or some side by side, of a slice.

    first: elements from a block, or from a sample of `sample` elements, to the channel; zeros: a row of them; step,
    tile: from value to value, and from tile to tile, of V.
    """
    cdef long i = 0, run, d, down = slice % t.phases // t.phase_columns - t.low[1]
    cdef long right = slice % t.phase_columns - t.low[2]
    cdef const real *plane
    while i < n:
        run = same_row(t, at, i, n)
        d = slice_of(t, at[i].z, slice)
        plane = NULL
        if d >= 0:
            plane = <const real *>address(x, at[i].block, context) + at[i].block * sample + first \
                + d * t.planes.h * t.planes.w * t.planes.pixel
        if real is float:
            input_tiles_f32(t.taps, t.lines, plane, zeros, &t.planes, at[i].y * t.planes.dy + down,
                            at[i].x * t.planes.dx + right, run, v + i * tile, step, tile, ahead)
        else:
            input_tiles_f64(t.taps, t.lines, plane, zeros, &t.planes, at[i].y * t.planes.dy + down,
                            at[i].x * t.planes.dx + right, run, v + i * tile, step, tile, ahead)
        i += run


# Forward and gradient for the input -------------------------------------------------------------------------------

cdef struct Winograd:
    Operand x, w, y, bias, other
    Tiles tiles
    long channels, filters
    long depth, taps                       # slices of the kernel; taps of one
    long kernel_rows, kernel_columns       # of all phases
    long groups, group                     # ranges of filters; filters that are multiplied together
    long w_other, w_slice, w_line, w_tap   # elements from one to the next in w
    long origin                            # of the first tap (the last one, if turned around)
    int across_filters                     # which of the two lie side by side in w: filters or channels
    int relu, transposed                   # transposed: tiles are of the input, and what they give is added up
    long v_step, u_step, m_step            # elements from one of the values to the next
    long u_groups, slices                  # groups of filters in U; slices of the channels, if it holds one at a time

cdef void transform_weights(const Winograd *p, const real *w, long first, long rows, long c0, long c1,
                            real *u) noexcept nogil:
    """U[36][slice, channel][group] of `rows` filters from `first` on, for the channels from c0 to c1."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long size = p.tiles.taps, s, c, v, k, i, n, row, column
    cdef const real *at
    cdef const real *tap
    cdef real *out
    cdef real square[25 * 16 * MOST_GROUP]      # [tap][channel][filter], of as many channels as there are lanes
    for s in range(p.depth):
        for c from c0 <= c < c1 by lanes:
            n = min(lanes, c1 - c)
            at = w + p.origin + s // p.tiles.phases * p.w_slice
            at += c * p.w_other + first if p.across_filters else first * p.w_other + c
            for k in range(p.taps):
                row = s % p.tiles.phases // p.tiles.phase_columns + k // size * p.tiles.planes.dy
                column = s % p.tiles.phase_columns + k % size * p.tiles.planes.dx
                if row >= p.kernel_rows or column >= p.kernel_columns:
                    memset(square + k * lanes * p.group, 0, lanes * p.group * sizeof(real))
                    continue
                tap = at + row * p.w_line + column * p.w_tap
                if p.across_filters:
                    if real is float:
                        copy_rows_f32(tap, p.w_other, n, ceil_div(rows, lanes), square + k * lanes * p.group, p.group,
                                      lanes * p.w_other)
                    else:
                        copy_rows_f64(tap, p.w_other, n, ceil_div(rows, lanes), square + k * lanes * p.group, p.group,
                                      lanes * p.w_other)
                    continue
                for v from 0 <= v < rows by lanes:
                    if real is float:
                        transposed_f32(tap + v * p.w_other, p.w_other, rows - v, square + k * lanes * p.group + v,
                                       p.group, lanes)
                    else:
                        transposed_f64(tap + v * p.w_other, p.w_other, rows - v, square + k * lanes * p.group + v,
                                       p.group, lanes)
            for i in range(n):
                out = u + (s * (c1 - c0) + c - c0 + i) * p.group
                for v from 0 <= v < rows by lanes:
                    if real is float:
                        weights_f32(p.tiles.taps, p.tiles.lines, square + i * p.group + v, size * lanes * p.group,
                                    lanes * p.group, out + v, p.u_step)
                    else:
                        weights_f64(p.tiles.taps, p.tiles.lines, square + i * p.group + v, size * lanes * p.group,
                                    lanes * p.group, out + v, p.u_step)

cdef void winograd_task(const Winograd *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const Tiles *tiles = &p.tiles
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef const real *bias = <const real *>address(&p.bias, 0, context)
    cdef const real *x
    cdef const real *plane
    cdef const real *source
    cdef const real *other = NULL
    cdef real *y
    cdef long h = tiles.in_sizes[1], width = tiles.in_sizes[2], oh = tiles.out_sizes[1], ow = tiles.out_sizes[2]
    cdef long in_plane = h * width * lanes, out_plane = oh * ow * lanes, channels = p.channels * p.depth
    cdef long part = task // p.groups, group = task % p.groups, all_groups = ceil_div(p.filters, p.group)
    cdef long g0 = all_groups * group // p.groups, g1 = all_groups * (group + 1) // p.groups
    cdef long together = tiles.rows * tiles.columns if p.transposed else 1     # tiles that must not be parted
    cdef long begin = tiles.total // together * part // tiles.parts * together
    cdef long end = tiles.total // together * (part + 1) // tiles.parts * together
    cdef long chunks = ceil_div(end - begin, tiles.chunk)
    cdef long line = tiles.chunk * lanes
    cdef long ahead = ahead_of(&p.x, p.channels * tiles.in_sizes[0] * in_plane * sizeof(real),
                               2 * tiles.in_sizes[0] * in_plane)
    cdef long ahead_out = ahead_of(&p.y, p.filters * tiles.out_sizes[0] * out_plane * sizeof(real),
                                   2 * tiles.out_sizes[0] * out_plane)
    cdef real *zeros = <real *>context.scratch
    cdef real *u = zeros + width * lanes
    cdef real *v = u + p.u_groups * tiles.values * p.u_step
    cdef real *m = v + tiles.values * p.v_step
    cdef real *packed
    cdef long i, first, n, s, c, t, g, rows, k, f, d, j, n_channels, run, to
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, width * lanes * sizeof(real))
    if p.transposed:
        for i from begin <= i < end by together:
            at[0] = tile_of(tiles, i)
            for f in range(g0 * p.group, min(p.filters, g1 * p.group)):
                memset(<real *>address(&p.y, at[0].block, context) + (f * tiles.out_sizes[0] + at[0].z) * out_plane, 0,
                       out_plane * sizeof(real))
    for i in range(chunks):
        first = cut(tiles, begin, end, i, chunks)
        n = cut(tiles, begin, end, i + 1, chunks) - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        for s in range(p.depth):
            for c in range(p.channels):
                if not p.transposed:
                    transform_inputs(tiles, &p.x, context, at, n, s, c * tiles.in_sizes[0] * in_plane, 0, zeros,
                                     v + (s * p.channels + c) * line, p.v_step, lanes, ahead)
                    continue
                for t in range(n):
                    d = slice_of(tiles, at[t].z, s)
                    plane = NULL
                    if d >= 0:
                        plane = <const real *>address(&p.x, at[t].block, context) \
                            + (c * tiles.in_sizes[0] + d) * in_plane + (at[t].y * width + at[t].x) * lanes
                    if real is float:
                        spread_tile_f32(tiles.taps, plane, width * lanes, h - at[t].y, width - at[t].x,
                                        v + (s * p.channels + c) * line + t * lanes, p.v_step)
                    else:
                        spread_tile_f64(tiles.taps, plane, width * lanes, h - at[t].y, width - at[t].x,
                                        v + (s * p.channels + c) * line + t * lanes, p.v_step)
        for g in range(g0, g1):
            rows = min(p.group, p.filters - g * p.group)
            # One chunk of tiles needs the weights only once: some channels at a time, so that they stay in the cache.
            packed = u + (0 if p.slices else g - g0) * tiles.values * p.u_step
            for j in range(max(1, p.slices)):
                c, n_channels = 0, channels
                if p.slices:
                    c, n_channels = channels * j // p.slices, channels * (j + 1) // p.slices
                    n_channels -= c
                if i == 0 or p.slices:
                    transform_weights(p, w, g * p.group, rows, c, c + n_channels if p.slices else p.channels, packed)
                for k in range(tiles.values):
                    if real is float:
                        packed_product_f32(packed + k * p.u_step, p.group, v + k * p.v_step + c * line, line,
                                           n_channels, m + k * p.m_step, line, j > 0, rows, n)
                    else:
                        packed_product_f64(packed + k * p.u_step, p.group, v + k * p.v_step + c * line, line,
                                           n_channels, m + k * p.m_step, line, j > 0, rows, n)
            for f in range(rows):
                t = 0
                while t < n:
                    run = 1 if p.transposed else same_row(tiles, at, t, n)
                    to = ((g * p.group + f) * tiles.out_sizes[0] + at[t].z) * out_plane
                    if not p.transposed:
                        to += (at[t].y * ow + at[t].x) * lanes
                    y = <real *>address(&p.y, at[t].block, context) + to
                    if p.other.base:
                        other = <const real *>address(&p.other, at[t].block, context) + to
                    if p.transposed:
                        if real is float:
                            gather_tile_f32(tiles.taps, m + f * line + t * lanes, p.m_step, y, oh, ow,
                                            at[t].y - tiles.low[1], at[t].x - tiles.low[2])
                        else:
                            gather_tile_f64(tiles.taps, m + f * line + t * lanes, p.m_step, y, oh, ow,
                                            at[t].y - tiles.low[1], at[t].x - tiles.low[2])
                    elif real is float:
                        output_tiles_f32(tiles.taps, tiles.lines, m + f * line + t * lanes, p.m_step,
                                         bias[g * p.group + f] if bias else 0, other, p.relu, y, ow * lanes,
                                         oh - at[t].y, ow - at[t].x, run, ahead_out)
                    else:
                        output_tiles_f64(tiles.taps, tiles.lines, m + f * line + t * lanes, p.m_step,
                                         bias[g * p.group + f] if bias else 0, other, p.relu, y, ow * lanes,
                                         oh - at[t].y, ow - at[t].x, run, ahead_out)
                    t += run

cdef void winograd_f32(const void *p, long task, const Context *c) noexcept nogil:
    winograd_task[float](<const Winograd *>p, task, c, NULL)
cdef void winograd_f64(const void *p, long task, const Context *c) noexcept nogil:
    winograd_task[double](<const Winograd *>p, task, c, NULL)

def winograd(dtype, x, w, y, bias, other, *, blocks, parts, groups, group, chunk, channels, filters, window, in_sizes,
             out_sizes, low, strides, across_filters, w_other, w_slice, w_line, w_tap, origin, relu,
             transposed):
    """y = x * w (+ bias, + other, relu); three sizes each for depth, rows and columns; the steps w_* may be negative.

    transposed: the transpose of a convolution with w, of which x has the results' sizes; rows and columns of low are
    those of that convolution.

    parts, groups: ranges of tiles and of filters that are tasks; with one group and as many parts as blocks, a task
    is a block. group: filters that are multiplied together, 16 or 32; chunk: tiles at a time.
    """
    cdef Winograd p
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.w, p.y, p.bias, p.other = operand(x), operand(w), operand(y), operand(bias), operand(other)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, strides, lanes, blocks, parts, chunk, transposed)
    cdef long depth = window[0] * p.tiles.phases
    p.channels, p.filters, p.depth, p.kernel_rows, p.kernel_columns = channels, filters, depth, window[1], window[2]
    p.taps = p.tiles.taps * (1 if p.tiles.lines == 1 else p.tiles.taps)
    p.groups, p.group, p.relu, p.transposed = groups, group, relu, transposed
    p.across_filters, p.w_other, p.w_slice, p.w_line, p.w_tap = across_filters, w_other, w_slice, w_line, w_tap
    p.origin = origin
    # An odd number of vectors from value to value: with a power of two they would all want the same lines of a cache.
    p.v_step, p.m_step = (channels * depth * chunk | 1) * lanes, (p.group * chunk | 1) * lanes
    p.u_groups, p.slices = ceil_div(ceil_div(filters, p.group), groups), 0
    p.u_step = channels * depth * p.group + 16
    if depth == 1 and ceil_div(p.tiles.total, parts) <= chunk:
        p.u_groups, p.slices = 1, ceil_div(channels * group, 2048)
        p.u_step = ceil_div(channels, p.slices) * p.group + 16
    cdef size_t scratch = (p.tiles.values * (p.u_groups * p.u_step + p.v_step + p.m_step) \
                           + p.tiles.in_sizes[2] * lanes) * (4 if dtype == "float32" else 8)
    return instruction(winograd_f32 if dtype == "float32" else winograd_f64, &p, sizeof(p), parts * groups, scratch,
                       None)


# Forward, plain layout --------------------------------------------------------------------------------------------

cdef struct Plain:
    Operand x, w, u, y, bias, other
    Tiles tiles
    long channels, filters, depth, taps
    long rows                              # channels of all slices
    long groups, width                     # ranges of `width` filters that are multiplied together; of those, tasks
    long line                              # room for the rows of a tile, which are written by whole vectors
    long v_step, u_step, m_step            # elements from one of the values to the next
    int relu, turned

cdef void plain_weights_task(const Plain *p, long task, const Context *context, real *tag) noexcept nogil:
    """U[group][36][slice, channel][filter] for one group, and as many channels as there are lanes."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long blocks = ceil_div(p.channels, lanes), g = task // (blocks * p.depth)
    cdef long s = task // blocks % p.depth, c = task % blocks * lanes, n = min(lanes, p.channels - c)
    cdef long f0 = g * p.width, filters = min(p.width, p.filters - f0), k, t, f
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef real *u = <real *>address(&p.u, 0, context) + g * p.tiles.values * p.u_step + (s * p.channels + c) * p.width
    cdef real square[25 * 16 * MOST_GROUP]      # as in transform_weights
    cdef long all_taps = p.depth * p.taps, plane = p.channels * p.filters
    for k in range(p.taps):
        if p.turned:
            # From the last tap on, filters (which are what is read here) side by side.
            for f from 0 <= f < filters by lanes:
                if real is float:
                    transposed_f32(w + (all_taps - 1 - s * p.taps - k) * plane + (f0 + f) * p.channels + c, p.channels,
                                   filters - f, square + k * lanes * p.width + f, p.width, 0)
                else:
                    transposed_f64(w + (all_taps - 1 - s * p.taps - k) * plane + (f0 + f) * p.channels + c, p.channels,
                                   filters - f, square + k * lanes * p.width + f, p.width, 0)
        elif real is float:
            copy_rows_f32(w + (s * p.taps + k) * plane + c * p.filters + f0, p.filters, n, ceil_div(filters, lanes),
                          square + k * lanes * p.width, p.width, lanes * p.filters)
        else:
            copy_rows_f64(w + (s * p.taps + k) * plane + c * p.filters + f0, p.filters, n, ceil_div(filters, lanes),
                          square + k * lanes * p.width, p.width, lanes * p.filters)
    for t in range(n):
        for f from 0 <= f < filters by lanes:
            if real is float:
                weights_f32(p.tiles.taps, p.tiles.lines, square + t * p.width + f, p.tiles.taps * lanes * p.width,
                            lanes * p.width, u + t * p.width + f, p.u_step)
            else:
                weights_f64(p.tiles.taps, p.tiles.lines, square + t * p.width + f, p.tiles.taps * lanes * p.width,
                            lanes * p.width, u + t * p.width + f, p.u_step)

cdef void plain_task(const Plain *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const Tiles *tiles = &p.tiles
    cdef const real *u = <const real *>address(&p.u, 0, context)
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef real *y = <real *>address(&p.y, 0, context)
    cdef const real *other = <const real *>address(&p.other, 0, context)
    cdef long h = tiles.in_sizes[1], width = tiles.in_sizes[2], oh = tiles.out_sizes[1], ow = tiles.out_sizes[2]
    cdef long part = task // p.groups, group = task % p.groups, all_groups = ceil_div(p.filters, p.width)
    cdef long g0 = all_groups * group // p.groups, g1 = all_groups * (group + 1) // p.groups
    cdef long begin = tiles.total * part // tiles.parts, end = tiles.total * (part + 1) // tiles.parts
    cdef long chunks = ceil_div(end - begin, tiles.chunk)
    cdef real *zeros = <real *>context.scratch
    cdef real *v = zeros + width * p.channels + lanes
    cdef real *m = v + tiles.values * p.v_step
    cdef long i, first, n, s, c, t, g, f, k, f0, filters, to
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, (width * p.channels + lanes) * sizeof(real))
    for i in range(chunks):
        first = begin + (end - begin) * i // chunks
        n = begin + (end - begin) * (i + 1) // chunks - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        for s in range(p.depth):                # the last vector of a slice reaches into the next one, which follows
            for c from 0 <= c < p.channels by lanes:
                transform_inputs(tiles, &p.x, context, at, n, s, c, tiles.in_sizes[0] * h * width * p.channels,
                                 zeros, v + s * p.channels + c, p.v_step, p.line, 0)
        for g in range(g0, g1):
            f0 = g * p.width
            filters = min(p.width, p.filters - f0)
            for k in range(tiles.values):
                if real is float:
                    even_product_f32(v + k * p.v_step, p.line, u + (g * tiles.values + k) * p.u_step, p.width, p.rows,
                                     m + k * p.m_step, p.width, n, ceil_div(filters, lanes))
                else:
                    even_product_f64(v + k * p.v_step, p.line, u + (g * tiles.values + k) * p.u_step, p.width, p.rows,
                                     m + k * p.m_step, p.width, n, ceil_div(filters, lanes))
            for t in range(n):
                for f from 0 <= f < filters by lanes:
                    to = (((at[t].block * tiles.out_sizes[0] + at[t].z) * oh + at[t].y) * ow + at[t].x) * p.filters \
                        + f0 + f
                    if real is float:
                        output_tile_plain_f32(tiles.taps, tiles.lines, m + t * p.width + f, p.m_step,
                                              bias + f0 + f if bias else NULL, other + to if other else NULL, p.relu,
                                              y + to, ow * p.filters, p.filters, oh - at[t].y, ow - at[t].x,
                                              min(lanes, filters - f))
                    else:
                        output_tile_plain_f64(tiles.taps, tiles.lines, m + t * p.width + f, p.m_step,
                                              bias + f0 + f if bias else NULL, other + to if other else NULL, p.relu,
                                              y + to, ow * p.filters, p.filters, oh - at[t].y, ow - at[t].x,
                                              min(lanes, filters - f))

cdef void plain_f32(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[float](<const Plain *>p, task, c, NULL)
cdef void plain_f64(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[double](<const Plain *>p, task, c, NULL)
cdef void plain_weights_f32(const void *p, long task, const Context *c) noexcept nogil:
    plain_weights_task[float](<const Plain *>p, task, c, NULL)
cdef void plain_weights_f64(const void *p, long task, const Context *c) noexcept nogil:
    plain_weights_task[double](<const Plain *>p, task, c, NULL)

cdef Plain plain_for(long channels, long filters, window, long width, long lanes) except *:
    cdef Plain p
    memset(&p, 0, sizeof(p))
    p.channels, p.filters, p.depth, p.taps = channels, filters, window[0], window[1] * window[2]
    p.rows, p.width, p.tiles = channels * p.depth, width, tiles_of(window, (1, 1, 1))
    p.u_step = p.rows * width + lanes      # a vector more, so that the values do not want the same lines of a cache
    return p

def plain_weights_size(channels, filters, window, width, lanes):
    """Elements of the transformed weights."""
    cdef Plain p = plain_for(channels, filters, window, width, lanes)
    return ceil_div(filters, width) * p.tiles.values * p.u_step

def plain_weights(dtype, w, u, *, channels, filters, window, width, turned):
    """The transformed weights of `winograd_plain`. One task a group of filters, slice and vector of channels.

    turned: w is [position][filter][channel] and taken from its last position on.
    """
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef Plain p = plain_for(channels, filters, window, width, lanes)
    p.w, p.u, p.turned = operand(w), operand(u), turned
    return instruction(plain_weights_f32 if dtype == "float32" else plain_weights_f64, &p, sizeof(p),
                       ceil_div(filters, width) * p.depth * ceil_div(channels, lanes), 0, None)

def winograd_plain(dtype, x, u, y, bias, other, *, samples, parts, groups, width, chunk, channels, filters, window,
                   in_sizes, out_sizes, low, relu):
    """The forward convolution in the plain layout, channels last; arguments as in `winograd`.

    u: from `plain_weights`. other: an array like y that is added before relu, or a null pointer. width: filters that
    are multiplied together, one or two vectors of them.
    """
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef Plain p = plain_for(channels, filters, window, width, lanes)
    p.x, p.u, p.y, p.bias, p.other = operand(x), operand(u), operand(y), operand(bias), operand(other)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, (1, 1, 1), channels, samples, parts, chunk)
    p.groups, p.relu = groups, relu
    p.line = ceil_div(p.rows + lanes, lanes) * lanes
    p.v_step, p.m_step = chunk * p.line + lanes, chunk * width + lanes
    cdef size_t scratch = (p.tiles.values * (p.v_step + p.m_step) + p.tiles.in_sizes[2] * channels + lanes) \
        * (4 if dtype == "float32" else 8)
    return instruction(plain_f32 if dtype == "float32" else plain_f64, &p, sizeof(p), parts * groups, scratch, None)


# Gradient for the kernel ------------------------------------------------------------------------------------------

cdef struct KernelGradient:
    Operand x, g, out
    Tiles tiles
    long channels, filters, samples
    long window[3]
    long row_groups, groups, width         # ranges of rows (slice, channel) and of `width` filters
    long v_step, q_step, p_step            # elements from value to value

cdef void kernel_gradient_task(const KernelGradient *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const Tiles *tiles = &p.tiles
    cdef long h = tiles.in_sizes[1], width = tiles.in_sizes[2], oh = tiles.out_sizes[1], ow = tiles.out_sizes[2]
    cdef long in_plane = h * width * lanes, out_plane = tiles.out_sizes[0] * oh * ow * lanes
    cdef long all_rows = p.channels * p.window[0] * tiles.phases, per_tap = p.channels * p.filters, y, x
    cdef long group = task % p.groups, row_group = task // p.groups % p.row_groups
    cdef long part = task // (p.groups * p.row_groups)
    cdef long r0 = all_rows * row_group // p.row_groups, rows = all_rows * (row_group + 1) // p.row_groups - r0
    cdef long f0 = p.width * group, filters = min(p.width, p.filters - f0), wide = ceil_div(filters, lanes) * lanes
    cdef long begin = tiles.total * part // tiles.parts, end = tiles.total * (part + 1) // tiles.parts
    cdef long chunks = ceil_div(end - begin, tiles.chunk), line = tiles.chunk * lanes, groups = wide // lanes
    cdef long ahead = ahead_of(&p.x, p.channels * tiles.in_sizes[0] * in_plane * sizeof(real),
                               2 * tiles.in_sizes[0] * in_plane)
    cdef bint far = ahead_of(&p.g, p.filters * out_plane * sizeof(real), 1), along = tiles.columns >= 4 * tiles.chunk
    cdef real *zeros = <real *>context.scratch
    cdef real *v = zeros + width * lanes
    cdef real *q = v + tiles.values * p.v_step
    cdef real *sums = q + tiles.values * p.q_step
    cdef real *out = <real *>address(&p.out, part, context)
    cdef real *to
    cdef const real *g
    cdef long k, t, n, r, s, c, f, i, full, first, valid, ahead_g
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, width * lanes * sizeof(real))
    for i in range(chunks):
        first = begin + (end - begin) * i // chunks
        n = begin + (end - begin) * (i + 1) // chunks - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        for r in range(rows):
            s, c = (r0 + r) // p.channels, (r0 + r) % p.channels
            transform_inputs(tiles, &p.x, context, at, n, s, c * tiles.in_sizes[0] * in_plane, 0, zeros,
                             v + r * line, p.v_step, lanes, ahead)
        # Ahead: the next filters or the next tile's first; of large maps, read along their rows, the next chunk.
        for r in range(n * groups):
            t, f = (r % n, r // n * lanes) if along else (r // groups, r % groups * lanes)
            ahead_g = n * tiles.side * lanes if along else \
                lanes * out_plane if f + lanes < filters else tiles.side * lanes - f * out_plane
            g = <const real *>address(&p.g, at[t].block, context) + (f0 + f) * out_plane \
                + ((at[t].z * oh + at[t].y) * ow + at[t].x) * lanes
            if real is float:
                gradient_tile_f32(tiles.taps, tiles.lines, g, out_plane, ow * lanes,
                                  min(tiles.height, oh - at[t].y), min(tiles.side, ow - at[t].x), filters - f,
                                  q + t * lanes * wide + f, p.q_step, wide, ahead_g if far else 0)
            else:
                gradient_tile_f64(tiles.taps, tiles.lines, g, out_plane, ow * lanes,
                                  min(tiles.height, oh - at[t].y), min(tiles.side, ow - at[t].x), filters - f,
                                  q + t * lanes * wide + f, p.q_step, wide, ahead_g if far else 0)
        # Lanes without a sample may hold anything: all lanes together, or those of each tile that count.
        full = n if at[n - 1].block * lanes + lanes <= p.samples else 1
        for k in range(tiles.values):
            for t from 0 <= t < n by full:
                valid = min(lanes, p.samples - at[t].block * lanes) if full == 1 else full * lanes
                if real is float:
                    strided_product_f32(v + k * p.v_step + t * lanes, line, q + k * p.q_step + t * lanes * wide, wide,
                                        valid, sums + k * p.p_step, wide, i > 0 or t > 0, rows, wide // lanes)
                else:
                    strided_product_f64(v + k * p.v_step + t * lanes, line, q + k * p.q_step + t * lanes * wide, wide,
                                        valid, sums + k * p.p_step, wide, i > 0 or t > 0, rows, wide // lanes)
    for r in range(rows):
        s, c = (r0 + r) // p.channels, (r0 + r) % p.channels
        y, x = s % tiles.phases // tiles.phase_columns, s % tiles.phase_columns
        to = out + ((s // tiles.phases * p.window[1] + y) * p.window[2] + x) * per_tap + c * p.filters + f0
        for f from 0 <= f < filters by lanes:
            if real is float:
                weights_back_f32(tiles.taps, tiles.lines, sums + r * wide + f, p.p_step, to + f,
                                 tiles.planes.dy * p.window[2] * per_tap, tiles.planes.dx * per_tap,
                                 ceil_div(p.window[1] - y, tiles.planes.dy),
                                 ceil_div(p.window[2] - x, tiles.planes.dx), filters - f)
            else:
                weights_back_f64(tiles.taps, tiles.lines, sums + r * wide + f, p.p_step, to + f,
                                 tiles.planes.dy * p.window[2] * per_tap, tiles.planes.dx * per_tap,
                                 ceil_div(p.window[1] - y, tiles.planes.dy),
                                 ceil_div(p.window[2] - x, tiles.planes.dx), filters - f)

cdef void kernel_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[float](<const KernelGradient *>p, task, c, NULL)
cdef void kernel_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[double](<const KernelGradient *>p, task, c, NULL)

def kernel_gradient(dtype, x, g, out, *, samples, blocks, parts, row_groups, width, chunk, channels, filters, window,
                    in_sizes, out_sizes, low, strides):
    """Partial sums of the kernel's gradient, in the kernel's own order, per range of tiles.

    parts, row_groups: ranges of tiles and of rows (slice, channel); width: filters of a task; chunk: tiles at a time.
    """
    cdef KernelGradient p
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, strides, lanes, blocks, parts, chunk)
    p.channels, p.filters, p.samples = channels, filters, samples
    p.window[0], p.window[1], p.window[2] = window[0], window[1], window[2]
    p.row_groups, p.groups, p.width = row_groups, ceil_div(filters, width), width
    cdef long rows = ceil_div(channels * p.window[0] * p.tiles.phases, row_groups)
    cdef long wide = ceil_div(min(width, filters), lanes) * lanes
    p.v_step, p.q_step = (rows * chunk | 1) * lanes, chunk * lanes * wide + lanes
    p.p_step = rows * wide + lanes
    cdef size_t scratch = (p.tiles.values * (p.v_step + p.q_step + p.p_step) + p.tiles.in_sizes[2] * lanes) \
        * (4 if dtype == "float32" else 8)
    return instruction(kernel_gradient_f32 if dtype == "float32" else kernel_gradient_f64, &p, sizeof(p),
                       parts * row_groups * p.groups, scratch, None)


# Along rows alone, and pooled --------------------------------------------------------------------------------------

cdef struct PooledLines:
    Operand x, u, bias, y
    Lines lines

cdef void pooled_lines_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PooledLines *p = <const PooledLines *>params
    pooled_lines(&p.lines, <const float *>address(&p.x, task, context), <const float *>address(&p.u, 0, context),
                 <const float *>address(&p.bias, 0, context), <float *>address(&p.y, task, context),
                 <float *>context.scratch)

cdef void line_weights_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const PooledLines *p = <const PooledLines *>params
    cdef long plane = p.lines.channels * p.lines.filters, c = task // p.lines.kernel_rows, f
    cdef long k = task % p.lines.kernel_rows
    for f from 0 <= f < p.lines.filters by LANES_F32:
        weights_f32(5, 1, <const float *>address(&p.x, 0, context) + 5 * k * plane + c * p.lines.filters + f, 0, plane,
                    <float *>address(&p.u, 0, context) + 8 * task * p.lines.wide + f, p.lines.wide)

def conv_pool_lines(x, u, bias, y, numbers, *, long blocks):
    """y = max pooling of a convolution (+ bias, relu), see lines.h; or u = the weights x transformed, if blocks is 0.

    numbers: int64 numbers of `Lines`.
    """
    cdef PooledLines p
    p.x, p.u, p.bias, p.y = operand(x), operand(u), operand(bias), operand(y)
    memcpy(&p.lines, elements(numbers, 8), sizeof(Lines))
    if not blocks:
        return instruction(line_weights_task, &p, sizeof(p), p.lines.channels * p.lines.kernel_rows, 0, None)
    return instruction(pooled_lines_task, &p, sizeof(p), blocks, lines_scratch(&p.lines) * sizeof(float), None)
