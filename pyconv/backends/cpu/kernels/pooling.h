/* Pooling of one vector of channels or samples. Included once per type with T, V, M, LANES, NAME(x) defined. */

/* a > b with NaN above all numbers */
#define WINS(a, b) (~((a) <= (b)) & ((b) == (b)))
#define PICK(mask, a, b) ((V)(((mask) & (M)(a)) | (~(mask) & (M)(b))))

/* The first and past-the-last tap of output o along an axis that lie inside the input. */
INLINE void NAME(clip)(const Pool *p, int axis, long o, long *first, long *last) {
    const long at = o * p->strides[axis] - p->low[axis], d = p->dilation[axis];
    long a = 0, b = p->window[axis];
    while (a < b && at + a * d < 0) a++;
    while (b > a && at + (b - 1) * d >= p->n[axis]) b--;
    *first = a; *last = b;
}

/* What the sum of a window is multiplied by: 1, or 1 over its size, or over the elements that it holds. */
INLINE T NAME(share)(const Pool *p, long held) {
    if (p->divisor == DIVIDE_BY_ELEMENTS) return (T)1 / (T)held;
    if (p->divisor == DIVIDE_BY_WINDOW) return (T)1 / (T)(p->window[0] * p->window[1] * p->window[2]);
    return 1;
}

INLINE V NAME(larger)(V a, V b) {
    const M wins = WINS(b, a);
    return PICK(wins, b, a);
}

/* Pooling by rows: what windows have of a row of the input is joined first, once for all windows, and kept until all
 * their rows are there. So the input is read as one stream, which the processor foresees: rows that are read side by
 * side arrive at half of its speed from beyond a core's caches. */
INLINE V NAME(joined)(int max, V a, V b) {
    if (max) return NAME(larger)(a, b);
    return a + b;
}

/* `count` windows of `n` pixels of a row, `step` elements from one to the next, into `to`, which may be NULL; with y,
 * joined with what they have of `m` rows above. */
INLINE void NAME(join_row)(int max, const T *x, V *to, long count, long n, long step, const V *const *above, long m,
                           T *y, long s, T share) {
    for (long k = 0; k < count; k++, x += step) {
        V all = n ? *(const V *)x : (V){0};
        _Pragma("GCC unroll 3") for (long c = 1; c < n; c++) all = NAME(joined)(max, all, *(const V *)(x + c * s));
        if (to) to[k] = all;
        if (!y) continue;
        _Pragma("GCC unroll 2") for (long r = 0; r < m; r++) all = NAME(joined)(max, above[r][k], all);
        if (!max) all *= share;
        *(V *)(y + k * s) = all;
    }
}

INLINE void NAME(pool_by_rows)(int max, const Pool *p, const T *x, T *y) {
    V kept[KEPT / VECTOR_BYTES] __attribute__((aligned(VECTOR_BYTES)));
    const V *above[KEPT / VECTOR_BYTES];
    const long s = p->pixel, line = p->n[2] * s, cols = p->out[2], step = p->strides[2] * s;
    long from, to, r0, r1, c0, c1;
    pool_inside(p, &from, &to);
    for (long i = 0; i < p->out[0]; i++, x += p->strides[0] * p->n[1] * line)
        for (long j = 0, next = 0; j < p->out[1]; j++, y += cols * s) {
            NAME(clip)(p, 1, j, &r0, &r1);
            const long first = j * p->strides[1] - p->low[1] + r0, last = first + r1 - r0;
            const int again = p->strides[1] < p->window[1];
            if (r1 == r0) for (long k = 0; k < cols; k++) *(V *)(y + k * s) = (V){0};
            for (long k = 0, run; k < cols; k += run) {
                NAME(clip)(p, 2, k, &c0, &c1);
                run = k == from && to > from ? to - from : 1;
                const T share = max ? 1 : NAME(share)(p, (r1 - r0) * (c1 - c0));
                for (long r = first; r < last; r++) {
                    const T *w = x + r * line + k * step + (c0 - p->low[2]) * s;
                    V *h = kept + r % p->window[1] * cols + k;
                    above[r - first] = h;
#define JOIN_ROW(n, h, m, y) NAME(join_row)(max, w, h, run, n, step, above, m, y, s, share)
                    const int below = r == last - 1, n = c1 - c0, m = r - first;
                    if (!below && r < next) continue;
                    if (!below && n == 2) JOIN_ROW(2, h, 0, NULL);
                    else if (!below && n == 3) JOIN_ROW(3, h, 0, NULL);
                    else if (n == 2 && m == 1 && !again) JOIN_ROW(2, NULL, 1, y + k * s);
                    else if (n == 3 && m == 2) JOIN_ROW(3, h, 2, y + k * s);
                    else JOIN_ROW(n, h, m, below ? y + k * s : NULL);
#undef JOIN_ROW
                }
            }
            next = last;
        }
}

/* Functions of their own: inside of the others they cost those registers, and a fifth of their time. */
static __attribute__((noinline)) void NAME(max_by_rows)(const Pool *p, const T *x, T *y) {
    NAME(pool_by_rows)(1, p, x, y);
}
static __attribute__((noinline)) void NAME(avg_by_rows)(const Pool *p, const T *x, T *y) {
    NAME(pool_by_rows)(0, p, x, y);
}

/* Goes over the outputs in their order. WHAT(LOOP, nz, nr, nc, lanes, apart) is done for each `run` of neighbours in a
 * row whose windows have as many taps inside of the input: the first tap of the first window is `o` elements from the
 * beginning, those of the others `step` from one to the next. What is common, 3 x 3 (for gradients: overlapping) and
 * 2 x 2 (side by side), has constants, so that the loops over taps and all conditions in them go. */
#define OVER_WINDOWS(WHAT, GRADIENT) \
    const int apart = GRADIENT && pool_apart(p); \
    const long s = p->pixel, rows = p->n[2] * s, planes = p->n[1] * rows, step = p->strides[2] * s; \
    const long dz = p->dilation[0] * planes, dr = p->dilation[1] * rows, dc = p->dilation[2] * s; \
    long z0, z1, r0, r1, c0, c1, from, to; \
    pool_inside(p, &from, &to); \
    for (long i = 0; i < p->out[0]; i++) { NAME(clip)(p, 0, i, &z0, &z1); \
    for (long j = 0; j < p->out[1]; j++) { NAME(clip)(p, 1, j, &r0, &r1); \
        const long at = (i * p->strides[0] - p->low[0]) * planes + (j * p->strides[1] - p->low[1]) * rows; \
        for (long k = 0, run; k < p->out[2]; k += run) { \
            NAME(clip)(p, 2, k, &c0, &c1); \
            run = k == from && to > from ? to - from : 1; \
            const long o = at + k * step - p->low[2] * s + z0 * dz + r0 * dr + c0 * dc; \
            const int whole = lanes == LANES && z1 - z0 == 1; \
            if (whole && !apart && r1 - r0 == 3 && c1 - c0 == 3) { WHAT(FEW, 1, 3, 3, LANES, 0) } \
            else if (whole && (apart || !GRADIENT) && r1 - r0 == 2 && c1 - c0 == 2) { WHAT(FEW, 1, 2, 2, LANES, 1) } \
            else { WHAT(ANY, z1 - z0, r1 - r0, c1 - c0, lanes, apart) } \
        } \
    } }

/* Loops over a window's rows or columns: any number, or a few, which is a constant. */
#define ANY(i, first, n) for (long i = first; i < (n); i++)
#define FEW(i, first, n) _Pragma("GCC unroll 3") for (long i = first; i < (n); i++)
#define TAPS(LOOP, nz, nr, nc) ANY(z, 0, nz) LOOP(r, 0, nr) LOOP(c, 0, nc)
/* Brings what a window of the next row holds into the second-level cache, if windows are small and side by side: rows
 * are too short for the processor to see a stream. */
#define NEXT_ANY
#define NEXT_FEW if (apart) \
        FEW(r, 0, 2) FEW(c, 0, 2) __builtin_prefetch(w + (p->strides[1] + r) * rows + c * s, 0, 2);
#define TAP (z * dz + r * dr + c * dc)

/* Windows of 3 x 3 that overlap along a row, up to `most` columns apart: what three rows of a column give together is
 * joined with its neighbours, and serves two or three windows. AHEAD fetches the rows below, where the processor, busy
 * with maxima, does not by itself get that far. */
#define SHARES_ANY 0
#define SHARES_FEW 1
#define SHARES(LOOP, nc, most) (SHARES_##LOOP && (nc) == 3 && p->dilation[2] == 1 && p->strides[2] <= most)
#define COLUMN(JOIN, c) \
    JOIN(JOIN(*(const V *)(w + (c) * s), *(const V *)(w + (c) * s + dr)), *(const V *)(w + (c) * s + 2 * dr))
#define BELOW for (long r = 3; r < 3 + p->strides[1]; r++) \
        __builtin_prefetch(w + r * dr, 0, 2), __builtin_prefetch(w + s + r * dr, 0, 2);
#define LINE(JOIN, SCALE, AHEAD) { \
        const T *w = x + o; \
        V left = COLUMN(JOIN, 0); \
        if (p->strides[2] == 2) for (long m = 0; m < run; m++, y += s, w += 2 * s) { \
            const V middle = COLUMN(JOIN, 1), right = COLUMN(JOIN, 2); \
            AHEAD \
            *(V *)y = JOIN(JOIN(left, middle), right) SCALE; \
            left = right; \
        } else { \
            V middle = COLUMN(JOIN, 1); \
            for (long m = 0; m < run; m++, y += s, w += s) { \
                const V right = COLUMN(JOIN, 2); \
                *(V *)y = JOIN(JOIN(left, middle), right) SCALE; \
                left = middle; \
                middle = right; \
            } \
        } \
    }
#define ADD(a, b) ((a) + (b))
/* The maximum of a window and the number of the first tap that equals it. Each row has its own first, so that not every
 * comparison waits for all before it. */
#define TOP(LOOP, nz, nr, nc) \
    V best = *(const V *)w; \
    M top = (M){0}, number = (M){0}; \
    ANY(z, 0, nz) LOOP(r, 0, nr) { \
        V line = *(const V *)(w + z * dz + r * dr); \
        M at_ = number, wins; \
        LOOP(c, 1, nc) { \
            const V v = *(const V *)(w + TAP); \
            number += 1; \
            wins = WINS(v, line); \
            line = PICK(wins, v, line); \
            at_ = (wins & number) | (~wins & at_); \
        } \
        number += 1; \
        if (z + r == 0) { best = line; top = at_; } \
        else { wins = WINS(line, best); best = PICK(wins, line, best); top = (wins & at_) | (~wins & top); } \
    }

/* Stores `lanes` of a vector. If a pixel has no more channels than these, the whole vector is stored as long as it ends
 * before `end`: what it spoils is computed next. */
INLINE void NAME(put_pixel)(T *y, V v, long lanes, long pixel, const T *end) {
    if (lanes == LANES || (lanes == pixel && y + LANES <= end)) *(V *)y = v;
    else { T a[LANES]; *(V *)a = v; for (long l = 0; l < lanes; l++) y[l] = a[l]; }
}

/* The same into what is there already, or, with `apart`, in its place. */
INLINE void NAME(add_pixel)(T *dx, V v, long lanes, int apart) {
    if (lanes == LANES) { if (apart) *(V *)dx = v; else *(V *)dx += v; }
    else { T a[LANES]; *(V *)a = v; for (long l = 0; l < lanes; l++) dx[l] = apart ? a[l] : dx[l] + a[l]; }
}

/* x and y point at the lane group; `lanes` of the vector are stored. */
static void NAME(max_pool)(const Pool *p, const T *x, T *y, long lanes) {
    if (BY_ROWS && sizeof(T) == 4 && p->by_rows) { NAME(max_by_rows)(p, x, y); return; }
    const T *const end = y + p->out[0] * p->out[1] * p->out[2] * p->pixel;
#define ROW(LOOP, nz, nr, nc, lanes, apart) if (SHARES(LOOP, nc, 2)) LINE(NAME(larger), , BELOW) \
    else for (long m = 0; m < run; m++, y += s) { \
        const T *w = x + o + m * step; \
        NEXT_##LOOP \
        TOP(LOOP, nz, nr, nc) \
        (void)top; \
        NAME(put_pixel)(y, best, lanes, s, end); \
    }
    OVER_WINDOWS(ROW, 0)
#undef ROW
}

/* Adds each output's gradient g to dx at the first maximum of its window. Where windows do not overlap, each element is
 * written at most once; dx starts as zeros, unless such windows fill it. */
static void NAME(max_pool_gradient)(const Pool *p, const T *x, const T *g, T *dx, long lanes) {
#define ROW(LOOP, nz, nr, nc, lanes, apart) for (long m = 0; m < run; m++, g += s) { \
        const T *w = x + o + m * step; \
        NEXT_##LOOP \
        TOP(LOOP, nz, nr, nc) \
        const V grad = *(const V *)g; \
        number = (M){0}; \
        TAPS(LOOP, nz, nr, nc) { \
            NAME(add_pixel)(dx + o + m * step + TAP, (V)((M)(top == number) & (M)grad), lanes, apart); \
            number += 1; \
        } \
    }
    OVER_WINDOWS(ROW, 1)
#undef ROW
}

static void NAME(avg_pool)(const Pool *p, const T *x, T *y, long lanes) {
    if (BY_ROWS && sizeof(T) == 4 && p->by_rows) { NAME(avg_by_rows)(p, x, y); return; }
    const T *const end = y + p->out[0] * p->out[1] * p->out[2] * p->pixel;
#define ROW(LOOP, nz, nr, nc, lanes, apart) const T share = NAME(share)(p, (nz) * (nr) * (nc)); \
    if (SHARES(LOOP, nc, 1)) LINE(ADD, * share, ) \
    else for (long m = 0; m < run; m++, y += s) { \
        const T *w = x + o + m * step; \
        V sum = (V){0}; \
        TAPS(LOOP, nz, nr, nc) sum += *(const V *)(w + TAP); \
        NAME(put_pixel)(y, sum * share, lanes, s, end); \
    }
    OVER_WINDOWS(ROW, 0)
#undef ROW
}

/* Adds each output's share of its gradient g to the elements of its window. As above. */
static void NAME(avg_pool_gradient)(const Pool *p, const T *g, T *dx, long lanes) {
#define ROW(LOOP, nz, nr, nc, lanes, apart) const T share = NAME(share)(p, (nz) * (nr) * (nc)); \
    for (long m = 0; m < run; m++, g += s) { \
        const V add = *(const V *)g * share; \
        TAPS(LOOP, nz, nr, nc) NAME(add_pixel)(dx + o + m * step + TAP, add, lanes, apart); \
    }
    OVER_WINDOWS(ROW, 1)
#undef ROW
}

#undef OVER_WINDOWS
#undef ANY
#undef FEW
#undef TAPS
#undef SHARES_ANY
#undef SHARES_FEW
#undef SHARES
#undef COLUMN
#undef BELOW
#undef LINE
#undef ADD
#undef NEXT_ANY
#undef NEXT_FEW
#undef TAP
#undef TOP
#undef WINS
#undef PICK
