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

enum { OP_COPY, OP_NEGATIVE, OP_SQUARE, OP_ABSOLUTE, OP_SIGN, OP_RELU, OP_NOT, OP_ADD, OP_SUBTRACT, OP_MULTIPLY,
       OP_MAXIMUM, OP_MINIMUM, OP_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_AND,
       OP_OR, OP_WHERE, OP_DIVIDE, OP_SIGMOID, OP_EXP, OP_EXPM1, OP_LOG, OP_LOG1P, OP_SQRT, OP_FLOOR, OP_TANH, OP_ERF,
       OP_POWER, OP_ISFINITE, OP_CHECK, OP_GATE, OP_MULTIPLY_ADD, OP_SIN, OP_COS, OP_ARCTAN2, OP_ROUND, OP_ROUND_F16,
       OP_ROUND_BF16, OP_ADD_MULTIPLY, OP_SUBTRACT_MULTIPLY, OP_SUBTRACT_MULTIPLY_ADD, OP_SUBTRACT_MULTIPLY_ADD_RELU,
       OP_ADD_RELU, OP_ADD_MULTIPLY_MULTIPLY, OP_SIGMOID_MULTIPLY, OP_MULTIPLY_ERF,
       OP_CHOOSE, OP_MULTIPLY_MULTIPLY, OP_MULTIPLY_MULTIPLY_MULTIPLY, OP_MULTIPLY_MULTIPLY_ADD,
       OP_SUBTRACT_MULTIPLY_MULTIPLY, OP_GELU, OP_ERF_ADD_MULTIPLY_MULTIPLY, OP_MULTIPLY_NEGATIVE,
       OP_MULTIPLY_NEGATIVE_EXP, OP_ADD_MAXIMUM, OP_MAXIMUM_MINIMUM, OP_ADD_MAXIMUM_MINIMUM, OP_RELU_MINIMUM,
       OP_EQUAL_WHERE,
       /* operands after the first: H, held: the same vector throughout a strip; E: each vector has one number */
       OP_SUBTRACT_MULTIPLY_ADD_HHH, OP_SUBTRACT_MULTIPLY_ADD_RELU_HHH, OP_SUBTRACT_MULTIPLY_ADD_HH,
       OP_SUBTRACT_MULTIPLY_HH, OP_MULTIPLY_ADD_HH, OP_MULTIPLY_ADD_EE, OP_MULTIPLY_E, OP_MULTIPLY_MULTIPLY_ADD_EHH,
       OP_SUBTRACT_MULTIPLY_MULTIPLY_HHV,
       /* adds (a - b) c to the first result and c to the last operand; b held */
       OP_GRADIENT_SUMS };

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
