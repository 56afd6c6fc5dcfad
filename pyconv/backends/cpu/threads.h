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

/* Programs that take less time than it takes to wake other threads go to these only while they are awake, as they are
 * for a while after a program (OpenMP's threads spin for some milliseconds), and if no program runs beside them. */
#define AWAKE 1000000           /* nanoseconds */
static int64_t pyconv_last = -AWAKE;    /* when a program ended last */
static int pyconv_running;

static inline int pyconv_enter(int64_t *start) {
    *start = pyconv_nanoseconds();
    const int64_t since = *start - __atomic_load_n(&pyconv_last, __ATOMIC_RELAXED);
    return !__atomic_fetch_add(&pyconv_running, 1, __ATOMIC_RELAXED) && since >= 0 && since < AWAKE;
}

/* Returns the nanoseconds since `start`. A little program that takes so many had to wait for a thread without a core of
 * its own: none is shared then for fifty times as long. */
static inline int64_t pyconv_leave(int64_t start, int little) {
    const int64_t now = pyconv_nanoseconds();
    __atomic_store_n(&pyconv_last, now + (little && now - start > AWAKE ? 50 * AWAKE : 0), __ATOMIC_RELAXED);
    __atomic_fetch_sub(&pyconv_running, 1, __ATOMIC_RELAXED);
    return now - start;
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
static void pyconv_in_child(void) { pyconv_running = 0; }
static inline int pyconv_prepare_fork(void) { return pthread_atfork(pyconv_before_fork, 0, pyconv_in_child); }
#else
static inline int pyconv_prepare_fork(void) { return 0; }
#endif

#endif
