/* Winograd's algorithm along the depth, around that of planes: a tile of 4 results of a kernel with 3 taps takes 6 sums
 * of planes, whose convolutions give 6 planes, of which sums are the results. Included as winograd.h is.
 *
 * Rows of third[..] belong to the points 0, 1, -1, 2, -1/2 and infinity, which lose a third less precision than those
 * of planes do: three axes lose more than two. INPUTS is B', OUTPUTS A and KERNELS G; each is read along its rows, for
 * the values of points, or along its columns, for the transpose. */
#ifndef PYCONV_WINOGRAD_DEPTH_H
#define PYCONV_WINOGRAD_DEPTH_H
enum { INPUTS, OUTPUTS, KERNELS };
static const int third_sizes[] = {6, 4, 3};
#endif
#define APART __attribute__((noinline, noclone))      /* one of each, whoever calls it: it is not much of the time */
static const T NAME(third)[3][6][6] = {
    {{1, 1.5, -2, -1.5, 1}, {0, -1, -2.5, -0.5, 1}, {0, 1, 0.5, -2.5, 1}, {0, -0.5, -1, 0.5, 1}, {0, 2, -1, -2, 1},
     {0, 1, 1.5, -2, -1.5, 1}},
    {{1}, {1, 1, 1, 1}, {1, -1, 1, -1}, {1, 2, 4, 8}, {1, -0.5, 0.25, -0.125}, {0, 0, 0, 1}},
    {{1}, {-(T)1 / 3, -(T)1 / 3, -(T)1 / 3}, {(T)1 / 3, -(T)1 / 3, (T)1 / 3}, {(T)1 / 15, (T)2 / 15, (T)4 / 15},
     {-(T)16 / 15, (T)8 / 15, -(T)4 / 15}, {0, 0, 1}},
};

/* Planes of which some are sums of others, `row` elements from row to row in all of them. */
typedef struct {
    int outs, ins, add;                 /* add: to what is in `base`, which may be `out` */
    T *out[6];
    const T *base[6];
    const T *in[6];
    T by[6][6];                         /* [out][in] */
    long ahead_in, ahead_out;           /* elements to what comes later, which is asked for; 0: none */
} NAME(Mix);

/* `rows` rows of `cols` vectors of them. */
static APART void NAME(mix)(const NAME(Mix) *p, long row, long rows, long cols, T bias, int relu) {
    if (cols * LANES == row) cols *= rows, rows = 1;
    for (long y = 0; y < rows; y++)
        for (long x = 0, step; x < cols; x += step) {
            const long at = y * row + x * LANES;
#define STEP(size) \
            step = size; \
            if (p->ahead_in) \
                for (int j = 0; j < p->ins; j++) \
                    for (int i = 0; i < size; i++) __builtin_prefetch(p->in[j] + at + i * LANES + p->ahead_in); \
            if (p->ahead_out) \
                for (int k = 0; k < p->outs; k++) \
                    for (int i = 0; i < size; i++) __builtin_prefetch(p->out[k] + at + i * LANES + p->ahead_out, 1); \
            for (int k = 0; k < p->outs; k++) { \
                V sum[size]; \
                _Pragma("GCC unroll 4") for (int i = 0; i < size; i++) { \
                    sum[i] = bias - (V){0}; \
                    if (p->add) sum[i] += *(const V *)(p->base[k] + at + i * LANES); } \
                for (int j = 0; j < p->ins; j++) { \
                    const T by = p->by[k][j]; \
                    if (by != 0) _Pragma("GCC unroll 4") for (int i = 0; i < size; i++) \
                        sum[i] += by * *(const V *)(p->in[j] + at + i * LANES); } \
                _Pragma("GCC unroll 4") for (int i = 0; i < size; i++) { \
                    if (relu) sum[i] = NAME(relu)(sum[i]); \
                    *(V *)(p->out[k] + at + i * LANES) = sum[i]; } }
            if (cols - x >= 4) { STEP(4) } else { STEP(1) }
#undef STEP
        }
}

/* The values of `count` points from `point` on, `apart` elements from each other: of those planes, `plane` elements
 * apart and the first of them number `first`, that are among the `depth` there are; x: plane 0. fetch: whether those
 * of the channel that follows are asked for. */
static APART void NAME(fold)(int matrix, int point, int count, const T *x, long plane, long first, long depth,
                             T *values, long apart, long row, long rows, long cols, int fetch) {
    NAME(Mix) p;
    p.outs = count, p.ins = 0, p.add = 0, p.ahead_in = fetch ? depth * plane : 0, p.ahead_out = 0;
    for (int k = 0; k < count; k++) p.out[k] = values + k * apart;
    for (int i = 0; i < third_sizes[matrix]; i++)
        if (first + i >= 0 && first + i < depth) {
            p.in[p.ins] = x + (first + i) * plane;
            for (int k = 0; k < count; k++) p.by[k][p.ins] = NAME(third)[matrix][point + k][i];
            p.ins++;
        }
    NAME(mix)(&p, row, rows, cols, 0, 0);
}

/* The transpose: what the values of `count` points are in such planes. base: NULL, or planes like y to which it is
 * added. */
static APART void NAME(unfold)(int matrix, int point, int count, const T *values, long apart, T *y, long plane,
                               long first, long depth, long row, long rows, long cols, const T *base, T bias, int relu,
                               int fetch) {
    NAME(Mix) p;
    p.outs = 0, p.ins = count, p.add = base != NULL, p.ahead_in = 0, p.ahead_out = fetch ? depth * plane : 0;
    for (int k = 0; k < count; k++) p.in[k] = values + k * apart;
    for (int i = 0; i < third_sizes[matrix]; i++)
        if (first + i >= 0 && first + i < depth) {
            p.out[p.outs] = y + (first + i) * plane;
            if (base) p.base[p.outs] = base + (first + i) * plane;
            for (int k = 0; k < count; k++) p.by[p.outs][k] = NAME(third)[matrix][point + k][i];
            p.outs++;
        }
    NAME(mix)(&p, row, rows, cols, bias, relu);
}
#undef APART
