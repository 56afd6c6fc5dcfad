/* Pooling of one vector of channels or samples. Included once per type with T, V, M, LANES, NAME(x) defined. */

/* a > b with NaN above all numbers; equal if both are NaN */
#define WINS(a, b) (~((a) <= (b)) & ((b) == (b)))
#define SAME(a, b) (((a) == (b)) | (((a) != (a)) & ((b) != (b))))
#define PICK(mask, a, b) ((V)(((mask) & (M)(a)) | (~(mask) & (M)(b))))

/* The first and past-the-last tap of output o along an axis that lie inside the input. */
INLINE void NAME(clip)(const Pool *p, int axis, long o, long *first, long *last) {
    const long at = o * p->strides[axis] - p->low[axis], d = p->dilation[axis];
    long a = 0, b = p->window[axis];
    while (a < b && at + a * d < 0) a++;
    while (b > a && at + (b - 1) * d >= p->n[axis]) b--;
    *first = a; *last = b;
}

/* The maximum of a window of nz x nr x nc taps, dz, dr and dc elements apart. */
INLINE V NAME(top)(const T *x, long nz, long nr, long nc, long dz, long dr, long dc) {
    V best = *(const V *)x;
    for (long z = 0; z < nz; z++)
#pragma GCC unroll 3
    for (long r = 0; r < nr; r++)
#pragma GCC unroll 3
    for (long c = 0; c < nc; c++) {
        const V v = *(const V *)(x + z * dz + r * dr + c * dc);
        best = PICK(WINS(v, best), v, best);
    }
    return best;
}

/* x and y point at the lane group; `lanes` of the vector are stored. If a pixel has no more channels than these, whole
 * vectors are stored as long as they end inside of the output: what they spoil is computed next. */
static void NAME(max_pool)(const Pool *p, const T *x, T *y, long lanes) {
    const long s = p->pixel, rows = p->n[2] * s, planes = p->n[1] * rows;
    const long dz = p->dilation[0] * planes, dr = p->dilation[1] * rows, dc = p->dilation[2] * s;
    const int exact = pool_pairs(p);
    const T *const end = y + p->out[0] * p->out[1] * p->out[2] * s;
    long z0, z1, r0, r1, c0, c1;
    for (long i = 0; i < p->out[0]; i++) { NAME(clip)(p, 0, i, &z0, &z1);
    for (long j = 0; j < p->out[1]; j++) { NAME(clip)(p, 1, j, &r0, &r1);
        const T *at = x + (i * p->strides[0] - p->low[0]) * planes + (j * p->strides[1] - p->low[1]) * rows;
        for (long k = 0; k < p->out[2]; k++, y += p->pixel) {
            const T *xk = at + (k * p->strides[2] - p->low[2]) * s;
            V best;
            if (exact) {
                const V a = *(const V *)xk, b = *(const V *)(xk + s);
                const V c = *(const V *)(xk + rows), d = *(const V *)(xk + rows + s);
                const V ab = PICK(WINS(b, a), b, a), cd = PICK(WINS(d, c), d, c);
                best = PICK(WINS(cd, ab), cd, ab);
            } else {
                NAME(clip)(p, 2, k, &c0, &c1);
                const T *o = xk + z0 * dz + r0 * dr + c0 * dc;
                best = z1 - z0 == 1 && r1 - r0 == 3 && c1 - c0 == 3 ? NAME(top)(o, 1, 3, 3, dz, dr, dc)
                    : NAME(top)(o, z1 - z0, r1 - r0, c1 - c0, dz, dr, dc);
            }
            if (lanes == LANES || (lanes == s && y + LANES <= end)) *(V *)y = best;
            else { T a[LANES]; *(V *)a = best; for (long l = 0; l < lanes; l++) y[l] = a[l]; }
        }
    } }
}

/* Adds grad to dx at the first maximum of a window of nz x nr x nc taps, dz, dr and dc elements apart. Inlined with
 * constant sizes where these are common, so that the loops go. */
INLINE void NAME(spread)(const T *x, V grad, T *dx, long nz, long nr, long nc, long dz, long dr, long dc, long lanes) {
    V best = *(const V *)x;
    M top = (M){0}, tap = (M){0};
    for (long z = 0; z < nz; z++)
#pragma GCC unroll 3
    for (long r = 0; r < nr; r++)
#pragma GCC unroll 3
    for (long c = 0; c < nc; c++) {
        const V v = *(const V *)(x + z * dz + r * dr + c * dc);
        const M wins = WINS(v, best);
        best = PICK(wins, v, best);
        top = (wins & tap) | (~wins & top);
        tap += 1;
    }
    tap = (M){0};
    for (long z = 0; z < nz; z++)
#pragma GCC unroll 3
    for (long r = 0; r < nr; r++)
#pragma GCC unroll 3
    for (long c = 0; c < nc; c++) {
        T *o = dx + z * dz + r * dr + c * dc;
        const V add = (V)((M)(top == tap) & (M)grad);
        if (lanes == LANES) *(V *)o += add;
        else { T a[LANES]; *(V *)a = add; for (long l = 0; l < lanes; l++) o[l] += a[l]; }
        tap += 1;
    }
}

/* Adds each output's gradient g to dx at the first maximum of its window. dx starts as zeros, unless the windows are
 * 2 x 2 side by side and fill it. */
static void NAME(max_pool_gradient)(const Pool *p, const T *x, const T *g, T *dx, long lanes) {
    const long s = p->pixel, rows = p->n[2] * s, planes = p->n[1] * rows;
    const long dz = p->dilation[0] * planes, dr = p->dilation[1] * rows, dc = p->dilation[2] * s;
    const int exact = lanes == LANES && pool_pairs(p);
    long z0, z1, r0, r1, c0, c1;
    for (long i = 0; i < p->out[0]; i++) { NAME(clip)(p, 0, i, &z0, &z1);
    for (long j = 0; j < p->out[1]; j++) { NAME(clip)(p, 1, j, &r0, &r1);
        const long at = (i * p->strides[0] - p->low[0]) * planes + (j * p->strides[1] - p->low[1]) * rows;
        for (long k = 0; k < p->out[2]; k++, g += p->pixel) {
            const long xk = at + (k * p->strides[2] - p->low[2]) * s;
            const V grad = *(const V *)g;
            if (exact) {
                /* Windows of 2 x 2 side by side: each element belongs to one, so it is written once. */
                const V a = *(const V *)(x + xk), b = *(const V *)(x + xk + s);
                const V c = *(const V *)(x + xk + rows), d = *(const V *)(x + xk + rows + s);
                const V ab = PICK(WINS(b, a), b, a), cd = PICK(WINS(d, c), d, c), top = PICK(WINS(cd, ab), cd, ab);
                const M ha = SAME(a, top), hb = SAME(b, top) & ~ha, hc = SAME(c, top) & ~(ha | hb);
                *(V *)(dx + xk) = (V)(ha & (M)grad);
                *(V *)(dx + xk + s) = (V)(hb & (M)grad);
                *(V *)(dx + xk + rows) = (V)(hc & (M)grad);
                *(V *)(dx + xk + rows + s) = (V)(~(ha | hb | hc) & (M)grad);
                continue;
            }
            NAME(clip)(p, 2, k, &c0, &c1);
            const long o = xk + z0 * dz + r0 * dr + c0 * dc;
            if (lanes == LANES && z1 - z0 == 1 && r1 - r0 == 3 && c1 - c0 == 3)
                NAME(spread)(x + o, grad, dx + o, 1, 3, 3, dz, dr, dc, LANES);
            else NAME(spread)(x + o, grad, dx + o, z1 - z0, r1 - r0, c1 - c0, dz, dr, dc, lanes);
        }
    } }
}

/* What the sum of a window is multiplied by: 1, or 1 over its size, or over the elements that it holds. */
INLINE T NAME(share)(const Pool *p, long held) {
    if (p->divisor == DIVIDE_BY_ELEMENTS) return (T)1 / (T)held;
    if (p->divisor == DIVIDE_BY_WINDOW) return (T)1 / (T)(p->window[0] * p->window[1] * p->window[2]);
    return 1;
}

static void NAME(avg_pool)(const Pool *p, const T *x, T *y, long lanes) {
    const long s = p->pixel, rows = p->n[2] * s, planes = p->n[1] * rows;
    const long dz = p->dilation[0] * planes, dr = p->dilation[1] * rows, dc = p->dilation[2] * s;
    const int exact = pool_pairs(p);
    const T *const end = y + p->out[0] * p->out[1] * p->out[2] * s;
    const T share = NAME(share)(p, p->window[0] * p->window[1] * p->window[2]);
    long z0, z1, r0, r1, c0, c1;
    for (long i = 0; i < p->out[0]; i++) { NAME(clip)(p, 0, i, &z0, &z1);
    for (long j = 0; j < p->out[1]; j++) { NAME(clip)(p, 1, j, &r0, &r1);
        const T *at = x + (i * p->strides[0] - p->low[0]) * planes + (j * p->strides[1] - p->low[1]) * rows;
        for (long k = 0; k < p->out[2]; k++, y += p->pixel) {
            const T *xk = at + (k * p->strides[2] - p->low[2]) * s;
            V sum = (V){0};
            if (exact) {
                sum = *(const V *)xk + *(const V *)(xk + s);
                sum += *(const V *)(xk + rows) + *(const V *)(xk + rows + s);
                sum *= share;
            } else {
                NAME(clip)(p, 2, k, &c0, &c1);
                for (long z = z0; z < z1; z++) for (long r = r0; r < r1; r++) for (long c = c0; c < c1; c++)
                    sum += *(const V *)(xk + z * dz + r * dr + c * dc);
                sum *= NAME(share)(p, (z1 - z0) * (r1 - r0) * (c1 - c0));
            }
            if (lanes == LANES || (lanes == s && y + LANES <= end)) *(V *)y = sum;
            else { T a[LANES]; *(V *)a = sum; for (long l = 0; l < lanes; l++) y[l] = a[l]; }
        }
    } }
}

/* Adds each output's share of its gradient g to the elements of its window. Where windows do not overlap, each
 * element is written at most once; dx starts as zeros, unless such windows fill it. */
static void NAME(avg_pool_gradient)(const Pool *p, const T *g, T *dx, long lanes) {
    const long s = p->pixel, rows = p->n[2] * s, planes = p->n[1] * rows;
    const long dz = p->dilation[0] * planes, dr = p->dilation[1] * rows, dc = p->dilation[2] * s;
    const int apart = pool_apart(p);
    long z0, z1, r0, r1, c0, c1;
    for (long i = 0; i < p->out[0]; i++) { NAME(clip)(p, 0, i, &z0, &z1);
    for (long j = 0; j < p->out[1]; j++) { NAME(clip)(p, 1, j, &r0, &r1);
        const long at = (i * p->strides[0] - p->low[0]) * planes + (j * p->strides[1] - p->low[1]) * rows;
        for (long k = 0; k < p->out[2]; k++, g += p->pixel) {
            T *to = dx + at + (k * p->strides[2] - p->low[2]) * s;
            NAME(clip)(p, 2, k, &c0, &c1);
            const V add = *(const V *)g * NAME(share)(p, (z1 - z0) * (r1 - r0) * (c1 - c0));
            for (long z = z0; z < z1; z++) for (long r = r0; r < r1; r++) for (long c = c0; c < c1; c++) {
                T *o = to + z * dz + r * dr + c * dc;
                if (lanes == LANES) { if (apart) *(V *)o = add; else *(V *)o += add; }
                else {
                    T a[LANES];
                    *(V *)a = add;
                    for (long l = 0; l < lanes; l++) o[l] = apart ? a[l] : o[l] + a[l];
                }
            }
        }
    } }
}

#undef WINS
#undef SAME
#undef PICK
