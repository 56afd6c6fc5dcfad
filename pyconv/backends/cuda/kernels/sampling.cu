// Images read between their pixels, and the gradients for images and places.
//
// images: (batch, height, width, channels), or with the channels second unless `last`; y, x: (batch, rows * columns).
// A place lies between four pixels; where one is outside, `mode` says which pixel counts in its stead, or that the fill
// value does. One thread a result; for the gradient of images one thread a row of a channel, which goes through all
// places in order and adds what falls into its row: nothing is added atomically.

enum { CONSTANT, NEAREST, WRAP, MIRROR, REFLECT };

// Which of n pixels stands at i; -1: none.
INLINE int pixel_at(int i, int n, int mode)
{
    if (i >= 0 && i < n) return i;
    if (mode == CONSTANT) return -1;
    if (mode == NEAREST) return i < 0 ? 0 : n - 1;
    if (mode == MIRROR && n == 1) return 0;
    const int period = mode == WRAP ? n : mode == MIRROR ? 2 * n - 2 : 2 * n;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : mode == MIRROR ? period - i : period - 1 - i;
}

template <typename T> struct Place {
    int row[2], column[2];      // of the pixels before and after
    T u, v;                     // how far on towards the row and column after
};

// Nearest: both are the nearest pixel, at a distance of 0.
template <typename T> INLINE Place<T> find(T y, T x, int height, int width, bool bilinear, int mode)
{
    const T most = (T)1073741824;
    y = y > -most ? (y < most ? y : most) : -most;
    x = x > -most ? (x < most ? x : most) : -most;
    const T y0 = op_floor(y), x0 = op_floor(x);
    Place<T> p;
    p.u = y - y0;
    p.v = x - x0;
    const int i = (int)y0 + (!bilinear && p.u >= (T)0.5), j = (int)x0 + (!bilinear && p.v >= (T)0.5);
    for (int k = 0; k < 2; ++k) {
        p.row[k] = pixel_at(i + (bilinear ? k : 0), height, mode);
        p.column[k] = pixel_at(j + (bilinear ? k : 0), width, mode);
    }
    if (!bilinear) p.u = p.v = (T)0;
    return p;
}

template <typename T> INLINE T pixel(const T* __restrict__ images, int n, int row, int column, int c, int height,
                                     int width, int channels, int last, T fill)
{
    if (row < 0 || column < 0) return fill;
    return images[last ? ((n * height + row) * width + column) * channels + c
                       : ((n * channels + c) * height + row) * width + column];
}

template <typename T>
__global__ void __launch_bounds__(256, 4) sample_images(const T* __restrict__ images, const T* __restrict__ y,
                                                     const T* __restrict__ x, T* __restrict__ out,
                                                     const T* __restrict__ fill, int height, int width, int channels,
                                                     int places, int last, int bilinear, int mode, int n)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const int c = last ? i % channels : i / places % channels;
        const int sample = i / places / channels, at = last ? i / channels % places : i % places;
        const Place<T> p = find(y[sample * places + at], x[sample * places + at], height, width, bilinear != 0, mode);
        T value[2][2];
        for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b)
                value[a][b] = pixel(images, sample, p.row[a], p.column[b], c, height, width, channels, last, fill[0]);
        out[i] = bilinear ? ((T)1 - p.u) * (((T)1 - p.v) * value[0][0] + p.v * value[0][1])
                          + p.u * (((T)1 - p.v) * value[1][0] + p.v * value[1][1])
                          : value[0][0];
    }
}

template <typename T>
__global__ void __launch_bounds__(256, 4) sample_images_gradient(const T* __restrict__ grad, const T* __restrict__ y,
                                                              const T* __restrict__ x, T* __restrict__ dx, int height,
                                                              int width, int channels, int places, int last,
                                                              int bilinear, int mode, int n)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const int c = i % channels, row = i / channels % height, sample = i / channels / height;
        T* line = dx + (last ? (sample * height + row) * width * channels + c
                             : ((sample * channels + c) * height + row) * width);
        const int step = last ? channels : 1;
        for (int j = 0; j < width; ++j) line[j * step] = (T)0;
        for (int at = 0; at < places; ++at) {
            const int k = sample * places + at;
            const Place<T> p = find(y[k], x[k], height, width, bilinear != 0, mode);
            const T g = grad[last ? (sample * places + at) * channels + c : (sample * channels + c) * places + at];
            for (int a = 0; a < (bilinear ? 2 : 1); ++a) {
                if (p.row[a] != row) continue;
                const T u = a ? p.u : (T)1 - p.u;
                for (int b = 0; b < (bilinear ? 2 : 1); ++b)
                    if (p.column[b] >= 0) line[p.column[b] * step] += u * (b ? p.v : (T)1 - p.v) * g;
            }
        }
    }
}

// Bilinear alone. One thread a place.
template <typename T>
__global__ void __launch_bounds__(256, 4) sample_places_gradient(const T* __restrict__ images, const T* __restrict__ y,
                                                              const T* __restrict__ x, const T* __restrict__ grad,
                                                              T* __restrict__ to_y, T* __restrict__ to_x,
                                                              const T* __restrict__ fill, int height, int width,
                                                              int channels, int places, int last, int mode, int n)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        const int sample = i / places, at = i % places;
        const Place<T> p = find(y[i], x[i], height, width, true, mode);
        T sum[2][2];
        for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b) {
                sum[a][b] = (T)0;
                for (int c = 0; c < channels; ++c)
                    sum[a][b] += pixel(images, sample, p.row[a], p.column[b], c, height, width, channels, last, fill[0])
                                 * grad[last ? (sample * places + at) * channels + c
                                             : (sample * channels + c) * places + at];
            }
        to_y[i] = ((T)1 - p.v) * (sum[1][0] - sum[0][0]) + p.v * (sum[1][1] - sum[0][1]);
        to_x[i] = ((T)1 - p.u) * (sum[0][1] - sum[0][0]) + p.u * (sum[1][1] - sum[1][0]);
    }
}
