// Pooling over up to three axes, and its gradients.
//
// One thread a result, in the order of memory. Gradients are gathered: the thread of an input element adds up the
// windows that it is part of, in order, so nothing is added atomically. `g` is a Geometry as 32-bit numbers; axes that
// the pooling does not have come first, with one element and a window of one.

// Kernels are compiled for four blocks of 256 threads on a multiprocessor at least: without that bound, NVRTC 13.0
// saves registers by spilling some of these to memory.

struct Geometry {
    int batch, channels, last;               // last: channels are the last axis, else the second
    int size[3], out[3];                     // of the input and of the result
    int window[3], stride[3], dilation[3], pad[3];
};

// Where element i of an array with these spatial sizes is: sample, channel and coordinates.
struct Place {
    int n, c, at[3];
};

INLINE Place locate(int i, const Geometry& g, const int* size)
{
    Place p;
    if (g.last) {
        p.c = i % g.channels;
        i /= g.channels;
    }
    for (int k = 2; k >= 0; --k) {
        p.at[k] = i % size[k];
        i /= size[k];
    }
    if (!g.last) {
        p.c = i % g.channels;
        i /= g.channels;
    }
    p.n = i;
    return p;
}

// The index of the element at these coordinates, for the same sample and channel.
INLINE int element(const Place& p, const Geometry& g, const int* size, int a, int b, int c)
{
    const int spatial = (a * size[1] + b) * size[2] + c, all = size[0] * size[1] * size[2];
    return g.last ? (p.n * all + spatial) * g.channels + p.c : (p.n * g.channels + p.c) * all + spatial;
}

#define EACH_TAP(t, g) \
    for (int t##0 = 0; t##0 < g.window[0]; ++t##0) \
        for (int t##1 = 0; t##1 < g.window[1]; ++t##1) \
            for (int t##2 = 0; t##2 < g.window[2]; ++t##2)

// The input coordinate that tap t of window o meets along axis k.
INLINE int met(const Geometry& g, int k, int o, int t) { return o * g.stride[k] - g.pad[k] + t * g.dilation[k]; }

// The window that meets input coordinate i with its tap t, or -1.
INLINE int meeting(const Geometry& g, int k, int i, int t)
{
    const int q = i + g.pad[k] - t * g.dilation[k];
    return q >= 0 && q % g.stride[k] == 0 && q / g.stride[k] < g.out[k] ? q / g.stride[k] : -1;
}

INLINE bool inside(int i, int n) { return i >= 0 && i < n; }

// y: the maxima (may be null); where: the input element of each, counted within the whole array (may be null). A later
// element wins only if it is larger, or the first NaN.
template <typename T>
__global__ void __launch_bounds__(256, 4) max_pool(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ where,
                                                const int* __restrict__ table, int n)
{
    const Geometry& g = *(const Geometry*)table;
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.out);
        T best = (T)0;
        int at = -1;
        EACH_TAP(t, g) {
            const int a = met(g, 0, p.at[0], t0), b = met(g, 1, p.at[1], t1), c = met(g, 2, p.at[2], t2);
            if (!inside(a, g.size[0]) || !inside(b, g.size[1]) || !inside(c, g.size[2])) continue;
            const int e = element(p, g, g.size, a, b, c);
            const T v = x[e];
            if (at < 0 || v > best || (is_nan(v) && !is_nan(best))) {
                best = v;
                at = e;
            }
        }
        if (y) y[i] = best;
        if (where) where[i] = at;
    }
}

template <typename T>
__global__ void __launch_bounds__(256, 4) max_pool_gradient(const int* __restrict__ where, const T* __restrict__ grad,
                                                         T* __restrict__ dx, const int* __restrict__ table, int n)
{
    const Geometry& g = *(const Geometry*)table;
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.size);
        typename Wide<T>::type sum = 0;
        EACH_TAP(t, g) {
            const int a = meeting(g, 0, p.at[0], t0), b = meeting(g, 1, p.at[1], t1), c = meeting(g, 2, p.at[2], t2);
            if (a < 0 || b < 0 || c < 0) continue;
            const int o = element(p, g, g.out, a, b, c);
            if (where[o] == i) sum += grad[o];
        }
        dx[i] = (T)sum;
    }
}

// What the sum of a window is divided by. divisor: 0, by 1; 1, by the size of the window; 2, by the elements it holds.
INLINE int divided_by(const Geometry& g, int divisor, int a, int b, int c)
{
    const int o[3] = {a, b, c};
    int product = 1;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        int held = 0;
        for (int t = 0; t < g.window[k]; ++t) held += divisor == 1 || inside(met(g, k, o[k], t), g.size[k]);
        product *= held;
    }
    return divisor == 0 ? 1 : product;
}

template <typename T>
__global__ void __launch_bounds__(256, 4) avg_pool(const T* __restrict__ x, T* __restrict__ y,
                                                const int* __restrict__ table, int divisor, int n)
{
    const Geometry& g = *(const Geometry*)table;
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.out);
        typename Wide<T>::type sum = 0;
        EACH_TAP(t, g) {
            const int a = met(g, 0, p.at[0], t0), b = met(g, 1, p.at[1], t1), c = met(g, 2, p.at[2], t2);
            if (inside(a, g.size[0]) && inside(b, g.size[1]) && inside(c, g.size[2]))
                sum += x[element(p, g, g.size, a, b, c)];
        }
        y[i] = (T)(sum / (typename Wide<T>::type)divided_by(g, divisor, p.at[0], p.at[1], p.at[2]));
    }
}

template <typename T>
__global__ void __launch_bounds__(256, 4) avg_pool_gradient(const T* __restrict__ grad, T* __restrict__ dx,
                                                         const int* __restrict__ table, int divisor, int n)
{
    const Geometry& g = *(const Geometry*)table;
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const Place p = locate(i, g, g.size);
        typename Wide<T>::type sum = 0;
        EACH_TAP(t, g) {
            const int a = meeting(g, 0, p.at[0], t0), b = meeting(g, 1, p.at[1], t1), c = meeting(g, 2, p.at[2], t2);
            if (a >= 0 && b >= 0 && c >= 0)
                sum += grad[element(p, g, g.out, a, b, c)] / (typename Wide<T>::type)divided_by(g, divisor, a, b, c);
        }
        dx[i] = (T)sum;
    }
}
