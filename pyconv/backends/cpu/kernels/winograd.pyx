# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Convolution with 3 x 3 or 5 x 5 kernels and stride 1 by Winograd's algorithm, samples in the lanes.

Layouts as in convolution.pyx. In chunks of XB tiles, numbered row by row over the plane of results: the tiles of all
channels are transformed into V[36][channel][tile], 36 products with the transformed weights U[36][filters / CB]
[channel][CB] give M[36][filter][tile] (a tile of CB filters x XB image tiles in registers), and M is transformed into
results, with bias and relu. V and M of a chunk stay in the second-level cache. Kernels with depth are sums over their
slices, whose channels follow each other. The task is a block.

The gradient for the input is the same with the kernel turned around and its channels and filters exchanged.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

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
        long yc, yj, rows, last
        const void *bias
        int accumulate, relu
    void (*packed_tiles_f32[9][9])(const Outer *)
    void (*packed_tiles_f64[9][9])(const Outer *)
    void input_tile_f32(const float *, long, long, long, long, float *, long)
    void input_tile_f64(const double *, long, long, long, long, double *, long)
    void output_tile_f32(const float *, long, int, float, int, float *, long, long, long)
    void output_tile_f64(const double *, long, int, double, int, double *, long, long, long)
    void weights_f32(const float *, long, long, int, float *)
    void weights_f64(const double *, long, long, int, double *)

ctypedef fused real:
    float
    double


cdef struct Weights:
    Operand w, out
    long channels, filters, depth, cb, size
    long w_other, w_slice, w_line, w_tap      # elements from one to the next in w
    long origin                               # of the first tap (the last one, if turned around)
    int across_filters                        # which of the two lie side by side in w: filters or channels

cdef void weights_task(const Weights *p, long task, const Context *context, real *tag) noexcept nogil:
    """One slice of one channel with all filters, or of one filter with all channels."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *w = <const real *>address(&p.w, 0, context) + p.origin
    cdef real *out = <real *>address(&p.out, 0, context)
    cdef real *target
    cdef long total = p.channels * p.depth, blocks = ceil_div(p.filters, p.cb), plane = blocks * total * p.cb
    cdef long n = p.filters if p.across_filters else p.channels
    cdef long others = p.channels if p.across_filters else p.filters
    cdef long other = task % others, slice = task // others
    cdef long at = 0, i, c, f, k
    cdef real values[36 * 16]
    w += other * p.w_other + slice * p.w_slice
    while at < n:
        if real is float:
            weights_f32(w + at, p.w_line, p.w_tap, p.size, values)
        else:
            weights_f64(w + at, p.w_line, p.w_tap, p.size, values)
        for i in range(min(lanes, n - at)):
            if p.across_filters:
                c, f = other, at + i
            else:
                c, f = at + i, other
            target = out + (f // p.cb * total + slice * p.channels + c) * p.cb + f % p.cb
            for k in range(36):
                target[k * plane] = values[k * lanes + i]
        at += lanes

cdef void weights_run_f32(const void *p, long task, const Context *c) noexcept nogil:
    weights_task[float](<const Weights *>p, task, c, NULL)
cdef void weights_run_f64(const void *p, long task, const Context *c) noexcept nogil:
    weights_task[double](<const Weights *>p, task, c, NULL)

def weights(dtype, w, out, *, channels, filters, depth, cb, size, across_filters, w_other, w_slice, w_line, w_tap,
            origin):
    """Transform the weights of a `size` x `size` kernel; the strides w_* may be negative."""
    cdef Weights p
    p.w, p.out = operand(w), operand(out)
    p.channels, p.filters, p.depth, p.cb, p.size = channels, filters, depth, cb, size
    p.across_filters, p.w_other, p.w_slice, p.w_line, p.w_tap = across_filters, w_other, w_slice, w_line, w_tap
    p.origin = origin
    return instruction(weights_run_f32 if dtype == "float32" else weights_run_f64, &p, sizeof(p),
                       depth * (channels if across_filters else filters), 0, None)


cdef struct Winograd:
    Operand x, w, y, bias
    long channels, filters, depth          # depth: slices of the kernel
    long in_sizes[3]
    long out_sizes[3]
    long low[3]                            # zeros before the input along each axis
    long tile, cb, xb                      # outputs of a tile along an axis; filters and image tiles of a register tile
    const int32_t *xo
    int relu

cdef void winograd_task(const Winograd *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef const real *u = <const real *>address(&p.w, 0, context)
    cdef const real *bias = <const real *>address(&p.bias, 0, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef long h = p.in_sizes[1], w = p.in_sizes[2], oh = p.out_sizes[1], ow = p.out_sizes[2]
    cdef long plane = h * w * lanes, out_plane = oh * ow * lanes
    cdef long ty = ceil_div(oh, p.tile), tx = ceil_div(ow, p.tile), tiles = ty * tx
    cdef long chunks = ceil_div(tiles, p.xb), blocks = ceil_div(p.filters, p.cb)
    cdef long total = p.channels * p.depth
    cdef real *v = <real *>context.scratch
    cdef real *m = v + 36 * total * p.xb * lanes
    cdef long z, i, first, n, c, s, k, f, t, r, q, used, begin
    cdef Outer o
    memset(&o, 0, sizeof(o))
    o.xo, o.xj, o.yj = p.xo, lanes, lanes
    o.yc = p.xb * lanes
    for z in range(p.out_sizes[0]):
        # Slices of the kernel that meet the input; the others are left out.
        begin = max(0, p.low[0] - z)
        used = min(p.depth, p.in_sizes[0] + p.low[0] - z) - begin
        for i in range(chunks):
            first = tiles * i // chunks
            n = tiles * (i + 1) // chunks - first
            for s in range(used):
                for c in range(p.channels):
                    for t in range(n):
                        r, q = (first + t) // tx * p.tile - p.low[1], (first + t) % tx * p.tile - p.low[2]
                        if real is float:
                            input_tile_f32(x + (c * p.in_sizes[0] + z - p.low[0] + begin + s) * plane, h, w, r, q,
                                           v + ((s * p.channels + c) * p.xb + t) * lanes, total * p.xb * lanes)
                        else:
                            input_tile_f64(x + (c * p.in_sizes[0] + z - p.low[0] + begin + s) * plane, h, w, r, q,
                                           v + ((s * p.channels + c) * p.xb + t) * lanes, total * p.xb * lanes)
            o.taps = max(0, used) * p.channels
            for k in range(36):
                o.x = v + k * total * p.xb * lanes
                for f in range(blocks):
                    o.w = u + ((k * blocks + f) * total + begin * p.channels) * p.cb
                    o.rows = min(p.cb, p.filters - f * p.cb)
                    o.y = m + (k * p.filters + f * p.cb) * p.xb * lanes
                    if real is float:
                        packed_tiles_f32[p.cb][n](&o)
                    else:
                        packed_tiles_f64[p.cb][n](&o)
            for f in range(p.filters):
                for t in range(n):
                    r, q = (first + t) // tx * p.tile, (first + t) % tx * p.tile
                    if real is float:
                        output_tile_f32(m + (f * p.xb + t) * lanes, p.filters * p.xb * lanes, p.tile,
                                        bias[f] if bias else 0, p.relu,
                                        y + (f * p.out_sizes[0] + z) * out_plane + (r * ow + q) * lanes, ow * lanes,
                                        min(p.tile, oh - r), min(p.tile, ow - q))
                    else:
                        output_tile_f64(m + (f * p.xb + t) * lanes, p.filters * p.xb * lanes, p.tile,
                                        bias[f] if bias else 0, p.relu,
                                        y + (f * p.out_sizes[0] + z) * out_plane + (r * ow + q) * lanes, ow * lanes,
                                        min(p.tile, oh - r), min(p.tile, ow - q))

cdef void winograd_f32(const void *p, long task, const Context *c) noexcept nogil:
    winograd_task[float](<const Winograd *>p, task, c, NULL)
cdef void winograd_f64(const void *p, long task, const Context *c) noexcept nogil:
    winograd_task[double](<const Winograd *>p, task, c, NULL)

def winograd(dtype, x, w, y, bias, *, blocks, channels, filters, depth, in_sizes, out_sizes, low, tile, cb, xb,
             xo, relu):
    """y = x * w (+ bias, relu) with weights from `weights`; three sizes each for depth, rows and columns."""
    cdef Winograd p
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    p.channels, p.filters, p.depth, p.tile, p.cb, p.xb, p.relu = channels, filters, depth, tile, cb, xb, relu
    for i in range(3):
        p.in_sizes[i], p.out_sizes[i], p.low[i] = in_sizes[i], out_sizes[i], low[i]
    p.xo = <const int32_t *>elements(xo, 4)
    cdef size_t scratch = 36 * (channels * depth + filters) * xb * lanes * (4 if dtype == "float32" else 8)
    return instruction(winograd_f32 if dtype == "float32" else winograd_f64, &p, sizeof(p), blocks, scratch, (xo,))
