/* Softmax cross-entropy of one sample, and Philox4x32-10. */
#ifndef PYCONV_SPECIAL_H
#define PYCONV_SPECIAL_H
#include "vector_math.h"

static inline float log_f32(float x) { return logf(x); }
static inline double log_f64(double x) { return log(x); }

#define BODY "cross_entropy.h"
#include "float_types.h"

static inline void philox(uint64_t key, uint64_t counter, uint32_t block, uint32_t out[4]) {
    uint32_t c0 = block, c1 = (uint32_t)counter, c2 = (uint32_t)(counter >> 32), c3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b; c3 = (uint32_t)a; c0 = n0; c2 = n2;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

/* `PHILOX_MANY` blocks from `first` on, side by side: word k of block i is at out[4 * i + k]. */
enum { PHILOX_MANY = 32 };
static void philox_many(uint64_t key, uint64_t counter, uint32_t first, uint32_t *out) {
    uint32_t c0[PHILOX_MANY], c1[PHILOX_MANY], c2[PHILOX_MANY], c3[PHILOX_MANY];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < PHILOX_MANY; i++) {
        c0[i] = first + (uint32_t)i; c1[i] = (uint32_t)counter; c2[i] = (uint32_t)(counter >> 32); c3[i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < PHILOX_MANY; i++) {
            const uint64_t a = (uint64_t)0xD2511F53u * c0[i], b = (uint64_t)0xCD9E8D57u * c2[i];
            const uint32_t n0 = (uint32_t)(b >> 32) ^ c1[i] ^ k0, n2 = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)b; c3[i] = (uint32_t)a; c0[i] = n0; c2[i] = n2;
        }
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < PHILOX_MANY; i++) {
        out[4 * i] = c0[i]; out[4 * i + 1] = c1[i]; out[4 * i + 2] = c2[i]; out[4 * i + 3] = c3[i];
    }
}

static inline double philox_uniform(uint32_t word) { return (word >> 8) * 0x1p-24; }

/* Two normal numbers from two words. */
static inline void philox_normal(uint32_t a, uint32_t b, double *x, double *y) {
    const double u = (a + 0.5) * 0x1p-32, v = b * 0x1p-32;
    const double radius = sqrt(-2 * log(u)), angle = 6.283185307179586 * v;
    *x = radius * cos(angle);
    *y = radius * sin(angle);
}
#endif
