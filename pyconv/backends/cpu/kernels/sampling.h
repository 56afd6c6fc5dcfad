/* One place of an image: the (up to) four pixels around it, their weights, and what is done with them. */
#ifndef PYCONV_SAMPLING_H
#define PYCONV_SAMPLING_H
#include <math.h>

enum { FILL_CONSTANT, FILL_NEAREST, FILL_WRAP, FILL_MIRROR, FILL_REFLECT };

/* Which of n pixels stands at the place i; -1: none. What varies from place to place is chosen without branches. */
static inline long pixel_at(long i, long n, int mode) {
    if (mode == FILL_CONSTANT) return i >= 0 && i < n ? i : -1;
    if (mode == FILL_NEAREST) return i < 0 ? 0 : i < n ? i : n - 1;
    const long mirror = mode == FILL_MIRROR;
    if (i < mirror - n || i >= 2 * n - mirror) {         /* far outside: whole periods away first */
        const long period = mode == FILL_WRAP ? n : n == 1 && mirror ? 1 : 2 * (n - mirror);
        i %= period;
        i = i < 0 ? i + period : i;
    }
    if (mode == FILL_WRAP) {
        i = i < 0 ? i + n : i;
        return i < n ? i : i - n;
    }
    i = i < 0 ? mirror - 1 - i : i;
    return i < n ? i : 2 * n - 1 - mirror - i;
}

/* T: the element type. A pixel's channels are `step` elements apart. With `nearest` only the first pixel counts. */
#define SAMPLING(T, S, FLOOR) \
/* u, v: how far on towards the next row, column. whole: the four pixels are neighbours in the image. */ \
typedef struct { long at[4], row; T u, v; int whole; } Place_##S; \
\
static inline Place_##S place_##S(T y, T x, long height, long width, int bilinear, int mode) { \
    Place_##S p; \
    const T most = (T)0x1p30; \
    y = y > -most ? (y < most ? y : most) : -most; \
    x = x > -most ? (x < most ? x : most) : -most; \
    const T y0 = FLOOR(y), x0 = FLOOR(x); \
    long i = (long)y0, j = (long)x0; \
    p.u = y - y0; p.v = x - x0; \
    if (!bilinear) { \
        i = pixel_at(i + (p.u >= (T)0.5), height, mode); j = pixel_at(j + (p.v >= (T)0.5), width, mode); \
        p.at[0] = i >= 0 && j >= 0 ? i * width + j : -1; \
        return p; \
    } \
    if (i >= 0 && i + 1 < height && j >= 0 && j + 1 < width) {        /* nearly always */ \
        p.whole = 1; p.row = width; \
        p.at[0] = i * width + j; p.at[1] = p.at[0] + 1; p.at[2] = p.at[0] + width; p.at[3] = p.at[2] + 1; \
        return p; \
    } \
    p.whole = 0; \
    const long i1 = pixel_at(i + 1, height, mode), j1 = pixel_at(j + 1, width, mode); \
    i = pixel_at(i, height, mode); j = pixel_at(j, width, mode); \
    p.at[0] = i >= 0 && j >= 0 ? i * width + j : -1; \
    p.at[1] = i >= 0 && j1 >= 0 ? i * width + j1 : -1; \
    p.at[2] = i1 >= 0 && j >= 0 ? i1 * width + j : -1; \
    p.at[3] = i1 >= 0 && j1 >= 0 ? i1 * width + j1 : -1; \
    return p; \
} \
\
/* out[c] = the weighted pixels; `pixel` elements from one to the next. */ \
static inline void read_##S(const T *restrict x, const Place_##S *p, int bilinear, long pixel, long step, T fill, \
                            long channels, T *restrict out, long out_step) { \
    if (!bilinear) { \
        const T *q = p->at[0] < 0 ? &fill : x + p->at[0] * pixel; \
        const long s = p->at[0] < 0 ? 0 : step; \
        for (long c = 0; c < channels; c++) out[c * out_step] = q[c * s]; \
        return; \
    } \
    const T w0 = (1 - p->u) * (1 - p->v), w1 = (1 - p->u) * p->v, w2 = p->u * (1 - p->v), w3 = p->u * p->v; \
    if (!p->whole) { \
        const int inside = (p->at[0] | p->at[1] | p->at[2] | p->at[3]) >= 0; \
        for (long c = 0; c < channels; c++) { \
            const T *q = x + c * step; \
            if (inside) { \
                out[c * out_step] = w0 * q[p->at[0] * pixel] + w1 * q[p->at[1] * pixel] + w2 * q[p->at[2] * pixel] \
                                  + w3 * q[p->at[3] * pixel]; \
                continue; \
            } \
            out[c * out_step] = w0 * (p->at[0] < 0 ? fill : q[p->at[0] * pixel]) \
                              + w1 * (p->at[1] < 0 ? fill : q[p->at[1] * pixel]) \
                              + w2 * (p->at[2] < 0 ? fill : q[p->at[2] * pixel]) \
                              + w3 * (p->at[3] < 0 ? fill : q[p->at[3] * pixel]); \
        } \
        return; \
    } \
    const T *q0 = x + p->at[0] * pixel, *q1 = q0 + pixel, *q2 = q0 + p->row * pixel, *q3 = q2 + pixel; \
    if (channels == 3) {              /* a number that the compiler knows needs no loop */ \
        out[0] = w0 * q0[0] + w1 * q1[0] + w2 * q2[0] + w3 * q3[0]; \
        out[out_step] = w0 * q0[step] + w1 * q1[step] + w2 * q2[step] + w3 * q3[step]; \
        out[2 * out_step] = w0 * q0[2 * step] + w1 * q1[2 * step] + w2 * q2[2 * step] + w3 * q3[2 * step]; \
    } else if (step == 1 && out_step == 1) { \
        for (long c = 0; c < channels; c++) out[c] = w0 * q0[c] + w1 * q1[c] + w2 * q2[c] + w3 * q3[c]; \
    } else { \
        for (long c = 0; c < channels; c++) \
            out[c * out_step] = w0 * q0[c * step] + w1 * q1[c * step] + w2 * q2[c * step] + w3 * q3[c * step]; \
    } \
} \
\
/* Adds what each pixel gets of the gradient g. */ \
static inline void spread_##S(T *x, const Place_##S *p, int bilinear, long pixel, long step, long channels, \
                              const T *g, long g_step) { \
    const T w[4] = {bilinear ? (1 - p->u) * (1 - p->v) : 1, (1 - p->u) * p->v, p->u * (1 - p->v), p->u * p->v}; \
    for (int k = 0; k < (bilinear ? 4 : 1); k++) { \
        if (p->at[k] < 0) continue; \
        T *q = x + p->at[k] * pixel; \
        for (long c = 0; c < channels; c++) q[c * step] += w[k] * g[c * g_step]; \
    } \
} \
\
/* The gradients for the place itself. */ \
static inline void slopes_##S(const T *x, const Place_##S *p, long pixel, long step, T fill, long channels, \
                              const T *g, long g_step, T *to_y, T *to_x) { \
    T sum[4]; \
    for (int k = 0; k < 4; k++) { \
        const T *q = p->at[k] < 0 ? &fill : x + p->at[k] * pixel; \
        const long s = p->at[k] < 0 ? 0 : step; \
        sum[k] = 0; \
        for (long c = 0; c < channels; c++) sum[k] += q[c * s] * g[c * g_step]; \
    } \
    *to_y = (1 - p->v) * (sum[2] - sum[0]) + p->v * (sum[3] - sum[1]); \
    *to_x = (1 - p->u) * (sum[1] - sum[0]) + p->u * (sum[3] - sum[2]); \
}
SAMPLING(float, f32, floorf)
SAMPLING(double, f64, floor)
#undef SAMPLING
#endif
