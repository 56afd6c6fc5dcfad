/* Convolution of a single channel with few filters: two neighbouring pixels and half a vector of filters in the lanes,
 * pixel innermost. So 6 filters leave a quarter of the lanes idle rather than more than half, and two pixels are one
 * number of twice the size that is spread over a vector.
 *
 * With max pooling by windows of two by two behind it, side by side, two rows of pairs are one row of results. */
#ifndef PYCONV_PAIRS_H
#define PYCONV_PAIRS_H
#include "windows.h"

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
    long below;                     /* with pooling, elements of x from one row to the next */
    int relu;
} Pairs;

#define HALF (LANES_F32 / 2)

INLINE void pairs_store(const Pairs *p, float *y, const float *from, long count) {
    if (y + HALF <= p->end) for (int f = 0; f < HALF; f++) y[f] = from[f];
    else for (long f = 0; f < count; f++) y[f] = from[f];
}

#if LANES_F32 == 16
#  define HALVES_TURNED 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#  define APART_PIXELS 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15
#elif LANES_F32 == 8
#  define HALVES_TURNED 4, 5, 6, 7, 0, 1, 2, 3
#  define APART_PIXELS 0, 2, 4, 6, 1, 3, 5, 7
#else
#  define HALVES_TURNED 2, 3, 0, 1
#  define APART_PIXELS 0, 2, 1, 3
#endif
#ifdef __clang__
#  define SPLIT(v) __builtin_shufflevector(v, v, APART_PIXELS)
#  define TURN(v) __builtin_shufflevector(v, v, HALVES_TURNED)
#else
#  define SPLIT(v) __builtin_shuffle(v, (vi32){APART_PIXELS})
#  define TURN(v) __builtin_shuffle(v, (vi32){HALVES_TURNED})
#endif

#define PAIRS(N, ROWS) \
static void pairs_##N##_##ROWS(const Pairs *p) { \
    vf32 acc[ROWS][N], sums[ROWS][N]; \
    _Pragma("GCC unroll 2") for (int r = 0; r < ROWS; r++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) \
            acc[r][i] = p->bias ? *(const vf32 *)p->bias : (vf32){0}; \
    const float *w = p->w; \
    for (long t = 0; t < p->taps; t++, w += p->line) { \
        const float *x = p->x + p->offsets[t]; \
        const vf32 v = *(const vf32 *)w; \
        _Pragma("GCC unroll 2") for (int r = 0; r < ROWS; r++, x += p->below) \
            _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) \
                acc[r][i] += v * (vf32)(((const two_pixels *)x)[i] - (vf64){0}); } \
    _Pragma("GCC unroll 2") for (int r = 0; r < ROWS; r++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < N; i++) sums[r][i] = acc[r][i]; \
    float *y = p->y; \
    _Pragma("GCC unroll 1") for (int i = 0; i < N; i++, y += (3 - ROWS) * p->filters) { \
        vf32 v = ROWS == 2 ? larger(sums[0][i], sums[ROWS - 1][i]) : sums[0][i]; \
        if (p->relu) v = relu_f32(v); \
        v = SPLIT(v); \
        if (ROWS == 2) v = larger(v, TURN(v)); \
        float both[LANES_F32]; \
        *(vf32 *)both = v; \
        pairs_store(p, y, both, p->count); \
        if (ROWS == 1 && 2 * i + 1 < p->pixels) pairs_store(p, y + p->filters, both + HALF, p->count); } \
}
#define BOTH(N) PAIRS(N, 1) PAIRS(N, 2)
BOTH(1) BOTH(2) BOTH(4) BOTH(7)

/* [rows][pairs] */
#define ROW(ROWS) {0, pairs_1_##ROWS, pairs_2_##ROWS, 0, pairs_4_##ROWS, 0, 0, pairs_7_##ROWS}
static void (*const pairs_of[3][8])(const Pairs *) = {{0}, ROW(1), ROW(2)};
#undef ROW
#undef BOTH
#undef PAIRS
#undef HALF
#undef SPLIT
#undef TURN
#undef HALVES_TURNED
#undef APART_PIXELS
#endif
