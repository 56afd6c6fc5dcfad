// Indices that are computed: their check, elements picked by them, and the gradient of that.

// Indices of any integer type as int, those outside of 0 to size - 1 replaced by 0 and the first of them reported. One
// block, so that which one is reported does not depend on time.
template <typename L>
__global__ void __launch_bounds__(256) check(const L* __restrict__ given, int* __restrict__ safe,
                                             i64* __restrict__ status, int code, i64 size, int n)
{
    __shared__ int first[256];
    const int t = threadIdx.x;
    int wrong = n;
    for (int i = t; i < n; i += 256) {
        const i64 v = (i64)given[i];
        const bool fine = v >= 0 && v < size;
        safe[i] = fine ? (int)v : 0;
        if (!fine && wrong == n) wrong = i;
    }
    first[t] = wrong;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (t < half && first[t + half] < first[t]) first[t] = first[t + half];
    }
    if (t == 0 && first[0] < n) {
        status[code] = (i64)given[first[0]];
        report(status, code);
    }
}

// x: (outer, size, inner); y: (outer, count, inner). T: an unsigned integer of the elements' size.
template <typename T>
__global__ void __launch_bounds__(256) take(const T* __restrict__ x, const int* __restrict__ indices,
                                            T* __restrict__ y, i64 size, i64 count, i64 inner, i64 n)
{
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < n; i += (i64)gridDim.x * 256) {
        const i64 e = i % inner, j = i / inner % count, o = i / inner / count;
        y[i] = x[(o * size + indices[j]) * inner + e];
    }
}

// grad: (outer, count, inner); dx: (outer, size, inner), the sum of what was taken from each place, in the order of the
// indices. blockIdx.x: the place; blockIdx.y: 256 of the `each` = outer * inner elements there, and every gridDim.y-th
// 256 after them. The block goes through all indices, 256 at a time, and notes which of them point to its place.
template <typename T>
__global__ void __launch_bounds__(256) take_gradient(const T* __restrict__ grad, const int* __restrict__ indices,
                                                     T* __restrict__ dx, int size, int count, int inner, int each)
{
    __shared__ unsigned hits[8];
    const int t = threadIdx.x, at = blockIdx.x;
    for (int first = blockIdx.y * 256; first < each; first += gridDim.y * 256) {
        const int e = first + t;
        const i64 o = e / inner, k = e % inner;
        T sum = (T)0;
        for (int start = 0; start < count; start += 256) {
            const bool hit = start + t < count && indices[start + t] == at;
            const unsigned mask = __ballot_sync(0xffffffffu, hit);
            __syncthreads();
            if (t % 32 == 0) hits[t / 32] = mask;
            __syncthreads();
            if (e < each)
                for (int w = 0; w < 8; ++w)
                    for (unsigned m = hits[w]; m; m &= m - 1)
                        sum += grad[(o * count + start + w * 32 + __ffs((int)m) - 1) * inner + k];
        }
        if (e < each) dx[(o * size + at) * inner + k] = sum;
    }
}
