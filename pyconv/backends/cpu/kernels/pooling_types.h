/* Pooling for float and double. */
#ifndef PYCONV_POOLING_TYPES_H
#define PYCONV_POOLING_TYPES_H
#include "vector.h"

typedef struct {
    long n[3], out[3], window[3], strides[3], dilation[3], low[3];
    long pixel;      /* elements from one pixel to the next */
    long divisor;    /* of average pooling */
    long by_rows;    /* in that order, as the input comes from beyond a core's caches */
} Pool;

enum { DIVIDE_BY_ONE = 0, DIVIDE_BY_WINDOW = 1, DIVIDE_BY_ELEMENTS = 2 };

/* Of the outputs of a row, those whose windows lie inside of the input along the columns. */
static inline void pool_inside(const Pool *p, long *from, long *to) {
    const long s = p->strides[2], room = p->n[2] - 1 - p->dilation[2] * (p->window[2] - 1) + p->low[2];
    *from = (p->low[2] + s - 1) / s;
    *to = room < 0 ? 0 : room / s + 1;
    if (*to > p->out[2]) *to = p->out[2];
}

/* Whether no element belongs to two windows. */
static inline int pool_apart(const Pool *p) {
    int ok = 1;
    for (int i = 0; i < 3; i++) ok &= p->strides[i] > p->dilation[i] * (p->window[i] - 1);
    return ok;
}

/* Whether every element belongs to exactly one window. */
static inline int pool_apart_fill(const Pool *p) {
    int ok = 1;
    for (int i = 0; i < 3; i++)
        ok &= p->strides[i] == p->window[i] && (p->dilation[i] == 1 || p->window[i] == 1)
              && p->out[i] * p->strides[i] >= p->n[i] + p->low[i];
    return ok;
}

/* Whether windows can be taken by rows (single precision, the widest vectors): they have two axes and no gaps, and what
 * they have of their rows, a vector a pixel, has room. */
enum { BY_ROWS = VECTOR_BYTES == 64, KEPT = 16 << 10 };
static inline int pool_by_rows(const Pool *p) {
    return BY_ROWS && p->window[0] == 1 && p->low[0] == 0 && p->dilation[1] == 1 && p->dilation[2] == 1
        && p->window[1] * p->out[2] * VECTOR_BYTES <= KEPT;
}

#define BODY "pooling.h"
#include "float_types.h"
#endif
