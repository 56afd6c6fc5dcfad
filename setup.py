"""Builds the CPU backend: the executor once, the kernels once per instruction set. The CUDA backend's kernels, which
the user's machine compiles, go into a wheel without their comments.

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
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.modified import newer_group

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
# GCC vectorizes as it does with -O3. The older instruction sets do without it, and the oldest with -Os where few steps
# spend much time, for the wheel's size. The -Wno-... are for what Cython's output is full of, and for vectors as
# arguments, which only inlined functions have.
FAST, SMALL, SMALLEST = ["-O3"], ["-O2", "-ftree-vectorize"], ["-Os", "-ftree-vectorize"]
WITH_O3 = ("convolution", "convolution_plain", "dots", "few", "grouped", "matmul", "pointwise", "winograd")
WITH_OS = ("dots", "few", "grouped", "layout", "pooling", "reduction", "sampling", "special")
GCC_ONLY = ["-fvect-cost-model=dynamic"]
FLAGS = ["-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden",
         "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter",
         "-Wno-missing-field-initializers", "-Wno-cast-function-type", "-Wno-psabi"]
# What Python calls makes an instruction once per plan, with Cython's own functions: for size, not for speed, which
# saves a tenth of the wheel.
CALLED_BY_PYTHON = re.compile(r"^static (?=[^;{}()=\n]*\b__(pyx_p[wf]_|pyx_pymod_|Pyx_)\w*\()", re.MULTILINE)
# For the same reason without the short ways into Python's integers and sequences, its fast calls, and what lets several
# interpreters load a module.
MACROS = [("CYTHON_USE_PYLONG_INTERNALS", "0")]
WITHOUT = ("FAST_PYCALL", "FAST_THREAD_STATE", "PEP489_MULTI_PHASE_INIT", "USE_DICT_VERSIONS", "USE_TYPE_SLOTS",
           "VECTORCALL")
SMALL_MACROS = [(f"CYTHON_{name}", "0") for name in WITHOUT]
# Tracebacks end where Python calls: the lines after it are of sources that a wheel does not have, and to note where
# each of thousands of errors may come from is a tenth of that code.
TRACEBACK = (re.compile(r"^( *)(?=__Pyx_AddTraceback\(\")", re.MULTILINE), r"\1if (0) ")
PLACE_OF_ERROR = (re.compile(r"^(#define __PYX_MARK_ERR_POS\(.*?\)).*", re.MULTILINE),
                  r"\1 { (void) __pyx_f; (void) __pyx_filename; (void) __pyx_lineno; (void) __pyx_clineno; }")
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


def extension(name, sources, flags=()):
    """An extension of these .pyx files, each of which is a module. `Build` compiles them one by one."""
    if enabled("PYCONV_SANITIZE"):
        flags, link_args = [*FLAGS, "-g", "-fno-omit-frame-pointer", *SANITIZERS, *flags], SANITIZERS
    else:
        flags, link_args = [*FLAGS, *flags], LINK
    werror = ["-Werror"] if enabled("PYCONV_WERROR") else []
    macros = MACROS if name == "executor" else [*MACROS, *SMALL_MACROS]
    return Extension(f"pyconv.backends.cpu.{name}", sources, include_dirs=[CPU, f"{CPU}/kernels"],
                     depends=[*HEADERS, "setup.py"], define_macros=macros, extra_compile_args=[*flags, *werror],
                     extra_link_args=[*link_args])


def optimization(variant, module):
    if enabled("PYCONV_SANITIZE"):
        return ["-O1"]
    if module in WITH_O3 and variant not in ("v2", "v3"):
        return FAST
    return SMALLEST if module in WITH_OS and variant == "v2" else SMALL


def extensions():
    """The executor, and all kernels of a variant in one file: a fifth smaller, compressed, than a file for each."""
    kernels = [f"{CPU}/kernels/{name}.pyx" for name in KERNELS]
    return [extension("executor", [f"{CPU}/executor.pyx"]),
            *(extension(f"{variant}.kernels", kernels, flags) for variant, flags in chosen_variants().items())]


class Build(build_ext):
    """Probes the compiler, translates each .pyx once, and compiles all C files in parallel."""

    def build_extensions(self):
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
        with ThreadPoolExecutor(self.parallel or os.cpu_count()) as pool:
            objects = [[pool.submit(self._compiled, ext, source) for source in ext.sources] for ext in self.extensions]
            for ext, futures in zip(self.extensions, objects, strict=True):
                ext.sources, ext.extra_objects = [], [future.result() for future in futures]
                ext.depends = ext.extra_objects
        super().build_extensions()

    def _compiled(self, ext, source):
        """The object file of a C file, which is compiled only if it is newer or the headers are."""
        variant, module = ext.name.split(".")[-2], os.path.basename(source)[:-2]
        target, = self.compiler.object_filenames([source], output_dir=self.build_temp)
        if self.force or newer_group([source, *ext.depends], target):
            self.compiler.compile([source], output_dir=self.build_temp, macros=ext.define_macros,
                                  include_dirs=ext.include_dirs, debug=self.debug,
                                  extra_postargs=[*optimization(variant, module), *ext.extra_compile_args])
        return target

    def _probe(self, program, flags):
        """Compile and link a program with the flags; raises if that fails."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as f:
                f.write(program)
            objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
            self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=flags)

    def _translate(self):
        """Give each variant C files of its own: two objects of one source would overwrite each other."""
        from Cython.Build import cythonize
        from Cython.Compiler import Options
        Options.docstrings = False              # they are read in the sources
        modules = {source: Extension(source.replace("/", ".")[:-4], [source])
                   for ext in self.extensions for source in ext.sources}
        made = cythonize(list(modules.values()), build_dir=os.path.join(self.build_temp, "cython"),
                         force=bool(self.force),
                         # binding: plain functions, without the code that makes them look like Python's
                         compiler_directives={"language_level": 3, "binding": False})
        code = {}
        for source, module in zip(modules, made, strict=True):
            with open(module.sources[0], encoding="utf-8") as f:
                code[source] = f.read()
            for pattern, instead in (TRACEBACK, PLACE_OF_ERROR):
                code[source] = pattern.sub(instead, code[source])
            if "/kernels/" in source:
                code[source] = CALLED_BY_PYTHON.sub("static __attribute__((cold)) ", code[source])
        for ext in self.extensions:
            folder = os.path.join(self.build_temp, ext.name.split(".")[-2])
            ext.sources = [self._written(os.path.join(folder, f"{os.path.basename(source)[:-4]}.c"), code[source])
                           for source in ext.sources]

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


class Python(build_py):
    """Leaves comments out of the CUDA sources, a third of their size; lines keep their numbers."""

    def copy_file(self, infile, outfile, *args, **kwargs):
        done = super().copy_file(infile, outfile, *args, **kwargs)
        if str(infile).endswith(".cu"):
            with open(infile, encoding="utf-8") as f:
                text = re.sub(r"[ \t]*//.*", "", f.read())
            with open(outfile, "w", encoding="utf-8") as f:
                f.write(text)
        return done


setup(ext_modules=extensions(), cmdclass={"build_ext": Build, "build_py": Python})
