/* A kernel's weights, transformed. Included as winograd.h is.
 *
 * Taps are copied together first, for a vector of channels and a group of filters at a time: they are often powers of
 * two apart, and would push each other out of a cache. */
#ifndef PYCONV_WINOGRAD_WEIGHTS_H
#define PYCONV_WINOGRAD_WEIGHTS_H
enum { MOST_GROUP = 32 };               /* filters that are multiplied before they are transformed back, at most */

/* Where they lie and where they go: U[value][slice, channel][filter of a group]. */
typedef struct {
    Phases phase;
    int taps, lines;                            /* of a phase's row; of the transform, see winograd.h */
    int across_filters;                         /* which of the two lie side by side: filters or channels */
    long channels, group, step;                 /* filters of a group; elements from value to value of U */
    long thick, each;                           /* slices transformed together, and how many points they take at a
                                                   time: 3 with points along the depth, else 1 and 1 */
    long slices;                                /* whose products are added: all others */
    long phases;                                /* of a slice */
    long kernel_rows, kernel_columns, dy, dx;   /* of all phases; strides */
    long down, right, across;                   /* of results in phases, `across` of them side by side: the first's
                                                   first tap; 0, 0 and 1 */
    long origin;                                /* of the first tap (the last one, if turned around) */
    long w_other, w_slice, w_line, w_tap;       /* elements from one to the next */
} Weights;
#endif

/* U of `rows` filters from `first` on, for the channels from c0 to c1; with points along the depth, of those from
 * number `point` on; with results in phases, of the phase of that number. */
static void NAME(transform_weights)(const Weights *p, const T *w, long first, long rows, long c0, long c1, long point,
                                    T *u) {
    const long taps = p->lines == 1 ? p->taps : p->taps * p->taps, tap_size = LANES * p->group;
    const long slice_size = taps * tap_size;
    T square[27 * LANES * MOST_GROUP];          /* [tap][channel][filter] */
    for (long s = 0; s < p->slices * p->phases * p->each; s++)          /* one of them is more than 1 */
        for (long c = c0; c < c1; c += LANES) {
            const long n = c1 - c < LANES ? c1 - c : LANES;
            long down, right;
            phase_at(&p->phase, s % p->phases, &down, &right);
            if (p->thick == 1) down += p->down + point / p->across, right += p->right + point % p->across;
            const T *at = w + p->origin + (p->thick == 1 ? s / p->phases * p->w_slice : 0);
            at += p->across_filters ? c * p->w_other + first : first * p->w_other + c;
            for (long k = 0; k < p->thick * taps; k++) {
                const long row = down + k % taps / p->taps * p->dy;
                const long column = right + k % p->taps * p->dx;
                const T *tap = at + k / taps * p->w_slice + row * p->w_line + column * p->w_tap;
                T *to = square + k * tap_size;
                if (row < 0 || column < 0 || row >= p->kernel_rows || column >= p->kernel_columns)
                    memset(to, 0, tap_size * sizeof(T));
                else if (p->across_filters)
                    NAME(copy_rows)(tap, p->w_other, n, (rows + LANES - 1) / LANES, to, p->group, LANES * p->w_other);
                else
                    for (long f = 0; f < rows; f += LANES)
                        NAME(transposed)(tap + f * p->w_other, p->w_other, rows - f, to + f, p->group, LANES);
            }
            if (p->thick > 1)
                NAME(fold)(KERNELS, point + s, 1, square, slice_size, 0, p->thick, square, 0, slice_size, 1,
                           slice_size / LANES, 0);
            T *out = u + (c - c0) * p->group;
            out += s * (p->thick > 1 ? p->lines * p->lines * p->step : p->channels * p->group);
            for (long i = 0; i < n; i++, out += p->group)
                for (long f = 0; f < rows; f += LANES)
                    NAME(weights)(p->taps, p->lines, square + i * p->group + f, p->taps * tap_size, tap_size, out + f,
                                  p->step);
        }
}
