#include "cuda_names.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

#include <algorithm>
#include <cstdarg>
#include <cstdlib>
#include <dlfcn.h>
#include <sys/mman.h>
#include <vector>
extern "C" {
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}
extern "C" void shim_switch(void **save, void *to) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.globl shim_switch
.hidden shim_switch
.type shim_switch,@function
shim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size shim_switch,.-shim_switch
)");
#else
#error "add aarch64 switch (x19-x30,d8-d15,sp) or ucontext"
#endif
#define NS __attribute__((no_sanitize("thread"), no_sanitize("undefined")))
namespace shim {
V3 threadIdx_{1, 1, 1}, blockIdx_{1, 1, 1}, blockDim_{1, 1, 1}, gridDim_{1, 1, 1};
enum St { FREE, RUN, BAR, WARP };
struct Fiber {
    void *sp;
    char *stk;
    int tid;
    St st;
    int line;
    unsigned wgen;
    Warp *w;
    V3 t;
};
struct Sh {
    volatile char *p;
    size_t n;
    const char *name;
};
struct RT {
    std::vector<Sh> sh;
    size_t shtotal; // one heap object so that .bss holds only __shared__ arrays
    std::vector<Fiber *> pool, all;
    Fiber *cur;
    void *main_sp;
    Body body;
    unsigned n, next;
    std::vector<unsigned> order;
    std::vector<Warp> warps;
    unsigned bd[3];
    void *dyn;
    size_t dyncap, dynsz;
    char err[512];
    bool failed;
    uint64_t rng;
    unsigned epoch, blk;
    bool has_bss;
    unsigned live;
    int mode;
    uint64_t switches;
    struct Buf {
        char *b;
        size_t n;
        unsigned gran;
        bool shared, ro;
        char *sh;
    };
    std::vector<Buf> bufs;
    size_t last;
    // A block is released when it counts itself by an atomic operation and none of its threads has written since its
    // last fence. What released blocks have written may be read by a block after an atomic operation of its own.
    std::vector<char> dirty, released, acquired;
    std::vector<std::vector<Copy>> copies; // that each thread has begun and not waited for
};
static RT *rt = reinterpret_cast<RT *>(1); // non-zero init: .data, not .bss
Warp *cur_warp = reinterpret_cast<Warp *>(1);
static const size_t STK = 64 * 1024;
NS static void to_main() {
    Fiber *f = rt->cur;
    shim_switch(&f->sp, rt->main_sp);
}
NS void fail(const char *fmt, ...) {
    va_list a;
    va_start(a, fmt);
    if (!rt->failed) {
        int k = snprintf(rt->err, sizeof rt->err, "block %u thread (%u,%u,%u): ", rt->blk, threadIdx_.x,
                         threadIdx_.y, threadIdx_.z);
        vsnprintf(rt->err + k, sizeof rt->err - k, fmt, a);
    }
    va_end(a);
    rt->failed = true;
    to_main();
    __builtin_unreachable();
}
NS int cur_tid_() { return rt->cur->tid; }
NS void later(Copy c) { rt->copies[rt->cur->tid].push_back(c); }
NS bool next_copy(Copy &c) {
    auto &mine = rt->copies[rt->cur->tid];
    if (mine.empty())
        return false;
    c = mine.front();
    mine.erase(mine.begin());
    return true;
}
NS void *dyn_shared() { return rt->dyn; }
NS void shared_decl(volatile void *p, size_t n, const char *name) {
    for (auto &s : rt->sh)
        if (s.p == p)
            return;
    rt->sh.push_back({(volatile char *)p, n, name});
    rt->shtotal += n;
    if (rt->shtotal + rt->dynsz > 48 * 1024)
        fail("%zu bytes of shared memory (static %zu + dynamic %zu) exceed 48 KiB", rt->shtotal + rt->dynsz,
             rt->shtotal, rt->dynsz);
}
NS static void set_tid(unsigned t) {
    threadIdx_.x = t % rt->bd[0];
    threadIdx_.y = t / rt->bd[0] % rt->bd[1];
    threadIdx_.z = t / (rt->bd[0] * rt->bd[1]);
}
NS void bar(int line) {
    Fiber *f = rt->cur;
    f->st = BAR;
    f->line = line;
    f->t = threadIdx_;
    to_main();
}
NS void warp_wait(unsigned mask, int line) {
    Fiber *f = rt->cur;
    Warp *w = cur_warp;
    int base = f->tid & ~31;
    unsigned have = rt->n - base >= 32 ? 0xffffffffu : (1u << (rt->n - base)) - 1;
    mask &= have; // lanes that do not exist never arrive
    if (w->arrived && w->mask != mask)
        fail("line %d: warp op mask 0x%x differs from waiting lanes' 0x%x", line, mask, w->mask);
    w->mask = mask;
    w->arrived |= 1u << (f->tid & 31);
    if (w->arrived == mask) {
        w->arrived = 0;
        w->gen++;
        w->epoch++;
        return;
    }
    f->st = WARP;
    f->line = line;
    f->w = w;
    f->wgen = w->gen;
    f->t = threadIdx_;
    to_main();
}
NS static void fiber_main() {
    for (;;) {
        Fiber *f = rt->cur;
        while (rt->next < rt->n && !rt->failed) {
            f->tid = rt->order[rt->next++];
            f->st = RUN;
            set_tid(f->tid);
            cur_warp = &rt->warps[f->tid >> 5];
            rt->body.call(rt->body.fn, rt->body.args);
            if (!rt->copies[f->tid].empty())
                fail("ends before its asynchronous copies");
            rt->live--;
        }
        f->st = FREE;
        to_main();
    }
}
NS static Fiber *get_fiber() {
    if (!rt->pool.empty()) {
        Fiber *f = rt->pool.back();
        rt->pool.pop_back();
        return f;
    }
    Fiber *f = new Fiber();
    f->stk = (char *)mmap(nullptr, STK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(f->stk, 4096, PROT_NONE);
    void **s = (void **)(f->stk + STK - 64);
    *--s = nullptr;
    *--s = (void *)fiber_main;
    for (int i = 0; i < 6; i++)
        *--s = nullptr;
    f->sp = s;
    f->st = FREE;
    rt->all.push_back(f);
    return f;
}
// All but a few stacks are given back after a launch: hundreds of modules, each with its own, would use up the mappings
// that a process may have.
NS static void release_fibers() {
    if (rt->all.size() <= 8)
        return;
    for (Fiber *f : rt->all) {
        munmap(f->stk, STK);
        delete f;
    }
    rt->all.clear();
    rt->pool.clear();
    rt->cur = nullptr;
}
NS static void reset_fiber(Fiber *f) {
    void **s = (void **)(f->stk + STK - 64);
    *--s = nullptr;
    *--s = (void *)fiber_main;
    for (int i = 0; i < 6; i++)
        *--s = nullptr;
    f->sp = s;
    f->st = FREE;
}
NS static void resume(Fiber *f) {
    rt->cur = f;
    rt->switches++;
    shim_switch(&rt->main_sp, f->sp);
}
NS static uint64_t rnd() {
    rt->rng ^= rt->rng << 13;
    rt->rng ^= rt->rng >> 7;
    rt->rng ^= rt->rng << 17;
    return rt->rng;
}
NS static void shuffle(std::vector<unsigned> &v) {
    for (size_t i = v.size(); i > 1; i--)
        std::swap(v[i - 1], v[rnd() % i]);
}
NS static void run_block() {
    rt->next = 0;
    rt->live = rt->n;
    rt->epoch = 0;
    rt->copies.assign(rt->n, {});
    for (auto &w : rt->warps)
        w = Warp{};
    if (rt->mode == 2)
        shuffle(rt->order);
    std::vector<Fiber *> wait;
    while (rt->next < rt->n && !rt->failed) {
        Fiber *f = get_fiber();
        resume(f);
        if (f->st == FREE)
            rt->pool.push_back(f);
        else
            wait.push_back(f);
    }
    std::vector<Fiber *> nw;
    while (!wait.empty() && !rt->failed) {
        bool prog = false;
        nw.clear();
        for (Fiber *f : wait) { // warp waiters that may go on
            if (!rt->failed && f->st == WARP && f->w->gen != f->wgen) {
                prog = true;
                f->st = RUN;
                threadIdx_ = f->t;
                cur_warp = f->w;
                resume(f);
                if (f->st == FREE) {
                    rt->pool.push_back(f);
                    continue;
                }
            }
            nw.push_back(f);
        }
        wait.swap(nw);
        if (prog || rt->failed)
            continue;
        int line = -1;
        bool allbar = true;
        for (Fiber *f : wait) {
            if (f->st != BAR)
                allbar = false;
            else if (line < 0)
                line = f->line;
            else if (line != f->line) {
                snprintf(rt->err, 512, "block %u: divergent __syncthreads: lines %d and %d", rt->blk, line,
                         f->line);
                rt->failed = true;
            }
        }
        if (rt->failed)
            break;
        if (!allbar) {
            Fiber *g = wait[0];
            for (Fiber *f : wait)
                if (f->st == WARP)
                    g = f;
            snprintf(
                rt->err, 512,
                "block %u: deadlock: thread %d waits for a warp op at line %d that not all lanes of its mask reach",
                rt->blk, g->tid, g->line);
            rt->failed = true;
            break;
        }
        if (wait.size() != rt->n) {
            snprintf(rt->err, 512, "block %u: __syncthreads at line %d reached by %zu of %u threads", rt->blk, line,
                     wait.size(), rt->n);
            rt->failed = true;
            break;
        }
        rt->epoch++;
        if (rt->mode == 1)
            std::reverse(wait.begin(), wait.end());
        if (rt->mode == 2)
            for (size_t i = wait.size(); i > 1; i--)
                std::swap(wait[i - 1], wait[rnd() % i]);
        nw.clear();
        for (Fiber *f : wait) {
            if (rt->failed) {
                nw.push_back(f);
                continue;
            }
            f->st = RUN;
            threadIdx_ = f->t;
            cur_warp = &rt->warps[f->tid >> 5];
            resume(f);
            if (f->st == FREE)
                rt->pool.push_back(f);
            else
                nw.push_back(f);
        }
        wait.swap(nw);
    }
    if (rt->failed) {
        rt->pool.clear();
        for (Fiber *f : rt->all) {
            reset_fiber(f);
            rt->pool.push_back(f);
        }
    }
}
#ifdef SHIM_CHECK
struct Cell {
    uint32_t wb, we, rb, re;
    uint16_t wt, rt_;
    uint16_t wwe, rwe;
    uint8_t watom, f;
}; // block+1 / barrier epoch / tid ; f bit0 many readers bit1 many blocks bit2 initialised
NS static void check(const volatile void *pv, unsigned n, bool wr, bool atom, bool unaligned, unsigned line_hint) {
    if (reinterpret_cast<size_t>(rt) == 1 || !rt->cur || rt->cur->st != RUN)
        return;
    char *p = (char *)pv;
    Fiber *f = rt->cur;
    if (p >= f->stk && p < f->stk + STK)
        return; // own stack
    RT::Buf *b = nullptr;
    if (rt->last < rt->bufs.size() && p >= rt->bufs[rt->last].b &&
        p + n <= rt->bufs[rt->last].b + rt->bufs[rt->last].n)
        b = &rt->bufs[rt->last];
    else
        for (size_t i = 0; i < rt->bufs.size(); i++) {
            RT::Buf &q = rt->bufs[i];
            if (p >= q.b && p + n <= q.b + q.n) {
                b = &q;
                rt->last = i;
                break;
            }
        }
    if (!b) {
        if (p >= (char *)&threadIdx_ && p < (char *)(&threadIdx_ + 1))
            return;
        if (p >= (char *)&blockIdx_ && p < (char *)(&blockIdx_ + 1))
            return;
        if (p >= (char *)&blockDim_ && p < (char *)(&blockDim_ + 1))
            return;
        if (p >= (char *)&gridDim_ && p < (char *)(&gridDim_ + 1))
            return;
        for (auto *g : rt->all)
            if (p >= g->stk && p < g->stk + STK)
                fail("%s of another thread's local memory", wr ? "write" : "read");
        size_t best = ~size_t(0);
        int bi = -1;
        bool after = false;
        for (size_t i = 0; i < rt->bufs.size(); i++) {
            auto &q = rt->bufs[i];
            if (q.shared && q.b == __bss_start)
                continue;
            size_t d = p >= q.b ? (p + n) - (q.b + q.n) : q.b - p;
            if (d < best) {
                best = d;
                bi = (int)i;
                after = p >= q.b;
            }
        }
        {
            static Dl_info di = {(const char *)1};
            if (di.dli_fname == (const char *)1)
                dladdr((void *)&shim_switch, &di);
            if (p >= (char *)di.dli_fbase && p < __bss_start)
                return;
        } // own .rodata/.data
        if (best > (size_t)1 << 40)
            fail("wild %s at %p", wr ? "write" : "read", p);
        fail("out-of-bounds %s of %u bytes, %zu bytes %s buffer #%d", wr ? "write" : "read", n, best,
             after ? "past the end of" : "before", bi);
    }
    const char *nm = "";
    if (b->b == __bss_start) {
        bool in = false;
        for (auto &s : rt->sh)
            if (p >= (char *)s.p && p + n <= (char *)s.p + s.n) {
                in = true;
                nm = s.name;
                break;
            }
        if (!in)
            fail("out-of-bounds %s: no __shared__ array there", wr ? "write" : "read");
    }
    if (unaligned || ((size_t)p & (n - 1)))
        fail("misaligned %u-byte %s", n, wr ? "write" : "read");
    if (wr && b->ro)
        fail("write to a read-only buffer #%d", (int)(b - rt->bufs.data()));
    uint32_t B = rt->blk + 1, E = rt->epoch;
    uint16_t T = (uint16_t)f->tid, WE = (uint16_t)cur_warp->epoch;
    size_t g0 = (p - b->b) / b->gran, g1 = (p - b->b + n - 1) / b->gran;
    Cell *c = (Cell *)b->sh;
    for (size_t g = g0; g <= g1; g++) {
        Cell &k = c[g];
        auto clash = [&](uint32_t kb, uint32_t ke, uint16_t kt, uint16_t kwe, bool many) {
            if (!kb)
                return false;
            if (kb != B)
                return b->shared || rt->acquired.empty() || !rt->acquired[kb - 1];
            if (ke != E)
                return false;
            if (many)
                return true;
            if (kt == T)
                return false;
            return !((kt >> 5) == (T >> 5) && kwe != WE);
        };
        if (b->shared && k.wb != B && !wr)
            fail("read of uninitialised shared memory %s", *nm ? nm : "(dynamic)");
        if (clash(b->shared && k.wb != B ? 0 : k.wb, k.we, k.wt, k.wwe, false) && !(atom && k.watom))
            fail("race: %s of buffer #%d%s element %zu after a write by block %u thread %u with no barrier between",
                 wr ? (atom ? "atomic" : "write") : "read", (int)(b - rt->bufs.data()),
                 b->shared ? " (shared)" : "", g, k.wb - 1, k.wt);
        if (wr && !atom && !b->shared) {
            rt->dirty[T] = 1;
            rt->released[rt->blk] = 0;
        }
        if (wr) {
            uint32_t rb = k.rb;
            if (b->shared && rb != B)
                rb = 0;
            if (rb && ((k.f & 2 && !b->shared) || clash(rb, k.re, k.rt_, k.rwe, k.f & 1)))
                fail("race: write of buffer #%d%s element %zu after a read by block %u thread %u%s with no barrier "
                     "between",
                     (int)(b - rt->bufs.data()), b->shared ? " (shared)" : "", g, k.rb - 1, k.rt_,
                     k.f & 1 ? "+others" : "");
            k.wb = B;
            k.we = E;
            k.wt = T;
            k.wwe = WE;
            k.watom = atom;
        }
        if (!wr) {
            if (k.rb == B && k.re == E) {
                if (k.rt_ != T)
                    k.f |= 1;
            } else {
                k.f = (k.f & 2) | (k.rb && k.rb != B ? 2 : 0);
            }
            k.rb = B;
            k.re = E;
            k.rt_ = T;
            k.rwe = WE;
        }
    }
}
NS void note_atomic(const volatile void *p, unsigned n) {
    check(p, n, true, true, false, 0);
    if (std::find(rt->dirty.begin(), rt->dirty.end(), 1) == rt->dirty.end())
        rt->released[rt->blk] = 1;
    rt->acquired = rt->released;
}
NS void fence() { rt->dirty[rt->cur->tid] = 0; }
#else
void note_atomic(const volatile void *, unsigned) {}
void fence() {}
#endif
NS int launch(Body b, const unsigned *grid, const unsigned *block, unsigned dyn) {
    if (reinterpret_cast<size_t>(rt) == 1) {
        rt = new RT();
        rt->rng = 88172645463325252ull;
    }
    rt->body = b;
    rt->n = block[0] * block[1] * block[2];
    memcpy(rt->bd, block, 12);
    rt->failed = false;
    rt->err[0] = 0;
    rt->last = 0;
    rt->order.resize(rt->n);
    for (unsigned i = 0; i < rt->n; i++)
        rt->order[i] = rt->mode == 1 ? rt->n - 1 - i : i;
    rt->warps.assign((rt->n + 31) / 32, Warp{});
    if (dyn > rt->dyncap) {
        free(rt->dyn);
        rt->dyn = aligned_alloc(256, (dyn + 255) & ~255u);
        rt->dyncap = dyn;
    }
    rt->dynsz = dyn;
    rt->sh.clear();
    rt->shtotal = 0;
    blockDim_ = {block[0], block[1], block[2]};
    gridDim_ = {grid[0], grid[1], grid[2]};
    size_t nb = (size_t)grid[0] * grid[1] * grid[2];
    std::vector<unsigned> ord(nb);
    for (size_t i = 0; i < nb; i++)
        ord[i] = rt->mode == 1 ? nb - 1 - i : i;
    if (rt->mode == 2)
        shuffle(ord);
    char *b0 = __bss_start;
    size_t bn = _end - __bss_start;
#ifdef SHIM_CHECK
    size_t keep = rt->bufs.size();
    rt->released.assign(nb, 0);
    rt->bufs.push_back({b0, bn, 1, true, false, (char *)calloc(bn + 1, sizeof(Cell))});
    rt->bufs.push_back({(char *)rt->dyn, dyn, 4, true, false, (char *)calloc(dyn + 1, sizeof(Cell))});
#endif
    for (size_t i = 0; i < nb && !rt->failed; i++) {
        unsigned k = ord[i];
        rt->blk = k;
#ifdef SHIM_CHECK
        rt->dirty.assign(rt->n, 0);
        rt->acquired.clear();
#endif
        blockIdx_ = {k % grid[0], k / grid[0] % grid[1], k / (grid[0] * grid[1])};
        memset(b0, 0xff, bn);
        if (dyn)
            memset(rt->dyn, 0xff, dyn);
        run_block();
    }
#ifdef SHIM_CHECK
    for (size_t i = keep; i < rt->bufs.size(); i++)
        free(rt->bufs[i].sh);
    rt->bufs.resize(keep);
#endif
    release_fibers();
    return rt->failed;
}
} // namespace shim
extern "C" {
NS const char *shim_error() { return shim::rt->err; }
NS void shim_mode(int m, uint64_t seed) {
    using namespace shim;
    if (reinterpret_cast<size_t>(rt) == 1) {
        rt = new RT();
        rt->rng = 88172645463325252ull;
    }
    rt->mode = m;
    if (seed)
        rt->rng = seed * 2654435761ull + 88172645463325252ull;
}
NS uint64_t shim_switches() { return shim::rt->switches; }
#ifdef SHIM_CHECK
NS void shim_buf(void *p, size_t n, unsigned gran, int ro) {
    using namespace shim;
    shim_mode(rt == (RT *)1 ? 0 : rt->mode, 0);
    rt->bufs.push_back({(char *)p, n, gran, false, (bool)ro, (char *)calloc(n / gran + 2, sizeof(Cell))});
}
NS void shim_clear() {
    using namespace shim;
    if (rt == (RT *)1)
        return;
    for (auto &b : rt->bufs)
        free(b.sh);
    rt->bufs.clear();
}
#define H __attribute__((visibility("default"))) NS
#define RW(N)                                                                                                      \
    H void __tsan_read##N(void *p) { shim::check(p, N, false, false, false, 0); }                                  \
    H void __tsan_write##N(void *p) { shim::check(p, N, true, false, false, 0); }
RW(1)
RW(2) RW(4) RW(8) RW(16)
#define URW(N)                                                                                                     \
    H void __tsan_unaligned_read##N(void *p) { shim::check(p, N, false, false, (size_t)p & (N - 1), 0); }          \
    H void __tsan_unaligned_write##N(void *p) { shim::check(p, N, true, false, (size_t)p & (N - 1), 0); }
    URW(2) URW(4) URW(8) URW(16) H void __tsan_init() {
}
H void __tsan_func_entry(void *) {}
H void __tsan_func_exit() {}
H void __tsan_read_range(void *p, size_t n) {
    for (size_t i = 0; i < n; i += 4)
        shim::check((char *)p + i, n - i < 4 ? n - i : 4, false, false, false, 0);
}
H void __tsan_write_range(void *p, size_t n) {
    for (size_t i = 0; i < n; i += 4)
        shim::check((char *)p + i, n - i < 4 ? n - i : 4, true, false, false, 0);
}
H void __tsan_vptr_update(void *, void *) {}
H void __tsan_vptr_read(void *) {}
struct SrcLoc2 {
    const char *file;
    uint32_t line, col;
};
struct TM {
    SrcLoc2 l;
    void *type;
    unsigned char la, kind;
};
H void __ubsan_handle_type_mismatch_v1(void *d, size_t p) {
    TM *s = (TM *)d;
    if (!p)
        shim::fail("null pointer access at line %u:%u", s->l.line, s->l.col);
    shim::fail("misaligned access: address %% %d = %zu at line %u:%u", 1 << s->la, p & ((1ul << s->la) - 1),
               s->l.line, s->l.col);
}
struct SrcLoc {
    const char *file;
    uint32_t line, col;
};
H void __ubsan_handle_out_of_bounds(void *d, size_t idx) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("array index %zd out of bounds at line %u:%u", (ssize_t)idx, s->line, s->col);
}
H void __ubsan_handle_add_overflow(void *d, size_t, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("signed integer overflow (+) at line %u:%u", s->line, s->col);
}
H void __ubsan_handle_sub_overflow(void *d, size_t, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("signed integer overflow (-) at line %u:%u", s->line, s->col);
}
H void __ubsan_handle_negate_overflow(void *d, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("signed integer overflow (-) at line %u:%u", s->line, s->col);
}
H void __ubsan_handle_mul_overflow(void *d, size_t, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("signed integer overflow (*) at line %u:%u", s->line, s->col);
}
H void __ubsan_handle_divrem_overflow(void *d, size_t, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("division by zero or overflow at line %u:%u", s->line, s->col);
}
H void __ubsan_handle_shift_out_of_bounds(void *d, size_t, size_t) {
    SrcLoc *s = (SrcLoc *)d;
    shim::fail("shift out of bounds at line %u:%u", s->line, s->col);
}
#endif
}
