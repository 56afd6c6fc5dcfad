/* Rounds of 2 to 4 shares whose tasks take unequally long: each is to be done once. Runs follow each other closely, or
 * only when the helpers sleep. */
#define _GNU_SOURCE
#include "threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4, TASKS = 64 };
static int done[MOST][TASKS];

static void work(Pool *pool, void *program, int tasks, int share, int shares) {
    (void)program;
    pyconv_deal(pool, share, (uint32_t)tasks);
    for (int i = 0; i < shares; i++) {
        const int of = (share + i) % shares;
        for (int64_t task; (task = pyconv_task(pool, of, i > 0)) >= 0;) {
            __atomic_fetch_add(&done[of][task], 1, __ATOMIC_RELAXED);
            for (volatile int spin = 0; spin < (of + 1) * 200; spin++);
        }
    }
}

static void *help(void *number) {
    pyconv_help(pyconv_pools, (int)(intptr_t)number);
    return NULL;
}

int main(int argc, char **argv) {
    const int runs = argc > 1 ? atoi(argv[1]) : 2000;
    pyconv_prepare();
    Pool *pool = pyconv_acquire(1);
    for (intptr_t i = 1; i < MOST; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, (void *)i)) return 2;
    }
    pool->helpers = MOST - 1;
    for (int run = 0; run < runs; run++) {
        const int shares = 2 + run % (MOST - 1);
        pyconv_begin(pool, NULL, work);
        for (int round = 0; round < 5; round++) {
            const int tasks = (run * 7 + round) % 40;
            memset(done, 0, sizeof done);
            pyconv_share(pool, shares, tasks, 1);
            for (int share = 0; share < MOST; share++)
                for (int task = 0; task < TASKS; task++)
                    if (done[share][task] != (share < shares && task < tasks)) {
                        printf("run %d: task %d of share %d was done %d times\n", run, task, share, done[share][task]);
                        exit(1);
                    }
        }
        if (run % 10 == 9) usleep(1500);
    }
    puts("each once");
    exit(0);
}
