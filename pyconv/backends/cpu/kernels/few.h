/* Convolutions with few filters, plain layout, channels last, single precision: channels in the lanes, a dot product
 * for each result. PB pixels x F filters, 16 at most, are summed in registers, and then along the lanes, together. With
 * AVX-512. */
#ifndef PYCONV_FEW_H
#define PYCONV_FEW_H
#include "vector.h"

/* Tap t's inputs of the first pixel begin at x + xo[t], those of the next ones xj elements further; the weights are at
 * w + wo[t] + f * channels. */
typedef struct {
    const float *x; const int32_t *xo; long xj;
    const float *w; const int32_t *wo;
    long taps, channels;
    float *y; long yc;                              /* from pixel to pixel */
    const float *bias;                              /* or NULL: 16 numbers, in the order of the sums */
    int relu;
} Few;

/* The sums over the lanes of 16 vectors, that of number n in element IN_SUMS(n). Each step takes halves, then quarters,
 * of two vectors together. */
#define IN_SUMS(n) ((n) % 4 * 4 + (n) / 4)
#if VECTOR_BYTES == 64
#define FOLD(shuffle, a, b, low, high) _mm512_add_ps(shuffle(a, b, low), shuffle(a, b, high))
INLINE vf32 sums_of(const vf32 *v) {
    __m512 a[8];
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++)
        a[i] = FOLD(_mm512_shuffle_f32x4, (__m512)v[2 * i], (__m512)v[2 * i + 1], 0x44, 0xee);
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
        a[i] = FOLD(_mm512_shuffle_f32x4, a[2 * i], a[2 * i + 1], 0x88, 0xdd);
    _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++)
        a[i] = FOLD(_mm512_shuffle_ps, a[2 * i], a[2 * i + 1], 0x44, 0xee);
    return (vf32)FOLD(_mm512_shuffle_ps, a[0], a[1], 0x88, 0xdd);
}
#undef FOLD

#define FEW_STEP(PB, F, LOAD) { \
    vf32 v[F]; \
    _Pragma("GCC unroll 4") for (int f = 0; f < F; f++) v[f] = LOAD(w + f * channels); \
    _Pragma("GCC unroll 16") for (int i = 0; i < PB; i++) { \
        const vf32 s = LOAD(xt + i * xj); \
        _Pragma("GCC unroll 4") for (int f = 0; f < F; f++) acc[i * F + f] += v[f] * s; } }

#define WHOLE(p) *(const vf32 *)(p)
#define REST(p) (vf32)_mm512_maskz_loadu_ps(rest, p)

#define FEW_TILE(PB, F) \
static void few_##PB##_##F(const Few *p) { \
    vf32 acc[16]; \
    float sums[16] __attribute__((aligned(64)));     /* in one line: a load would wait for a store into two */ \
    const long xj = p->xj, channels = p->channels, whole = channels / 16 * 16; \
    const __mmask16 rest = (1u << channels % 16) - 1; \
    _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) acc[i] = (vf32){0}; \
    for (long t = 0; t < p->taps; t++) { \
        const float *xt = p->x + p->xo[t], *w = p->w + p->wo[t]; \
        for (const float *end = w + whole; w < end; w += 16, xt += 16) FEW_STEP(PB, F, WHOLE) \
        if (rest) FEW_STEP(PB, F, REST) } \
    vf32 all = sums_of(acc); \
    if (p->bias) all += *(const vf32 *)p->bias; \
    *(vf32 *)sums = p->relu ? relu_f32(all) : all; \
    _Pragma("GCC unroll 16") for (int i = 0; i < PB; i++) \
        _Pragma("GCC unroll 4") for (int f = 0; f < F; f++) p->y[i * p->yc + f] = sums[IN_SUMS(i * F + f)]; \
}
FEW_TILE(16, 1) FEW_TILE(8, 2) FEW_TILE(5, 3) FEW_TILE(4, 4)
FEW_TILE(1, 1) FEW_TILE(1, 2) FEW_TILE(1, 3) FEW_TILE(1, 4)
#undef WHOLE
#undef REST
#undef FEW_STEP
#undef FEW_TILE

/* For 1 to 4 filters: so many pixels as few_pixels says, or a single one. */
static void (*const few_tiles[4])(const Few *) = {few_16_1, few_8_2, few_5_3, few_4_4};
static void (*const few_singles[4])(const Few *) = {few_1_1, few_1_2, few_1_3, few_1_4};
#else
static void (*const few_tiles[4])(const Few *) = {0}, (*const few_singles[4])(const Few *) = {0};
#endif
static const long few_pixels[4] = {16, 8, 5, 4};
#endif
