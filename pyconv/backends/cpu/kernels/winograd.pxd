# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The tiles of winograd.pyx, how they are transformed and transformed back, and what it takes from its headers."""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport LOCAL, Context, Operand, address, ceil_div

cdef extern from *:
    "#define PRODUCTS_HERE"

cdef extern from "spots.h" nogil:
    void pool_with_spots(const float *, long, long, long, float *, uint8_t *, long, long)

cdef extern from "winograd_f32_f64.h" nogil:
    ctypedef struct Planes:
        long pixel, h, w, dy, dx
    ctypedef struct Phases:
        long rows, columns, full_rows, full_columns
    void phase_at(const Phases *, long, long *, long *)
    void phases_with(const Phases *, int, int, long *, long *)
    ctypedef struct Weights:
        Phases phase
        int taps, lines, across_filters
        long channels, group, step, thick, each, slices, phases, kernel_rows, kernel_columns, dy, dx
        long down, right, across, origin, w_other, w_slice, w_line, w_tap
    const int LANES_F32
    void fetch(const char *, long)
    void expect(const char *, long)
    void STREAMED()
    void packed_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void narrow_product_f32(const float *, long, const float *, long, long, float *, long, long, long)
    void strided_product_f32(const float *, long, const float *, long, long, float *, long, int, long, long)
    void input_tiles_f32(int, int, const float *, const float *, const Planes *, long, long, long, float *,
                         long, long, long, long, long, long)
    void weights_f32(int, int, const float *, long, long, float *, long)
    void output_tiles_f32(int, int, const float *, long, float, const float *, int, float *, long, long, long, long,
                          long, long)
    void spread_tile_f32(int, const float *, long, long, long, float *, long)
    void gather_tile_f32(int, const float *, long, float *, long, long, long, long)
    void output_tile_plain_f32(int, int, const float *, long, const float *, const float *, int, float *, long, long,
                               long, long, long)
    void transform_weights_f32(const Weights *, const float *, long, long, long, long, long, float *)
    void gradient_tile_f32(int, int, const float *, long, long, long, long, long, float *, long, long, long)
    void weights_back_f32(int, int, const float *, long, float *, long, long, long, long, long)
    const int INPUTS, OUTPUTS, KERNELS
    void fold_f32(int, int, int, const float *, long, long, long, float *, long, long, long, long, int)
    void unfold_f32(int, int, int, const float *, long, float *, long, long, long, long, long, long, const float *,
                    float, int, int)

cdef extern from "winograd_paired.h" nogil:
    long SUMS_PAIRED(long)
    void pair_weights(float *, long, long, long)
    void pair_tiles(float *, long, long, long, float *)
    void paired_product(const float *, long, const float *, long, long, float *, long, int, long, long, const float *)

cdef enum:
    MOST_TILES = 64                        # tiles of a chunk, at most

cdef struct Tiles:
    long in_sizes[3]
    long out_sizes[3]
    long low[3]                            # zeros before the input along each axis
    Planes planes                          # of the input, and strides along rows and columns
    Phases phase
    long step, phases                      # stride along the depth; phases of a slice
    int taps, points, lines                # of a phase's row; of a transform: 5, 6 or 8; as many, or 1 without columns
    long square, values                    # values of a plane's tile; of all the planes that are transformed together
    long deep, height, side                # results of a tile: 1, or 4 with points along the depth; 1 or 4; 4 to 6
    long each, passes                      # points along the depth that are taken together; times that this is done
    long rows, columns, per_block          # tiles of a plane; of a block
    long total, parts, chunk               # tiles of all blocks; ranges that they are split into; tiles of a chunk

cdef struct Tile:
    long block, z, y, x                    # results from (z, y, x) on

cdef inline Tile tile_of(const Tiles *t, long i) noexcept nogil:
    cdef long inside = i % t.per_block, plane = t.rows * t.columns
    return Tile(i // t.per_block, inside // plane * t.deep, inside % plane // t.columns * t.height,
                inside % t.columns * t.side)

cdef inline long ahead_of(const Operand *o, size_t bytes, long elements) noexcept nogil:
    """How far ahead to ask for an array: 0 if a block of it, of so many bytes, is likely to be in the cache."""
    return 0 if o.place == LOCAL or bytes < 500000 else elements

cdef inline long slice_of(const Tiles *t, long z, long slice) noexcept nogil:
    """The depth in the input that a slice of the kernel meets, or -1."""
    cdef long d = z * t.step - t.low[0] + slice // t.phases
    return d if 0 <= d < t.in_sizes[0] else -1

cdef inline void having(const Tiles *t, long k, long channels, long depth, long *begin, long *end) noexcept nogil:
    """Which of the channels in all slices value k of a tile has."""
    begin[0], end[0] = 0, depth
    if t.deep == 1 and depth == t.phases:
        phases_with(&t.phase, t.lines > 1 and k // t.lines == t.lines - 1, (k + 1) % t.points == 0, begin, end)
    begin[0], end[0] = begin[0] * channels, end[0] * channels

cdef inline long same_row(const Tiles *t, const Tile *at, long i, long n) noexcept nogil:
    """How many of n tiles follow each other from tile i on in its row."""
    return min(n - i, t.columns - at[i].x // t.side)

cdef inline long cut(const Tiles *t, long begin, long end, long i, long chunks) noexcept nogil:
    """Where chunk i of a range of tiles begins: in threes, as registers hold them, if chunks are of such sizes; none is
    one tile after others."""
    cdef long unit = 1 if t.chunk % 3 else 3
    cdef long at = min(end, begin + ceil_div(end - begin, unit) * i // chunks * unit)
    return at - 1 if unit == 3 and at + 1 == end and 0 < i < chunks else at

cdef inline Tiles tiles_of(window, strides, long each=0) except *:
    """What does not depend on the sizes of planes. each: points along the depth at a time; 0: no points there."""
    cdef Tiles t
    memset(&t, 0, sizeof(t))
    t.taps, t.step, t.planes.dy, t.planes.dx = ceil_div(window[2], strides[2]), strides[0], strides[1], strides[2]
    cdef int points = 8 if window[1] == 1 or t.taps > 3 else t.taps + 3
    t.points, t.side, t.lines = points, points + 1 - t.taps, 1 if window[1] == 1 else points
    t.height = 1 if t.lines == 1 else t.side
    t.phase = Phases(1 if t.lines == 1 else t.planes.dy, t.planes.dx, 1, window[2] - (t.taps - 1) * t.planes.dx)
    if t.lines > 1:
        t.phase.full_rows = window[1] - (t.taps - 1) * t.planes.dy
    t.phases, t.square = t.phase.rows * t.phase.columns, points * t.lines
    t.deep, t.each, t.passes = (4, each, 6 // each) if each else (1, 1, 1)
    t.values = t.square * t.each
    return t

cdef inline Tiles tiles_for(in_sizes, out_sizes, low, window, strides, long pixel, long blocks, long parts,
                            long chunk, long each=0, bint of_input=False) except *:
    """Tiles of the results or, with `of_input`, of the rows and columns (and the depth, if it has points) of the
    input."""
    cdef Tiles t = tiles_of(window, strides, each)
    grid = in_sizes if of_input else out_sizes
    for i in range(3):
        t.in_sizes[i], t.out_sizes[i], t.low[i] = in_sizes[i], out_sizes[i], low[i]
    t.planes.pixel, t.planes.h, t.planes.w = pixel, t.in_sizes[1], t.in_sizes[2]
    t.rows, t.columns = ceil_div(grid[1], t.height), ceil_div(grid[2], t.side)
    t.per_block = t.rows * t.columns * (ceil_div(grid[0], t.deep) if each else out_sizes[0])
    t.total, t.parts, t.chunk = t.per_block * blocks, parts, chunk
    if chunk > MOST_TILES:
        raise ValueError(chunk)
    return t

cdef inline const float *folded(const Tiles *t, int matrix, long point, const float *x, long first, long y, long rows,
                               long x0, long columns, float *out) noexcept nogil:
    """Planes of the values of points along the depth, of which these rows and columns are there, in `out`.

    x: the first of the planes that there are; first: the number of the first that the values are of.
    """
    cdef long w = t.planes.w, pixel = t.planes.pixel, top = max(0, y), left = max(0, x0)
    rows, columns = min(t.planes.h, y + rows) - top, min(w, x0 + columns) - left
    fold_f32(matrix, point, t.each, x + (top * w + left) * pixel, t.planes.h * w * pixel, first, t.in_sizes[0],
             out + left * pixel, 6 * w * pixel, w * pixel, rows, columns, 1)
    return out - top * w * pixel

cdef inline void transform_inputs(const Tiles *t, const Operand *x, const Context *context, const Tile *at, long n,
                                  long slice, long first, long channels, long apart, long sample, float *zeros,
                                  float *v, long step, long tile, long line, long ahead) noexcept nogil:
    """V of n tiles for `channels` channels, each of which may be some side by side, of a slice; or for some points
    along the depth from number `slice` on.

    first: elements from a block, or from a sample of `sample` elements, to the first channel; apart: to the next one;
    zeros: a row of them, with room for planes behind it; step, tile, line: from value to value, from tile to tile, and
    from channel to channel of V.
    """
    cdef long i = 0, run, d, k, c, y, x0
    cdef long down, right
    cdef const float *plane
    cdef const float *values
    phase_at(&t.phase, slice % t.phases, &down, &right)
    down, right = down - t.low[1], right - t.low[2]
    while i < n:
        run, d, plane = same_row(t, at, i, n), slice_of(t, at[i].z, slice), NULL
        y, x0 = at[i].y * t.planes.dy + down, at[i].x * t.planes.dx + right
        if t.deep > 1 or d >= 0:
            plane = <const float *>address(x, at[i].block, context) + at[i].block * sample + first
        if t.deep > 1:
            for c in range(channels):
                values = folded(t, INPUTS, slice, plane + c * apart, at[i].z - t.low[0], y, t.lines, x0,
                                run * t.side + t.taps - 1, zeros + t.planes.w * t.planes.pixel)
                for k in range(t.each):
                    input_tiles_f32(t.taps, t.lines, values, zeros, &t.planes, y, x0, run,
                                    v + k * t.square * step + i * tile + c * line, step, tile, 1, 0, 0, 0)
                    values += 6 * t.planes.w * t.planes.pixel
        else:
            if d >= 0:
                plane += d * t.planes.h * t.planes.w * t.planes.pixel
            input_tiles_f32(t.taps, t.lines, plane, zeros, &t.planes, y, x0, run, v + i * tile, step, tile, channels,
                            apart, line, ahead)
        i += run

cdef struct Winograd:
    Operand x, w, u, y, bias, other        # u: a null pointer if each task is to make U
    Operand spots                          # a null pointer if nobody asks for them
    Tiles tiles
    Weights weights
    long channels, filters
    long depth                             # slices of the kernel whose products are added
    long groups, group                     # ranges of filters; filters that are multiplied together
    long phases                            # of the results: 1, or all that there are
    long steps[2]                          # from one to the next of a phase
    long sizes[2]                          # rows and columns of all
    int relu, past, cold                   # past: results go past the caches; cold: U comes from afar for each task
    int expects                            # where results go is asked for during the products
    int pooled                             # y is the max pooling of the results
    int transposed                         # tiles are of the input, and what they give is added up
    long v_step, u_step, m_step            # elements from one of the values to the next
    long u_groups, slices                  # groups of filters in U; slices of the channels, if it holds one at a time
    long planes                            # elements of room for planes of points along the depth, or for a strip
    int paired                             # products by pairs, see winograd_paired.h

cdef inline void spread_gradients(const Winograd *p, const Context *context, const Tile *at, long n, long slice,
                                  long channel, float *out, float *v) noexcept nogil:
    """V of n tiles for one channel by the transpose; arguments as of `transform_inputs`, `out` is room for a plane."""
    cdef long lanes = LANES_F32, i = 0, j, run, d, k
    cdef const Tiles *t = &p.tiles
    cdef long h = t.in_sizes[1], w = t.in_sizes[2]
    cdef const float *plane
    cdef const float *from_here
    while i < n:
        run, d = same_row(t, at, i, n), slice_of(t, at[i].z, slice)
        plane = <const float *>address(&p.x, at[i].block, context) + channel * t.in_sizes[0] * h * w * lanes
        if t.deep > 1:
            plane = folded(t, OUTPUTS, slice, plane, at[i].z, at[i].y, t.side, at[i].x, run * t.side, out)
        else:
            plane = plane + d * h * w * lanes if d >= 0 else NULL
        for k in range(t.each):
            for j in range(i, i + run):
                from_here = plane + (at[j].y * w + at[j].x) * lanes if plane else NULL
                spread_tile_f32(t.taps, from_here, w * lanes, h - at[j].y, w - at[j].x,
                                v + k * t.square * p.v_step + j * lanes, p.v_step)
            if t.deep > 1:
                plane += 6 * w * lanes
        i += run

cdef inline void transform_results(const Winograd *p, const Context *context, const Tile *at, long n, long point,
                                   long filter, long filters, const float *m, long line, float *planes) noexcept nogil:
    """What n tiles, for which M has been computed, are in the results of `filters` filters from number `filter` on.

    point: the first of the points along the depth that M is for, and planes: room for them, which are added up last;
    line: elements from filter to filter of M.
    """
    cdef long lanes = LANES_F32, i = 0, j, run, k, f
    cdef const Tiles *t = &p.tiles
    cdef long h = t.out_sizes[1], w = t.out_sizes[2], plane = h * w * lanes, room = 6 * w * lanes, y, x, rows, columns
    cdef bint last = point + t.each == 6 or t.deep == 1
    cdef const float *bias = <const float *>address(&p.bias, 0, context) if last else NULL
    cdef long ahead = 0 if t.deep > 1 or p.expects else ahead_of(
        &p.y, p.filters * t.out_sizes[0] * plane * sizeof(float), 2 * t.out_sizes[0] * plane)
    if p.past:
        ahead = -1
    cdef const float *other
    cdef const float *others
    cdef const float *values
    cdef float *first
    cdef float *to
    cdef float *out
    cdef float b
    while i < n:
        run = same_row(t, at, i, n)
        first = <float *>address(&p.y, at[i].block, context)
        others = <const float *>address(&p.other, at[i].block, context) if point == 0 else NULL
        y, x, rows, columns = at[i].y, at[i].x, t.height, run * t.side
        if p.transposed:
            y, x, rows, columns = y - t.low[1], x - t.low[2], rows + t.taps - 1, columns + t.taps - 1
        rows, columns, y, x = min(h, y + rows), min(w, x + columns), max(0, y), max(0, x)
        rows, columns = rows - y, columns - x
        for f in range(filters):
            to, other = first + (filter + f) * t.out_sizes[0] * plane, NULL
            if others:
                other = others + (filter + f) * t.out_sizes[0] * plane + (y * w + x) * lanes
            b, values = bias[filter + f] if bias else 0, m + f * line
            for k in range(t.each):
                out = to + at[i].z * plane if t.deep == 1 else planes + k * room - y * w * lanes
                if p.transposed:
                    if t.deep > 1:
                        memset(out + y * w * lanes, 0, room * sizeof(float))
                    for j in range(i, i + run):
                        gather_tile_f32(t.taps, values + k * t.square * p.m_step + j * lanes, p.m_step, out, h, w,
                                        at[j].y - t.low[1], at[j].x - t.low[2])
                else:
                    output_tiles_f32(t.taps, t.lines, values + k * t.square * p.m_step + i * lanes, p.m_step,
                                     b if t.deep == 1 else 0,
                                     other + at[i].z * plane if other and t.deep == 1 else NULL,
                                     p.relu and t.deep == 1, out + (y * w + x) * lanes, w * lanes, lanes, h - y,
                                     w - x, run, ahead)
            if t.deep > 1:
                to += (y * w + x) * lanes
                if point > 0 or p.transposed:
                    other = to
                unfold_f32(INPUTS if p.transposed else OUTPUTS, point, t.each, planes + x * lanes, room, to, plane,
                           at[i].z - (t.low[0] if p.transposed else 0), t.out_sizes[0], w * lanes, rows, columns,
                           other, b, p.relu and last, 1)
        i += run

cdef inline void expect_results(const Winograd *p, const Context *context, const Tile *at, long n, long filter,
                                long filters, long k) noexcept nogil:
    """Asks, during the products of value k, for its share of the memory that the results of n tiles go to: the products
    hardly use memory, and the transforms that follow them would wait for it."""
    cdef long i = 0, run, r, lanes = LANES_F32
    cdef const Tiles *t = &p.tiles
    cdef long h = t.out_sizes[1], line = t.out_sizes[2] * lanes * sizeof(float), plane = t.out_sizes[0] * h * line
    cdef char *y
    while i < n:
        run = same_row(t, at, i, n)
        y = address(&p.y, at[i].block, context) + filter * plane + (at[i].z * h + at[i].y) * line
        y += at[i].x * lanes * sizeof(float)
        for r in range(filters * t.height * k // t.values, filters * t.height * (k + 1) // t.values):
            if at[i].y + r % t.height < h:
                expect(y + r // t.height * plane + r % t.height * line,
                       min(t.out_sizes[2] - at[i].x, run * t.side) * lanes * sizeof(float))
        i += run

cdef inline void part_results(const Winograd *p, const Context *context, const Tile *at, long n, long phase,
                              long filter, long filters, const float *m, long apart) noexcept nogil:
    """What n tiles, for which M has been computed, are in a phase of the results of some filters."""
    cdef long lanes = LANES_F32, i = 0, run, rows, columns, f
    cdef const Tiles *t = &p.tiles
    cdef long dy = p.steps[0], dx = p.steps[1], down = phase // dx, right = phase % dx, line = p.sizes[1] * lanes
    cdef float *y
    while i < n:
        run = same_row(t, at, i, n)
        rows, columns = ceil_div(p.sizes[0] - down, dy) - at[i].y, ceil_div(p.sizes[1] - right, dx) - at[i].x
        y = <float *>address(&p.y, at[i].block, context) + (filter * t.out_sizes[0] + at[i].z) * p.sizes[0] * line
        y += (at[i].y * dy + down) * line + (at[i].x * dx + right) * lanes
        if rows > 0 and columns > 0:
            for f in range(filters):
                output_tiles_f32(t.taps, t.lines, m + f * apart + i * lanes, p.m_step, 0, NULL, 0, y, dy * line,
                                 dx * lanes, rows, columns, run, 0)
                y += t.out_sizes[0] * p.sizes[0] * line
        i += run

cdef inline bint lacks(const Weights *w, long phase, long k) noexcept nogil:
    """Whether a phase of the results does without value k of a tile, as it has no first or no last tap."""
    cdef long row = w.down + phase // w.across, column = w.right + phase % w.across, i = k // w.lines, j = k % w.lines
    if i == 0 and row >= w.kernel_rows or i == w.lines - 1 and row + w.dy * (w.taps - 1) < 0:
        return True
    return j == 0 and column >= w.kernel_columns or j == w.lines - 1 and column + w.dx * (w.taps - 1) < 0

cdef inline void pool_results(const Winograd *p, const Context *context, const Tile *at, long n, long filter,
                              long filters, const float *m, long line, float *strip) noexcept nogil:
    """What n tiles, for which M has been computed, are in the pooled results of some filters."""
    cdef const Tiles *t = &p.tiles
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    cdef float *y
    cdef uint8_t *spots
    cdef long i = 0, run, rows, columns, width = t.out_sizes[2] // 2, plane = t.out_sizes[1] // 2 * width, to, f
    cdef long ahead = ahead_of(&p.y, p.filters * plane * LANES_F32 * sizeof(float), 2 * plane * LANES_F32)
    if p.past:
        ahead = -1
    while i < n:
        run = same_row(t, at, i, n)
        rows, columns = min(t.height, t.out_sizes[1] - at[i].y), min(run * t.side, t.out_sizes[2] - at[i].x)
        y = <float *>address(&p.y, at[i].block, context)
        spots = <uint8_t *>address(&p.spots, at[i].block, context)
        for f in range(filters):
            output_tiles_f32(t.taps, t.lines, m + f * line + i * LANES_F32, p.m_step,
                             bias[filter + f] if bias else 0, NULL, p.relu, strip, run * t.side * LANES_F32,
                             LANES_F32, rows, columns, run, 0)
            to = ((filter + f) * plane + at[i].y // 2 * width + at[i].x // 2) * LANES_F32
            pool_with_spots(strip, run * t.side, rows // 2, columns // 2, y + to, spots + to if spots else NULL,
                            width, ahead)
        i += run
