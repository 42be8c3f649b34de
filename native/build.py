# SPDX-License-Identifier: Apache-2.0
"""Build what is native, in place: the cffi modules and orlop-init.

`python native/build.py` compiles every `native/*_build.py` to an extension
module beside it and `native/init/*.c` to the static `native/orlop-init`.
Nothing is compiled twice: a product newer than all it is made of stays.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla-larger-than=4096",
    "-Wno-missing-field-initializers",
]
#: Architectures with a system call sequence of our own in native/init/sys.h.
FREESTANDING = {
    "x86_64": ["-mstack-protector-guard=global", "-fcf-protection=none"],
    "aarch64": ["-mstack-protector-guard=global"],
}


def init_flags(machine: str) -> list[str]:
    """Compiler flags for orlop-init on this architecture."""
    common = ["-std=gnu11", "-Os", "-static", "-fno-asynchronous-unwind-tables", *WARNINGS]
    if machine not in FREESTANDING:
        return [*common, "-DORLOP_HOSTED"]
    return [
        *common,
        "-ffreestanding",
        "-nostdlib",
        "-nostartfiles",
        "-fno-builtin",
        "-fno-tree-loop-distribute-patterns",
        "-fstack-protector-strong",
        "-Wl,-z,noexecstack,-z,relro,-z,now,--build-id=none,--gc-sections",
        "-Wl,-z,noseparate-code",
        *FREESTANDING[machine],
    ]


def is_current(product: Path, sources: list[Path]) -> bool:
    """Whether `product` is newer than everything that it is made of."""
    if not product.exists():
        return False
    made = product.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns < made for source in [*sources, Path(__file__)])


def build_init() -> None:
    """Compile orlop-init; replaced by rename, so that a running build never sees half of it."""
    product = NATIVE / "orlop-init"
    sources = sorted((NATIVE / "init").glob("*.c"))
    headers = [*(NATIVE / "init").glob("*.h"), NATIVE / "plan.h"]
    if is_current(product, [*sources, *headers]):
        return
    compiler = os.environ.get("CC", "gcc")
    part = product.with_suffix(".part")
    command = [compiler, *init_flags(platform.machine()), "-o", str(part), *map(str, sources)]
    subprocess.run(command, check=True)
    subprocess.run(["strip", str(part)], check=True)  # noqa: S607 - binutils' of the compiler
    part.replace(product)


def build_client() -> None:
    """Compile the program `orlop`: static, since a dynamic one's start takes half a millisecond."""
    product = NATIVE / "orlop"
    sources = [*sorted((NATIVE / "client").glob("*.c")), NATIVE / "host" / "spawn.c"]
    headers = [*(NATIVE / "client").glob("*.h"), NATIVE / "host" / "spawn.h"]
    if is_current(product, [*sources, *headers]):
        return
    part = product.with_suffix(".part")
    flags = ["-std=gnu11", "-O2", "-static", "-fstack-protector-strong", *WARNINGS]
    flags.append("-Wno-vla-larger-than")  # spawn.c's is as long as the callers' list of descriptors
    command = [os.environ.get("CC", "gcc"), *flags, "-o", str(part), *map(str, sources)]
    subprocess.run(command, check=True)
    subprocess.run(["strip", str(part)], check=True)  # noqa: S607 - binutils' of the compiler
    part.replace(product)


def build_extension(script: Path) -> None:
    """Compile one cffi module, next to its build script."""
    name = "_" + script.stem.removesuffix("_build")
    sources = [script, NATIVE / "plan.h", *(NATIVE / "host").glob("*.[ch]")]
    sources.append(NATIVE / "client" / "protocol.h")
    products = [p for p in NATIVE.glob(f"{name}*.so") if is_current(p, sources)]
    if products:
        return
    spec = importlib.util.spec_from_file_location(f"orlop_{script.stem}", script)
    if spec is None or spec.loader is None:
        msg = f"{script}: not a module"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory(prefix="orlop-build-") as work:
        built = Path(module.ffibuilder.compile(tmpdir=work, verbose=False))
        part = NATIVE / (built.name + ".part")
        part.write_bytes(built.read_bytes())
        part.chmod(0o755)
        part.replace(NATIVE / built.name)


def main() -> int:
    """Build everything that is out of date."""
    build_init()
    build_client()
    for script in sorted(NATIVE.glob("*_build.py")):
        build_extension(script)
    return 0


if __name__ == "__main__":
    sys.exit(main())
