/* The tiles of tiles.h for float and double. */
#ifndef PYCONV_TILES_F32_F64_H
#define PYCONV_TILES_F32_F64_H
#include "vector.h"
#ifdef __AVX512F__
#  include <immintrin.h>
#endif

#define PACKED_AHEAD 6          /* offsets after those of a packed tile's taps, which it may read */

/* Arguments of the outer tiles; lengths and offsets in elements. */
typedef struct {
    const void *x; const int32_t *xo; long xj;      /* vectors */
    const void *w; const int32_t *wo; long wc;      /* scalars; of packed tiles, wc: from step to step */
    long taps;
    void *y; long yc, yj;                           /* result: y + c * yc + j * yj */
    long rows, skip;                                /* rows of a packed tile to store, at most CB; the first that a
                                                       wide one (wide.h) does not */
    long tiles;                                     /* how often a strided tile goes on to its next rows */
    long last;                                      /* lanes of the last vector of a strided tile to store */
    const void *bias;                               /* per row (packed) or per lane (strided), or NULL */
    int accumulate, relu;                           /* add to y; apply relu at the end */
    const void *other;                              /* NULL, or what a strided tile adds before relu, laid out as y */
    const void *ahead; long ahead_step;             /* NULL, or what is asked for, with each tap so many bytes on */
} Outer;

/* Arguments of the dot tiles. */
typedef struct {
    const void *x; const int32_t *xo;               /* one offset per tap of the tile */
    const void *g; long gc;                         /* gradients: g + c * gc */
    const int32_t *xrow, *grow; long rows;          /* where each row of pixels begins */
    long cols, xstep;                               /* pixels in a row; elements between two in x (in g: LANES) */
    void *out; long ot, oc;                         /* out + t * ot + c * oc */
    long lanes;                                     /* lanes that hold samples */
    int accumulate;
} Dot;

#define T float
#define V vf32
#define LANES LANES_F32
#define NAME(x) x##_f32
#define SUM sum_lanes_f32
#ifdef __AVX512F__
#  define STORE_MASKED(p, mask, v) _mm512_mask_storeu_ps(p, mask, (__m512)(v))
#endif
#include "tiles.h"
#undef STORE_MASKED
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
#ifdef __AVX512F__
#  define STORE_MASKED(p, mask, v) _mm512_mask_storeu_pd(p, mask, (__m512d)(v))
#endif
#include "tiles.h"
#undef STORE_MASKED
#undef T
#undef V
#undef LANES
#undef NAME
#undef SUM
#endif
