/* Convolution of a single channel with few filters: two neighbouring pixels and half a vector of filters in the lanes,
 * pixel innermost. So 6 filters leave a quarter of the lanes idle rather than more than half, and two pixels are one
 * number of twice the size that is spread over a vector. */
#ifndef PYCONV_PAIRS_H
#define PYCONV_PAIRS_H
#include "vector.h"

typedef double two_pixels __attribute__((aligned(4), may_alias));

/* Pairs of pixels of a row: x + taps[t] has the pixels of tap t, w its weights, each twice, `line` from tap to tap.
 * Results go to y, `filters` from pixel to pixel; `count` filters of a vector and `pixels` are there, and up to `end`
 * what comes later may be spoilt. */
typedef struct {
    const float *x; const int32_t *offsets; long taps;
    const float *w; long line;
    const float *bias;
    float *y, *end;
    long filters, count, pixels;
    int relu;
} Pairs;

#define HALF (LANES_F32 / 2)

INLINE void pairs_store(const Pairs *p, float *y, const float *from, long count) {
    if (y + HALF <= p->end) for (int f = 0; f < HALF; f++) y[f] = from[f];
    else for (long f = 0; f < count; f++) y[f] = from[f];
}

#if LANES_F32 == 16
#  define APART_PIXELS 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15
#elif LANES_F32 == 8
#  define APART_PIXELS 0, 2, 4, 6, 1, 3, 5, 7
#else
#  define APART_PIXELS 0, 2, 1, 3
#endif
#ifdef __clang__
#  define SPLIT(v) __builtin_shufflevector(v, v, APART_PIXELS)
#else
#  define SPLIT(v) __builtin_shuffle(v, (vi32){APART_PIXELS})
#endif

#define PAIRS(N) \
static void pairs_##N(const Pairs *p) { \
    vf32 acc[N]; \
    _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) acc[i] = p->bias ? *(const vf32 *)p->bias : (vf32){0}; \
    const float *w = p->w; \
    for (long t = 0; t < p->taps; t++, w += p->line) { \
        const two_pixels *x = (const two_pixels *)(p->x + p->offsets[t]); \
        const vf32 v = *(const vf32 *)w; \
        _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) acc[i] += v * (vf32)(x[i] - (vf64){0}); } \
    float *y = p->y; \
    _Pragma("GCC unroll 8") for (int i = 0; i < N; i++, y += 2 * p->filters) { \
        vf32 v = acc[i]; \
        if (p->relu) v = (vf32)((vi32)v & ~(v <= 0));        /* NaN stays */ \
        float both[LANES_F32]; \
        *(vf32 *)both = SPLIT(v); \
        pairs_store(p, y, both, p->count); \
        if (2 * i + 1 < p->pixels) pairs_store(p, y + p->filters, both + HALF, p->count); } \
}
PAIRS(1) PAIRS(2) PAIRS(3) PAIRS(4) PAIRS(5) PAIRS(6) PAIRS(7)

static void (*const pairs_of[])(const Pairs *) = {0, pairs_1, pairs_2, pairs_3, pairs_4, pairs_5, pairs_6, pairs_7};
#undef PAIRS
#undef HALF
#undef SPLIT
#undef APART_PIXELS
#endif
