/* Reductions for float, double and int64. */
#ifndef PYCONV_REDUCTION_TYPES_H
#define PYCONV_REDUCTION_TYPES_H
#include "vector.h"

enum { REDUCE_SUM, REDUCE_MAX, REDUCE_MIN };
enum { MAX_AXES = 8 };
typedef struct { long shape[MAX_AXES], stride[MAX_AXES], count; int axes; } Axes;

/* From n bytes before its middle on: a mask of the first n bytes of a vector. */
static const unsigned char first_bytes[2 * VECTOR_BYTES] = {[0 ... VECTOR_BYTES - 1] = 255};

#define FLOAT 1
#define IS_NAN(v) ((v) != (v))
#define LOWEST (-INFINITY)
#define HIGHEST INFINITY
#define BODY "reduction.h"
#include "float_types.h"
#undef IS_NAN
#undef LOWEST
#undef HIGHEST

#undef FLOAT
#define FLOAT 0
#define IS_NAN(v) (0)
#define LOWEST INT64_MIN
#define HIGHEST INT64_MAX
#define T int64_t
#define V vi64
#define M vi64
#define LANES LANES_F64
#define NAME(x) x##_i64
#include "reduction.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef FLOAT
#endif
