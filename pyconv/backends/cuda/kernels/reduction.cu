// Sums, maxima and minima over axes, and the places of extrema along one axis.
//
// A block of 256 threads computes 256 / lanes results; the `lanes` threads (a power of two) of one result take every
// lanes-th element each, and their partial results are joined as a tree in shared memory. So the order of the sums
// depends on sizes alone, and the bits of the result are the same in every run. With COLUMNS, neighbouring threads have
// neighbouring results (the innermost axis stays), otherwise neighbouring elements (it is reduced): either way a warp
// reads neighbouring memory.
//
// blockIdx.y: the part of the elements that is reduced, `each` of them; part p of result o goes to y[p * outputs + o],
// and a second launch joins the parts.

struct Sum {
    template <typename T> static INLINE T start(T) { return (T)0; }
    template <typename T> static INLINE T join(T a, T b) { return op_add(a, b); }
};
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
    const int results = 256 / lanes, t = threadIdx.x;
    const int lane = COLUMNS ? t / results : t % lanes, mine = COLUMNS ? t % results : t / lanes;
    const I o = (I)blockIdx.x * results + mine;
    const I first = (I)blockIdx.y * each, last = first + each < count ? first + each : count;
    if (o < outputs) {
        const X* from = x + place(o, kept, kept_rank);
        T sum = F::start((T)from[place(first, reduced, reduced_rank)]);
        for (I i = first + lane; i < last; i += lanes) sum = F::join(sum, (T)from[place(i, reduced, reduced_rank)]);
        part[t] = sum;
    }
    const int step = COLUMNS ? results : 1;
    for (int half = lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (o < outputs && lane < half) part[t] = F::join(part[t], part[t + half * step]);
    }
    if (o < outputs && lane == 0) y[(I)blockIdx.y * outputs + o] = (Y)part[t];
}

// Whether b comes before a: a larger number (or smaller, for Min), and NaN before all numbers.
template <typename T> INLINE bool beats(Max, T b, T a) { return b > a || (is_nan(b) && !is_nan(a)); }
template <typename T> INLINE bool beats(Min, T b, T a) { return b < a || (is_nan(b) && !is_nan(a)); }

// x: (outer, count, inner); y: (outer, inner), the first place of the extremum. `lanes` threads a result, as above.
template <typename F, typename T, typename I>
__global__ void __launch_bounds__(256) arg(const T* __restrict__ x, int* __restrict__ y, I outputs, I count, I inner,
                                           int lanes)
{
    __shared__ T value[256];
    __shared__ I where[256];
    const int t = threadIdx.x, lane = t % lanes;
    const I o = (I)blockIdx.x * (256 / lanes) + t / lanes;
    if (o < outputs) {
        const T* from = x + o / inner * count * inner + o % inner;
        I best = lane < count ? lane : 0;
        T top = from[best * inner];
        for (I i = lane; i < count; i += lanes)
            if (beats(F(), from[i * inner], top)) {
                top = from[i * inner];
                best = i;
            }
        value[t] = top;
        where[t] = best;
    }
    for (int half = lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (o < outputs && lane < half) {
            const T b = value[t + half];
            const I at = where[t + half];
            const bool earlier = at < where[t] && !beats(F(), value[t], b);
            if (beats(F(), b, value[t]) || earlier) {
                value[t] = b;
                where[t] = at;
            }
        }
    }
    if (o < outputs && lane == 0) y[o] = (int)where[t];
}
