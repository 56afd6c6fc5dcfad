"""Builds the CPU backend: the executor once, the kernels once per instruction set.

Environment variables:
  CC                 the compiler, GCC or Clang
  PYCONV_VARIANTS    only these instruction sets, such as "v3" or "v2,generic"; default: all of the processor's family
  PYCONV_WERROR      1: compiler warnings are errors
  PYCONV_SANITIZE    1: with AddressSanitizer and UBSan, for .ci/sanitize
"""

import os
import platform
import re
import sys
import tempfile

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CPU = "pyconv/backends/cpu"
KERNELS = sorted(name[:-4] for name in os.listdir(f"{CPU}/kernels") if name.endswith(".pyx"))
HEADERS = [f"{CPU}/kernels/{name}" for name in sorted(os.listdir(f"{CPU}/kernels")) if name.endswith(".h")]
HEADERS.append(f"{CPU}/threads.h")

# Folder of the variant -> compiler flags. pyconv/backends/cpu/variants.py chooses at import.
X86 = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
GENERIC = {"generic": []}               # what the compiler takes by default, on any processor

# Convolutions and matrix products gain a little from -O3; everything else is as fast and a third smaller with -O2, if
# GCC vectorizes as it does with -O3. The older instruction sets do without it, for the wheel's size. The -Wno-... are
# for what Cython's output is full of, and for vectors as arguments, which only inlined functions have.
FAST, SMALL, SMALLEST = ["-O3"], ["-O2", "-ftree-vectorize"], ["-Os", "-ftree-vectorize"]
WITH_O3 = ("convolution", "convolution_plain", "matmul", "winograd")
WITH_OS = ("layout", "sampling", "special")       # on the oldest processors: no step spends much time there
GCC_ONLY = ["-fvect-cost-model=dynamic"]
FLAGS = ["-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden",
         "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter",
         "-Wno-missing-field-initializers", "-Wno-cast-function-type", "-Wno-psabi"]
# What Python calls makes an instruction once per plan: for size, not for speed, which saves a tenth of the wheel.
CALLED_BY_PYTHON = re.compile(r"^static (?=PyObject \*__pyx_p[wf]_)", re.MULTILINE)
# Numbers are read from Python once per plan: the short way into Python's integers is a tenth of the code for nothing.
MACROS = [("CYTHON_USE_PYLONG_INTERNALS", "0")]
LINK = [] if sys.platform == "darwin" else ["-Wl,--strip-all,-z,noseparate-code"]
SANITIZERS = ["-fsanitize=address,undefined"]

NOTHING = "int main(void) { return 0; }\n"
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
OPENMP_MISSING = """
pyconv: the compiler {compiler} cannot build with OpenMP (-fopenmp), so pyconv will use one thread only.
  With GCC, install libgomp (it comes with gcc). With Clang, install libomp (Debian: libomp-dev, macOS: brew install
  libomp). Then build again.
"""
COMPILER_MISSING = """
pyconv needs a C compiler to build its kernels, and {compiler} does not work here:
  {error}
  Debian, Ubuntu: apt-get install gcc libc6-dev.  Fedora: dnf install gcc.  macOS: xcode-select --install.
  Set CC to use another one: GCC 9 and Clang 12, or later.
"""


def enabled(name):
    return os.environ.get(name, "") not in ("", "0")


def chosen_variants():
    """Variant -> flags, as PYCONV_VARIANTS or the processor says."""
    family = X86 if platform.machine().lower() in ("x86_64", "amd64") else {}
    names = os.environ.get("PYCONV_VARIANTS")
    if not names:
        return family or GENERIC
    known = {**family, **GENERIC}
    for name in names.split(","):
        if name not in known:
            sys.exit(f"PYCONV_VARIANTS={names!r}: {name!r} is not one of {', '.join(known)}, which can be built here.")
    return {name: known[name] for name in names.split(",")}


def extension(name, source, flags=()):
    if enabled("PYCONV_SANITIZE"):
        optimize, link_args = ["-O1"], SANITIZERS
        compile_args = [*FLAGS, "-g", "-fno-omit-frame-pointer", *SANITIZERS]
    else:
        variant, _, kernel = name.rpartition(".")
        optimize = SMALL
        if kernel in WITH_O3 and variant not in ("v2", "v3"):
            optimize = FAST
        elif kernel in WITH_OS and variant == "v2":
            optimize = SMALLEST
        compile_args, link_args = FLAGS, LINK
    werror = ["-Werror"] if enabled("PYCONV_WERROR") else []
    return Extension(f"pyconv.backends.cpu.{name}", [source], include_dirs=[CPU, f"{CPU}/kernels"], depends=HEADERS,
                     define_macros=MACROS, extra_compile_args=[*optimize, *compile_args, *werror, *flags],
                     extra_link_args=[*link_args])


def extensions():
    """A kernel's source stands for one extension per variant; `Build` makes the C files."""
    made = [extension("executor", f"{CPU}/executor.pyx")]
    for variant, flags in chosen_variants().items():
        made += [extension(f"{variant}.{name}", f"{CPU}/kernels/{name}.pyx", flags) for name in KERNELS]
    return made


class Build(build_ext):
    """Probes the compiler, translates each .pyx once, and compiles the extensions in parallel."""

    def build_extensions(self):
        self.parallel = self.parallel or os.cpu_count()
        compiler = " ".join(getattr(self.compiler, "compiler", ["cc"])[:1])
        try:
            self._probe(NOTHING, [])
        except Exception as error:
            sys.exit(COMPILER_MISSING.format(compiler=compiler, error=error))
        openmp = ["-fopenmp"]
        try:
            self._probe(OPENMP_PROBE, openmp)
        except Exception:
            openmp = []
            print(OPENMP_MISSING.format(compiler=compiler), file=sys.stderr)
        try:
            self._probe(NOTHING, ["-Werror", *GCC_ONLY])
            gcc_only = GCC_ONLY
        except Exception:
            gcc_only = []
        for ext in self.extensions:
            ext.extra_compile_args += gcc_only + openmp
            ext.extra_link_args += openmp
        self._translate()
        super().build_extensions()

    def _probe(self, program, flags):
        """Compile and link a program with the flags; raises if that fails."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as f:
                f.write(program)
            objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
            self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=flags)

    def _translate(self):
        """Give each extension a C file of its own: two objects of one source would overwrite each other."""
        from Cython.Build import cythonize
        sources = {}
        for ext in self.extensions:
            folder = "" if ext.name.endswith(".executor") else "kernels."
            name = f"pyconv.backends.cpu.{folder}{ext.name.rpartition('.')[2]}"
            sources.setdefault(ext.sources[0], Extension(name, [ext.sources[0]]))
        made = cythonize(list(sources.values()), build_dir=os.path.join(self.build_temp, "cython"),
                         force=bool(self.force),
                         # binding: plain functions, without the code that makes them look like Python's
                         compiler_directives={"language_level": 3, "binding": False})
        translated = dict(zip(sources, made, strict=True))
        for ext in self.extensions:
            c_file = translated[ext.sources[0]].sources[0]
            _, variant, name = ext.name.rsplit(".", 2)
            with open(c_file, encoding="utf-8") as f:
                code = f.read()
            if name in KERNELS:
                code = CALLED_BY_PYTHON.sub("static __attribute__((cold)) ", code)
            ext.sources = [self._written(os.path.join(self.build_temp, variant, f"{name}.c"), code)]

    def _written(self, path, code):
        """The path of a file with this text. One that has it already is left alone: then nothing is compiled again."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        known = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                known = f.read()
        if known != code:
            with open(path, "w", encoding="utf-8") as f:
                f.write(code)
        return path

    def copy_extensions_to_source(self):
        for ext in self.extensions:             # the variants' folders hold nothing but built modules
            os.makedirs(os.path.join(*ext.name.split(".")[:-1]), exist_ok=True)
        super().copy_extensions_to_source()


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
