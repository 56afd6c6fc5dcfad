/* Max pooling for float and double. */
#ifndef PYCONV_POOLING_TYPES_H
#define PYCONV_POOLING_TYPES_H
#include "vector.h"

typedef struct {
    long n[3], out[3], window[3], strides[3], dilation[3], low[3];
    long pixel;      /* elements from one pixel to the next */
} Pool;

#define T float
#define V vf32
#define M vi32
#define LANES LANES_F32
#define NAME(x) x##_f32
#include "pooling.h"
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
#include "pooling.h"
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#endif
