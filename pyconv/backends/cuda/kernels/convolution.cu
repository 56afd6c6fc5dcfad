// Convolution over up to three axes and its two gradients, with groups, stride, dilation and padding.
//
// x: (batch, *size, channels), or (batch, channels, *size) unless `last`; y alike with `out` and filters; w: (*window,
// depth, filters), where depth = channels / groups, and `each` = filters / groups. `table` is a Geometry as 32-bit
// numbers, with what divides by its own; axes that a convolution does not have come first, with one element and a
// window of one. All arrays have fewer than 2**31 elements.
//
// `tiled`: each of the three is a matrix product per group, whose left matrix is gathered from an image while it is
// loaded (implicit GEMM; Chetlur et al., cuDNN: Efficient primitives for deep learning, 2014):
//
//   mode       rows                  columns      inner               left              right           result
//   FORWARD    output pixels         filters      (tap, channel)      x                 w               y
//   INPUT      input pixels          channels     (tap, filter)       y's gradient      w               x's gradient
//   KERNEL     (tap, channel)        filters      output pixels       x                 y's gradient    w's gradient
//
// A block of 256 threads computes SM x SN elements. In steps of SK along the inner axis it loads a piece of each matrix
// into shared memory, and each thread adds SM/16 x SN/16 products in registers; the next piece is on its way from
// global memory meanwhile. Threads are laid along whatever is contiguous in memory, and have four neighbours of the
// other axis, which they read from shared memory at once. V: how many neighbours are read at once from global memory:
// 4 if channels come last and the channels and filters of a group are multiples of 4, else 1. blockIdx.z: the group
// and, for KERNEL, the part of the inner axis; the parts are added afterwards, in order, so the bits do not depend on
// time.
//
// `direct_*`: one thread an element, for groups too small to fill tiles, and depthwise convolutions that depthwise.cu
// has no instance for.

#include "epilogue.cu"

// Division by a number that is known before the launch, of numbers below 2**31 (Granlund, Montgomery: Division by
// invariant integers using multiplication, 1994).
struct Fast {
    int by;
    unsigned factor;
    int shift;
    INLINE int quotient(int n) const { return (int)((__umulhi((unsigned)n, factor) + (unsigned)n) >> shift); }
    INLINE int split(int n, int& rest) const        // the quotient
    {
        const int q = quotient(n);
        rest = n - q * by;
        return q;
    }
};

struct Geometry {
    int batch, groups, depth, each, last;
    int size[3], out[3];
    int window[3], stride[3], dilation[3], pad[3];
    Fast by_size[3], by_out[3], by_window[3];       // [0]: by all elements
    Fast by_stride[3], by_depth, by_each, by_channels, by_filters;
};

enum { FORWARD, INPUT, KERNEL };

struct Three {
    int v[3];
};

INLINE int volume(const int* n) { return n[0] * n[1] * n[2]; }
INLINE int flat(const int* at, const int* n) { return (at[0] * n[1] + at[1]) * n[2] + at[2]; }

// The coordinates of element i of axes with these sizes.
INLINE Three split(int i, const Fast* by)
{
    Three p;
    p.v[0] = by[1].split(by[2].split(i, p.v[2]), p.v[1]);
    return p;
}

// The element of an image: sample, flat pixel, channel.
INLINE int element(const Geometry& g, int n, int pixel, int pixels, int channel, int channels)
{
    return g.last ? (n * pixels + pixel) * channels + channel : (n * channels + channel) * pixels + pixel;
}

// The flat input pixel that `tap` meets from the window of output `o`; -1 in the padding.
INLINE int met(const Geometry& g, const Three& o, const Three& tap)
{
    int at[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        at[k] = o.v[k] * g.stride[k] - g.pad[k] + tap.v[k] * g.dilation[k];
        if (at[k] < 0 || at[k] >= g.size[k]) return -1;
    }
    return flat(at, g.size);
}

// The flat output pixel whose window meets input `i` with `tap`; -1 if there is none.
INLINE int meeting(const Geometry& g, const Three& i, const Three& tap)
{
    int at[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const int q = i.v[k] + g.pad[k] - tap.v[k] * g.dilation[k];
        int rest;
        if (q < 0) return -1;
        at[k] = g.by_stride[k].split(q, rest);
        if (rest || at[k] >= g.out[k]) return -1;
    }
    return flat(at, g.out);
}

// A pixel with its sample, or a tap with its channel: what a row, or a place along the inner axis, stands for.
struct Spot {
    int n;              // the sample; the channel (INPUT: filter) within the group
    int index;          // of the pixel within the sample; of the tap within the window
    int at[3];          // coordinates: the sum of both (INPUT: the difference) are those of the element that they meet
};

template <int MODE> INLINE Spot pixel_spot(int i, const Geometry& g)
{
    const Fast* by = MODE == INPUT ? g.by_size : g.by_out;
    Spot s;
    s.n = by[0].split(i, s.index);
    const Three p = split(s.index, by);
#pragma unroll
    for (int k = 0; k < 3; ++k) s.at[k] = MODE == INPUT ? p.v[k] + g.pad[k] : p.v[k] * g.stride[k] - g.pad[k];
    return s;
}

template <int MODE> INLINE Spot tap_spot(int i, const Geometry& g)
{
    Spot s;
    s.index = (MODE == INPUT ? g.by_each : g.by_depth).split(i, s.n);
    const Three p = split(s.index, g.by_window);
#pragma unroll
    for (int k = 0; k < 3; ++k) s.at[k] = p.v[k] * g.dilation[k];
    return s;
}

// Which element of the image a pixel and a tap meet; -1 in the padding. first: the group's first channel.
template <int MODE>
INLINE int gathered_at(const Geometry& g, const Spot& pixel, const Spot& tap, int first, int channels)
{
    const int* size = MODE == INPUT ? g.out : g.size;
    int at[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        at[k] = MODE == INPUT ? pixel.at[k] - tap.at[k] : pixel.at[k] + tap.at[k];
        if (at[k] < 0) return -1;
        if (MODE == INPUT && g.stride[k] != 1) {
            int rest;
            at[k] = g.by_stride[k].split(at[k], rest);
            if (rest) return -1;
        }
        if (at[k] >= size[k]) return -1;
    }
    return element(g, pixel.n, flat(at, size), volume(size), first + tap.n, channels);
}

template <typename T, int V> INLINE Some<T, V> zeros()
{
    Some<T, V> s;
#pragma unroll
    for (int j = 0; j < V; ++j) s.v[j] = (T)0;
    return s;
}

// That element and those of the channels after it, V altogether; 0 in the padding.
template <typename T, int MODE, int V>
INLINE Some<T, V> gathered(const T* __restrict__ image, const Geometry& g, const Spot& pixel, const Spot& tap,
                           int first, int channels)
{
    const int at = gathered_at<MODE>(g, pixel, tap, first, channels);
    return at < 0 ? zeros<T, V>() : *(const Some<T, V>*)(image + at);
}

// The place in a tile of the i-th of a thread's N rows or columns: four neighbours at a time if `four`.
template <int N> INLINE int own_place(int who, int i, bool four)
{
    return four && N % 4 == 0 ? who * 4 + i % 4 + i / 4 * 64 : who + i * 16;
}

// How many blocks of a tile fit into a multiprocessor at least: the compiler has 80 or 128 registers a thread, which is
// enough for all without spills.
template <typename T, int SM, int SN> struct Blocks {
    static const int least = SM * SN < 128 * 128 && sizeof(T) == 4 ? 3 : 2;
};

template <typename T, int MODE, bool LAST, int SM, int SN, int SK, int V>
__global__ void __launch_bounds__(256, Blocks<T, SM, SN>::least) tiled(
    const T* __restrict__ left, const T* __restrict__ right, T* __restrict__ result, const int* __restrict__ table,
    int parts, int part_size EPILOGUE_PARAMETERS)
{
    enum { TM = SM / 16, TN = SN / 16, LA = SM * SK / 256 / V, LB = SN * SK < 256 * V ? 1 : SN * SK / 256 / V };
    // Whether neighbouring threads load neighbours along the inner axis, else along rows or columns.
    const bool A_INNER = (MODE == KERNEL) != LAST;
    const bool B_INNER = MODE == INPUT || (MODE == KERNEL && !LAST);
    // Results are contiguous along columns, except images with their channels first.
    const bool ALONG_ROWS = MODE != KERNEL && !LAST;

    __shared__ __align__(32) T a[SK][SM + 4];
    __shared__ __align__(32) T b[SK][SN + 4];
    __shared__ Spot row_spots[SM];
    __shared__ Spot inner_spots[SK];            // of the piece that is loaded next
    const Geometry& g = *(const Geometry*)table;
    const int t = threadIdx.x, group = blockIdx.z / parts, part = blockIdx.z % parts;
    const int outs = volume(g.out), sizes = volume(g.size), taps = volume(g.window), filters = g.each * g.groups;
    const int rows = MODE == FORWARD ? g.batch * outs : MODE == INPUT ? g.batch * sizes : taps * g.depth;
    const int columns = MODE == INPUT ? g.depth : g.each;
    const int own = MODE == INPUT ? g.each : g.depth;            // channels of the gathered image in this group
    const int inner = MODE == KERNEL ? g.batch * outs : taps * own;
    const int first = part * part_size, last = first + part_size < inner ? first + part_size : inner;
    const int row0 = blockIdx.x * SM, column0 = blockIdx.y * SN;

    if (t < SM && row0 + t < rows) row_spots[t] = MODE == KERNEL ? tap_spot<MODE>(row0 + t, g)
                                                                 : pixel_spot<MODE>(row0 + t, g);
    if (t < SK && first + t < last) inner_spots[t] = MODE == KERNEL ? pixel_spot<MODE>(first + t, g)
                                                                    : tap_spot<MODE>(first + t, g);
    Some<T, V> next_a[LA], next_b[LB];
    T sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sum[i][j] = (T)0;
    __syncthreads();

    for (int step = first - SK; step < last; step += SK) {
        const int k0 = step + SK;           // the piece to load now; that of `step` is multiplied
        if (k0 < last) {
#pragma unroll
            for (int l = 0; l < LA; ++l) {
                const int e = (t + l * 256) * V, k = A_INNER ? e % SK : e / SM, m = A_INNER ? e / SK : e % SM;
                next_a[l] = zeros<T, V>();
                if (k0 + k < last && row0 + m < rows)
                    next_a[l] = gathered<T, MODE, V>(left, g, MODE == KERNEL ? inner_spots[k] : row_spots[m],
                                                  MODE == KERNEL ? row_spots[m] : inner_spots[k], group * own,
                                                  own * g.groups);
            }
#pragma unroll
            for (int l = 0; l < LB; ++l) {
                const int e = (t + l * 256) * V;
                next_b[l] = zeros<T, V>();
                if (e >= SN * SK) continue;
                const int k = B_INNER ? e % SK : e / SN, c = column0 + (B_INNER ? e / SK : e % SN);
                if (k0 + k >= last || c >= columns) continue;
                int at;
                if (MODE == FORWARD) at = (k0 + k) * filters + group * g.each + c;
                else {
                    const Spot& s = inner_spots[k];
                    at = MODE == INPUT ? (s.index * g.depth + c) * filters + group * g.each + s.n
                                       : element(g, s.n, s.index, outs, group * g.each + c, filters);
                }
                next_b[l] = *(const Some<T, V>*)(right + at);
            }
        }
        if (step >= first) {
#pragma unroll
            for (int k = 0; k < SK; ++k) {
                T x[TM], y[TN];
#pragma unroll
                for (int i = 0; i < TM; ++i) x[i] = a[k][own_place<TM>(ALONG_ROWS ? t % 16 : t / 16, i, !ALONG_ROWS)];
#pragma unroll
                for (int j = 0; j < TN; ++j) y[j] = b[k][own_place<TN>(ALONG_ROWS ? t / 16 : t % 16, j, ALONG_ROWS)];
#pragma unroll
                for (int i = 0; i < TM; ++i)
#pragma unroll
                    for (int j = 0; j < TN; ++j) sum[i][j] += x[i] * y[j];
            }
        }
        __syncthreads();
        if (k0 < last) {
#pragma unroll
            for (int l = 0; l < LA; ++l) {
                const int e = (t + l * 256) * V;
                if (A_INNER)
#pragma unroll
                    for (int j = 0; j < V; ++j) a[e % SK + j][e / SK] = next_a[l].v[j];
                else *(Some<T, V>*)&a[e / SM][e % SM] = next_a[l];
            }
#pragma unroll
            for (int l = 0; l < LB; ++l) {
                const int e = (t + l * 256) * V;
                if (e >= SN * SK) continue;
                if (B_INNER)
#pragma unroll
                    for (int j = 0; j < V; ++j) b[e % SK + j][e / SK] = next_b[l].v[j];
                else *(Some<T, V>*)&b[e / SN][e % SN] = next_b[l];
            }
            const int k = k0 + SK + t;
            if (t < SK && k < last) inner_spots[t] = MODE == KERNEL ? pixel_spot<MODE>(k, g) : tap_spot<MODE>(k, g);
            __syncthreads();
        }
    }

#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int m = own_place<TM>(ALONG_ROWS ? t % 16 : t / 16, i, !ALONG_ROWS);
        if (row0 + m >= rows) continue;
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int c = column0 + own_place<TN>(ALONG_ROWS ? t / 16 : t % 16, j, ALONG_ROWS);
            if (c >= columns) continue;
            if constexpr (MODE == KERNEL) result[(part * rows + row0 + m) * filters + group * g.each + c] = sum[i][j];
            else EPILOGUE(element(g, row_spots[m].n, row_spots[m].index, MODE == INPUT ? sizes : outs,
                                  group * columns + c, columns * g.groups), sum[i][j])
        }
    }
}

#define EACH_TAP(g) \
    for (int t0 = 0, tap = 0; t0 < g.window[0]; ++t0) \
        for (int t1 = 0; t1 < g.window[1]; ++t1) \
            for (int t2 = 0; t2 < g.window[2]; ++t2, ++tap)

// Element i of an image: sample, pixel, channel.
struct Place {
    int n, c;
    Three at;
};

INLINE Place locate(int i, const Geometry& g, const Fast* by, const Fast& by_channels)
{
    Place p;
    int pixel;
    if (g.last) p.n = by[0].split(by_channels.split(i, p.c), pixel);
    else p.n = by_channels.split(by[0].split(i, pixel), p.c);
    p.at = split(pixel, by);
    return p;
}

template <typename T>
__global__ void __launch_bounds__(256, 4) direct_forward(const T* __restrict__ x, const T* __restrict__ w,
                                                      T* __restrict__ result, const int* __restrict__ table, int n
                                                      EPILOGUE_PARAMETERS)
{
    const Geometry& g = *(const Geometry*)table;
    const int filters = g.each * g.groups, channels = g.depth * g.groups, sizes = volume(g.size);
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.by_out, g.by_filters);
        const int c0 = g.by_each.quotient(p.c) * g.depth;
        typename Wide<T>::type sum = 0;
        EACH_TAP(g) {
            const int at = met(g, p.at, Three{{t0, t1, t2}});
            if (at < 0) continue;
            for (int d = 0; d < g.depth; ++d)
                sum += x[element(g, p.n, at, sizes, c0 + d, channels)] * w[(tap * g.depth + d) * filters + p.c];
        }
        EPILOGUE(i, (typename Wide<T>::type)(T)sum)
    }
}

template <typename T>
__global__ void __launch_bounds__(256, 4) direct_input(const T* __restrict__ dy, const T* __restrict__ w,
                                                    T* __restrict__ result, const int* __restrict__ table, int n
                                                      EPILOGUE_PARAMETERS)
{
    const Geometry& g = *(const Geometry*)table;
    const int filters = g.each * g.groups, outs = volume(g.out);
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.by_size, g.by_channels);
        int d;
        const int f0 = g.by_depth.split(p.c, d) * g.each;
        typename Wide<T>::type sum = 0;
        EACH_TAP(g) {
            const int at = meeting(g, p.at, Three{{t0, t1, t2}});
            if (at < 0) continue;
            for (int f = f0; f < f0 + g.each; ++f)
                sum += dy[element(g, p.n, at, outs, f, filters)] * w[(tap * g.depth + d) * filters + f];
        }
        EPILOGUE(i, (typename Wide<T>::type)(T)sum)
    }
}

// A block adds up the products of `lanes` filters (a power of two, neighbours in memory if channels are last), of one
// tap and channel of their groups, over one part of the output pixels. R: as in `convolve` of tensor.cu.
template <typename T, typename R>
__global__ void __launch_bounds__(256, 4) direct_kernel(const T* __restrict__ x, const T* __restrict__ dy,
                                                        R* __restrict__ dw, const int* __restrict__ table, int lanes,
                                                        int part_size)
{
    typedef typename Wide<T>::type W;
    __shared__ W warps[8][32];
    const Geometry& g = *(const Geometry*)table;
    const int filters = g.each * g.groups, channels = g.depth * g.groups, outs = volume(g.out), sizes = volume(g.size);
    const int t = threadIdx.x, lane = t % lanes, f = blockIdx.x * lanes + lane, d = blockIdx.y % g.depth;
    const Three tap = split(blockIdx.y / g.depth, g.by_window);
    const int c = f / g.each * g.depth + d, all = g.batch * outs;
    const int first = blockIdx.z * part_size, last = first + part_size < all ? first + part_size : all;
    W sum = 0;
    for (int i = f < filters ? first + t / lanes : last; i < last; i += 256 / lanes) {
        int o;
        const int n = g.by_out[0].split(i, o), at = met(g, split(o, g.by_out), tap);
        if (at >= 0) sum += x[element(g, n, at, sizes, c, channels)] * dy[element(g, n, o, outs, f, filters)];
    }
    for (int o = 16; o >= lanes; o /= 2) sum += __shfl_down_sync(0xffffffffu, sum, o);
    if (t % 32 < lanes) warps[t / 32][lane] = sum;
    __syncthreads();
    if (t < lanes && f < filters) {
        sum = 0;
        for (int i = 0; i < 8; ++i) sum += warps[i][lane];
        dw[(blockIdx.z * gridDim.y + blockIdx.y) * filters + f] = (R)sum;
    }
}
