/* The rows and dots of depthwise.h for float, with those for kernels of common sizes, and for double. */
#ifndef PYCONV_DEPTHWISE_F32_F64_H
#define PYCONV_DEPTHWISE_F32_F64_H
#include "vector.h"

/* Arguments of the rows; lengths and offsets in elements. */
typedef struct {
    const void *x, *w;                  /* column 0 of the first row; its weights */
    long n[3], xs[3], ws[3];            /* rows: of so many planes, depths and lines; from one to the next in x and w */
    long columns;                       /* of a row of x */
    long taps, apart, stride;           /* of a row: how many, columns from one to the next, and between results */
    long xp, yp, wp;                    /* from pixel to pixel in x (plain) and y, from tap to tap in w (plain) */
    const void *bias;                   /* or NULL */
    long last;                          /* plain layout: channels to store */
    int relu, past;                     /* past: lanes layout, the results go past the caches */
} Depthwise;

/* (arguments, column that the first tap meets for the first result, results, and from which to which all taps lie
 * inside of the row, where the first result goes) */
typedef void (*DepthwiseRow)(const Depthwise *, long, long, long, long, void *);

/* Arguments of the windows of 3 x 3 over a plane; lengths and offsets in elements. */
typedef struct {
    const void *x, *w;                  /* row 0, column 0; the taps */
    long ws, wp;                        /* in w, from row to row and (plain) from tap to tap */
    long rows, columns, line, xp;       /* of x, from row to row and (plain) from pixel to pixel */
    long first, end;                    /* rows of results */
    long ylow, ystep, yapart;           /* the row that the first tap meets for result 0; steps of results and taps */
    long low, count;                    /* the column that it meets; results */
    void *y; long yline, yp;            /* the first row of results */
    const void *bias;
    int relu, past;                     /* as above */
} DepthwiseWindows;

typedef void (*DepthwiseAll)(const DepthwiseWindows *);

/* Arguments of the gradient for the input of windows of 3 x 3 with stride 2: a plane. */
typedef struct {
    const void *g, *w;                  /* w: nine taps */
    void *y;
    long rows, columns;                 /* of y */
    long counts[2], low[2];             /* rows and columns of g; rows and columns of zeros before y */
    int past;
} DepthwiseSpread;

/* Arguments of the dots: planes x [depth][row][column][lane] and g of the results. */
typedef struct {
    const void *x, *g, *zeros;          /* zeros: a row, in the lanes layout */
    long outputs[3];
    long first, end, zs;                /* depths of the results, rows of x from one to the next */
    long rows, columns;                 /* of x */
    long y, ystep, yapart;              /* the row that the first row of taps meets, for the first result; steps */
    long low, stride, lo, hi;           /* columns: zeros before, steps, results whose taps lie inside of the row */
    void *out; long os;                 /* tap after tap */
    long lanes;                         /* that hold samples */
    long xp;                            /* plain layout: from pixel to pixel, in both */
} DepthwiseDot;

typedef void (*DepthwiseDotTile)(const DepthwiseDot *);

/* On x86 older than AVX the rows for any kernel do for all: the package stays smaller. */
#if !defined(__SSE2__) || defined(__AVX__)
#  define SPECIALISED
#endif
#define T float
#define V vf32
#define LANES LANES_F32
#define NAME(x) x##_f32
#define SUM sum_lanes_f32
#include "depthwise.h"
#undef SPECIALISED
#undef T
#undef V
#undef LANES
#undef NAME
#undef SUM

#define T double
#define V vf64
#define LANES LANES_F64
#define NAME(x) x##_f64
#define SUM sum_lanes_f64
#include "depthwise.h"
#undef T
#undef V
#undef LANES
#undef NAME
#undef SUM
#endif
