/* Squares of 4-byte elements turned over in registers, for the way between the plain and the lanes layout. */
#ifndef PYCONV_LAYOUT_H
#define PYCONV_LAYOUT_H
#include "vector.h"

#if defined(__GNUC__) && !defined(__clang__)
#  define SHUFFLE(a, b, mask) __builtin_shuffle(a, b, mask)
#else
static inline vi32 pyconv_shuffle(vi32 a, vi32 b, vi32 mask) {
    vi32 out;
    for (int i = 0; i < LANES_F32; i++) out[i] = mask[i] < LANES_F32 ? a[mask[i]] : b[mask[i] - LANES_F32];
    return out;
}
#  define SHUFFLE(a, b, mask) pyconv_shuffle(a, b, mask)
#endif

/* Element j of row i and element i of row j change places: bit by bit of their numbers, smallest first. */
INLINE void transpose(vi32 r[LANES_F32]) {
#pragma GCC unroll 4
    for (int s = 1; s < LANES_F32; s *= 2) {
        vi32 low, high;
        for (int k = 0; k < LANES_F32; k++) {
            low[k] = k & s ? k - s + LANES_F32 : k;
            high[k] = k & s ? k + LANES_F32 : k + s;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES_F32; i++) if (!(i & s)) {
            const vi32 a = r[i], b = r[i | s];
            r[i] = SHUFFLE(a, b, low);
            r[i | s] = SHUFFLE(a, b, high);
        }
    }
}

typedef int8_t bytes_of_lanes __attribute__((vector_size(LANES_F32), aligned(1), may_alias));

/* Where rows of bytes begin, which may be anywhere. */
typedef int32_t bytes_of_rows __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* Four bytes of each lane, to LANES_F32 bytes of each of four features. */
INLINE void bytes_apart(vi32 v, char *const *to) {
#if defined(__AVX2__) && LANES_F32 == 8
    const __m256i turned = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8((__m256i)v, _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m128d half[2] = {(__m128d)_mm256_castsi256_si128(turned), (__m128d)_mm256_extracti128_si256(turned, 1)};
    for (int i = 0; i < 2; i++) {
        _mm_storel_pd((double *)to[2 * i], half[i]);
        _mm_storeh_pd((double *)to[2 * i + 1], half[i]);
    }
#else
    for (int i = 0; i < 4; i++) *(bytes_of_lanes *)to[i] = __builtin_convertvector(v >> i * 8, bytes_of_lanes);
#endif
}

/* rows[l][i], i < n, to y[where(i)][l]; elements of `size` bytes, 4 or 1. where: the place of a feature, or NULL.
 * Bytes are turned over four at a time, and then taken apart. Returns how many features are done. */
static long to_lanes_squares(const void *const *rows, void *y, const int32_t *where, long n, int size) {
    const long each = LANES_F32 * 4 / size;
    long f = 0;
    for (; f + each <= n; f += each) {
        vi32 r[LANES_F32];
        for (int l = 0; l < LANES_F32; l++) r[l] = (vi32)*(const bytes_of_rows *)((const char *)rows[l] + f * size);
        transpose(r);
        if (size == 4)
            for (int i = 0; i < each; i++) *((vi32 *)y + (where ? where[f + i] : f + i)) = r[i];
        else
            for (int i = 0; i < each; i += 4) {
                char *to[4];
                for (int k = 0; k < 4; k++) to[k] = (char *)y + (where ? where[f + i + k] : f + i + k) * LANES_F32;
                bytes_apart(r[i / 4], to);
            }
    }
    return f;
}

/* The way back. */
static long from_lanes_squares(const int32_t *y, int32_t *const *rows, const int32_t *where, long n) {
    long f = 0;
    for (; f + LANES_F32 <= n; f += LANES_F32) {
        vi32 r[LANES_F32];
        for (int i = 0; i < LANES_F32; i++) r[i] = *(const vi32 *)(y + (where ? where[f + i] : f + i) * LANES_F32);
        transpose(r);
        for (int l = 0; l < LANES_F32; l++) *(vi32 *)(rows[l] + f) = r[l];
    }
    return f;
}
#endif
