// The places of the elements of each row in ascending order.

// x, places: (rows, n). A thread has one element and counts those of its row that come before it: smaller ones, and
// equal ones to its left. NaN comes last. n comparisons for each element, all rows and elements at once; neighbouring
// threads read the same addresses. Meant for rows of some thousand elements, such as the scores of classes.
template <typename T>
INLINE bool precedes(T a, T b) { return a < b || (a == a && b != b); }

template <typename T>
__global__ void __launch_bounds__(256) argsort(const T* __restrict__ x, int* __restrict__ places, int n, i64 total)
{
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < total; i += (i64)gridDim.x * 256) {
        const T* const row = x + i / n * n;
        const int at = (int)(i % n);
        const T value = row[at];
        int before = 0;
        for (int k = 0; k < n; ++k) before += k < at ? !precedes(value, row[k]) : k > at && precedes(row[k], value);
        places[i / n * n + before] = at;
    }
}
