/* products.h for float and double, and the headers of Winograd's algorithm, which is for float. */
#ifndef PYCONV_WINOGRAD_F32_F64_H
#define PYCONV_WINOGRAD_F32_F64_H
#include "vector.h"

/* Planes of h x w pixels, `pixel` elements apart, of which tiles take each dy-th row and each dx-th column. */
typedef struct { long pixel, h, w, dy, dx; } Planes;

/* The phases of a kernel with strides. Full rows (columns) of them have the most taps in a column (row); others have no
 * value at infinity there. Their order: full in none, in rows, in both, in columns: those that a value of a tile has
 * follow each other. */
typedef struct { long rows, columns, full_rows, full_columns; } Phases;

INLINE void phase_at(const Phases *p, long i, long *row, long *column) {
    const long rows = p->rows - p->full_rows, columns = p->columns - p->full_columns;
    const long none = rows * columns, without = none + p->full_rows * columns, both = p->full_rows * p->full_columns;
    if (i < without) {
        *row = i < none ? p->full_rows + i / columns : (i - none) / columns;
        *column = p->full_columns + (i < none ? i : i - none) % columns;
    } else {
        i -= without;
        *row = i < both ? i / p->full_columns : p->full_rows + (i - both) / p->full_columns;
        *column = i % p->full_columns;
    }
}

/* The range of those that a value has; last_row, last_column: whether it is at infinity. */
INLINE void phases_with(const Phases *p, int last_row, int last_column, long *begin, long *end) {
    const long columns = p->columns - p->full_columns, none = (p->rows - p->full_rows) * columns;
    *begin = last_column ? none + p->full_rows * columns : last_row ? none : 0;
    *end = last_row ? none + p->full_rows * p->columns : p->rows * p->columns;
}

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
#undef T
#undef V
#undef VI
#undef LANES
#undef NAME
#endif
