// Depthwise convolution and its two gradients: each filter sees one channel, filter f channel f / each.
//
// Arrays and Geometry are those of convolution.cu, depth is 1. Window and strides of the last two axes are constants
// of the template: all loops over them are unrolled. There is no dilation along these axes. The first of three axes may
// have any window, stride and dilation.
//
// `depthwise`: a thread computes TY x TX neighbouring results of V neighbouring channels. It goes through the source
// (x; INPUT: the gradient of y) row by row, has each row in registers once, and adds it to all rows of results that it
// is part of: what is read more than once are the edges of such a patch, and those come from the cache. Neighbouring
// threads have neighbouring channels, or columns where channels are not last: a warp reads neighbouring memory.
//
// `depthwise_kernel`: the threads of a block share `lanes` vectors of filters. Each has the sums of all taps of a row
// and column window in registers, and takes every (256 / lanes)-th patch of TY x TX gradients of its block's part. The
// threads of a filter then add up theirs as a tree of shuffles in each warp, and the warps' sums in order.
// blockIdx.x: the filters, y: the tap along the first axis, z: the part; the parts are added afterwards, in order. So
// the bits depend on sizes alone.

#include "convolution.cu"

// How the patches of an array are counted: which divisors lead from the number of one to its place.
struct Depthwise {
    Geometry g;
    Fast vectors, across, down, deep;
};

// Along one axis: the window K and the stride S.
template <int MODE, int K, int S> struct Along {
    // How many places of the source N results need.
    static constexpr int needed(int n) { return MODE == INPUT ? (n - 1) / S + (K - 1) / S + 1 : (n - 1) * S + K; }
    // The tap by which result j meets place s of these; not in the window: none.
    static constexpr int tap(int j, int s) { return MODE == INPUT ? j - (s - (K - 1) / S) * S : s - j * S; }
    static constexpr bool meet(int j, int s) { return tap(j, s) >= 0 && tap(j, s) < K; }
    // The first result of patch i, and the first place that it needs. INPUT: patches begin where the stride does.
    static INLINE int begin(int i, int n, int pad) { return i * n - (MODE == INPUT ? pad % S : 0); }
    static INLINE int first(int at, int pad) { return MODE == INPUT ? (at + pad) / S - (K - 1) / S : at * S - pad; }
};

// The place along the first axis that tap t meets from place z; -1: none.
template <int MODE> INLINE int met_first(const Geometry& g, int z, int t)
{
    int at;
    if (MODE == INPUT) {
        at = z + g.pad[0] - t * g.dilation[0];
        if (at < 0 || at % g.stride[0]) return -1;
        at /= g.stride[0];
        return at < g.out[0] ? at : -1;
    }
    at = z * g.stride[0] - g.pad[0] + t * g.dilation[0];
    return at < g.size[0] ? at : -1;
}

template <typename T, int MODE, bool LAST, int KY, int KX, int SY, int SX, int TY, int TX, int V>
__global__ void __launch_bounds__(256, 2) depthwise(const T* __restrict__ source, const T* __restrict__ w,
                                                    T* __restrict__ result, const int* __restrict__ table, int n
                                                    EPILOGUE_PARAMETERS)
{
    typedef typename Wide<T>::type W;
    typedef Along<MODE, KY, SY> Y;
    typedef Along<MODE, KX, SX> X;
    const Depthwise& d = *(const Depthwise*)table;
    const Geometry& g = d.g;
    const int* size = MODE == INPUT ? g.size : g.out;
    const int* from = MODE == INPUT ? g.out : g.size;
    const int filters = g.each * g.groups, channels = MODE == INPUT ? g.groups : filters;
    const int channels_from = MODE == INPUT ? filters : g.groups, each = MODE == INPUT ? g.each : 1;
    int i = blockIdx.x * 256 + threadIdx.x, c, x, y, z;
    if (i >= n) return;
    if (LAST) i = d.vectors.split(i, c);
    i = d.deep.split(d.down.split(d.across.split(i, x), y), z);
    if (!LAST) i = d.vectors.split(i, c);
    c *= V;
    x = X::begin(x, TX, g.pad[2]);
    y = Y::begin(y, TY, g.pad[1]);
    const int first_x = X::first(x, g.pad[2]), first_y = Y::first(y, g.pad[1]), step = LAST ? channels_from : 1;

    W sum[TY][TX][V] = {};
    for (int t = 0; t < g.window[0]; ++t) {
        const int zt = met_first<MODE>(g, z, t);
        if (zt < 0) continue;
        for (int m = 0; m < each; ++m) {
            const int f = MODE == INPUT ? c * each + m : c, cf = MODE == INPUT ? f : g.by_each.quotient(c);
            const int plane = LAST ? i * from[0] + zt : (i * channels_from + cf) * from[0] + zt;
            Some<T, V> k[KY][KX];
#pragma unroll
            for (int ty = 0; ty < KY; ++ty)
#pragma unroll
                for (int tx = 0; tx < KX; ++tx)
                    k[ty][tx] = *(const Some<T, V>*)(w + ((t * KY + ty) * KX + tx) * filters + f);
#pragma unroll
            for (int sy = 0; sy < Y::needed(TY); ++sy) {
                Some<T, V> row[X::needed(TX)];
                const bool inside = first_y + sy >= 0 && first_y + sy < from[1];
                const int at = (plane * from[1] + first_y + sy) * from[2] * step + (LAST ? cf : 0);
#pragma unroll
                for (int sx = 0; sx < X::needed(TX); ++sx)
                    row[sx] = inside && first_x + sx >= 0 && first_x + sx < from[2]
                        ? *(const Some<T, V>*)(source + at + (first_x + sx) * step) : zeros<T, V>();
#pragma unroll
                for (int j = 0; j < TY; ++j)
                    if (Y::meet(j, sy))
#pragma unroll
                        for (int l = 0; l < TX; ++l)
#pragma unroll
                            for (int sx = 0; sx < X::needed(TX); ++sx)
                                if (X::meet(l, sx))
#pragma unroll
                                    for (int v = 0; v < V; ++v)
                                        sum[j][l][v] += (W)row[sx].v[v] * (W)k[Y::tap(j, sy)][X::tap(l, sx)].v[v];
            }
        }
    }
#pragma unroll
    for (int j = 0; j < TY; ++j)
#pragma unroll
        for (int l = 0; l < TX; ++l) {
            if (y + j < 0 || y + j >= size[1] || x + l < 0 || x + l >= size[2]) continue;
            const int at = LAST ? (((i * size[0] + z) * size[1] + y + j) * size[2] + x + l) * channels + c
                                : (((i * channels + c) * size[0] + z) * size[1] + y + j) * size[2] + x + l;
            W some[V];
#pragma unroll
            for (int v = 0; v < V; ++v) some[v] = (W)(T)sum[j][l][v];
            EPILOGUE_SOME(at, some, V)
        }
}

// R: the type of the results: T, or what sums are taken in, for parts.
template <typename T, typename R, bool LAST, int KY, int KX, int SY, int SX, int TY, int TX, int V>
__global__ void __launch_bounds__(256, 2) depthwise_kernel(const T* __restrict__ x, const T* __restrict__ dy,
                                                           R* __restrict__ dw, const int* __restrict__ table,
                                                           int lanes, int patches, int part_size)
{
    typedef typename Wide<T>::type W;
    typedef Along<FORWARD, KY, SY> Y;
    typedef Along<FORWARD, KX, SX> X;
    __shared__ W warps[8][KX][32 * V];
    const Depthwise& d = *(const Depthwise*)table;
    const Geometry& g = d.g;
    const int filters = g.each * g.groups, t = threadIdx.x, lane = t % lanes, wide = lanes * V;
    const int f = (blockIdx.x * lanes + lane) * V, c = g.by_each.quotient(f);
    const int step = LAST ? g.groups : 1, step_y = LAST ? filters : 1;
    const int first = blockIdx.z * part_size, last = first + part_size < patches ? first + part_size : patches;

    W sum[KY][KX][V] = {};
    for (int i = f < filters ? first + t / lanes : last; i < last; i += 256 / lanes) {
        int px, py, z;
        const int n = d.deep.split(d.down.split(d.across.split(i, px), py), z);
        px *= TX;
        py *= TY;
        const int zt = met_first<FORWARD>(g, z, blockIdx.y);
        if (zt < 0) continue;
        const int first_x = X::first(px, g.pad[2]), first_y = Y::first(py, g.pad[1]);
        const int plane = LAST ? n * g.size[0] + zt : (n * g.groups + c) * g.size[0] + zt;
        const int plane_y = LAST ? n * g.out[0] + z : (n * filters + f) * g.out[0] + z;
        Some<T, V> grad[TY][TX];
#pragma unroll
        for (int j = 0; j < TY; ++j)
#pragma unroll
            for (int l = 0; l < TX; ++l)
                grad[j][l] = py + j < g.out[1] && px + l < g.out[2]
                    ? *(const Some<T, V>*)(dy + ((plane_y * g.out[1] + py + j) * g.out[2] + px + l) * step_y
                                           + (LAST ? f : 0)) : zeros<T, V>();
#pragma unroll
        for (int sy = 0; sy < Y::needed(TY); ++sy) {
            const bool inside = first_y + sy >= 0 && first_y + sy < g.size[1];
            const int at = (plane * g.size[1] + first_y + sy) * g.size[2] * step + (LAST ? c : 0);
#pragma unroll
            for (int sx = 0; sx < X::needed(TX); ++sx) {
                const Some<T, V> value = inside && first_x + sx >= 0 && first_x + sx < g.size[2]
                    ? *(const Some<T, V>*)(x + at + (first_x + sx) * step) : zeros<T, V>();
#pragma unroll
                for (int j = 0; j < TY; ++j)
#pragma unroll
                    for (int l = 0; l < TX; ++l)
                        if (Y::meet(j, sy) && X::meet(l, sx))
#pragma unroll
                            for (int v = 0; v < V; ++v)
                                sum[Y::tap(j, sy)][X::tap(l, sx)][v] += (W)value.v[v] * (W)grad[j][l].v[v];
            }
        }
    }
#pragma unroll
    for (int ty = 0; ty < KY; ++ty) {
#pragma unroll
        for (int tx = 0; tx < KX; ++tx)
#pragma unroll
            for (int v = 0; v < V; ++v) {
                W s = sum[ty][tx][v];
                for (int o = 16; o >= lanes; o /= 2) s += __shfl_down_sync(0xffffffffu, s, o);
                if (t % 32 < lanes) warps[t / 32][tx][lane * V + v] = s;
            }
        __syncthreads();
        for (int e = t; e < KX * wide; e += 256) {
            const int tx = e / wide, at = blockIdx.x * wide + e % wide;
            W s = (W)0;
#pragma unroll
            for (int i = 0; i < 8; ++i) s += warps[i][tx][e % wide];
            if (at < filters)
                dw[((blockIdx.z * g.window[0] + blockIdx.y) * KY * KX + ty * KX + tx) * filters + at] = (R)s;
        }
        __syncthreads();
    }
}
