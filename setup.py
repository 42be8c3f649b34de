# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml can't say: a build compiles the native part and the schemas first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: Needed to build, of no use once installed.
BUILD_ONLY = ("build", "compile_schema")


class BuildPackages(build_py):
    """Generate in the source tree what the packages then carry: modules and package data."""

    def run(self) -> None:
        """Build in place, then collect."""
        subprocess.run([sys.executable, "native/build.py"], cwd=ROOT, check=True)
        subprocess.run([sys.executable, "-m", "spec.compile_schema"], cwd=ROOT, check=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """The modules to install: all but the build's own."""
        found: list[tuple[str, str, str]] = super().find_package_modules(  # type: ignore[no-untyped-call]
            package, package_dir
        )
        return [m for m in found if m[1] not in BUILD_ONLY and not m[1].endswith("_build")]


class NativeDistribution(Distribution):
    """Compiled for one platform, though setuptools itself compiles nothing."""

    def has_ext_modules(self) -> bool:
        """True: the wheel gets the platform's tag."""
        return True


setup(cmdclass={"build_py": BuildPackages}, distclass=NativeDistribution)
