/* The gradient for the kernel of a convolution before max pooling with windows of two by two (pooled.h), where vectors
 * are so short that a block is few samples: taps and channels are in the lanes, one sample after the other.
 *
 * Samples are copied to x[sample][row][column][channel], with a border; what a window has met in a row of the kernel is
 * a run of kernel columns x channels then, which begins where the spot says. Of all pooled pixels of a sample and
 * filter one after the other, the runs are multiplied with the gradient, and summed up in registers: a load and a
 * product for LANES taps, where picking from lanes takes two selections and a product for as many of one tap.
 *
 * gathered: RB rows of the kernel by VB vectors; U pixels at a time, which have sums of their own, so that there are
 * enough of these to keep the arithmetic busy. */
#ifndef PYCONV_GATHERED_H
#define PYCONV_GATHERED_H
#include "pooled.h"

#if ACCUMULATORS < 24
#  define GATHERS 1
/* Where the run of a pooled pixel begins, and its gradient. */
typedef struct { int32_t at; float g; } __attribute__((may_alias)) Met;

#define GATHERED_TILE(RB, VB, U) \
static void gathered_##RB##_##VB(const float *x, long line, const Met *met, long pixels, float *sums, long width) { \
    vf32 acc[U][RB][VB]; \
    _Pragma("GCC unroll 8") for (int u = 0; u < U; u++) \
        _Pragma("GCC unroll 8") for (int r = 0; r < RB; r++) \
            _Pragma("GCC unroll 16") for (int v = 0; v < VB; v++) \
                acc[u][r][v] = u ? (vf32){0} : *(const vf32 *)(sums + r * width + v * LANES_F32); \
    long i = 0; \
    for (; i + U <= pixels; i += U) \
        _Pragma("GCC unroll 8") for (int u = 0; u < U; u++) { \
            const float *from = x + met[i + u].at; \
            const vf32 g = met[i + u].g - (vf32){0}; \
            _Pragma("GCC unroll 8") for (int r = 0; r < RB; r++) \
                _Pragma("GCC unroll 16") for (int v = 0; v < VB; v++) \
                    acc[u][r][v] += g * *(const vf32 *)(from + r * line + v * LANES_F32); } \
    for (; U > 1 && i < pixels; i++) { \
        const float *from = x + met[i].at; \
        const vf32 g = met[i].g - (vf32){0}; \
        _Pragma("GCC unroll 8") for (int r = 0; r < RB; r++) \
            _Pragma("GCC unroll 16") for (int v = 0; v < VB; v++) \
                acc[0][r][v] += g * *(const vf32 *)(from + r * line + v * LANES_F32); } \
    _Pragma("GCC unroll 8") for (int r = 0; r < RB; r++) \
        _Pragma("GCC unroll 16") for (int v = 0; v < VB; v++) { \
            _Pragma("GCC unroll 8") for (int u = 1; u < U; u++) acc[0][r][v] += acc[u][r][v]; \
            *(vf32 *)(sums + r * width + v * LANES_F32) = acc[0][r][v]; } \
}
GATHERED_TILE(1, 1, 4) GATHERED_TILE(1, 2, 4) GATHERED_TILE(1, 3, 4) GATHERED_TILE(1, 4, 2) GATHERED_TILE(1, 5, 2)
GATHERED_TILE(1, 6, 2) GATHERED_TILE(1, 7, 1) GATHERED_TILE(1, 8, 1) GATHERED_TILE(1, 9, 1) GATHERED_TILE(1, 10, 1)
GATHERED_TILE(1, 11, 1) GATHERED_TILE(1, 12, 1) GATHERED_TILE(1, 13, 1) GATHERED_TILE(1, 14, 1) GATHERED_TILE(2, 4, 1)
GATHERED_TILE(2, 5, 1) GATHERED_TILE(2, 6, 1) GATHERED_TILE(2, 7, 1) GATHERED_TILE(3, 1, 4) GATHERED_TILE(3, 2, 2)
GATHERED_TILE(3, 3, 1) GATHERED_TILE(3, 4, 1) GATHERED_TILE(5, 1, 2) GATHERED_TILE(5, 2, 1)

enum { MOST_VECTORS = 14 };      /* besides one for the gradient: the run is read from memory where it is needed */
/* [rows][vectors] */
static void (*const gathered_tiles[6][MOST_VECTORS + 1])(const float *, long, const Met *, long, float *, long) = {
    {0},
    {0, gathered_1_1, gathered_1_2, gathered_1_3, gathered_1_4, gathered_1_5, gathered_1_6, gathered_1_7, gathered_1_8,
     gathered_1_9, gathered_1_10, gathered_1_11, gathered_1_12, gathered_1_13, gathered_1_14},
    {[4] = gathered_2_4, gathered_2_5, gathered_2_6, gathered_2_7},
    {[1] = gathered_3_1, gathered_3_2, gathered_3_3, gathered_3_4},
    {0},
    {[1] = gathered_5_1, gathered_5_2}};

/* All rows of the kernel, of `vectors` vectors each. */
static void gathered(const float *x, long line, const Met *met, long pixels, float *sums, long rows, long vectors) {
    const long width = vectors * LANES_F32, parts = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    for (long i = 0; i < parts; i++) {
        const long a = vectors * i / parts, b = vectors * (i + 1) / parts;
        for (long r = 0, n; r < rows; r += n) {
            n = rows - r < 5 ? rows - r : 5;
            while (!gathered_tiles[n][b - a]) n--;
            gathered_tiles[n][b - a](x + r * line + a * LANES_F32, line, met, pixels,
                                     sums + r * width + a * LANES_F32, width);
        }
    }
}

/* met[sample][pixel] of the gradient of a plane of rows x cols pooled pixels, `next` entries from sample to sample. */
static void gather_spots(const float *g, const uint8_t *spots, long rows, long cols, long line, long channels, Met *met,
                         long next) {
    const int32_t below = (int32_t)line, right = (int32_t)channels;
#  ifdef __AVX2__
    const __m256i starts = _mm256_setr_epi32(0, right, below, below + right, 0, 0, 0, 0);
#  endif
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < cols; j++, g += LANES_F32, spots += LANES_F32, met++) {
            const int32_t first = (int32_t)(2 * (i * line + j * channels));
#  ifdef __AVX2__
            const __m256i at = _mm256_add_epi32(_mm256_permutevar8x32_epi32(starts, spots_at(spots)),
                                                _mm256_set1_epi32(first));
            const __m256i grad = _mm256_loadu_si256((const __m256i *)g);
            const __m256i low = _mm256_unpacklo_epi32(at, grad), high = _mm256_unpackhi_epi32(at, grad);
            const __m128i pairs[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                                      _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
            _Pragma("GCC unroll 4") for (long k = 0; k < 4; k++) {
                _mm_storel_epi64((__m128i *)(met + 2 * k * next), pairs[k]);
                _mm_storeh_pd((double *)(met + (2 * k + 1) * next), (__m128d)pairs[k]); }
#  else
            const vi32 s = (vi32)spots_at(spots);
            int32_t places[LANES_F32];
            *(vi32 *)places = first + (-(s & 1) & right) + (-(s >> 1) & below);
            _Pragma("GCC unroll 8") for (long k = 0; k < LANES_F32; k++) met[k * next] = (Met){places[k], g[k]};
#  endif
        }
}
#else
#  define GATHERS 0
typedef struct { int32_t at; float g; } Met;
static void gathered(const float *x, long line, const Met *met, long pixels, float *sums, long rows, long vectors) {}
static void gather_spots(const float *g, const uint8_t *spots, long rows, long cols, long line, long channels, Met *met,
                         long next) {}
#endif
#endif
