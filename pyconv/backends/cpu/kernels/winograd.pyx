# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolution with rows of 2 to 5 taps, of as many or one, by Winograd's algorithm, samples in the lanes.

Layouts as in convolution.pyx. A tile of 4 x 4 results takes N = 36 values for kernels of 3 x 3, 64 for those of 5 x 5,
and one of 5 x 5 results 64 for kernels of 4 x 4; a tile of one row, for kernels with one, takes 8, and has 6 results
with 3 taps, 5 with 4, and 4 with 5. Kernels of 2 x 2 take 25 for 4 x 4 results. The tiles of all blocks are numbered:
block, depth, row, column. A task takes a range of them and a range of filters, and goes through its tiles in chunks:

1. the tiles of all channels are transformed into V[N][channel][tile];
2. for a group of filters at a time, N products with the transformed weights U[N][channel][filter] give
   M[N][filter][tile] (filters x tiles in registers), which is transformed into results, with bias,
   another map and relu.

V and M of a chunk stay in the caches. U is made ahead of all tasks, or by each of them, which costs as much as a few
tiles. Where a task is a block, it can go on to other instructions.

Kernels with depth are sums over their slices, whose channels follow each other. So are those with strides over their
phases: with stride 2 even taps meet even pixels and odd ones odd pixels, and a kernel of 7 x 7 is four of at most 4 x 4
taps and stride 1. All have the same tiles, and one transform back; those with fewer taps lack the values at infinity:
a kernel of 3 x 3 takes 81 products for 4 x 4 results. Below, a slice means a phase of a slice.

The depth of kernels of 3 x 3 x 3 without strides has 6 points for 4 results, too, which takes half the products
(winograd_depth.h). The rows of the input's planes that a chunk needs are folded to a plane for each point, which goes
the way of the others, with weights of its own; in the end the points' planes of results are unfolded. That is done for
some points at a time, whose U stays in the cache, and for all chunks; the results of later ones are added.

The gradient for the input is the same with the kernel turned around and its channels and filters exchanged; or, where
that takes fewer tiles, the transpose of the algorithm: tiles of the gradient, which lie side by side, are transformed
into V, and those of the results, which overlap, are added up. With strides, the phases of the input, which meet
different taps, are results of the same V, each with its weights, like more filters; U and M know phases as groups do.

The gradient for the kernel: a task has a range of tiles, of channels and of filters. Chunk by chunk,
V[N][channel][tile][lane] and the transformed gradients Q[N][tile][lane][filter], filters in the lanes, are multiplied
and added to the sums P[N][channel][filter], which stay in the cache and are transformed back at the end. Tasks of the
same weights write partial sums, which are added in their order.

Plain layout, for batches too small to fill the lanes: [sample][row][column][channel], channels and then filters in the
lanes. V[N][tile][channel] is read as scalars, and multiplied with U[N][channel][filter] into M[N][tile][filter].

Before max pooling with windows of two by two (float32), results go to a strip of one row of tiles in the nearest cache,
from which they are pooled; see spots.h.

Rows of 5 taps on few channels, with max pooling behind them: see lines.h.
"""

from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "lines.h" nogil:
    ctypedef struct Lines:
        long low[2]
        long h, w, channels, filters, wide, kernel_rows, rows, cols, relu
    long lines_scratch(const Lines *)
    void pooled_lines(const Lines *, const float *, const float *, const float *, float *, float *)


# The weights, ahead of all tasks -----------------------------------------------------------------------------------

cdef struct Packing:
    Operand w, u
    Weights weights
    Tiles tiles
    long filters, phases                   # phases: of the results
    long paired                            # 0, or for products by pairs, how many channels are summed: a task has all

cdef void pair_values(const Tiles *t, long channels, long depth, long n, float *u, long group, long step,
                      long rows) noexcept nogil:
    """Scales `rows` filters of U, of n channels in all slices, for products by pairs."""
    cdef long k, first = 0, end = n
    for k in range(t.values):
        if t.phases > 1:
            having(t, k, channels, depth, &first, &end)
        pair_weights(u + k * step + first * group, group, end - first, rows)

cdef void weights_task(const void *params, long task, const Context *context) noexcept nogil:
    """U[group][pass][36][slice, channel][filter] for one group, one pass and as many channels as there are lanes."""
    cdef const Packing *p = <const Packing *>params
    cdef long lanes = p.weights.channels if p.paired else LANES_F32
    cdef long vectors = ceil_div(p.weights.channels, lanes)
    cdef long c = task % vectors * lanes, to = task // vectors, all_groups = ceil_div(p.filters, p.weights.group)
    cdef long first = to // p.tiles.passes % all_groups * p.weights.group
    cdef long rows = min(p.weights.group, p.filters - first), last = min(p.weights.channels, c + lanes)
    cdef long point = to // all_groups if p.phases > 1 else to % p.tiles.passes * p.weights.each
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef float *u = <float *>address(&p.u, 0, context) + to * p.tiles.values * p.weights.step + c * p.weights.group
    transform_weights_f32(&p.weights, w, first, rows, c, last, point, u)
    if p.paired:
        pair_values(&p.tiles, p.weights.channels, p.paired // p.weights.channels, p.paired, u, p.weights.group,
                    p.weights.step, rows)


cdef Weights weights_of(const Tiles *t, window, long channels, long group, long step) except *:
    """Of a whole kernel in its own order, but for where its elements lie."""
    cdef Weights w
    memset(&w, 0, sizeof(w))
    w.taps, w.lines, w.channels, w.group, w.step = t.taps, t.lines, channels, group, step
    w.thick, w.each = 3 if t.deep > 1 else 1, t.each
    w.slices, w.phases, w.phase = 1 if t.deep > 1 else window[0], t.phases, t.phase
    w.kernel_rows, w.kernel_columns, w.dy, w.dx, w.across = window[1], window[2], t.planes.dy, t.planes.dx, 1
    return w

cdef Instruction weights_instruction(w, u, const Tiles *tiles, const Weights *weights, long filters,
                                     long paired=0, long phases=1):
    cdef Packing p
    cdef long lanes = weights.channels if paired else LANES_F32
    p.paired = paired
    p.w, p.u, p.weights, p.filters = operand(w), operand(u), weights[0], filters
    p.tiles, p.phases = tiles[0], phases
    return instruction(weights_task, &p, sizeof(p),
                       phases * ceil_div(filters, weights.group) * tiles.passes * ceil_div(weights.channels, lanes), 0,
                       None)


# Forward and gradient for the input -------------------------------------------------------------------------------

cdef void winograd_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Winograd *p = <const Winograd *>params
    cdef long lanes = LANES_F32
    cdef const Tiles *tiles = &p.tiles
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef long width = tiles.in_sizes[2], in_plane = tiles.in_sizes[1] * width * lanes, channels = p.channels * p.depth
    cdef long out_plane = tiles.out_sizes[1] * tiles.out_sizes[2] * lanes
    cdef long part = task // p.groups, group = task % p.groups, per_phase = ceil_div(p.filters, p.group)
    cdef long all_groups = per_phase * p.phases, f0
    cdef long g0 = all_groups * group // p.groups, g1 = all_groups * (group + 1) // p.groups
    cdef long together = tiles.rows * tiles.columns if p.transposed else 1     # tiles that must not be parted
    if tiles.deep > 1:                         # not along the depth either; else, rows share what goes through `mix`
        together = tiles.per_block if p.transposed else tiles.columns
    cdef long begin = tiles.total // together * part // tiles.parts * together
    cdef long end = tiles.total // together * (part + 1) // tiles.parts * together
    cdef long chunks = ceil_div(end - begin, tiles.chunk)
    cdef long line = tiles.chunk * lanes
    cdef long ahead = ahead_of(&p.x, p.channels * tiles.in_sizes[0] * in_plane * sizeof(float),
                               2 * tiles.in_sizes[0] * in_plane)
    cdef float *zeros = <float *>context.scratch
    cdef float *u = zeros + width * lanes + p.planes
    cdef float *v = u + p.u_groups * tiles.values * p.u_step
    cdef float *m = v + tiles.values * p.v_step
    cdef float *scales = m + tiles.values * p.m_step         # by pairs: of tiles, inverse, and sums of their pairs
    cdef float *whole = <float *>address(&p.u, 0, context)
    cdef bint far = whole and ahead_of(&p.u, all_groups * tiles.passes * tiles.values * p.u_step * sizeof(float), 1)
    cdef bint expects = p.expects and ahead_of(&p.y, p.filters * tiles.out_sizes[0] * out_plane * sizeof(float), 1)
    cdef float *packed
    cdef float *u_k
    cdef float *to
    cdef long i, first, n, s, c, t, g, rows, k, f, j, n_channels, count, last, point
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, width * lanes * sizeof(float))
    if p.transposed:
        for i from begin <= i < end by together:
            at[0] = tile_of(tiles, i)
            for f in range(g0 * p.group, min(p.filters, g1 * p.group)):
                memset(<float *>address(&p.y, at[0].block, context) + (f * tiles.out_sizes[0] + at[0].z) * out_plane, 0,
                       (tiles.out_sizes[0] if tiles.deep > 1 else 1) * out_plane * sizeof(float))
    for j in range(tiles.passes * chunks):
        i, point = j % chunks, j // chunks * tiles.each
        first = cut(tiles, begin, end, i, chunks)
        n = cut(tiles, begin, end, i + 1, chunks) - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        for s in range(p.depth):
            if not p.transposed:
                transform_inputs(tiles, &p.x, context, at, n, point + s, 0, p.channels,
                                 tiles.in_sizes[0] * in_plane, 0, zeros, v + s * p.channels * line, p.v_step, lanes,
                                 line, ahead)
                continue
            for c in range(p.channels):
                spread_gradients(p, context, at, n, point + s, c, zeros + width * lanes,
                                 v + (s * p.channels + c) * line)
        for g in range(g0, g1):
            f0 = g % per_phase * p.group
            rows = min(p.group, p.filters - f0)
            if p.phases > 1:
                point = g // per_phase
            # One chunk of tiles needs the weights only once: some channels at a time, so that they stay in the cache.
            packed = u + (0 if p.slices else g - g0) * tiles.values * p.u_step
            if whole:
                packed = whole + (g * tiles.passes + j // chunks) * tiles.values * p.u_step
            for s in range(max(1, p.slices)):
                c, n_channels = 0, channels
                if p.slices:
                    c, n_channels = channels * s // p.slices, channels * (s + 1) // p.slices
                    n_channels -= c
                if not whole and (i == 0 or p.slices):
                    last = c + n_channels if p.slices else p.channels
                    transform_weights_f32(&p.weights, w, f0, rows, c, last, point, packed)
                    if p.paired:
                        pair_values(tiles, p.channels, p.depth, n_channels, packed, p.group, p.u_step, rows)
                for k in range(tiles.values):
                    if p.cold and i == 0 or far and not p.paired:
                        fetch(<const char *>(packed + (k + 1) * p.u_step), p.u_step * sizeof(float))
                    if tiles.phases > 1:
                        having(tiles, k, p.channels, p.depth, &c, &last)
                        n_channels = last - c
                    if expects and s == 0:
                        expect_results(p, context, at, n, f0, rows, k)
                    count = 0 if p.phases > 1 and lacks(&p.weights, point, k) else n_channels
                    u_k = packed + k * p.u_step + (c * p.group if tiles.phases > 1 else 0)
                    to = scales + (s * tiles.values + k) * (1 + SUMS_PAIRED(channels)) * line
                    if p.paired and g == g0:
                        pair_tiles(v + k * p.v_step + c * line, line, n_channels, n, to)
                    if p.paired:
                        paired_product(u_k, p.group, v + k * p.v_step + c * line, line, n_channels,
                                       m + k * p.m_step, line, s > 0, rows, n, to)
                    else:
                        packed_product_f32(u_k, p.group, v + k * p.v_step + c * line, line, count,
                                           m + k * p.m_step, line, s > 0, rows, n)
            if p.pooled:
                pool_results(p, context, at, n, f0, rows, m, line, zeros + width * lanes)
            elif p.phases > 1:
                part_results(p, context, at, n, point, f0, rows, m, line)
            else:
                transform_results(p, context, at, n, point, f0, rows, m, line, zeros + width * lanes)
    if p.past:
        STREAMED()


def winograd(x, w, u, y, spots, bias, other, *, blocks, parts, groups, group, chunk, channels, filters, window,
             in_sizes, out_sizes, low, strides, across_filters, w_other, w_slice, w_line, w_tap, origin, relu,
             past, pooled, transposed, each, paired=False, cold=False, back=None):
    """y = x * w (+ bias, + other, relu); pooled: the max pooling of that (without other), with spots unless these are
    a null pointer. past: whole tiles of results go past the caches. Three sizes each for depth, rows and columns;
    the steps w_* may be negative.

    transposed: the transpose of a convolution with w, of which x has the results' sizes; rows and columns of low (and
    the depth, if it has points) are those of that convolution. each: how many of the 6 points along the depth are taken
    at a time: 1, 2, 3 or 6, for kernels of 3 slices without strides; 0: none, products are added over the slices.

    back: (steps of rows and columns, first taps of the first phase, rows and columns of y), if y is the gradient for
    the input of a convolution with strides, and its phases are the results of one without; then window and out_sizes
    are those of a phase.

    cold: work with other weights passes between two tasks, so that U, made ahead, has left the near caches.
    parts, groups: ranges of tiles and of filters that are tasks; with one group and as many parts as blocks, a task
    is a block. group: filters that are multiplied together, 16 or 32; chunk: tiles at a time. u: the weights
    transformed, by the instruction that this makes if blocks is 0, or a null pointer. paired: products go by pairs.
    """
    cdef Winograd p
    cdef long lanes = LANES_F32
    p.x, p.w, p.u, p.y = operand(x), operand(w), operand(u), operand(y)
    p.bias, p.other, p.spots, p.pooled = operand(bias), operand(other), operand(spots), pooled
    p.past, p.cold = past, cold
    p.expects = lanes == 16 and not (past or pooled or transposed or each or back)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, strides, lanes, blocks, parts, chunk, each, transposed)
    cdef long depth = 1 if each else window[0] * p.tiles.phases
    p.channels, p.filters, p.depth = channels, filters, depth
    p.groups, p.group, p.relu, p.transposed = groups, group, relu, transposed
    p.planes = each * 6 * max(p.tiles.in_sizes[2], p.tiles.out_sizes[2]) * lanes
    if pooled:
        p.planes = chunk * p.tiles.height * p.tiles.side * lanes
    # An odd number of vectors from value to value: with a power of two they would all want the same lines of a cache.
    p.v_step, p.m_step = (channels * depth * chunk | 1) * lanes, (p.group * chunk | 1) * lanes
    p.phases = back[0][0] * back[0][1] if back else 1
    p.u_groups, p.slices = 0 if p.u.base else ceil_div(ceil_div(filters, p.group) * p.phases, groups), 0
    p.paired = paired
    p.u_step = (channels * depth + p.paired * (1 + SUMS_PAIRED(channels * depth))) * p.group + 16
    p.weights = weights_of(&p.tiles, window, channels, group, p.u_step)
    p.weights.across_filters, p.weights.w_other, p.weights.w_slice = across_filters, w_other, w_slice
    p.weights.w_line, p.weights.w_tap, p.weights.origin = w_line, w_tap, origin
    if back:
        p.steps, p.sizes = back[0], back[2]
        p.weights.dy, p.weights.dx, p.weights.across = -p.steps[0], -p.steps[1], p.steps[1]
        (p.weights.down, p.weights.right), (p.weights.kernel_rows, p.weights.kernel_columns) = back[1], back[3]
    if not blocks:
        return weights_instruction(w, u, &p.tiles, &p.weights, filters, channels * depth if paired else 0,
                                   p.phases)
    if p.u_groups and depth == 1 and ceil_div(p.tiles.total, parts) <= chunk:
        p.u_groups, p.slices = 1, ceil_div(channels * group, 2048)
        p.u_step = (ceil_div(channels, p.slices) + p.paired * (1 + SUMS_PAIRED(channels))) * p.group + 16
        p.weights.step = p.u_step
    cdef size_t scratch = (p.tiles.values * (p.u_groups * p.u_step + p.v_step + p.m_step) \
                           + p.tiles.in_sizes[2] * lanes + p.planes
                           + p.paired * max(1, p.slices) * p.tiles.values * (1 + SUMS_PAIRED(channels * depth))
                           * chunk * lanes) \
        * 4
    return instruction(winograd_task, &p, sizeof(p), parts * groups, scratch,
                       None)


# Forward, plain layout --------------------------------------------------------------------------------------------

cdef struct Plain:
    Operand x, w, u, y, bias, other
    Tiles tiles
    long channels, filters, depth
    long rows                              # channels of all slices
    long groups, width                     # ranges of `width` filters that are multiplied together; of those, tasks
    long line                              # room for the rows of a tile, which are written by whole vectors
    long v_step, u_step, m_step            # elements from one of the values to the next
    int relu

cdef void plain_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Plain *p = <const Plain *>params
    cdef long lanes = LANES_F32
    cdef const Tiles *tiles = &p.tiles
    cdef const float *u = <const float *>address(&p.u, 0, context)
    cdef float *bias = <float *>address(&p.bias, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context)
    cdef const float *other = <const float *>address(&p.other, 0, context)
    cdef long h = tiles.in_sizes[1], width = tiles.in_sizes[2], oh = tiles.out_sizes[1], ow = tiles.out_sizes[2]
    cdef long part = task // p.groups, group = task % p.groups, all_groups = ceil_div(p.filters, p.width)
    cdef long g0 = all_groups * group // p.groups, g1 = all_groups * (group + 1) // p.groups
    cdef long begin = tiles.total * part // tiles.parts, end = tiles.total * (part + 1) // tiles.parts
    cdef long chunks = ceil_div(end - begin, tiles.chunk)
    cdef float *zeros = <float *>context.scratch
    cdef float *v = zeros + width * p.channels + lanes
    cdef float *m = v + tiles.values * p.v_step
    cdef long i, first, n, s, c, t, g, f, k, f0, filters, to
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, (width * p.channels + lanes) * sizeof(float))
    for i in range(chunks):
        first = begin + (end - begin) * i // chunks
        n = begin + (end - begin) * (i + 1) // chunks - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        for s in range(p.depth):                # the last vector of a slice reaches into the next one, which follows
            transform_inputs(tiles, &p.x, context, at, n, s, 0, ceil_div(p.channels, lanes), lanes,
                             tiles.in_sizes[0] * h * width * p.channels, zeros, v + s * p.channels, p.v_step, p.line,
                             lanes, 0)
        for g in range(g0, g1):
            f0 = g * p.width
            filters = min(p.width, p.filters - f0)
            for k in range(tiles.values):
                narrow_product_f32(v + k * p.v_step, p.line, u + (g * tiles.values + k) * p.u_step, p.width,
                                   p.rows, m + k * p.m_step, p.width, n, ceil_div(filters, lanes))
            for t in range(n):
                for f from 0 <= f < filters by lanes:
                    to = (((at[t].block * tiles.out_sizes[0] + at[t].z) * oh + at[t].y) * ow + at[t].x) * p.filters \
                        + f0 + f
                    output_tile_plain_f32(tiles.taps, tiles.lines, m + t * p.width + f, p.m_step,
                                          bias + f0 + f if bias else NULL, other + to if other else NULL, p.relu,
                                          y + to, ow * p.filters, p.filters, oh - at[t].y, ow - at[t].x,
                                          min(lanes, filters - f))

cdef Plain plain_for(long channels, long filters, window, long width, long lanes) except *:
    cdef Plain p
    memset(&p, 0, sizeof(p))
    p.channels, p.filters, p.depth = channels, filters, window[0]
    p.rows, p.width, p.tiles = channels * p.depth, width, tiles_of(window, (1, 1, 1))
    p.u_step = p.rows * width + lanes      # a vector more, so that the values do not want the same lines of a cache
    return p

def plain_weights_size(channels, filters, window, width, lanes):
    """Elements of the transformed weights."""
    cdef Plain p = plain_for(channels, filters, window, width, lanes)
    return ceil_div(filters, width) * p.tiles.values * p.u_step

def plain_weights(w, u, *, channels, filters, window, width, turned):
    """The transformed weights of `winograd_plain`.

    turned: w is [position][filter][channel] and taken from its last position on.
    """
    cdef Plain p = plain_for(channels, filters, window, width, LANES_F32)
    cdef Weights of = weights_of(&p.tiles, window, channels, width, p.u_step)
    cdef long plane = channels * filters, tap = -plane if turned else plane
    of.across_filters, of.w_other, of.origin = not turned, channels if turned else filters, 0
    of.w_slice, of.w_line, of.w_tap = tap * window[1] * window[2], tap * window[2], tap
    if turned:
        of.origin = (window[0] * window[1] * window[2] - 1) * plane
    return weights_instruction(w, u, &p.tiles, &of, filters)

def winograd_plain(x, u, y, bias, other, *, samples, parts, groups, width, chunk, channels, filters, window,
                   in_sizes, out_sizes, low, relu):
    """The forward convolution in the plain layout, channels last; arguments as in `winograd`.

    u: from `plain_weights`. other: an array like y that is added before relu, or a null pointer. width: filters that
    are multiplied together, one or two vectors of them.
    """
    cdef long lanes = LANES_F32
    cdef Plain p = plain_for(channels, filters, window, width, lanes)
    p.x, p.u, p.y, p.bias, p.other = operand(x), operand(u), operand(y), operand(bias), operand(other)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, (1, 1, 1), channels, samples, parts, chunk)
    p.groups, p.relu = groups, relu
    p.line = ceil_div(p.rows + lanes, lanes) * lanes
    p.v_step, p.m_step = chunk * p.line + lanes, chunk * width + lanes
    cdef size_t scratch = (p.tiles.values * (p.v_step + p.m_step) + p.tiles.in_sizes[2] * channels + lanes) \
        * 4
    return instruction(plain_task, &p, sizeof(p), parts * groups, scratch, None)


# Gradient for the kernel ------------------------------------------------------------------------------------------

cdef struct KernelGradient:
    Operand x, g, out
    Tiles tiles
    long channels, filters, samples
    long window[3]
    long depth                             # slices whose rows are apart, phases counted
    long row_groups, groups, width         # ranges of rows (slice, channel) and of `width` filters
    long v_step, q_step, p_step            # elements from value to value
    long planes                            # elements of room for planes of points along the depth

cdef void fold_gradients(const KernelGradient *p, const float *g, long z, long point, long filters, long rows,
                         long columns, float *planes) noexcept nogil:
    """The values of points along the depth of gradients for `filters` filters, from depth z on; g: their first."""
    cdef long lanes = LANES_F32, f, w = p.tiles.out_sizes[2] * lanes
    cdef long plane = p.tiles.out_sizes[1] * w, depth = p.tiles.out_sizes[0]
    for f in range(filters):
        fold_f32(OUTPUTS, point, p.tiles.each, g + f * depth * plane, plane, z, depth,
                 planes + f * p.tiles.side * w, lanes * p.tiles.side * w, w, rows, columns, 1)

cdef void kernel_gradient_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const KernelGradient *p = <const KernelGradient *>params
    cdef long lanes = LANES_F32
    cdef const Tiles *tiles = &p.tiles
    cdef long h = tiles.in_sizes[1], width = tiles.in_sizes[2], oh = tiles.out_sizes[1], ow = tiles.out_sizes[2]
    cdef long in_plane = h * width * lanes, out_plane = tiles.out_sizes[0] * oh * ow * lanes
    cdef long all_rows = p.channels * p.depth, per_tap = p.channels * p.filters, y, x
    cdef long group = task % p.groups, row_group = task // p.groups % p.row_groups
    cdef long part = task // (p.groups * p.row_groups)
    cdef long r0 = all_rows * row_group // p.row_groups, rows = all_rows * (row_group + 1) // p.row_groups - r0
    cdef long f0 = p.width * group, filters = min(p.width, p.filters - f0), wide = ceil_div(filters, lanes) * lanes
    cdef long begin = tiles.total * part // tiles.parts, end = tiles.total * (part + 1) // tiles.parts
    cdef long chunks = ceil_div(end - begin, tiles.chunk), line = tiles.chunk * lanes, groups = wide // lanes
    cdef long ahead = ahead_of(&p.x, p.channels * tiles.in_sizes[0] * in_plane * sizeof(float),
                               2 * tiles.in_sizes[0] * in_plane)
    cdef long point, thick = tiles.square * p.p_step, plane = out_plane, room = tiles.side * ow * lanes
    cdef bint far = tiles.deep == 1 and ahead_of(&p.g, p.filters * out_plane * sizeof(float), 1)
    cdef bint along = tiles.deep > 1 or tiles.columns >= 4 * tiles.chunk
    cdef float *zeros = <float *>context.scratch
    cdef float *planes = zeros + width * lanes
    cdef float *v = planes + p.planes
    cdef float *q = v + tiles.values * p.v_step
    cdef float *sums = q + tiles.values * p.q_step
    cdef float *totals = sums + (tiles.values * p.p_step if tiles.deep > 1 else 0)
    cdef float *out = <float *>address(&p.out, part, context)
    cdef float *to
    cdef float *v_k
    cdef float *sums_k
    cdef const float *g
    cdef long k, t, n, r, s, c, f, i, j, full, first, valid, ahead_g
    cdef Tile at[MOST_TILES]
    memset(zeros, 0, width * lanes * sizeof(float))
    for j in range(tiles.passes * chunks):
        i, point = j % chunks, j // chunks * tiles.each
        first = begin + (end - begin) * i // chunks
        n = begin + (end - begin) * (i + 1) // chunks - first
        for t in range(n):
            at[t] = tile_of(tiles, first + t)
        r = 0
        while r < rows:
            s, c = (r0 + r) // p.channels, (r0 + r) % p.channels
            k = min(rows - r, p.channels - c)               # of this slice
            transform_inputs(tiles, &p.x, context, at, n, point + s, c * tiles.in_sizes[0] * in_plane, k,
                             tiles.in_sizes[0] * in_plane, 0, zeros, v + r * line, p.v_step, lanes, line, ahead)
            r += k
        # Ahead: the next filters or the next tile's first; of large maps, read along their rows, the next chunk.
        for r in range(n * groups):
            t, f = (r % n, r // n * lanes) if along else (r // groups, r % groups * lanes)
            ahead_g = n * tiles.side * lanes if along else \
                lanes * out_plane if f + lanes < filters else tiles.side * lanes - f * out_plane
            g = <const float *>address(&p.g, at[t].block, context) + (f0 + f) * out_plane \
                + (((at[t].z if tiles.deep == 1 else 0) * oh + at[t].y) * ow + at[t].x) * lanes
            if tiles.deep > 1:
                if t == 0 or at[t].x == 0:
                    fold_gradients(p, g, at[t].z, point, min(lanes, filters - f), min(tiles.side, oh - at[t].y),
                                   min((n - t) * tiles.side, ow - at[t].x), planes + at[t].x * lanes)
                g, plane = planes + at[t].x * lanes, room
            for k in range(tiles.each):
                gradient_tile_f32(tiles.taps, tiles.lines, g + k * lanes * room, plane, ow * lanes,
                                  min(tiles.height, oh - at[t].y), min(tiles.side, ow - at[t].x), filters - f,
                                  q + k * tiles.square * p.q_step + t * lanes * wide + f, p.q_step, wide,
                                  ahead_g if far else 0)
        # Lanes without a sample may hold anything: all lanes together, or those of each tile that count.
        full = n if at[n - 1].block * lanes + lanes <= p.samples else 1
        for k in range(tiles.values):
            having(tiles, k, p.channels, p.depth, &r, &c)
            r, c = max(0, r - r0), min(rows, c - r0)
            if c <= r:
                continue
            v_k, sums_k = v + k * p.v_step + r * line, sums + k * p.p_step + r * wide
            for t from 0 <= t < n by full:
                valid = min(lanes, p.samples - at[t].block * lanes) if full == 1 else full * lanes
                strided_product_f32(v_k + t * lanes, line, q + k * p.q_step + t * lanes * wide, wide, valid, sums_k,
                                    wide, i > 0 or t > 0, c - r, wide // lanes)
        if tiles.deep > 1 and i + 1 == chunks:
            unfold_f32(KERNELS, point, tiles.each, sums, thick, totals, thick, 0, 3, thick, 1, thick // lanes,
                       totals if point > 0 else NULL, 0, 0, 0)
    for i in range((3 if tiles.deep > 1 else 1) * rows):
        r = i % rows
        s, c = (r0 + r) // p.channels + i // rows, (r0 + r) % p.channels
        phase_at(&tiles.phase, s % tiles.phases, &y, &x)
        to = out + ((s // tiles.phases * p.window[1] + y) * p.window[2] + x) * per_tap + c * p.filters + f0
        for f from 0 <= f < filters by lanes:
            weights_back_f32(tiles.taps, tiles.lines, totals + i // rows * thick + r * wide + f, p.p_step, to + f,
                             tiles.planes.dy * p.window[2] * per_tap, tiles.planes.dx * per_tap,
                             ceil_div(p.window[1] - y, tiles.planes.dy),
                             ceil_div(p.window[2] - x, tiles.planes.dx), filters - f)


def kernel_gradient(x, g, out, *, samples, blocks, parts, row_groups, width, chunk, channels, filters, window,
                    in_sizes, out_sizes, low, strides, each):
    """Partial sums of the kernel's gradient, in the kernel's own order, per range of tiles.

    parts, row_groups: ranges of tiles and of rows (slice, channel); width: filters of a task; chunk: tiles at a time;
    each: as of `winograd`.
    """
    cdef KernelGradient p
    cdef long lanes = LANES_F32
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    p.tiles = tiles_for(in_sizes, out_sizes, low, window, strides, lanes, blocks, parts, chunk, each)
    p.channels, p.filters, p.samples = channels, filters, samples
    p.window[0], p.window[1], p.window[2] = window[0], window[1], window[2]
    p.row_groups, p.groups, p.width = row_groups, ceil_div(filters, width), width
    p.depth = 1 if each else p.window[0] * p.tiles.phases
    p.planes = each * lanes * max(6 * p.tiles.in_sizes[2], lanes * p.tiles.side * p.tiles.out_sizes[2])
    cdef long rows = ceil_div(channels * p.depth, row_groups)
    cdef long wide = ceil_div(min(width, filters), lanes) * lanes
    p.v_step, p.q_step = (rows * chunk | 1) * lanes, chunk * lanes * wide + lanes
    p.p_step = rows * wide + lanes
    cdef size_t scratch = (p.tiles.values * (p.v_step + p.q_step + p.p_step) + p.tiles.in_sizes[2] * lanes + p.planes \
                           + (3 * p.tiles.square * p.p_step if each else 0)) * 4
    return instruction(kernel_gradient_task, &p, sizeof(p),
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
