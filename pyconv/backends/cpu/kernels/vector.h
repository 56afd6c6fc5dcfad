/* SIMD vectors of the instruction set that this file is compiled for, through the vector extension of GCC and Clang.
 *
 * LANES_F32 and LANES_F64 are the numbers of elements in a register; ACCUMULATORS is how many registers a tile may
 * keep sums in, so that the rest still holds its operands. */
#ifndef PYCONV_VECTOR_H
#define PYCONV_VECTOR_H

#include <stdint.h>
#include <string.h>
#include <math.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#  define VECTOR_BYTES 64
#  define ACCUMULATORS 28
#elif defined(__AVX__)
#  define VECTOR_BYTES 32
#  define ACCUMULATORS 12
#elif defined(__aarch64__)
#  define VECTOR_BYTES 16
#  define ACCUMULATORS 24
#else
#  define VECTOR_BYTES 16
#  define ACCUMULATORS 12
#endif

#define LANES_F32 (VECTOR_BYTES / 4)
#define LANES_F64 (VECTOR_BYTES / 8)

#define INLINE static inline __attribute__((always_inline))

/* A pointer that goes through memory in steps: without this compilers compute all the addresses ahead, each for a
 * register, or a place in memory, of its own, which takes longer than the steps. */
#define WALK(p) __asm__("" : "+r"(p))
/* A sum that stays in its register: GCC may give it another one in each step of a loop, and copy all back at its end,
 * which took a quarter of the time of 8 sums with AVX2. MULTIPLY_ADD: sum += a * b, where it did so with 12 yet. */
#if defined(__x86_64__) && !defined(__AVX512F__)
#  define HOLD(v) __asm__("" : "+x"(v))
#else
#  define HOLD(v)
#endif
#if defined(__FMA__) && !defined(__AVX512F__)
#  define MULTIPLY_ADD(sum, a, b) { \
    if (sizeof((sum)[0]) == 4) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b)); \
    else __asm__("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b)); }
#else
#  define MULTIPLY_ADD(sum, a, b) { (sum) += (a) * (b); HOLD(sum); }
#endif
#define SHARED __attribute__((visibility("hidden")))     /* by the modules of a library */

/* aligned(1): loads and stores need no alignment. may_alias: any array may be read as vectors. */
typedef float   vf32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double  vf64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t vi32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int64_t vi64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

/* Stores a vector, which lies on a boundary, past the caches; STREAMED makes such stores seen by other threads. */
#if defined(__x86_64__)
#  if VECTOR_BYTES == 64
#    define STREAM(at, v) _mm512_stream_ps((float *)(at), (__m512)(v))
#  elif VECTOR_BYTES == 32
#    define STREAM(at, v) _mm256_stream_ps((float *)(at), (__m256)(v))
#  else
#    define STREAM(at, v) _mm_stream_ps((float *)(at), (__m128)(v))
#  endif
#  define STREAMED() _mm_sfence()
#else
#  define STREAM(at, v) (*(vf32 *)(at) = (v))
#  define STREAMED()
#endif

/* Brings memory into the second-level cache; also in a function without results. */
INLINE void fetch(const char *at, long bytes) {
    for (long i = 0; i < bytes; i += 64) {
        __builtin_prefetch(at + i, 0, 2);
        __asm__ volatile("");
    }
}

/* The same for memory that will be written. */
INLINE void expect(const char *at, long bytes) {
    for (long i = 0; i < bytes; i += 64) {
        __builtin_prefetch(at + i, 1, 2);
        __asm__ volatile("");
    }
}

/* max(v, 0), by a mask: NaN stays. */
INLINE vf32 relu_f32(vf32 v) { return (vf32)((vi32)v & ~(v <= 0)); }
INLINE vf64 relu_f64(vf64 v) { return (vf64)((vi64)v & ~(v <= 0)); }

/* Sum over the first `n` lanes, always in the same order. */
INLINE float sum_lanes_f32(vf32 v, long n) {
    float a[LANES_F32];
    *(vf32 *)a = v;
    for (long i = n; i < LANES_F32; i++) a[i] = 0;
#if VECTOR_BYTES == 64
    for (int i = 0; i < 8; i++) a[i] += a[i + 8];
#endif
#if VECTOR_BYTES >= 32
    for (int i = 0; i < 4; i++) a[i] += a[i + 4];
#endif
    return (a[0] + a[2]) + (a[1] + a[3]);
}

INLINE double sum_lanes_f64(vf64 v, long n) {
    double a[LANES_F64];
    *(vf64 *)a = v;
    for (long i = n; i < LANES_F64; i++) a[i] = 0;
#if VECTOR_BYTES == 64
    for (int i = 0; i < 4; i++) a[i] += a[i + 4];
#endif
#if VECTOR_BYTES >= 32
    for (int i = 0; i < 2; i++) a[i] += a[i + 2];
#endif
    return a[0] + a[1];
}

/* a > b, with NaN above everything, as a lane mask. */
#define ABOVE(a, b) (((a) > (b)) | ((a) != (a)))

#endif
