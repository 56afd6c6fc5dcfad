/* The elementwise machine for float, double and int64. */
#ifndef PYCONV_ELEMENTWISE_TYPES_H
#define PYCONV_ELEMENTWISE_TYPES_H
#include "vector.h"

enum { TYPE_F32, TYPE_F64, TYPE_BOOL, TYPE_U8, TYPE_I8, TYPE_U16, TYPE_I16, TYPE_U32, TYPE_I32, TYPE_I64 };

enum { OP_COPY, OP_NEGATIVE, OP_SQUARE, OP_ABSOLUTE, OP_SIGN, OP_RELU, OP_NOT, OP_ADD, OP_SUBTRACT, OP_MULTIPLY,
       OP_MAXIMUM, OP_MINIMUM, OP_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_AND,
       OP_OR, OP_WHERE, OP_DIVIDE, OP_SIGMOID, OP_EXP, OP_EXPM1, OP_LOG, OP_LOG1P, OP_SQRT, OP_FLOOR, OP_TANH, OP_ERF,
       OP_POWER, OP_ISFINITE, OP_CHECK, OP_GATE, OP_MULTIPLY_ADD, OP_SIN, OP_COS, OP_ARCTAN2, OP_ROUND };

#define PAIRS(P) \
    P(expm1) P(log) P(log1p) P(sqrt) P(floor) P(tanh) P(erf) P(sin) P(cos) P(rint)
#define F32(name) static inline float m_##name##_f32(float x) { return name##f(x); }
#define F64(name) static inline double m_##name##_f64(double x) { return name(x); }
PAIRS(F32)
PAIRS(F64)
#undef F32
#undef F64
#undef PAIRS
static inline float m_pow_f32(float x, float y) { return powf(x, y); }
static inline float m_atan2_f32(float y, float x) { return atan2f(y, x); }
static inline double m_atan2_f64(double y, double x) { return atan2(y, x); }
static inline double m_pow_f64(double x, double y) { return pow(x, y); }

/* exp in single precision, within 1 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial for exp(r) (its
 * coefficients are the Taylor series', the last two adjusted for the interval). 2**n is applied in two halves, so that
 * results below the smallest normal number come out right. */
INLINE vf32 vexp_f32(vf32 x) {
    const vf32 magic = (vf32){0} + 12582912.0f;
    const vi32 nan = x != x, low = x < -104.0f, high = x > 89.0f;
    vf32 v = (vf32)(((vi32)x & ~(low | high)));
    vf32 n = (v * 1.44269504088896341f + magic) - magic;
    vf32 r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
    vf32 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const vi32 k = __builtin_convertvector(n, vi32), half = k >> 1;
    const vf32 s = (vf32)((half + 127) << 23), t = (vf32)((k - half + 127) << 23);
    vf32 y = p * s * t;
    y = (vf32)((vi32)y & ~low);
    y = (vf32)((high & (vi32)((vf32){0} + INFINITY)) | (~high & (vi32)y));
    return (vf32)((nan & (vi32)x) | (~nan & (vi32)y));
}

INLINE vf64 vexp_f64(vf64 x) {
    vf64 y;
    for (int i = 0; i < LANES_F64; i++) ((double *)&y)[i] = exp(((const double *)&x)[i]);
    return y;
}

#define T float
#define V vf32
#define M vi32
#define LANES LANES_F32
#define NAME(x) x##_f32
#define FLOAT 1
#include "elementwise.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME

#define T double
#define V vf64
#define M vi64
#define LANES LANES_F64
#define NAME(x) x##_f64
#include "elementwise.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef FLOAT

#define T int64_t
#define V vi64
#define M vi64
#define LANES LANES_F64
#define NAME(x) x##_i64
#define FLOAT 0
#include "elementwise.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef FLOAT
#endif
