/* Max pooling with windows of two by two, side by side, that notes where its maxima are; float32, samples in the lanes.
 *
 * A spot is a byte per lane of a pooled pixel: where in its window the (first) maximum was; bit 0 is the column, bit 1
 * the row. With it the gradients need neither the map that was pooled nor its gradient. */
#ifndef PYCONV_SPOTS_H
#define PYCONV_SPOTS_H
#include "vector.h"
#if defined(__AVX2__)
#  include <immintrin.h>
#endif

typedef uint8_t bytes_t __attribute__((vector_size(LANES_F32), aligned(1), may_alias));

/* Which: a choice of lanes. Spots: those of a pixel, in the form that suits such choices. above(a, b): where a > b, NaN
 * being above all numbers. which(s, bit): where the spot has the bit. pick(m, a, b), pick_spot: a where m, else b. */
#if defined(__AVX512F__)
typedef __m128i Spots;
typedef __mmask16 Which;
#  define spots_of(n) _mm_set1_epi8(n)
#  define spots_at(p) _mm_loadu_si128((const __m128i *)(p))
#  define store_spots(p, s) _mm_storeu_si128((__m128i *)(p), s)
#  define which(s, bit) _mm_test_epi8_mask(s, _mm_set1_epi8(1 << (bit)))
#  define above(a, b) _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask((__m512)(b), (__m512)(b), _CMP_ORD_Q), \
                                              (__m512)(a), (__m512)(b), _CMP_NLE_UQ)
#  define pick(m, a, b) ((vf32)_mm512_mask_blend_ps(m, (__m512)(b), (__m512)(a)))
#  define pick_spots(m, a, b) _mm_mask_blend_epi8(m, b, a)
#elif defined(__AVX2__)
typedef __m256i Spots;
typedef __m256 Which;
#  define spots_of(n) _mm256_set1_epi32(n)
#  define spots_at(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#  define store_spots(p, s) spots_to_bytes((uint8_t *)(p), (__m256i)(s))
#  define which(s, bit) ((__m256)_mm256_slli_epi32(s, 31 - (bit)))
#  define above(a, b) ((__m256)(~((a) <= (b)) & ((b) == (b))))
#  define pick(m, a, b) ((vf32)_mm256_blendv_ps((__m256)(b), (__m256)(a), m))
#  define pick_spots(m, a, b) ((__m256i)pick(m, a, b))
#else
typedef vi32 Spots;
typedef vi32 Which;
#  define spots_of(n) ((vi32){0} + (n))
#  define spots_at(p) __builtin_convertvector(*(const bytes_t *)(p), vi32)
#  define store_spots(p, s) (*(bytes_t *)(p) = __builtin_convertvector(s, bytes_t))
#  define which(s, bit) ((s) << (31 - (bit)) >> 31)
#  define above(a, b) (~((a) <= (b)) & ((b) == (b)))
#  define pick(m, a, b) ((vf32)(((m) & (vi32)(a)) | (~(m) & (vi32)(b))))
#  define pick_spots(m, a, b) (((m) & (a)) | (~(m) & (b)))
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
INLINE void spots_to_bytes(uint8_t *p, __m256i s) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
#endif

INLINE vf32 larger(vf32 a, vf32 b) { const Which m = above(b, a); return pick(m, b, a); }

/* The maximum of a window of two by two, a and b above c and d, and where it is. */
INLINE vf32 window_top(vf32 a, vf32 b, vf32 c, vf32 d, Spots *spots) {
    const Which right = above(b, a), right_below = above(d, c);
    const vf32 top = pick(right, b, a), low = pick(right_below, d, c);
    const Which below = above(low, top);
    *spots = pick_spots(below, pick_spots(right_below, spots_of(3), spots_of(2)),
                        pick_spots(right, spots_of(1), spots_of(0)));
    return pick(below, low, top);
}

/* Max pooling into rows x cols pixels, with spots unless these are NULL. Rows of x are `width` pixels apart, those of
 * the results `pitch`. ahead: elements to where later results go, whose places are asked for; 0: none; less: they go
 * past the caches. */
static void pool_with_spots(const float *x, long width, long rows, long cols, float *y, uint8_t *spots, long pitch,
                            long ahead) {
    for (long i = 0; i < rows; i++, x += 2 * width * LANES_F32, y += pitch * LANES_F32)
        for (long j = 0; j < cols; j++) {
            const float *at = x + 2 * j * LANES_F32, *below = at + width * LANES_F32;
            const vf32 a = *(const vf32 *)at, b = *(const vf32 *)(at + LANES_F32);
            const vf32 c = *(const vf32 *)below, d = *(const vf32 *)(below + LANES_F32);
            vf32 top;
            if (ahead > 0) __builtin_prefetch(y + j * LANES_F32 + ahead, 1);
            if (spots) {
                Spots s;
                top = window_top(a, b, c, d, &s);
                store_spots(spots + (i * pitch + j) * LANES_F32, s);
            } else top = larger(larger(a, b), larger(c, d));
            if (ahead < 0) STREAM(y + j * LANES_F32, top);
            else *(vf32 *)(y + j * LANES_F32) = top;
        }
}

/* The gradient of such a pooling: a plane of `height` rows; zeros but at the maxima. */
static void spread_to_spots(const float *g, const uint8_t *spots, long rows, long cols, float *dx, long height,
                            long width) {
    const vf32 zero = {0};
    for (long i = 0; i < rows; i++, dx += 2 * width * LANES_F32) {
        for (long j = 0; j < cols; j++, g += LANES_F32, spots += LANES_F32) {
            float *at = dx + 2 * j * LANES_F32, *below = at + width * LANES_F32;
            const Spots s = spots_at(spots);
            const Which right = which(s, 0), low = which(s, 1);
            const vf32 grad = *(const vf32 *)g, up = pick(low, zero, grad), down = pick(low, grad, zero);
            *(vf32 *)at = pick(right, zero, up);
            *(vf32 *)(at + LANES_F32) = pick(right, up, zero);
            *(vf32 *)below = pick(right, zero, down);
            *(vf32 *)(below + LANES_F32) = pick(right, down, zero);
        }
        for (long r = 0; r < 2; r++)
            memset(dx + (r * width + 2 * cols) * LANES_F32, 0, (width - 2 * cols) * VECTOR_BYTES);
    }
    memset(dx, 0, (height - 2 * rows) * width * VECTOR_BYTES);
}
#endif
