/* products.h and the headers of Winograd's algorithm for float and double. */
#ifndef PYCONV_WINOGRAD_F32_F64_H
#define PYCONV_WINOGRAD_F32_F64_H
#include "vector.h"

/* Planes of h x w pixels, `pixel` elements apart, of which tiles take each dy-th row and each dx-th column. */
typedef struct { long pixel, h, w, dy, dx; } Planes;

#define T float
#define V vf32
#define VI vi32
#define LANES LANES_F32
#define NAME(x) x##_f32
#include "products.h"
#include "winograd.h"
#include "winograd_depth.h"
#include "winograd_weights.h"
#undef T
#undef V
#undef VI
#undef LANES
#undef NAME

#define T double
#define V vf64
#define VI vi64
#define LANES LANES_F64
#define NAME(x) x##_f64
#include "products.h"
#include "winograd.h"
#include "winograd_depth.h"
#include "winograd_weights.h"
#undef T
#undef V
#undef VI
#undef LANES
#undef NAME
#endif
