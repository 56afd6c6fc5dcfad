// The cross-entropy of integer labels, and its gradient. logits: (rows, classes).
//
// One warp a row: lanes take every 32nd class, and exchange their maxima and sums by shuffles in a fixed order. labels:
// checked by indexing.cu's `check`, so that they lie within the classes.

template <typename T> INLINE T warp_max(T v)
{
    for (int o = 16; o > 0; o /= 2) v = op_maximum(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

template <typename T> INLINE T warp_sum(T v)
{
    for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

// The largest of a row, and the sum of exp(x - largest).
template <typename T> INLINE void statistics(const T* __restrict__ row, int classes, T& top, T& sum)
{
    top = row[threadIdx.x < classes ? threadIdx.x : 0];
    for (int c = threadIdx.x; c < classes; c += 32) top = op_maximum(top, row[c]);
    top = warp_max(top);
    sum = (T)0;
    for (int c = threadIdx.x; c < classes; c += 32) sum += op_exp(row[c] - top);
    sum = warp_sum(sum);
}

template <typename T>
__global__ void __launch_bounds__(256) cross_entropy(const T* __restrict__ logits, const int* __restrict__ labels,
                                                     T* __restrict__ loss, int rows, int classes)
{
    const int r = blockIdx.x * 8 + threadIdx.y;
    if (r >= rows) return;                              // a whole warp
    const T* row = logits + (i64)r * classes;
    T top, sum;
    statistics(row, classes, top, sum);
    if (threadIdx.x == 0) loss[r] = op_log(sum) - (row[labels[r]] - top);
}

// dx = (softmax(logits) - one_hot(labels)) * grad
template <typename T>
__global__ void __launch_bounds__(256) cross_entropy_gradient(const T* __restrict__ logits,
                                                              const int* __restrict__ labels,
                                                              const T* __restrict__ grad, T* __restrict__ dx,
                                                              int rows, int classes)
{
    const int r = blockIdx.x * 8 + threadIdx.y;
    if (r >= rows) return;
    const T* row = logits + (i64)r * classes;
    const T g = grad[r];
    T top, sum;
    statistics(row, classes, top, sum);
    for (int c = threadIdx.x; c < classes; c += 32)
        dx[(i64)r * classes + c] = (op_exp(row[c] - top) / sum - (T)(c == labels[r])) * g;
}
