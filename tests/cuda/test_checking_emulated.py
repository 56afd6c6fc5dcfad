"""The emulator's checking build: it finds planted mistakes, and none in the kernels of each family."""

import numpy as np
import pytest

import pyconv
from pyconv import backends, layers
from pyconv.backends.cuda import CUDABackend, driver
from tests.cuda.emulator import build, standin

HEAD = 'extern "C" __global__ void k(const float* x, float* y, int n) { __shared__ float s[64]; int i = threadIdx.x; '
PLANTED = {
    "a barrier is missing": ("race|uninitialised", "s[i] = x[i]; y[i] = s[(i + 1) % 64]; }"),
    "none between the halves of a tree": ("race", """s[i] = x[i]; __syncthreads();
        for (int o = 32; o; o >>= 1) { if (i < o) s[i] += s[i + o]; } if (!i) y[0] = s[0]; }"""),
    "a barrier that some threads do not reach": ("syncthreads", "if (i < 32) __syncthreads(); y[i] = x[i]; }"),
    "threads add to one element": ("race", "y[0] += x[i]; }"),
    "a read past the end": ("out-of-bounds", "y[i] = x[i + 1]; }"),
    "a write past the end": ("out-of-bounds", "y[i + 1] = x[i]; }"),
    "a read of shared memory that nobody wrote": ("uninitialised", """if (i < 60) s[i] = x[i]; __syncthreads();
        y[i] = s[i]; }"""),
    "a write to an input": ("read-only", "((float*)x)[i] = 0; y[i] = 0; }"),
    "an index of more than 31 bits": ("overflow", "int j = (i + 65536) * (n * 1000); y[i] = (float)j; }"),
    "blocks add to one element": ("race", "if (!i) y[0] += x[0]; }", 2),
    "a block reads what another one wrote": ("race", "y[i + 64 * blockIdx.x] = x[i]; y[i] += y[64 + i]; }", 2),
    "a last block that counts before its elements are written": ("race", """y[64 * blockIdx.x + i] = x[i];
        __shared__ int last; __syncthreads(); if (!i) last = atomicAdd((int*)y + 128, 1) == 1; __syncthreads();
        if (last) y[i] = y[i] + y[64 + i]; }""", 2),
    "an index past the end of shared memory": ("out of bounds|out-of-bounds", "s[i + 1] = x[i]; y[i] = x[i]; }"),
    "a barrier at two places": ("divergent", """if (i < 32) __syncthreads(); else { y[i] = 0;
        __syncthreads(); } }"""),
    "sums of warps that are read without a barrier": ("race|uninitialised", """float v = x[i];
        for (int o = 16; o > 0; o /= 2) v += __shfl_down_sync(0xffffffffu, v, o); if (i % 32 == 0) s[i / 32] = v;
        if (i == 0) y[0] = s[0] + s[1]; }"""),
    "a shuffle with lanes outside its mask": ("outside mask|not in the mask", """float v = x[i];
        y[i] = __shfl_down_sync(0xffffu, v, 1); }"""),
    "a shuffle whose masks differ": ("differs|deadlock", """float v = x[i];
        y[i] = i % 2 ? __shfl_down_sync(0xffffffffu, v, 1) : __shfl_down_sync(0x55555555u, v, 2); }"""),
    "an asynchronous copy that is read before it is waited for": ("uninitialised|race", """if (i < 16)
        copy_later(s + 4 * i, x + 4 * i, true); __syncthreads(); y[i] = s[i]; wait_for_copies(); }"""),
    "one that is waited for without a barrier": ("uninitialised|race", """if (i < 16)
        copy_later(s + 4 * i, x + 4 * i, true); wait_for_copies(); y[i] = s[63 - i]; }"""),
    "one into a place that is still read": ("race", """s[i] = x[i]; __syncthreads(); y[i] = s[63 - i]; if (i < 16)
        copy_later(s + 4 * i, x + 4 * i, true); wait_for_copies(); }"""),
    "one that nobody waits for": ("asynchronous", """if (i < 16) copy_later(s + 4 * i, x + 4 * i, true);
        y[i] = x[i]; }"""),
    "an asynchronous copy from past the end": ("out-of-bounds", """if (i < 16) copy_later(s + 4 * i, x + 4 * i + 4,
        true); wait_for_copies(); y[i] = 0; }"""),
    "an asynchronous copy to an address that 16 does not divide": ("misaligned", """if (i < 15)
        copy_later(s + 4 * i + 1, x + 4 * i, true); wait_for_copies(); y[i] = 0; }"""),
    "a shuffle that not all lanes reach": ("deadlock|warp op", """float v = x[i];
        if (i < 16) v += __shfl_down_sync(0xffffffffu, v, 8); y[i] = v; }"""),
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_mistakes_are_found(what):
    message, body, *blocks = PLANTED[what]
    blocks = blocks[0] if blocks else 1
    x, y = np.arange(64, dtype="float32"), np.zeros(64 if blocks == 1 else 129, "float32")
    kernel = build.Module(HEAD + body, check=True).function("k")
    with pytest.raises(build.LaunchError, match=message):
        kernel((blocks,), (64,), (x, y, np.int32(64)))


def test_a_last_block_that_waits_for_the_others_passes():
    """As planted above, with the fence; whichever block is last."""
    body = """y[64 * blockIdx.x + i] = x[i]; __threadfence(); __shared__ int last; __syncthreads();
        if (!i) last = atomicAdd((int*)y + 128, 1) == 1; __syncthreads(); if (last) y[i] = y[i] + y[64 + i]; }"""
    module = build.Module(HEAD + body, check=True)
    for mode in (0, 1):
        module.order(mode)
        x, y = np.arange(64, dtype="float32"), np.zeros(129, "float32")
        module.function("k")((2,), (64,), (x, y, np.int32(64)))
        np.testing.assert_array_equal(y[:64], 2 * x)


@pytest.mark.parametrize("grid,block,shared,message", [
    ((1,), (1025,), 0, "1025.*too large"), ((1,), (1, 1, 65), 0, "too large"), ((1, 65536), (64,), 0, "out of range"),
    ((0,), (64,), 0, "out of range"), ((2**31,), (64,), 0, "out of range"), ((1,), (64,), 48 << 10, "exceed 48 KiB")])
def test_launches_beyond_the_limits_of_a_device(grid, block, shared, message):
    x, y = np.arange(64, dtype="float32"), np.zeros(64, "float32")
    kernel = build.Module(HEAD + "s[i % 64] = 0; y[i % 64] = x[i % 64]; }").function("k")
    with pytest.raises(build.LaunchError, match=message):
        kernel(grid, block, (x, y, np.int32(64)), shared)


def test_a_block_of_more_threads_than_the_kernel_was_compiled_for():
    source = 'extern "C" __global__ void __launch_bounds__(128) k(float* y) { y[0] = 1; }'
    with pytest.raises(build.LaunchError, match="too large"):
        build.Module(source).function("k")((1,), (256,), (np.zeros(1, "float32"),))


def test_a_kernel_without_mistakes_passes():
    x, y = np.arange(64, dtype="float32"), np.zeros(64, "float32")
    source = HEAD + "s[i] = x[i]; __syncthreads(); y[i] = s[(i + 1) % 64]; }"
    build.Module(source, check=True).function("k")((1,), (64,), (x, y, np.int32(64)))
    np.testing.assert_array_equal(y, np.roll(x, -1))


@pytest.mark.parametrize("args,message", [
    (lambda x, y: (x, y), "2 arguments for 3"), (lambda x, y: (x, y, 64), "takes int32"),
    (lambda x, y: (x, y, np.int64(64)), "takes int32"),
    (lambda x, y: (x.astype("float64"), y, np.int32(64)), "float32"),
    (lambda x, y: (x, np.zeros(128, "float32")[::2], np.int32(64)), "contiguous")])
def test_arguments_that_a_gpu_would_take_silently(args, message):
    kernel = build.Module(HEAD + "y[i] = x[i]; }").function("k")
    with pytest.raises(build.LaunchError, match=message):
        kernel((1,), (64,), args(np.ones(64, "float32"), np.ones(64, "float32")))


def test_the_families_have_no_races(monkeypatch):
    """One case of each kernel that shares memory between threads, against the CPU backend."""
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    device, rng = CUDABackend(), np.random.default_rng(0)

    def floats(*shape):
        return rng.uniform(-1, 1, shape).astype("float32")
    conv = {"strides": (1, 2), "padding": ((1, 1), (1, 0)), "dilation": (1, 1), "channels_last": True}
    dy = floats(2, 5, 4, 18)
    cases = [("sum", [floats(9000, 5)], {"axes": (0,), "keepdims": False}),
             ("sum", [floats(2, 9000)], {"axes": (1,), "keepdims": False}),
             ("sum", [floats(70, 5)], {"axes": (0,), "keepdims": False}),
             ("sum", [floats(3, 300)], {"axes": (1,), "keepdims": False}),
             ("argmax", [floats(3, 70)], {"axis": 1}),
             ("matmul", [floats(2, 5, 20), floats(2, 20, 7)], {"transpose_a": False, "transpose_b": False}),
             ("conv", [floats(2, 5, 8, 6), floats(3, 2, 6, 18)], {**conv, "groups": 1}),
             ("conv_input_gradient", [dy, floats(3, 2, 6, 18)], {**conv, "groups": 1, "shape": (2, 5, 8, 6)}),
             ("conv_kernel_gradient", [floats(2, 5, 8, 6), dy], {**conv, "groups": 1, "shape": (3, 2, 6, 18)}),
             ("conv_kernel_gradient", [floats(2, 5, 8, 9), dy], {**conv, "groups": 9, "shape": (3, 2, 1, 18)}),
             ("take_gradient", [floats(300, 4), rng.integers(0, 5, 300)], {"shape": (5, 4), "axis": 0}),
             ("sparse_softmax_cross_entropy", [floats(9, 40), rng.integers(0, 40, 9)], {})]
    for name, arrays, attrs in cases:
        expected = backends.get("cpu").execute(name, arrays, attrs)
        np.testing.assert_allclose(device.execute(name, arrays, attrs), expected, rtol=1e-4, atol=1e-3)


def test_a_training_step_has_no_races(monkeypatch):
    """Kernels that are generated: several sums at once, the update of all parameters, what is committed."""
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    rng, results = np.random.default_rng(1), []
    x, y = rng.normal(size=(16, 6, 6, 3)).astype("float32"), rng.integers(0, 3, 16)
    for backend in (backends.get("cpu"), CUDABackend()):
        monkeypatch.setattr(backends, "_current", backend)
        pyconv.random.set_random_seed(1)
        model = pyconv.Sequential([pyconv.Input((6, 6, 3)), layers.Conv2D(8, 3), layers.BatchNormalization(),
                                   layers.ReLU(), layers.Flatten(), layers.Dense(3)])
        model.compile(pyconv.optimizers.SGD(0.1, 0.9), pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
        results.append([*(model.train_on_batch(x, y) for _ in range(2)), *model.get_weights()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
