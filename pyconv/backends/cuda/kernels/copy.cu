// Elements moved from one strided array to another: transpose, slice, pad, concatenate, flip; and fills.
//
// Elements are bits: T is an unsigned integer of their size. One thread an element, in the order of the copied block
// (last axis fastest); `table` has the block's sizes, the strides of the source, and those of the target, each `rank`
// numbers, outermost axis first, in elements. Strides may be 0 or negative.

template <typename T, typename I>
__global__ void __launch_bounds__(256) copy(const T* __restrict__ x, T* __restrict__ y, const I* __restrict__ table,
                                            int rank, I first_x, I first_y, I n)
{
    for (I i = (I)blockIdx.x * 256 + threadIdx.x; i < n; i += (I)gridDim.x * 256) {
        I rest = i, a = first_x, b = first_y;
        for (int k = rank - 1; k >= 0; --k) {
            const I size = table[k], c = k ? rest % size : rest;
            a += c * table[rank + k];
            b += c * table[2 * rank + k];
            rest /= size;
        }
        y[b] = x[a];
    }
}

template <typename T, typename I>
__global__ void __launch_bounds__(256) fill(const T* __restrict__ value, T* __restrict__ y, I n)
{
    const T v = value[0];
    for (I i = (I)blockIdx.x * 256 + threadIdx.x; i < n; i += (I)gridDim.x * 256) y[i] = v;
}

// status[0] before a run; see common.cu.
__global__ void no_error(i64* status) { status[0] = 0x7fffffff; }
