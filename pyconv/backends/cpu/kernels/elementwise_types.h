/* The elementwise machine for float, double and int64. */
#ifndef PYCONV_ELEMENTWISE_TYPES_H
#define PYCONV_ELEMENTWISE_TYPES_H
#include "vector_math.h"

enum { STRIP = 256 };
enum { TYPE_F32, TYPE_F64, TYPE_BOOL, TYPE_U8, TYPE_I8, TYPE_U16, TYPE_I16, TYPE_U32, TYPE_I32, TYPE_I64 };

static inline long type_bytes(int type) {
    return type == TYPE_F64 || type == TYPE_I64 ? 8 : type == TYPE_F32 || type == TYPE_U32 || type == TYPE_I32 ? 4
        : type == TYPE_U16 || type == TYPE_I16 ? 2 : 1;
}

/* The instructions. Of those with kinds of operands, after the first: H, held, the same vector throughout a strip; E,
 * each vector has one number. GRADIENT_SUMS adds (a - b) c to the first result and c to the last operand; b held. */
#define INSTRUCTIONS(X) \
    X(COPY) X(NEGATIVE) X(SQUARE) X(ABSOLUTE) X(SIGN) X(RELU) X(NOT) X(ADD) X(SUBTRACT) X(MULTIPLY) X(MAXIMUM) \
    X(MINIMUM) X(EQUAL) X(NOT_EQUAL) X(LESS) X(LESS_EQUAL) X(GREATER) X(GREATER_EQUAL) X(AND) X(OR) X(WHERE) \
    X(DIVIDE) X(SIGMOID) X(EXP) X(EXPM1) X(LOG) X(LOG1P) X(SQRT) X(FLOOR) X(TANH) X(ERF) X(POWER) X(ISFINITE) \
    X(CHECK) X(GATE) X(MULTIPLY_ADD) X(SIN) X(COS) X(ARCTAN2) X(ROUND) X(ROUND_F16) X(ROUND_BF16) X(ADD_MULTIPLY) \
    X(SUBTRACT_MULTIPLY) X(SUBTRACT_MULTIPLY_ADD) X(SUBTRACT_MULTIPLY_ADD_RELU) X(ADD_RELU) X(ADD_MULTIPLY_MULTIPLY) \
    X(SIGMOID_MULTIPLY) X(MULTIPLY_ERF) X(CHOOSE) X(MULTIPLY_MULTIPLY) X(MULTIPLY_MULTIPLY_MULTIPLY) \
    X(MULTIPLY_MULTIPLY_ADD) X(SUBTRACT_MULTIPLY_MULTIPLY) X(GELU) X(ERF_ADD_MULTIPLY_MULTIPLY) X(MULTIPLY_NEGATIVE) \
    X(MULTIPLY_NEGATIVE_EXP) X(ADD_MAXIMUM) X(MAXIMUM_MINIMUM) X(ADD_MAXIMUM_MINIMUM) X(RELU_MINIMUM) X(EQUAL_WHERE) \
    X(SUBTRACT_MULTIPLY_ADD_HHH) X(SUBTRACT_MULTIPLY_ADD_RELU_HHH) X(SUBTRACT_MULTIPLY_ADD_HH) \
    X(SUBTRACT_MULTIPLY_HH) X(MULTIPLY_ADD_HH) X(MULTIPLY_ADD_EE) X(MULTIPLY_E) X(MULTIPLY_MULTIPLY_ADD_EHH) \
    X(SUBTRACT_MULTIPLY_MULTIPLY_HHV) X(GRADIENT_SUMS)
#define ENTRY(name) OP_##name,
enum { INSTRUCTIONS(ENTRY) };
#undef ENTRY
#define ENTRY(name) #name " "
static const char INSTRUCTION_NAMES[] = INSTRUCTIONS(ENTRY);
#undef ENTRY

#define PAIRS(P) P(sqrt) P(floor) P(rint)
#define F32(name) static inline float m_##name##_f32(float x) { return name##f(x); }
#define F64(name) static inline double m_##name##_f64(double x) { return name(x); }
PAIRS(F32)
PAIRS(F64)
#undef F32
#undef F64
#undef PAIRS
static inline float m_atan2_f32(float y, float x) { return atan2f(y, x); }
static inline double m_atan2_f64(double y, double x) { return atan2(y, x); }

/* Writes to memory past the caches, where the processor can and `dst` is on the boundary of a vector. */
static void stream(char *dst, const char *src, long bytes) {
    long i = 0;
    if ((uintptr_t)dst % VECTOR_BYTES == 0)
        for (; i + VECTOR_BYTES <= bytes; i += VECTOR_BYTES) STREAM(dst + i, *(const vf32 *)(src + i));
    memcpy(dst + i, src + i, bytes - i);
}

#define T float
#define V vf32
#define M vi32
#define LANES LANES_F32
#define NAME(x) x##_f32
#define FLOAT 1
#define DIGITS 24
#include "elementwise.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef DIGITS

#define T double
#define V vf64
#define M vi64
#define LANES LANES_F64
#define NAME(x) x##_f64
#define DIGITS 53
#include "elementwise.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef DIGITS
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
