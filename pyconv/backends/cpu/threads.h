/* OpenMP behind two functions, so that a build without it still works, on one thread. */
#ifndef PYCONV_THREADS_H
#define PYCONV_THREADS_H

#ifdef _OPENMP
#  include <omp.h>
#  define PYCONV_OPENMP 1
static inline void pyconv_barrier(void) {
#  pragma omp barrier
}
#else
#  define PYCONV_OPENMP 0
static inline void pyconv_barrier(void) {}
#endif

#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
/* A forked child has none of its parent's threads, but GCC's OpenMP would wait for them. Giving the threads back
 * just before the fork makes parent and child start new ones when they next need them. */
static void pyconv_before_fork(void) {
#  if defined(__GNUC__) && !defined(__clang__)      /* Clang's does this by itself */
    omp_pause_resource_all(omp_pause_soft);
#  endif
}
static inline int pyconv_prepare_fork(void) { return pthread_atfork(pyconv_before_fork, 0, 0); }
#else
static inline int pyconv_prepare_fork(void) { return 0; }
#endif

#endif
