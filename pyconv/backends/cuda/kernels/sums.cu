// Sums over axes, several at once, of what elementwise ops give, and elementwise ops on the sums: nothing is stored in
// between that nobody else needs.
//
// The planner writes in front of this text
//     NAME        the kernel's name               T   the type of the sums
//     SUMS        how many there are              I   the type of an index
//     PARAMETERS  the arrays and numbers of ELEMENT and RESULT, each followed by a comma
//     ELEMENT     statements for element i, in C order, which store what is kept, and give value[0] to value[SUMS - 1]
//     RESULT      statements for result i, which has the sums `total`
//
// Threads share the work as in reduction.cu: 256 threads compute 256 / lanes results, `lanes` threads take every
// lanes-th element of one result, and partial sums are joined as `Shared` in common.cu says; so the order of the sums
// depends on sizes alone. With `columns`, neighbouring threads have neighbouring results, else neighbouring elements.
//
// blockIdx.y: the part of the elements, `each` of them. Partial sums go to `parts` (SUMS, gridDim.y, outputs), and the
// block that is the last to count itself in `arrived` (one number for each blockIdx.x; 0 before and after a launch)
// adds up those of all, in order.

extern "C" __global__ void __launch_bounds__(256) NAME(PARAMETERS volatile T* parts, unsigned* arrived,
    const I* __restrict__ kept, int kept_rank, const I* __restrict__ reduced, int reduced_rank,
    I outputs, I count, I each, int lanes, int columns)
{
    __shared__ T part[SUMS][256];
    __shared__ int last;
    const Shared by(lanes, columns);
    const int t = threadIdx.x, lane = by.lane;
    const I o = (I)blockIdx.x * (256 / lanes) + by.mine;
    const I begin = (I)blockIdx.y * each, end = begin + each < count ? begin + each : count;
    T sum[SUMS];
#pragma unroll
    for (int s = 0; s < SUMS; ++s) sum[s] = (T)0;
    if (o < outputs) {
        const I from = place(o, kept, kept_rank);
        for (I e = begin + lane; e < end; e += lanes) {
            const I i = from + place(e, reduced, reduced_rank);
            T value[SUMS];
            ELEMENT
#pragma unroll
            for (int s = 0; s < SUMS; ++s) sum[s] = op_add(sum[s], value[s]);
        }
    }
    for (int round = 0; round < 2; ++round) {
#pragma unroll
        for (int s = 0; s < SUMS; ++s) {
            for (int n = by.span / 2; n > 0; n /= 2) sum[s] = op_add(sum[s], from_lane(sum[s], n * by.step));
            if (lane % by.span == 0) part[s][t] = sum[s];
        }
        __syncthreads();
        if (lane == 0)
#pragma unroll
            for (int s = 0; s < SUMS; ++s)
                for (int l = by.span; l < lanes; l += by.span) sum[s] = op_add(sum[s], part[s][t + l * by.step]);
        if (round == 1 || gridDim.y == 1) break;
        if (o < outputs && lane == 0)
#pragma unroll
            for (int s = 0; s < SUMS; ++s) parts[((I)s * gridDim.y + blockIdx.y) * outputs + o] = sum[s];
        __threadfence();                // what this block has written comes before its count
        __syncthreads();
        if (t == 0) last = atomicAdd(&arrived[blockIdx.x], 1u) == gridDim.y - 1;
        __syncthreads();
        if (!last) return;
        __threadfence();
        if (t == 0) arrived[blockIdx.x] = 0;
#pragma unroll
        for (int s = 0; s < SUMS; ++s) {
            sum[s] = (T)0;
            if (o < outputs)
                for (unsigned p = lane; p < gridDim.y; p += lanes)
                    sum[s] = op_add(sum[s], (T)parts[((I)s * gridDim.y + p) * outputs + o]);
        }
    }
    if (o < outputs && lane == 0) {
        T total[SUMS];
#pragma unroll
        for (int s = 0; s < SUMS; ++s) total[s] = sum[s];
        const I i = o;
        RESULT
    }
}
