// Maxima and minima over axes, and their places along one axis. (Sums: see sums.cu.)
//
// A block of 256 threads computes 256 / lanes results; the `lanes` threads (a power of two) of one result take every
// lanes-th element each, and their partial results are joined as `Shared` in common.cu says. So the order of the sums
// depends on sizes alone, and the bits of the result are the same in every run. With COLUMNS, neighbouring threads have
// neighbouring results (the innermost axis stays), otherwise neighbouring elements (it is reduced): either way a warp
// reads neighbouring memory.
//
// blockIdx.y: the part of the elements that is reduced, `each` of them; part p of result o goes to y[p * outputs + o],
// and a second launch joins the parts.

struct Max {
    template <typename T> static INLINE T start(T first) { return first; }
    template <typename T> static INLINE T join(T a, T b) { return op_maximum(a, b); }
};
struct Min {
    template <typename T> static INLINE T start(T first) { return first; }
    template <typename T> static INLINE T join(T a, T b) { return op_minimum(a, b); }
};

// X, Y: the types of the arrays; T: that of the sums.
template <typename F, bool COLUMNS, typename T, typename I, typename X = T, typename Y = T>
__global__ void __launch_bounds__(256) reduce(const X* __restrict__ x, Y* __restrict__ y,
                                              const I* __restrict__ kept, int kept_rank,
                                              const I* __restrict__ reduced, int reduced_rank,
                                              I outputs, I count, I each, int lanes)
{
    __shared__ T part[256];
    const Shared by(lanes, COLUMNS);
    const int t = threadIdx.x;
    const I o = (I)blockIdx.x * (256 / lanes) + by.mine;
    const I first = (I)blockIdx.y * each, last = first + each < count ? first + each : count;
    T sum = (T)0;
    if (o < outputs) {
        const X* from = x + place(o, kept, kept_rank);
        sum = F::start((T)from[place(first, reduced, reduced_rank)]);
        for (I i = first + by.lane; i < last; i += lanes)
            sum = F::join(sum, (T)from[place(i, reduced, reduced_rank)]);
    }
    for (int n = by.span / 2; n > 0; n /= 2) sum = F::join(sum, from_lane(sum, n * by.step));
    if (by.lane % by.span == 0) part[t] = sum;
    __syncthreads();
    if (o >= outputs || by.lane > 0) return;
    for (int l = by.span; l < lanes; l += by.span) sum = F::join(sum, part[t + l * by.step]);
    y[(I)blockIdx.y * outputs + o] = (Y)sum;
}

// Whether b comes before a: a larger number (or smaller, for Min), and NaN before all numbers.
template <typename T> INLINE bool beats(Max, T b, T a) { return b > a || (is_nan(b) && !is_nan(a)); }
template <typename T> INLINE bool beats(Min, T b, T a) { return b < a || (is_nan(b) && !is_nan(a)); }

// An element and its place; `take` changes to another pair if that comes first.
template <typename F, typename T, typename I> struct Best {
    T value;
    I at;
    INLINE void take(T other, I where)
    {
        if (beats(F(), other, value) || (where < at && !beats(F(), value, other))) {
            value = other;
            at = where;
        }
    }
};

// x: (outer, count, inner); y: (outer, inner), the first place of the extremum. `lanes` threads a result, as above.
template <typename F, typename T, typename I>
__global__ void __launch_bounds__(256) arg(const T* __restrict__ x, int* __restrict__ y, I outputs, I count, I inner,
                                           int lanes)
{
    __shared__ T values[256];
    __shared__ I places[256];
    const Shared by(lanes, false);
    const int t = threadIdx.x;
    const I o = (I)blockIdx.x * (256 / lanes) + by.mine;
    Best<F, T, I> best = {(T)0, 0};
    if (o < outputs) {
        const T* from = x + o / inner * count * inner + o % inner;
        best.at = by.lane < count ? by.lane : 0;
        best.value = from[best.at * inner];
        for (I i = by.lane; i < count; i += lanes)
            if (beats(F(), from[i * inner], best.value)) best = {from[i * inner], i};
    }
    for (int n = by.span / 2; n > 0; n /= 2) {
        const T value = from_lane(best.value, n);
        const I at = from_lane(best.at, n);
        best.take(value, at);
    }
    if (by.lane % by.span == 0) {
        values[t] = best.value;
        places[t] = best.at;
    }
    __syncthreads();
    if (o >= outputs || by.lane > 0) return;
    for (int l = by.span; l < lanes; l += by.span) best.take(values[t + l], places[t + l]);
    y[o] = (int)best.at;
}
