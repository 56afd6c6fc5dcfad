/* OpenMP behind two functions, so that a build without it still works, on one thread. */
#ifndef PYCONV_THREADS_H
#define PYCONV_THREADS_H

#ifdef _OPENMP
#  include <omp.h>
#  define PYCONV_OPENMP 1
static inline int pyconv_team(void) { return omp_get_num_threads(); }
#else
#  define PYCONV_OPENMP 0
static inline int pyconv_team(void) { return 1; }
#endif

#include <stdint.h>
#include <time.h>
#if !defined(_WIN32)
#  include <sched.h>
#  define YIELD() sched_yield()
#else
#  define YIELD() ((void)0)
#endif
#if defined(__x86_64__)
#  define PAUSE() __builtin_ia32_pause()
#else
#  define PAUSE() ((void)0)
#endif

/* Where all threads of a run wait for each other. OpenMP's own barrier spins for milliseconds, which costs whole time
 * slices when other processes want the cores; this one gives its core away after some microseconds. */
typedef struct { int waiting, round; } Barrier;

static inline void pyconv_wait(Barrier *b, int threads) {
    const int round = __atomic_load_n(&b->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->waiting, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&b->waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spin = 0; __atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round; spin++) {
        if (spin < 4000) PAUSE();
        else YIELD();
    }
}

static inline int64_t pyconv_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

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
