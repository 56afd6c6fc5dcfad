# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Matrix products.

dense: activations in the lanes layout, [block][feature][lane], times weights packed as [outputs / CB][input][CB]. A
tile is CB outputs x XB blocks; the inputs go by in chunks whose activations stay in cache. The task is a block (small
weights), or a range of outputs over all blocks (large weights, which are then read once). Weights that change from run
to run are not packed ahead then: a task copies those of its outputs and of a chunk, as [input][outputs], to its cache.

gemm: rows of B in the lanes (C order), scalars of A anywhere: element (row i, tap t) at a_taps[t] + i * a_row. So A may
be plain, transposed, or samples in lanes, for the gradient of a dense layer's weights. A tile is CB rows x XB
vectors; the task is a range of rows and columns of one of the products of a batch. Where B's rows lie badly in the
caches, or are columns of what is given, a task packs its part of B. A few rows or taps have kernels of their own.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (LOCAL, Context, Instruction, Kernel, Operand, address, ceil_div, elements,
                                           instruction, operand)

cdef extern from *:
    "#define TILES_HERE"

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
        long yc, yj, rows, skip, tiles, last
        const void *bias
        int accumulate, relu
        const void *ahead
        long ahead_step
    void (*packed_tiles_f32[9][9])(const Outer *)
    void (*packed_tiles_f64[9][9])(const Outer *)
    void (*strided_tiles_f32[9][9])(const Outer *)
    void (*strided_tiles_f64[9][9])(const Outer *)

cdef extern from "wide.h" nogil:
    const int WIDE_ROWS, WIDE_DEPTH
    void wide_tile(const Outer *, long, long, long, long, int)
    void copy_tiles(const float *, long, long, long, float *)

cdef extern from "winograd_f32_f64.h" nogil:
    void transposed_f32(const float *, long, long, float *, long, long)
    void transposed_f64(const double *, long, long, double *, long, long)
    void copy_rows_f32(const float *, long, long, long, float *, long, long)
    void copy_rows_f64(const double *, long, long, long, double *, long, long)
    void copy_columns_f32(const float *, long, long, long, long, float *)
    void copy_columns_f64(const double *, long, long, long, long, double *)

cdef extern from "row.h" nogil:
    void (*row_products[5])(const float *, const float *, long, long, const float *, int, float *, long)
    void thin_product(const float *, long, const int32_t *, const float *, long, long, const float *, float *, long,
                      long, long, long, int, int)
    void dot_products(const float *, long, long, const float *, long, long, const float *, int, float *, long, int)

ctypedef fused real:
    float
    double

cdef enum:
    DEPTH = 512          # taps of a chunk
    AHEAD = 4            # arrays that are asked for while a product is computed
    FAR = 1 << 18        # bytes; of larger matrices the next columns are asked for
    MEMORY = 1 << 23     # bytes; larger matrices are in no cache


cdef struct Dense:
    Operand x, w, y, bias
    long inputs, outputs, cb, xb
    long blocks                    # blocks of a task: all of them, or 1
    long tiles                     # tiles of outputs of a task
    long x_block, y_block          # elements from block to block
    long w_row, w_tap, width       # of weights that are not packed: from output to output, input to input; of a task
    const int32_t *xo
    int relu

cdef void copy_weights(const Dense *p, const real *w, long first, long taps, real *out) noexcept nogil:
    """[tap][width] from the output `first` on; w: from the first tap on. What lies beyond the outputs is not used."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long i, k, vectors = ceil_div(min(p.width, p.outputs - first), lanes)
    if p.w_row == 1:
        if real is float:
            copy_rows_f32(w + first, p.w_tap, taps, vectors, out, p.width, 8 * p.w_tap)
        else:
            copy_rows_f64(w + first, p.w_tap, taps, vectors, out, p.width, 8 * p.w_tap)
        return
    for i from 0 <= i < vectors * lanes by lanes:
        for k from 0 <= k < taps by lanes:
            if real is float:
                transposed_f32(w + (first + i) * p.w_row + k, p.w_row, p.outputs - first - i, out + k * p.width + i,
                               p.width, lanes)
            else:
                transposed_f64(w + (first + i) * p.w_row + k, p.w_row, p.outputs - first - i, out + k * p.width + i,
                               p.width, lanes)

cdef inline void ask_ahead(const Dense *p, const real *w, long k, long first, long last, long call, long calls,
                           Outer *t) noexcept nogil:
    """With each call of a tile, a part of the weights that are copied next: this task's or the next task's."""
    cdef long next = k + DEPTH if k + DEPTH < p.inputs else 0, size
    cdef const real *at = w + next * p.w_tap + (first if next else last) * p.cb * p.w_row
    t.ahead = NULL
    if next == 0 and last * p.cb >= p.outputs:
        return
    if p.w_row == 1:                     # a line of the cache in every row
        if call * 64 <= p.width * <long>sizeof(real):
            t.ahead, t.ahead_step = <const char *>at + call * 64, p.w_tap * sizeof(real)
    elif p.inputs <= DEPTH:
        size = p.width * p.w_row * sizeof(real)
        t.ahead, t.ahead_step = <const char *>at + size * call // calls, size // (calls * t.taps) + 1

cdef void dense_task(const Dense *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long block = 0 if p.tiles else task, first = task * p.tiles
    cdef long count = ceil_div(p.outputs, p.cb), nb = ceil_div(p.blocks, p.xb)
    cdef long last = min(count, first + p.tiles) if p.tiles else count
    cdef real *x = <real *>address(&p.x, block, context)
    cdef real *w = <real *>address(&p.w, 0, context)
    cdef real *y = <real *>address(&p.y, block, context)
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef long k = 0, f, i, a, b
    cdef bint copies = p.width and not (real is float and WIDE_ROWS)
    cdef Outer t
    memset(&t, 0, sizeof(t))
    t.xo, t.xj, t.yc, t.yj, t.wc = p.xo, p.x_block, lanes, p.y_block, p.cb
    while True:
        t.taps = min(DEPTH, p.inputs - k)
        if copies:
            t.wc = p.width
            copy_weights(p, w + k * p.w_tap, first * p.cb, t.taps, <real *>context.scratch)
        t.accumulate = k > 0
        t.relu = p.relu and k + t.taps == p.inputs
        for f in range(first, last):
            t.rows = min(p.cb, p.outputs - f * p.cb)
            t.bias = NULL if bias == NULL or k > 0 else bias + f * p.cb
            t.w = <real *>context.scratch + (f - first) * p.cb if copies else w + (f * p.inputs + k) * p.cb
            for i in range(nb):
                a, b = p.blocks * i // nb, p.blocks * (i + 1) // nb
                t.x = x + a * p.x_block + k * lanes
                t.y = y + a * p.y_block + f * p.cb * lanes
                if copies:
                    ask_ahead(p, w, k, first, last, (f - first) * nb + i, (last - first) * nb, &t)
                if real is float:
                    packed_tiles_f32[p.cb][b - a](&t)
                else:
                    packed_tiles_f64[p.cb][b - a](&t)
        k += DEPTH
        if k >= p.inputs:
            break

cdef void wide_task(const void *params, long task, const Context *context) noexcept nogil:
    """Pairs of blocks with all tiles of the task, chunk by chunk. Weights that are not packed are copied if rows of a
    tile lie side by side; else they are read where they are."""
    cdef const Dense *p = <const Dense *>params
    cdef long count = ceil_div(p.outputs, WIDE_ROWS), first = task * p.tiles, last = min(count, first + p.tiles)
    cdef long chunks = ceil_div(p.inputs, WIDE_DEPTH), chunk, f, i, k, end, next, call, nb = ceil_div(p.blocks, 2)
    cdef const float *x = <const float *>address(&p.x, 0, context)
    cdef const float *w = <const float *>address(&p.w, 0, context)
    cdef float *y = <float *>address(&p.y, 0, context)
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    cdef const float *later
    cdef bint copied = p.w_tap > 1
    cdef Outer t
    if not WIDE_ROWS:
        return
    memset(&t, 0, sizeof(t))
    t.xo, t.wo, t.yc, t.wc = p.xo, p.xo, LANES_F32, p.w_row if p.w_tap == 1 else 1
    for chunk in range(chunks):
        k, end = p.inputs * chunk // chunks, p.inputs * (chunk + 1) // chunks
        t.taps, t.accumulate, t.relu = end - k, chunk > 0, p.relu and end == p.inputs
        if copied:
            copy_tiles(w + k * p.w_tap + first * WIDE_ROWS, p.w_tap, t.taps, last - first, <float *>context.scratch)
        # What comes next of the weights: this task's next chunk, or the first one of the next task.
        next = first if end < p.inputs else last
        later = w + (end * p.w_tap if end < p.inputs else 0) + next * WIDE_ROWS * p.w_row
        for i in range(nb):
            t.xj, t.yj, t.last = p.x_block, p.y_block, LANES_F32
            if 2 * i + 1 == p.blocks:        # the last one twice, and once in vain
                t.xj, t.last = 0, 0
            for f in range(first, last):
                t.rows, t.skip, t.ahead, t.ahead_step = p.outputs - f * WIDE_ROWS, 0, NULL, 0
                call = f - first - 2
                if call < 0:                 # the next blocks' part, one of them with each of the first tiles
                    if 2 * i + 4 + call < p.blocks:
                        t.ahead, t.ahead_step = x + (2 * i + 4 + call) * p.x_block + k * LANES_F32, 4 * LANES_F32
                elif next < count and p.w_tap:
                    call += i * (last - first - 2)
                    if p.w_row == 1 and call * 16 <= (last - first) * WIDE_ROWS:
                        t.ahead, t.ahead_step = later + call * 16, p.w_tap * 4
                    elif p.w_row > 1 and call < min(last - first, count - 1 - next) * WIDE_ROWS:
                        t.ahead, t.ahead_step = later + call * p.w_row, 4
                t.x, t.bias = x + 2 * i * p.x_block + k * LANES_F32, bias + f * WIDE_ROWS if bias and k == 0 else NULL
                t.y = y + 2 * i * p.y_block + f * WIDE_ROWS * LANES_F32
                if p.w_tap == 0:
                    t.w = w + (f * p.inputs + k) * WIDE_ROWS
                elif copied:
                    t.w = <float *>context.scratch + (f - first) * (t.taps * WIDE_ROWS + LANES_F32)
                else:
                    t.w = w + f * WIDE_ROWS * p.w_row + k
                    if t.rows < WIDE_ROWS:   # the last rows; those of the tile before are there
                        t.skip, t.rows = WIDE_ROWS - t.rows, WIDE_ROWS
                        t.w = <const float *>t.w - t.skip * p.w_row
                        t.y = <float *>t.y - t.skip * LANES_F32
                        if t.bias:
                            t.bias = <const float *>t.bias - t.skip
                wide_tile(&t, LANES_F32, 1 if p.w_tap == 1 else WIDE_ROWS, 0, t.taps, False)

cdef void dense_f32(const void *p, long task, const Context *c) noexcept nogil:
    dense_task[float](<const Dense *>p, task, c, NULL)

cdef void dense_f64(const void *p, long task, const Context *c) noexcept nogil:
    dense_task[double](<const Dense *>p, task, c, NULL)


def dense(dtype, x, w, y, bias, *, inputs, outputs, cb, xb, blocks, tasks_of, x_block, y_block, xo, relu,
          w_row=0, w_tap=0):
    """y[output] = sum over inputs of w[input, output] * x[input] (+ bias, relu), samples in the lanes.

    tasks_of: 0 for one task a block, else the number of output tiles of a task, which then takes all blocks.
    w_row, w_tap: if w is not packed (then with tasks_of), elements from output to output and from input to input.
    Where wide.h has tiles, those of 6 rows and 2 blocks with tasks_of go by it, and other weights of float are packed.
    """
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef Dense p
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    p.inputs, p.outputs, p.cb, p.xb, p.relu = inputs, outputs, cb, xb, relu
    p.x_block, p.y_block = x_block, y_block
    p.xo = <const int32_t *>elements(xo, 4)
    p.blocks, p.tiles = blocks if tasks_of else 1, tasks_of
    p.w_row, p.w_tap, p.width = w_row, w_tap, ceil_div(tasks_of * cb, lanes) * lanes if w_tap else 0
    cdef size_t scratch = (min(DEPTH, inputs) + lanes) * p.width * (4 if dtype == "float32" else 8)
    cdef bint wide = WIDE_ROWS and dtype == "float32" and tasks_of and cb == WIDE_ROWS and xb == 2
    if wide:
        scratch = p.tiles * (min(WIDE_DEPTH, inputs) * WIDE_ROWS + lanes) * sizeof(float) if w_tap > 1 else 0
    return instruction(wide_task if wide else dense_f32 if dtype == "float32" else dense_f64, &p, sizeof(p),
                       ceil_div(ceil_div(outputs, cb), tasks_of) if tasks_of else blocks, scratch, (xo,))


cdef struct Gemm:
    Operand a, b, c, bias
    long m, n, k
    long a_row, b_row                # elements from row to row; those of c are n apart
    const int32_t *a_taps
    const int32_t *b_taps
    const int64_t *a_batch           # where the matrices of each product begin
    const int64_t *b_batch
    const int64_t *sections          # k in parts, each of `period`: where those of a begin
    const int64_t *b_sections        # and those of b; NULL if they are b_section apart
    long period, b_section, depth    # depth: taps of a chunk
    long rows, cols                  # of a task; cols are vectors
    long b_col                       # vectors from one column's part of B to the next: 1, or k where it is packed
    int pack                         # how tasks pack their part of B: see Packing
    long cb, xb
    int relu
    Operand ahead[AHEAD]
    int aheads, asks                 # asks: for what comes next of B
    long a_tap, a_part, a_ahead      # for the tiles of wide.h, of a: elements from tap to tap, so many taps, 0 without,
                                     # and elements from their end to the next ones

cdef enum Packing:
    NOT, COPIED, TURNED              # TURNED: B is given as [n][k]

cdef void pack_columns(const Gemm *p, const real *b, long k, long taps, long v0, long v1, real *out) noexcept nogil:
    """The columns' parts [columns / (xb vectors)][tap][xb vectors], from tap k on. What squares have beyond the taps
    goes where the next columns' part comes."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long wide = p.xb * lanes, v, i, t
    if p.pack == COPIED:
        if real is float:
            copy_columns_f32(b + k * p.n + v0 * lanes, p.n, taps, v1 - v0, p.xb, out)
        else:
            copy_columns_f64(b + k * p.n + v0 * lanes, p.n, taps, v1 - v0, p.xb, out)
        return
    for i in range(v0, v1):
        v = (i - v0) // p.xb * p.xb
        for t from 0 <= t < taps by lanes:
            if real is float:
                transposed_f32(b + i * lanes * p.k + k + t, p.k, p.n - i * lanes,
                               out + v * lanes * taps + t * wide + (i - v0 - v) * lanes, wide, 4 * lanes)
            else:
                transposed_f64(b + i * lanes * p.k + k + t, p.k, p.n - i * lanes,
                               out + v * lanes * taps + t * wide + (i - v0 - v) * lanes, wide, 4 * lanes)

cdef inline void ask_columns(const Gemm *p, const real *b, long k, long taps, long first, long last, long end,
                             long call, Outer *t) noexcept nogil:
    """With each call of a tile, a line of the cache in every row of what comes after the vectors from `first` to
    `last`: as many vectors of the same taps up to `end`, else of the next taps, or the next task's."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long next = last
    if last == end:
        k += taps
        if k < p.k:
            next = first
        else:
            k = 0
    t.ahead, t.ahead_step = NULL, 0
    if call < last - first and (next + call) * lanes < p.n:
        t.ahead, t.ahead_step = b + k * p.n + (next + call) * lanes, p.n * sizeof(real)

cdef void gemm_task(const Gemm *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long vectors = ceil_div(p.n, lanes)
    cdef long row_tasks = ceil_div(p.m, p.rows), col_tasks = ceil_div(vectors, p.cols)
    cdef long batch = task // (row_tasks * col_tasks)
    cdef long r0 = task // col_tasks % row_tasks * p.rows, v0 = task % col_tasks * p.cols
    cdef long r1 = min(p.m, r0 + p.rows), v1 = min(vectors, v0 + p.cols)
    cdef real *a = <real *>address(&p.a, 0, context) + p.a_batch[batch]
    cdef real *b = <real *>address(&p.b, 0, context) + p.b_batch[batch]
    cdef real *c = <real *>address(&p.c, r0 // p.rows, context) + batch * p.m * p.n
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef long nr = ceil_div(r1 - r0, p.cb), nv = ceil_div(v1 - v0, p.xb)
    cdef long k = 0, i, j, i0, i1, j0, j1, part, within, q, size = (r1 - r0) * p.n * sizeof(real), parts
    cdef long few = (r1 - r0) // nr, more = (r1 - r0) % nr
    cdef bint wide = real is float and WIDE_ROWS and p.a_part > 0
    cdef const real *a_part
    cdef const real *b_part
    cdef Outer t
    memset(&t, 0, sizeof(t))
    t.wc, t.yc, t.xj, t.yj = p.a_row, p.n, lanes, lanes
    while True:
        part, within = k // p.period, k % p.period
        a_part = a + p.sections[part]
        b_part = b + (p.b_sections[part] if p.b_sections else part * p.b_section)
        t.taps = min(p.depth if WIDE_ROWS else DEPTH, p.period - within)
        t.accumulate = k > 0
        t.relu = p.relu and k + t.taps == p.k
        t.xo, t.wo = p.b_taps + (0 if p.pack else within), p.a_taps + within
        if p.pack:
            pack_columns(p, b, k, t.taps, v0, v1, <real *>context.scratch)
        for j in range(nv):
            j0, j1 = v0 + (v1 - v0) * j // nv, v0 + (v1 - v0) * (j + 1) // nv
            if p.pack or p.b_col > 1:
                j0 = v0 + j * p.xb
                j1 = min(v1, j0 + p.xb)
            t.last = min(lanes, p.n - (j1 - 1) * lanes)
            t.x = b_part + j0 * lanes * p.b_col
            if p.pack:
                t.x = <real *>context.scratch + (j0 - v0) * lanes * t.taps
            t.bias = NULL if bias == NULL or k > 0 else bias + j0 * lanes
            # Tiles of two sizes, first the larger ones; all that are equal at once, but for what is asked for.
            i, i0 = 0, r0
            while i < nr:
                i1 = min(r1, i0 + p.cb) if wide else i0 + few + (i < more)
                t.tiles = 1 if p.aheads or p.asks or wide else more if i < more else nr - more
                if p.asks and p.pack:
                    ask_columns(p, b, k, t.taps, v0, v1, v1, j * nr + i, &t)
                elif p.asks and p.b_col > 1:     # the next columns' part, of which each tile asks for as much
                    t.ahead_step = p.xb * lanes * sizeof(real) // nr
                    t.ahead = <const real *>t.x + p.xb * lanes * (p.k + within)
                    t.ahead = <const char *>t.ahead + i * t.taps * t.ahead_step
                elif p.asks:
                    ask_columns(p, b, k, t.taps, j0, j1, v1, i, &t)
                t.w = a_part + i0 * p.a_row
                t.y = c + (i0 - r0) * p.n + j0 * lanes
                if p.aheads and k + t.taps == p.k:
                    # A part of one of the arrays with each tile, so that all have been asked for at the end.
                    q, parts = j * nr + i, ceil_div(nr * nv, p.aheads)
                    t.ahead = address(&p.ahead[q % p.aheads], 0, context) + r0 * p.n * sizeof(real) \
                        + size * (q // p.aheads) // parts
                    t.ahead_step = size // (parts * t.taps) + 1
                if real is float:
                    if wide and i1 - i0 == WIDE_ROWS and j1 - j0 == 2:
                        t.rows = WIDE_ROWS
                        wide_tile(&t, 2 * LANES_F32 if p.pack or p.b_col > 1 else p.n, p.a_tap, p.a_ahead, p.a_part,
                                  True)
                    else:
                        strided_tiles_f32[i1 - i0][j1 - j0](&t)
                else:
                    strided_tiles_f64[i1 - i0][j1 - j0](&t)
                i0 += (i1 - i0) * t.tiles
                i += t.tiles
        k += t.taps
        if k >= p.k:
            break

cdef void gemm_f32(const void *p, long task, const Context *c) noexcept nogil:
    gemm_task[float](<const Gemm *>p, task, c, NULL)

cdef void gemm_f64(const void *p, long task, const Context *c) noexcept nogil:
    gemm_task[double](<const Gemm *>p, task, c, NULL)

cdef void row_f32(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Gemm *p = <const Gemm *>params
    cdef long vectors = ceil_div(p.n, LANES_F32), tasks = ceil_div(vectors, p.cols), batch = task // tasks
    cdef long v0 = task % tasks * p.cols, v1 = min(vectors, v0 + p.cols)
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    row_products[v1 - v0](<const float *>address(&p.a, 0, context) + p.a_batch[batch],
                          <const float *>address(&p.b, 0, context) + p.b_batch[batch] + v0 * LANES_F32 * p.k,
                          p.cols * LANES_F32, p.k, bias + v0 * LANES_F32 if bias else NULL, p.relu,
                          <float *>address(&p.c, 0, context) + batch * p.n + v0 * LANES_F32,
                          min(LANES_F32, p.n - (v1 - 1) * LANES_F32))

cdef void thin_f32(const void *params, long task, const Context *context) noexcept nogil:
    """A few rows, or a few taps: B as it is, row by row. Or a few rows with those of a B that is to be turned."""
    cdef const Gemm *p = <const Gemm *>params
    cdef long vectors = ceil_div(p.n, LANES_F32), col_tasks = ceil_div(vectors, p.cols)
    cdef long row_tasks = ceil_div(p.m, p.rows), batch = task // (row_tasks * col_tasks)
    cdef long r0 = task // col_tasks % row_tasks * p.rows, v0 = task % col_tasks * p.cols
    cdef long r1 = min(p.m, r0 + p.rows), v1 = min(vectors, v0 + p.cols), n = min(v1 * LANES_F32, p.n) - v0 * LANES_F32
    cdef const float *a = <const float *>address(&p.a, 0, context) + p.a_batch[batch] + r0 * p.a_row
    cdef const float *b = <const float *>address(&p.b, 0, context) + p.b_batch[batch]
    cdef float *c = <float *>address(&p.c, r0 // p.rows, context) + batch * p.m * p.n + v0 * LANES_F32
    cdef const float *bias = <const float *>address(&p.bias, 0, context)
    cdef bint far = p.k * p.n * sizeof(float) > MEMORY
    if bias:
        bias += v0 * LANES_F32
    if p.pack == TURNED:
        dot_products(a, p.a_row, r1 - r0, b + v0 * LANES_F32 * p.k, n, p.k, bias, p.relu, c, p.n, far)
    else:
        thin_product(a, p.a_row, p.a_taps, b + v0 * LANES_F32, p.n, p.k, bias, c, p.n, r1 - r0, v1 - v0,
                     n - (v1 - v0 - 1) * LANES_F32, p.relu, far)


cdef int64_t START = 0

def gemm(dtype, a, b, c, bias, *, m, n, k, a_row, a_taps, b_taps, a_batch,
         b_batch, rows, cols, cb, xb, relu, packed=False, pack="", row=False, thin=False, sections=None, b_section=0,
         b_sections=None, ahead=()):
    """c = a @ b (+ bias, relu) for each product of a batch; m, n >= 1. rows, cols (vectors): the part of a task.

    Of a c in the thread's own memory there are only a task's rows. ahead: arrays like c of which what follows reads the
    same rows; a task has all columns then.

    packed: b is [n / (xb vectors)][k][xb vectors], so that a task reads it in its order; cols is a multiple of xb then.
    pack: "copied" or "turned" if tasks do that themselves, with their part of b, which is [n][k] if it is to be turned;
    b_taps are those of the copy. thin: float32, no packing, unless there is `ahead`: b is read as it is, row by row; if
    it is to be turned, times rows of a that lie side by side, and k is at least a vector. row: b is packed, a is a
    single row that lies side by side, and xb at most 4. sections: the taps repeat; a's begin at these places, b's
    b_section apart or at b_sections.
    Without sections a's taps are equally far apart, all or those in each vector's lanes; wide.h's tiles rely on it.
    """
    cdef Gemm p
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.a, p.b, p.c, p.bias = operand(a), operand(b), operand(c), operand(bias)
    p.c.stride = 0 if p.c.place == LOCAL else rows * n * (4 if dtype == "float32" else 8)
    p.m, p.n, p.k, p.a_row, p.b_row = m, n, k, a_row, n
    p.a_taps, p.b_taps = <const int32_t *>elements(a_taps, 4), <const int32_t *>elements(b_taps, 4)
    p.a_batch, p.b_batch = <const int64_t *>elements(a_batch, 8), <const int64_t *>elements(b_batch, 8)
    p.rows, p.cols, p.cb, p.xb, p.relu, p.b_col = rows, cols, cb, xb, relu, k if packed else 1
    p.pack = {"": NOT, "copied": COPIED, "turned": TURNED}[pack]
    cdef size_t scratch = 0
    if p.pack and not thin:
        scratch = (ceil_div(cols, xb) * min(DEPTH, k) + lanes) * xb * lanes * (4 if dtype == "float32" else 8)
    p.aheads = min(len(ahead), AHEAD)
    for i in range(p.aheads):
        p.ahead[i] = operand(ahead[i])
    p.asks = not (ahead or pack == "turned" or sections is not None) \
        and k * n * sizeof(float) > (MEMORY if packed else FAR)
    p.depth, p.a_part = DEPTH, 0
    if WIDE_ROWS and dtype == "float32" and cb == WIDE_ROWS and xb == 2 and sections is None and k > lanes:
        p.a_tap, p.a_part, p.a_ahead = p.a_taps[1] - p.a_taps[0], k, 0
        if p.a_taps[lanes] != lanes * p.a_tap:
            p.a_part, p.a_ahead = lanes, p.a_taps[lanes] - lanes * p.a_tap
        # Chunks of equal size, and of whole vectors.
        p.depth = ceil_div(k, ceil_div(k, WIDE_DEPTH) * lanes) * lanes
    p.sections, p.period, p.b_section, p.b_sections = &START, k, b_section, NULL
    if sections is not None:
        p.sections, p.period = <const int64_t *>elements(sections, 8), k // sections.shape[0]
    if b_sections is not None:
        p.b_sections = <const int64_t *>elements(b_sections, 8)
    tasks = a_batch.shape[0] * ceil_div(m, rows) * ceil_div(ceil_div(n, lanes), cols)
    cdef Kernel kernel = gemm_f32 if dtype == "float32" else gemm_f64
    if row and dtype == "float32":
        kernel = row_f32
    if thin and not ahead:
        kernel = thin_f32
    return instruction(kernel, &p, sizeof(p), tasks, scratch,
                       (a_taps, b_taps, a_batch, b_batch, sections, b_sections))
