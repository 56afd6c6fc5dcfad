// EPILOGUE: results of convolutions and small products go through it, so that elementwise ops after them take no pass
// of their own: bias, scale and shift of a channel, activation, an array that is added, several results.
// EPILOGUE_SOME: the same for WIDE neighbours, of which the first has an index that is a multiple of WIDE. The planner
// defines them, or:

#ifndef EPILOGUE
#define EPILOGUE_PARAMETERS
#define EPILOGUE(index, value) result[index] = value;
#define EPILOGUE_SOME(index, value, WIDE) store<WIDE>(result + (index), value);
#endif

template <int N, typename T, typename W> INLINE void store(T* at, const W (&value)[N])
{
    Some<T, N> some;
#pragma unroll
    for (int i = 0; i < N; ++i) some.v[i] = (T)value[i];
    *(Some<T, N>*)at = some;
}
