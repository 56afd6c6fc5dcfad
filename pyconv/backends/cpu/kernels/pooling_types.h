/* Pooling for float and double. */
#ifndef PYCONV_POOLING_TYPES_H
#define PYCONV_POOLING_TYPES_H
#include "vector.h"

typedef struct {
    long n[3], out[3], window[3], strides[3], dilation[3], low[3];
    long pixel;      /* elements from one pixel to the next */
    long divisor;    /* of average pooling */
} Pool;

enum { DIVIDE_BY_ONE = 0, DIVIDE_BY_WINDOW = 1, DIVIDE_BY_ELEMENTS = 2 };

/* Whether the windows are 2 x 2 side by side and none reaches over the edge. */
static inline int pool_pairs(const Pool *p) {
    int ok = p->window[0] == 1 && p->strides[0] == 1;
    for (int i = 1; i < 3; i++)
        ok &= p->window[i] == 2 && p->strides[i] == 2 && p->dilation[i] == 1 && p->low[i] == 0
              && 2 * p->out[i] <= p->n[i];
    return ok;
}

/* Whether, besides, every element of the input belongs to a window. */
static inline int pool_pairs_fill(const Pool *p) {
    return pool_pairs(p) && 2 * p->out[1] == p->n[1] && 2 * p->out[2] == p->n[2];
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

#define BODY "pooling.h"
#include "float_types.h"
#endif
