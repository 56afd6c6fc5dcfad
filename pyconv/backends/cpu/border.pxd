"""What kernels/border.h has: arrays with their border, copied whole or a band of rows at a time."""

cdef extern from "border.h" nogil:
    ctypedef struct Border:
        long n[3]
        long low[3]
        long padded[3]
        long needed
    void band_with_border(const Border *, const char *, char *, long, size_t, long, long)
    void with_border(const Border *, const char *, char *, long, size_t)
