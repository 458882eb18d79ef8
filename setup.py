"""Metadata is in setup.cfg; this file adds the description, the configs and the compiled code."""

import platform
import re
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

CPP = Path("keypoint/compiled/cpp")
AVX2 = ["-mavx2", "-mfma", "-DLANES=8"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-DLANES=16"]


def libraries():
    """The compiled code for each kind of processor (keypoint/compiled/libraries.py).

    Optional: without a compiler, or with one that lacks GNU's vectors, the package is installed
    without them.
    """
    if sys.platform == "win32":  # its compiler has no such vectors
        return []
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")
    kinds = {"avx2": AVX2, "avx512": AVX512} if on_x86 else {"generic": ["-DLANES=8"]}
    threads = [] if sys.platform == "darwin" else ["-fopenmp"]  # Apple's compiler has no OpenMP
    return [
        Extension(
            f"keypoint.compiled.{name}",
            sources=[str(path) for path in sorted(CPP.glob("*.cpp"))],
            depends=[str(path) for path in CPP.glob("*.hpp")],
            extra_compile_args=["-std=c++17", "-O3", "-g0", *threads, *flags],
            extra_link_args=threads,
            optional=True,
        )
        for name, flags in kinds.items()
    ]


def description():
    """README.md without pictures and links to files of the repository: PyPI has no such files."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


class BuildWithConfigs(build_py):
    """Copies configs/ into the package, where `keypoint train --cfg NAME` looks for them."""

    def run(self):
        super().run()
        if not self.editable_mode:  # a clone has them beside the package
            target = Path(self.build_lib, "keypoint", "configs")
            shutil.copytree("configs", target, dirs_exist_ok=True)


class BuildPlainLibraries(build_ext):
    """Names them without Python's version, of which they use nothing."""

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split("."))) + ".so"

    def get_export_symbols(self, ext):
        return ext.export_symbols


class WheelOfThePlatform(bdist_wheel):
    """One wheel for all versions of Python."""

    def get_tag(self):
        *_, plat = super().get_tag()
        return "py3", "none", plat


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=libraries(),
    cmdclass={
        "build_py": BuildWithConfigs,
        "build_ext": BuildPlainLibraries,
        "bdist_wheel": WheelOfThePlatform,
    },
)
