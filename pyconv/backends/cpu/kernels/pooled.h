/* Convolution followed by max pooling with windows of two by two, side by side, and its gradients; float32, samples in
 * the lanes.
 *
 * pooled: as the packed tiles of tiles.h, for CB filters and PB pooled pixels of a row, four sums each, and so on along
 * the row.
 *
 * spotted: the kernel's gradient, from the gradient of the pooled pixels. Of the four products of a window's gradients
 * three are with zero, so what the maximum has met is picked from the input lane by lane: that takes two selections a
 * tap (one is shared with the tap beside it) and one product. NB taps of a kernel row for CB filters: sums over all
 * pooled pixels, then over the lanes. */
#ifndef PYCONV_POOLED_H
#define PYCONV_POOLED_H
#include "spots.h"

typedef struct {
    const float *x, *w, *bias;
    const int32_t *xo;              /* per tap: offset in x */
    long taps, down;                /* down: elements of x from one row of results to the next */
    float *y;
    uint8_t *spots;                 /* or NULL */
    long plane;                     /* elements from filter to filter in y and spots */
    long rows;                      /* filters to store, at most CB */
    long tiles;                     /* side by side */
    int relu;
    float least;                    /* 0 with relu, else minus infinity */
} Pooled;

/* Stores the maximum of a window of two by two, or zero with relu if that is larger; where it is, if p has spots.
 * Of a window without positive numbers all are zero then: the first is the maximum. */
INLINE void store_top(const Pooled *p, vf32 a, vf32 b, vf32 c, vf32 d, float *y, uint8_t *spots) {
    const vf32 zero = {0};
    if (!spots) {
        const vf32 top = larger(larger(a, b), larger(c, d));
        *(vf32 *)y = p->relu ? relu_f32(top) : top;
        return;
    }
    Spots at;
    vf32 top = window_top(a, b, c, d, &at);
    if (p->relu) {
        const Which kept = above(top, zero);
        top = pick(kept, top, zero), at = pick_spots(kept, at, spots_of(0));
    }
    *(vf32 *)y = top;
    store_spots(spots, at);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/* A comparison that knows NaN takes three instructions without masks of AVX-512. So the maximum is taken as if there
 * were none, NaN put in at the end, and spots are looked for again in the rare case. */
static __attribute__((noinline, cold)) void store_top_nan(const Pooled *p, const vf32 *v, float *y, uint8_t *spots) {
    store_top(p, v[0], v[1], v[2], v[3], y, spots);
}
INLINE void store_pooled(const Pooled *p, vf32 a, vf32 b, vf32 c, vf32 d, float *y, uint8_t *spots) {
    const __m256 least = _mm256_set1_ps(p->least);
    const __m256 up = _mm256_max_ps((__m256)a, (__m256)b), low = _mm256_max_ps((__m256)c, (__m256)d);
    const __m256 top = _mm256_max_ps(_mm256_max_ps(up, low), least);
    const __m256 nan = _mm256_or_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_UNORD_Q),
                                    _mm256_cmp_ps((__m256)c, (__m256)d, _CMP_UNORD_Q));
    *(vf32 *)y = (vf32)_mm256_or_ps(top, nan);
    if (!spots) return;
    const __m256 below = (__m256)((vf32)low > (vf32)up);
    const vi32 right = (vi32)pick(below, d > c, b > a), at = (right & 1) | ((vi32)below & 2);
    spots_to_bytes(spots, (__m256i)(at & ((vf32)top > (vf32)least)));
    if (__builtin_expect(_mm256_movemask_ps(nan), 0)) {
        const vf32 v[4] = {a, b, c, d};
        store_top_nan(p, v, y, spots);
    }
}
#else
#  define store_pooled store_top
#endif

#if ACCUMULATORS >= 24
#  define STORE_POOLED(CB, PB) \
    _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) \
        if (c < p->rows) \
            _Pragma("GCC unroll 8") for (int j = 0; j < PB; j++) \
                store_pooled(p, acc[c][0][2 * j], acc[c][0][2 * j + 1], acc[c][1][2 * j], acc[c][1][2 * j + 1], \
                             y + c * p->plane + j * LANES_F32, spots ? spots + c * p->plane + j * LANES_F32 : NULL);
#else
/* The tile's sums pass through memory: what happens to them needs registers that they fill. */
static __attribute__((noinline)) void store_filters(const Pooled *p, const vf32 *v, long filters, float *y,
                                                    uint8_t *spots) {
    const long plane = p->plane;
    if (spots)
        for (; filters > 0; filters--, v += 4, y += plane, spots += plane)
            store_pooled(p, v[0], v[1], v[2], v[3], y, spots);
    else
        for (; filters > 0; filters--, v += 4, y += plane) store_pooled(p, v[0], v[1], v[2], v[3], y, NULL);
}
#  define STORE_POOLED(CB, PB) \
    vf32 sums[CB][2][2 * PB]; \
    memcpy(sums, acc, sizeof sums); \
    store_filters(p, sums[0][0], CB, y, spots);
#endif

#define POOLED_TILE(CB, PB) \
static void pooled_##CB##_##PB(const Pooled *p) { \
    const float *x = p->x; \
    float *y = p->y; \
    uint8_t *spots = p->spots; \
    float bias[CB]; \
    _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) bias[c] = p->bias && c < p->rows ? p->bias[c] : 0; \
    for (long tile = 0; tile < p->tiles; tile++) { \
        vf32 acc[CB][2][2 * PB]; \
        const float *w = p->w; \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
            const vf32 b = bias[c] - (vf32){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < 2 * PB; j++) acc[c][0][j] = acc[c][1][j] = b; } \
        for (long t = 0; t < p->taps; t++, w += POOLED_ROWS) { \
            const float *over = x + p->xo[t], *below = over + p->down; \
            vf32 s[CB]; \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) s[c] = w[c] - (vf32){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < 2 * PB; j++) { \
                const vf32 v = *(const vf32 *)(over + j * LANES_F32); \
                _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) acc[c][0][j] += s[c] * v; } \
            _Pragma("GCC unroll 8") for (int j = 0; j < 2 * PB; j++) { \
                const vf32 v = *(const vf32 *)(below + j * LANES_F32); \
                _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) acc[c][1][j] += s[c] * v; } } \
        STORE_POOLED(CB, PB) \
        x += 2 * PB * LANES_F32; y += PB * LANES_F32; spots = spots ? spots + PB * LANES_F32 : NULL; } \
}

typedef struct {
    const float *x, *g;
    const uint8_t *spots;
    long plane;                     /* elements from filter to filter in g and spots */
    long rows, cols;                /* pooled pixels */
    long row;                       /* elements of x from row to row */
    float *out;
    long tap;                       /* elements of out from tap to tap */
    long lanes;                     /* lanes that hold samples */
} Spotted;

#define SPOTTED_TILE(NB, CB) \
static void spotted_##NB##_##CB(const Spotted *p) { \
    vf32 acc[CB][NB]; \
    const float *g = p->g; const uint8_t *spots = p->spots; \
    const long row = p->row, plane = p->plane; \
    _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) \
        _Pragma("GCC unroll 8") for (int t = 0; t < NB; t++) acc[c][t] = (vf32){0}; \
    for (long i = 0; i < p->rows; i++) { \
        const float *x = p->x + 2 * i * row; \
        for (long j = 0; j < p->cols; j++, x += 2 * LANES_F32, g += LANES_F32, spots += LANES_F32) { \
            vf32 v[2][NB + 1]; \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
                if (c == 0 || ACCUMULATORS < 24) { \
                    WALK(x);        /* with few registers, what was read before is read again rather than kept */ \
                    _Pragma("GCC unroll 8") for (int r = 0; r < 2; r++) \
                        _Pragma("GCC unroll 8") for (int t = 0; t <= NB; t++) \
                            v[r][t] = *(const vf32 *)(x + r * row + t * LANES_F32); } \
                const Spots s = spots_at(spots + c * plane); \
                const Which right = which(s, 0), below = which(s, 1); \
                const vf32 grad = *(const vf32 *)(g + c * plane); \
                vf32 a = pick(below, v[1][0], v[0][0]); \
                _Pragma("GCC unroll 8") for (int t = 0; t < NB; t++) { \
                    const vf32 b = pick(below, v[1][t + 1], v[0][t + 1]); \
                    acc[c][t] += pick(right, b, a) * grad; \
                    a = b; } } } } \
    vf32 sums[CB][NB]; \
    memcpy(sums, acc, sizeof sums); \
    _Pragma("GCC unroll 1") for (int c = 0; c < CB; c++) \
        _Pragma("GCC unroll 1") for (int t = 0; t < NB; t++) \
            p->out[c + t * p->tap] = sum_lanes_f32(sums[c][t], p->lanes); \
}

/* The most filters and pixels of a tile; [filters][pixels]. */
#if ACCUMULATORS >= 24
#  define POOLED_ROWS 2
#  define POOLED_PIXELS 3
POOLED_TILE(2, 1) POOLED_TILE(2, 2) POOLED_TILE(2, 3)
static void (*const pooled_tiles[][4])(const Pooled *) = {
    {0}, {0, pooled_2_1, pooled_2_2, pooled_2_3}, {0, pooled_2_1, pooled_2_2, pooled_2_3}};
#else
#  define POOLED_ROWS 3
#  define POOLED_PIXELS 1
POOLED_TILE(1, 1) POOLED_TILE(2, 1) POOLED_TILE(3, 1)
static void (*const pooled_tiles[][4])(const Pooled *) = {{0}, {0, pooled_1_1}, {0, pooled_2_1}, {0, pooled_3_1}};
#endif

SPOTTED_TILE(1, 1) SPOTTED_TILE(3, 1) SPOTTED_TILE(5, 1)
#if ACCUMULATORS >= 24
#  define SPOTTED_FILTERS 4
SPOTTED_TILE(1, 4) SPOTTED_TILE(3, 4) SPOTTED_TILE(5, 4)
#  define spotted_1_many spotted_1_4
#  define spotted_3_many spotted_3_4
#  define spotted_5_many spotted_5_4
#else
#  define SPOTTED_FILTERS 2
SPOTTED_TILE(1, 2) SPOTTED_TILE(3, 2) SPOTTED_TILE(5, 2)
#  define spotted_1_many spotted_1_2
#  define spotted_3_many spotted_3_2
#  define spotted_5_many spotted_5_2
#endif
/* [one filter, many][taps] */
static void (*const spotted_tiles[][6])(const Spotted *) = {{0, spotted_1_1, 0, spotted_3_1, 0, spotted_5_1},
                                                            {0, spotted_1_many, 0, spotted_3_many, 0, spotted_5_many}};

/* Any number of filters, which lie side by side in out, and of taps. */
static void spotted(Spotted p, long filters, long taps) {
    for (long f = 0, size; f < filters; f += size) {
        size = filters - f >= SPOTTED_FILTERS ? SPOTTED_FILTERS : 1;
        Spotted q = p;
        for (long t = 0, n; t < taps; t += n, q.x += n * LANES_F32, q.out += n * p.tap) {
            n = taps - t >= 5 ? 5 : taps - t >= 3 ? 3 : 1;
            spotted_tiles[size > 1][n](&q);
        }
        p.g += p.plane * size; p.spots += p.plane * size; p.out += size;
    }
}
#endif
