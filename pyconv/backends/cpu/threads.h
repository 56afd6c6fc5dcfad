/* The threads that help to run programs. They are OpenMP's, but stay in one parallel region, so that a program need not
 * wait for those that are not there: asleep, or without a core because something else has it.
 *
 * A step that is shared is a round, and has as many shares as the program has threads. The caller does share 0. A
 * helper that sees the round does the share with its number, and by that becomes a member: from then on the caller
 * counts on it in each round of this run, so that a round costs no more than telling its number and waiting for the
 * members. Shares that nobody has begun are taken by whoever is ready first.
 *
 * Cores are not equally fast: others may compute on the same ones, unseen. So who is done with a share takes over tasks
 * from the ends of those that others have begun, before it says that it is done: so none of this outlasts the round. */
#ifndef PYCONV_THREADS_H
#define PYCONV_THREADS_H

#ifdef _OPENMP
#  define PYCONV_OPENMP 1
#else
#  define PYCONV_OPENMP 0
#endif

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>
#if defined(__linux__)
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

#if defined(__x86_64__)
#  define PAUSE() __builtin_ia32_pause()
#else
#  define PAUSE() ((void)0)
#endif
#define AWAKE 1000000           /* nanoseconds that helpers wait for more before they sleep */
#define POOLS 4                 /* runs at the same time that have helpers */
#define MOST_THREADS 512
/* A round's number has its shares in its lowest bits, so that who sees the one has the other: those of a later run may
 * be more, and are not to be claimed for this one. */
#define NEXT (2 * MOST_THREADS)
#define SHARES(round) ((int)((round) % NEXT))

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, value) __atomic_store_n(p, value, __ATOMIC_RELEASE)

static inline int64_t pyconv_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef struct Pool Pool;
typedef void (*Work)(Pool *, void *program, int step, int share, int shares);

/* Linux may put a thread that wakes on the core of the one that woke it, where it waits until that sleeps, while others
 * are idle. So the one that wakes it says that it may go to any other before. Called while it sleeps, or by itself. */
#if defined(__linux__)
typedef struct { pid_t thread; int core, moved; cpu_set_t allowed; } Sleep;

static inline int pyconv_core(void) { return sched_getcpu(); }
static inline int pyconv_here(int core) { return sched_getcpu() == core; }

static inline void pyconv_lie_down(Sleep *s) {
    s->thread = (pid_t)syscall(SYS_gettid);
    s->core = sched_getcpu();
}

static inline void pyconv_move_from(Sleep *s, int core) {
    cpu_set_t others;
    if (s->core != core || !s->thread || s->moved || sched_getaffinity(s->thread, sizeof others, &s->allowed)) return;
    others = s->allowed;
    CPU_CLR(core, &others);
    s->moved = !sched_setaffinity(s->thread, sizeof others, &others);
}

static inline void pyconv_get_up(Sleep *s) {
    if (s->moved) sched_setaffinity(0, sizeof s->allowed, &s->allowed);
    s->moved = 0;
}
#else
typedef struct { int nothing; } Sleep;
static inline int pyconv_core(void) { return 0; }
static inline int pyconv_here(int core) { (void)core; return 0; }
static inline void pyconv_lie_down(Sleep *s) { (void)s; }
static inline void pyconv_move_from(Sleep *s, int core) { (void)s, (void)core; }
static inline void pyconv_get_up(Sleep *s) { (void)s; }
#endif

/* claim: twice the round for which the share has been taken; or, odd, since which its helper is a member, until it goes
 * to sleep. done: the last round of which it is done. left: its tasks that nobody has begun, in the round `dealt`: the
 * first, and above that, 32 bits further, where they end. */
typedef struct {
    _Alignas(64) uint64_t claim;
    _Alignas(64) uint64_t done;
    Sleep sleep;
    _Alignas(64) uint64_t left;
    uint64_t dealt;
} Share;

struct Pool {
    /* Written by the caller; the rest belongs to the round. `first`: no round of the run is less. */
    _Alignas(64) uint64_t round;
    uint64_t first;
    void *program;
    Work work;
    int step, core;
    _Alignas(64) int busy;
    int helpers;                /* that have been started */
    int64_t last;               /* when a run ended last */
    _Alignas(64) int sleepers;  /* whether there may be some */
    int64_t woken;              /* when that was done last */
    pthread_mutex_t mutex;
    pthread_cond_t bell;
    Share share[MOST_THREADS];
};

static Pool pyconv_pools[POOLS];

static inline void pyconv_reset(void) {
    for (int i = 0; i < POOLS; i++) {
        Pool *p = pyconv_pools + i;
        pthread_mutex_init(&p->mutex, 0);
        pthread_cond_init(&p->bell, 0);
        /* A fork while another thread runs a program copies claims that may be newer than the round beside them: nobody
         * would take such a share, or wait for it. */
        for (int k = 0; p->round && k < MOST_THREADS; k++) p->share[k] = (Share){0};
        p->round = p->first = 0;
        p->busy = p->helpers = p->sleepers = 0;
        p->last = p->woken = -AWAKE;
    }
}

/* A pool that no other run has, or a null pointer. */
static inline Pool *pyconv_acquire(int most) {
    for (int i = 0; i < most; i++)
        if (!__atomic_exchange_n(&pyconv_pools[i].busy, 1, __ATOMIC_ACQUIRE)) return pyconv_pools + i;
    return 0;
}

static inline void pyconv_release(Pool *p) { STORE(&p->busy, 0); }

/* Wait for a member. It may have lost its core, or wait for this one, which is offered after some microseconds. */
static inline void pyconv_wait(const uint64_t *what, uint64_t value) {
    for (int spin = 0; LOAD(what) != value; spin++) {
        if (spin < 4000) PAUSE();
        else sched_yield();
    }
}

/* The tasks of a share, when it is begun. */
static inline void pyconv_deal(Pool *p, int number, uint32_t tasks) {
    __atomic_store_n(&p->share[number].left, (uint64_t)tasks << 32, __ATOMIC_RELAXED);
    STORE(&p->share[number].dealt, LOAD(&p->round));
}

/* The first task of a share that nobody has begun, or with `last` the last one; -1 if there is none, or it has not been
 * dealt. Called only by who does a share itself, until which is done the round is not over. */
static inline int64_t pyconv_task(Pool *p, int number, int last) {
    Share *share = p->share + number;
    if (last && LOAD(&share->dealt) != LOAD(&p->round)) return -1;
    uint64_t left = __atomic_load_n(&share->left, __ATOMIC_RELAXED);
    for (;;) {
        const uint32_t first = (uint32_t)left, end = (uint32_t)(left >> 32);
        if (first >= end) return -1;
        const uint64_t rest = last ? left - ((uint64_t)1 << 32) : left + 1;
        if (__atomic_compare_exchange_n(&share->left, &left, rest, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return last ? end - 1 : first;
    }
}

/* Claims a share and does it. What a late helper reads here may be from later rounds, but then its claim fails: until
 * the claims are as new as the round, that is not over, but for members' claims. When a later run's `first` has made
 * these void, nothing of an earlier round is claimed any more. */
static inline void pyconv_take(Pool *p, uint64_t round, int number, int member) {
    Share *share = p->share + number;
    uint64_t claim = __atomic_load_n(&share->claim, __ATOMIC_SEQ_CST);
    const uint64_t first = LOAD(&p->first);
    if (round < first) return;
    if (claim & 1 && claim >> 1 >= first && claim >> 1 <= round) {
        if (!member) return;
    } else if (claim >= 2 * round || !__atomic_compare_exchange_n(&share->claim, &claim, 2 * round + member, 0,
                                                                  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return;
    }
    p->work(p, p->program, p->step, number, SHARES(round));
    STORE(&share->done, round);
}

static inline void pyconv_take_others(Pool *p, uint64_t round, int number) {
    for (int i = 1; i < SHARES(round); i++)
        if (i != number) pyconv_take(p, round, i, 0);
}

static inline int pyconv_awake(Pool *p) { return !__atomic_load_n(&p->sleepers, __ATOMIC_RELAXED); }

static inline void pyconv_wake(Pool *p) {
    int64_t now;
    if (pyconv_awake(p) || (now = pyconv_nanoseconds()) - p->woken < AWAKE) return;
    pthread_mutex_lock(&p->mutex);
    p->sleepers = 0;
    p->woken = now;
    for (int i = 1; i <= p->helpers; i++) pyconv_move_from(&p->share[i].sleep, p->core);
    pthread_cond_broadcast(&p->bell);
    pthread_mutex_unlock(&p->mutex);
}

/* Do a step together; `wake`: those that sleep, too. */
static inline void pyconv_share(Pool *p, int shares, int step, int wake) {
    const uint64_t round = p->round / NEXT * NEXT + NEXT + (uint64_t)shares;
    p->step = step;
    __atomic_store_n(&p->round, round, __ATOMIC_SEQ_CST);
    if (wake) pyconv_wake(p);
    p->work(p, p->program, step, 0, shares);
    pyconv_take_others(p, round, 0);
    for (int i = 1; i < shares; i++) pyconv_wait(&p->share[i].done, round);
}

static inline void pyconv_begin(Pool *p, void *program, Work work) {
    p->program = program;
    p->work = work;
    __atomic_store_n(&p->core, pyconv_core(), __ATOMIC_RELAXED);
    STORE(&p->first, p->round / NEXT * NEXT + NEXT);
}

/* What a helper does all its life. It does not offer its core while it waits for the next round, for it might get it
 * back only after milliseconds; but the caller's own core is not for waiting. */
static inline void pyconv_help(Pool *p, int number) {
    Sleep *sleep = &p->share[number].sleep;
    uint64_t seen = LOAD(&p->round), round;
    int64_t since = 0;
    for (int spin = 0; ; spin++) {
        if ((round = LOAD(&p->round)) != seen) {
            seen = round;
            if (number < SHARES(round)) {
                pyconv_take(p, round, number, 1);
                pyconv_take_others(p, round, number);
            }
            spin = -1;
        } else if (spin % 256 == 255) {
            const int64_t now = pyconv_nanoseconds();
            if (spin == 255) since = now;
            if (now - since < AWAKE && !pyconv_here(__atomic_load_n(&p->core, __ATOMIC_RELAXED))) continue;
            pthread_mutex_lock(&p->mutex);
            __atomic_store_n(&p->sleepers, 1, __ATOMIC_SEQ_CST);
            // Either the caller sees that this is no member any more, or this sees the caller's round.
            uint64_t claim = LOAD(&p->share[number].claim);
            if (claim & 1) __atomic_compare_exchange_n(&p->share[number].claim, &claim, 2 * seen, 0, __ATOMIC_SEQ_CST,
                                                       __ATOMIC_RELAXED);
            if (__atomic_load_n(&p->round, __ATOMIC_SEQ_CST) == seen) {
                pyconv_lie_down(sleep);
                pthread_cond_wait(&p->bell, &p->mutex);
                pyconv_get_up(sleep);
            }
            pthread_mutex_unlock(&p->mutex);
            spin = -1;
        } else {
            PAUSE();
        }
    }
}

/* A forked child has none of its parent's threads. */
static inline int pyconv_prepare(void) {
    pyconv_reset();
#if defined(_WIN32)
    return 0;
#else
    return pthread_atfork(0, 0, pyconv_reset);
#endif
}

#endif
