"""At home in a process: forks, threads, the processor's share, memory, Ctrl-C.

What could hang, or changes the process as a whole, runs in a process of its own with a limit of time.
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import pyconv
from pyconv import config, layers, losses

LIMIT = 120         # seconds: a hundred times what the scripts need on an idle machine
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# A small convolutional network whose steps are wide enough to be spread over threads.
PREPARE = """
import os, signal, sys, threading, time, traceback
import numpy as np
import pyconv
from pyconv import layers

def make():
    pyconv.utils.set_random_seed(1)
    model = pyconv.Sequential([pyconv.Input((12, 12, 1)), layers.Rescaling(1 / 255),
                               layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
                               layers.Dense(10)])
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model

def fit(model):
    model.fit(x, y, batch_size=128, shuffle=False, verbose=0)

def bits(model):
    return b"".join(w.tobytes() for w in model.get_weights())

def in_child(work):
    "What work() gives in a forked child; None if it fails or takes longer than 20 seconds."
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.alarm(20)
            os.write(writing, work())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        print("a child ended with status", status, file=sys.stderr)
    return None if status else found

pyconv.config.set_num_threads(2)
x = np.random.default_rng(0).integers(0, 256, (1000, 12, 12, 1), dtype="uint8")
y = np.arange(1000) % 10
"""


def run(script, *arguments, **environment):
    """What the script prints, run after PREPARE in a new process."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(pyconv.__file__)))
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", PREPARE + textwrap.dedent(script), *map(str, arguments)],
                          capture_output=True, text=True, timeout=LIMIT, check=False,
                          env={**os.environ, "PYTHONPATH": paths, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- forks

FORKS = """
model = make()
fit(model)
right = 0
for _ in range(int(sys.argv[1])):
    def work():
        fit(model)
        return bits(model)
    child = in_child(work)
    fit(model)                                  # the same work in the parent
    right += child == bits(model)
print(right)
"""


@POSIX
def test_fit_then_fork_then_fit():
    """The child has none of the threads that help in the parent.

    PYCONV_TEST_FORKS sets the number of forks, for a longer run.
    """
    forks = os.environ.get("PYCONV_TEST_FORKS", "40")
    assert run(FORKS, forks) == forks


@POSIX
def test_forks_of_forks():
    assert run("""
        model = make()
        fit(model)
        def work(depth):
            fit(model)
            return bits(model) if not depth else in_child(lambda: work(depth - 1)) or b""
        found = in_child(lambda: work(3))
        for _ in range(4):
            fit(model)
        print(found == bits(model))
        """) == "True"


@POSIX
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_multiprocessing_with_the_fork_method():
    assert run("""
        import multiprocessing
        def work(seed):
            model = make()
            fit(model)
            return bits(model)
        expected = work(0)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            print(set(pool.map_async(work, range(9)).get(90)) == {expected})
        """) == "True"


@POSIX
@pytest.mark.parametrize("seed, different", [("None", 6), ("3", 2)])
def test_random_numbers_in_forked_processes(seed, different):
    """Each has numbers of its own (weights, and draws of layers), unless a seed says which."""
    assert run("""
        seed = eval(sys.argv[1])
        if seed is not None:
            pyconv.utils.set_random_seed(seed)
        layers.Dense(3)(np.ones((1, 2)))
        pyconv.random.normal((3,))
        def work():
            return layers.Dense(3)(np.ones((1, 2))).tobytes() + pyconv.random.normal((3,)).tobytes()
        found = [in_child(work) for _ in range(3)]
        print(len({part for numbers in found for part in (numbers[:12], numbers[12:])}))
        """, seed) == str(different)


@POSIX
@pytest.mark.parametrize("who", ["the same model", "another model"])
def test_fork_while_a_thread_predicts(who):
    """The child has no such thread: nothing that it held may keep the child waiting."""
    assert run("""
        same = sys.argv[1] == "the same model"
        busy, other = make(), make()
        used = busy if same else other
        expected = used.predict(x)
        fit(other)
        stop = threading.Event()
        def loop():
            while not stop.is_set():
                busy.predict(x)
        thread = threading.Thread(target=loop)
        thread.start()
        def work():
            found = used.predict(x)
            fit(used)
            return found.tobytes()
        right = 0
        try:
            if not same:
                expected = used.predict(x)
            for _ in range(20):
                right += in_child(work) == expected.tobytes()
                if not right:
                    break
        finally:
            stop.set()
            thread.join()
        print(right)
        """, who) == "20"


@POSIX
def test_a_fork_while_garbage_collection_pauses():
    """The child has it on again, as nobody would put it on there; the parent when the pause is over."""
    assert run("""
        import gc
        from pyconv.utils.garbage import no_collection
        with no_collection():
            found = [gc.isenabled(), in_child(lambda: str(gc.isenabled()).encode())]
        gc.disable()
        with no_collection():
            pass
        print(*found, gc.isenabled())
        """) == "False b'True' False"


@POSIX
def test_fork_while_a_thread_compiles():
    """Tracing and planning hold locks too."""
    assert run("""
        model = make()
        fit(model)
        stop = threading.Event()
        def loop():
            n = 0
            while not stop.is_set():
                n = n % 200 + 1
                model.predict(x[:n])
        thread = threading.Thread(target=loop)
        thread.start()
        def work():
            model.predict(x[:3]), model.predict(x[:250]), fit(model)
            return b"done"
        right = 0
        try:
            for _ in range(20):
                right += in_child(work) == b"done"
                if not right:
                    break
        finally:
            stop.set()
            thread.join()
        print(right)
        """) == "20"


# ---- threads of Python

def make(units=5):
    pyconv.utils.set_random_seed(3)
    model = pyconv.Sequential([pyconv.Input((10, 10, 2)), layers.Conv2D(6, 3, activation="relu"),
                               layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(units)])
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


X = np.random.default_rng(5).normal(size=(200, 10, 10, 2)).astype("float32")
Y = np.arange(200) % 5


def together(*works):
    """Run functions in threads of their own, which switch often; the first error is raised here."""
    errors, interval = [], sys.getswitchinterval()

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a thread hangs"
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def test_several_threads_predict_with_one_model(backend_name):
    """Each its own images and numbers of images, among them ones that are compiled meanwhile."""
    pyconv.set_backend(backend_name)
    model, sizes = make(), (1, 3, 16, 50, 200)
    expected = {n: make().predict(X[-n:]) for n in sizes}

    def work(first):
        for i in range(8):
            n = sizes[(first + i) % len(sizes)]
            np.testing.assert_array_equal(model.predict(X[-n:]), expected[n])
    together(*(lambda k=k: work(k) for k in range(5)))


def test_training_while_others_predict():
    """The predictions are of weights from between the first and the last; training is not disturbed."""
    model, alone = make(), make()
    model.predict(X), alone.fit(X, Y, batch_size=32, epochs=8, shuffle=False, verbose=0)
    done = threading.Event()

    def train():
        try:
            model.fit(X, Y, batch_size=32, epochs=8, shuffle=False, verbose=0)
        finally:
            done.set()

    def predict():
        while not done.is_set():
            assert np.isfinite(model.predict(X[:40])).all()
    together(train, predict, predict)
    for a, b in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_trained_in_threads_do_not_disturb_each_other():
    expected = make()
    expected.fit(X, Y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    models = [make() for _ in range(4)]
    together(*(lambda m=m: m.fit(X, Y, batch_size=32, epochs=2, shuffle=False, verbose=0) for m in models))
    for model in models:
        for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("variable", ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0",
                                      "OMP_WAIT_POLICY=active", "OMP_NESTED=true"])
def test_fewer_threads_than_asked_for(variable):
    """OpenMP may give a run fewer threads than it asks for; then those do all the work."""
    script = """
        import hashlib
        pyconv.config.set_num_threads(4)
        model = make()
        fit(model)
        print(hashlib.sha256(bits(model) + model.predict(x).tobytes()).hexdigest())
        """
    name, value = variable.split("=")
    assert run(script, **{name: value}) == run(script)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not tell the number of threads")
def test_little_programs_share_their_work_while_the_threads_are_awake():
    """They do not wake them for a single image; the result is the same."""
    assert run("""
        pyconv.config.set_num_threads(2)
        lanes = pyconv.backends.get("cpu").kernels.lanes["float32"]     # a vector of filters: little work for any
        model = pyconv.Sequential([pyconv.Input((28, 28, 1)), layers.Conv2D(lanes, 5),
                                   layers.Conv2D(lanes, 5, strides=2)])
        image = np.random.default_rng(0).random((1, 28, 28, 1), dtype="float32")
        expected, threads = model.predict(image), lambda: len(os.listdir("/proc/self/task"))
        first, end = threads(), time.monotonic() + 20
        for i in range(5):
            time.sleep(0.01)
            assert (model.predict(image) == expected).all()
        assert threads() == first
        while threads() == first and time.monotonic() < end or i < 1500:      # each way is tried
            assert (model.predict(image) == expected).all()
            i += 1
        print(threads() - first)
        """) == "2"         # the helper, and OpenMP's first thread, which sleeps


def test_threads_that_fall_asleep_between_calls_or_within():
    """Nobody waits for them: pauses of about as long as they stay awake, numbers that change, several callers."""
    assert run("""
        import random
        model = make()
        batches = [x[:1], x[:40], x[:1000]]
        expected = [model.predict(batch, verbose=0) for batch in batches]
        wrong = []
        def work(seed):
            draw = random.Random(seed)
            while time.monotonic() < end:
                pyconv.config.set_num_threads(draw.choice([1, 2, 2, 3, 5]))
                i = draw.randrange(3)
                for _ in range(draw.choice([1, 2, 30])):
                    wrong.extend([] if (model.predict(batches[i], verbose=0) == expected[i]).all() else [i])
                time.sleep(draw.choice([0, 0.0005, 0.001, 0.0011, 0.002]))
        for callers in (1, 3):
            end = time.monotonic() + 2
            threads = [threading.Thread(target=work, args=(k,)) for k in range(callers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(wrong)
        """) == "[]"


def test_tasks_that_faster_threads_take_over():
    """Each is done once, and gives the same result: more threads than cores, and others that compute beside them."""
    assert run("""
        import hashlib
        images = np.random.default_rng(0).random((768, 28, 28, 1), dtype="float32")
        labels = np.arange(768) % 10
        def found(n):
            pyconv.config.set_num_threads(n)
            pyconv.utils.set_random_seed(1)
            model = pyconv.Sequential([pyconv.Input((28, 28, 1)), layers.Conv2D(8, 3, activation="relu"),
                                       layers.BatchNormalization(), layers.MaxPooling2D(2),
                                       layers.Conv2D(16, 3, activation="relu"), layers.Flatten(), layers.Dense(10)])
            model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(images, labels, batch_size=256, epochs=2, verbose=0)
            return bits(model) + model.predict(images, batch_size=384, verbose=0).tobytes()
        def disturb():
            while not over:
                hashlib.sha256(text)
                time.sleep(0.0005)
        over, text, expected = [], bytes(1 << 20), found(1)
        other = threading.Thread(target=disturb)
        other.start()
        print([n for n in (2, 3, 8, 2, 5, 2) if found(n) != expected])
        over.append(1)
        other.join()
        """) == "[]"


# ---- the processor's share

@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity_is_the_number_of_threads():
    without = {name: "" for name in ("PYCONV_NUM_THREADS", "OMP_NUM_THREADS")}
    script = """
        pyconv.config.set_num_threads(None)
        pyconv.config._cpu_quota = lambda: None
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:int(sys.argv[1])])
        model = make()
        fit(model)
        print(pyconv.config.num_threads())
        """
    cores = len(os.sched_getaffinity(0))
    for n in {1, cores}:
        assert run(script, n, **without) == str(n)
    assert run(script, 1, **{**without, "PYCONV_NUM_THREADS": "3"}) == "3"


@pytest.fixture
def control_group(monkeypatch, tmp_path):
    """A function that puts text into the files of the container's limits; without text there is no such file."""
    places = {"/sys/fs/cgroup/cpu.max": "max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "quota",
              "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "period"}

    def fake_open(path, *arguments, **named):
        assert str(path).startswith(("/sys/fs/cgroup", "/proc/")), path
        return open(tmp_path / places.get(str(path), "nothing"), *arguments, **named)

    def put(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(config, "open", fake_open, raising=False)
    for name in ("PYCONV_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    config.set_num_threads(None)
    return put


@pytest.mark.parametrize(("texts", "expected"), [
    ({"max": "max 100000\n"}, 8),
    ({"max": "200000 100000\n"}, 2),
    ({"max": "150000 100000\n"}, 2),                    # one and a half: two threads can use it
    ({"max": "10000 100000\n"}, 1),
    ({"max": "1600000 100000\n"}, 8),                   # more than there are cores
    ({"quota": "300000\n", "period": "100000\n"}, 3),   # version 1
    ({"quota": "-1\n", "period": "100000\n"}, 8),
    ({"quota": "300000\n"}, 8),                         # half of version 1's files
    ({"max": ""}, 8),
    ({"max": "something else entirely\n"}, 8),
    ({}, 8),
])
def test_the_containers_quota(control_group, texts, expected):
    control_group(**texts)
    assert config.num_threads() == expected


@pytest.mark.parametrize("texts", [{"max": "many 100000\n"}, {"max": "200000 0\n"},
                                   {"quota": "\n", "period": "\n"}])
def test_a_quota_that_cannot_be_read_is_no_quota(control_group, texts):
    control_group(**texts)
    assert config.num_threads() == 8


def test_the_environment_decides_before_the_quota(control_group, monkeypatch):
    control_group(max="200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert config.num_threads() == 5
    monkeypatch.setenv("PYCONV_NUM_THREADS", "3")
    config.set_num_threads(None)
    assert config.num_threads() == 3


# ---- memory

MEMORY = """
import gc, tracemalloc
model = pyconv.Sequential([pyconv.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"),
                           layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.2), layers.Dense(3)])
model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
x = np.random.default_rng(0).normal(size=(40, 6, 6, 1)).astype("float32")
y = np.arange(40) % 3

def resident():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

calls = {"predict": lambda: model.predict(x), "train_on_batch": lambda: model.train_on_batch(x, y)}
call = calls[sys.argv[1]]
for _ in range(300):
    call()
before = resident()
for _ in range(10000):
    call()
grown = resident() - before
tracemalloc.start()
for _ in range(20):
    call()
gc.collect()
first, _ = tracemalloc.get_traced_memory()
for _ in range(1000):
    call()
gc.collect()
second, _ = tracemalloc.get_traced_memory()
print(grown, second - first)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory from /proc")
@pytest.mark.parametrize("method", ["predict", "train_on_batch"])
def test_10_000_calls_leave_the_memory_flat(method):
    """A leak of one small object per call would be above half a megabyte, and above 40 kB in Python's own count."""
    resident, traced = map(int, run(MEMORY, method).split())
    assert resident < 500_000 and traced < 40_000


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory from /proc")
def test_models_that_are_gone_leave_no_memory():
    grown = run("""
        import gc
        def once():
            model = make()
            fit(model)
            model.predict(x)
            del model
            gc.collect()            # the layers, programs and arrays of a model hold each other
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for _ in range(10):
            once()
        before = resident()
        for _ in range(20):
            once()
        print(resident() - before)
        """)
    assert int(grown) < 5_000_000       # the programs of twenty such models take 20 MB


# ---- Ctrl-C

@POSIX
def test_ctrl_c_leaves_a_whole_number_of_steps():
    """A real signal at any moment: weights, optimizer and the number of steps belong together."""
    assert run("""
        model, whole = make(), make()
        fit(whole)
        interrupted = 0
        for wait in (0.003, 0.01, 0.03, 0.05):
            model = make()
            model.fit(x[:1], y[:1], verbose=0)      # compiles the step
            timer = threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()           # on a busy machine the signal may come before this returns
                model.fit(x[:1], y[:1], epochs=1000000, verbose=0)
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            steps = int(model.optimizer.iterations.numpy())
            again = make()
            again.fit(x[:1], y[:1], epochs=steps, verbose=0)
            assert bits(again) == bits(model), steps
            model.fit(x, y, verbose=0)
            assert np.isfinite(model.predict(x)).all()
        print(interrupted)
        """) == "4"


@POSIX
def test_ctrl_c_ends_a_script():
    """The process ends as Python's users expect: a traceback, and the status of SIGINT."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(pyconv.__file__)))
    script = PREPARE + "model = make(); fit(model); print('ready', flush=True)\n" \
                       "model.fit(x, y, epochs=1000000, verbose=0)\n"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": root}) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT and errors.rstrip().endswith("KeyboardInterrupt")
