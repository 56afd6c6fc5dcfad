"""Builds the CPU backend: the executor once, the kernels once per instruction set."""

import os
import platform
import shutil
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CPU = "pyconv/backends/cpu"
KERNELS = sorted(name[:-4] for name in os.listdir(f"{CPU}/kernels") if name.endswith(".pyx"))

# Folder of the variant -> compiler flags. pyconv/backends/cpu/variants.py chooses at import.
if platform.machine().lower() in ("x86_64", "amd64"):
    VARIANTS = {
        "v2": ["-march=x86-64-v2"],
        "v3": ["-march=x86-64-v3"],
        "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }
else:
    VARIANTS = {"generic": []}
if os.environ.get("PYCONV_VARIANTS"):        # only these, for a quick build
    VARIANTS = {name: VARIANTS[name] for name in os.environ["PYCONV_VARIANTS"].split(",")}

COMMON = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall",
          "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
          "-Wno-cast-function-type", "-Wno-psabi"]
if os.environ.get("PYCONV_SANITIZE"):
    COMMON = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", *COMMON[1:]]
if os.environ.get("PYCONV_WERROR"):
    COMMON.append("-Werror")

OPENMP_MISSING = """
pyconv: the compiler {compiler} cannot build with OpenMP (-fopenmp), so pyconv will use one thread only.
  With GCC, install libgomp (it comes with gcc). With Clang, install libomp (Debian: libomp-dev, macOS: brew install
  libomp). Then build again.
"""
COMPILER_MISSING = """
pyconv needs a C compiler to build its kernels, and {compiler} does not work here:
  {error}
  Debian, Ubuntu: apt-get install gcc.  Fedora: dnf install gcc.  macOS: xcode-select --install.
  Set CC to use another one: GCC 9 and Clang 12, or later.
"""


class Build(build_ext):
    """Probes the compiler once, then compiles the extensions in parallel."""

    def build_extensions(self):
        self.parallel = self.parallel or os.cpu_count()
        compiler = " ".join(getattr(self.compiler, "compiler", ["cc"])[:1])
        try:
            self._probe([])
        except Exception as error:
            sys.exit(COMPILER_MISSING.format(compiler=compiler, error=error))
        openmp = ["-fopenmp"]
        try:
            self._probe(openmp)
        except Exception:
            openmp = []
            print(OPENMP_MISSING.format(compiler=compiler), file=sys.stderr)
        for extension in self.extensions:
            extension.extra_compile_args += openmp
            extension.extra_link_args += openmp
        super().build_extensions()

    def _probe(self, flags):
        """Compile and link a program that uses what the flags promise."""
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as f:
                f.write("#ifdef _OPENMP\n#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
                        "#else\nint main(void) { return 0; }\n#endif\n")
            objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
            self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=flags)


def extension(name, source, flags):
    strip = [] if os.environ.get("PYCONV_SANITIZE") or sys.platform == "darwin" else ["-Wl,--strip-all"]
    sanitize = ["-fsanitize=address,undefined"] if os.environ.get("PYCONV_SANITIZE") else []
    headers = [f"{CPU}/kernels/{h}" for h in os.listdir(f"{CPU}/kernels") if h.endswith(".h")] + [f"{CPU}/threads.h"]
    return Extension(f"pyconv.backends.cpu.{name}", [source], include_dirs=[CPU, f"{CPU}/kernels"], depends=headers,
                     extra_compile_args=[*COMMON, *flags], extra_link_args=[*sanitize, *strip])


def extensions():
    from Cython.Build import cythonize
    directives = {"language_level": 3, "embedsignature": False}
    made = cythonize([extension("executor", f"{CPU}/executor.pyx", [])], compiler_directives=directives)
    # The same .pyx gives one module per variant; Cython runs on it once, and each variant compiles a copy, since
    # two objects of one source would overwrite each other.
    kernels = cythonize([extension(f"kernels.{name}", f"{CPU}/kernels/{name}.pyx", []) for name in KERNELS],
                        compiler_directives=directives)
    for kernel in kernels:
        name = kernel.name.rpartition(".")[2]
        for variant, flags in VARIANTS.items():
            copy = f"build/{variant}/{name}.c"
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            if not os.path.exists(copy) or os.path.getmtime(copy) < os.path.getmtime(kernel.sources[0]):
                shutil.copy2(kernel.sources[0], copy)
            os.makedirs(f"{CPU}/{variant}", exist_ok=True)
            made.append(extension(f"{variant}.{name}", copy, flags))
    return made


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
