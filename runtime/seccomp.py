# SPDX-License-Identifier: Apache-2.0
"""`linux.seccomp` of a spec, turned into a filter that the init can load as it is.

The filter is made in the parent, once for each profile: the init neither parses nor allocates
(seccomp(2), SECCOMP_SET_MODE_FILTER).  This module is the fast half, on the path of every start:
it finds a compiled filter by its profile's content and imports neither libseccomp's binding nor
the compiler (`runtime.seccomp_compiler`) when there is one.
"""

from __future__ import annotations

import os
import sys

from runtime import seccomp_cache
from spec.errors import InvalidSpec, OrlopError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from spec.types import Seccomp

# Raise it when the compiler's output for a profile changes, or the cache file's layout.
_FORMAT = 1

# What of a profile decides the program.  The listener's path and metadata don't.
_COMPILED_KEYS = ("architectures", "defaultAction", "defaultErrnoRet", "flags", "syscalls")

# <linux/seccomp.h>; known here because reading a cached filter must not import the binding.
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3


class Filter:
    """A compiled profile.

    `bpf`: array of struct sock_filter (<linux/filter.h>), native byte order, at most 32 KiB.
    `flags`: SECCOMP_FILTER_FLAG_* for seccomp(2), NEW_LISTENER included when `notify` is true.
    `notify`: seccomp(2) will return a listener's descriptor, which goes to `listener_path`.
    `listener_path`, `listener_metadata`: as in the profile; "" if absent.
    `unknown`: names in the profile that libseccomp doesn't know, and that have been skipped.
    """

    __slots__ = ("bpf", "flags", "listener_metadata", "listener_path", "notify", "unknown")

    def __init__(
        self,
        bpf: bytes,
        flags: int,
        listener_path: str = "",
        listener_metadata: str = "",
        unknown: tuple[str, ...] = (),
    ) -> None:
        self.bpf = bpf
        self.flags = flags
        self.notify = bool(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        self.listener_path = listener_path
        self.listener_metadata = listener_metadata
        self.unknown = unknown


def compile_filter(profile: Seccomp, cache_dir: str | None = None) -> Filter:
    """Compile `linux.seccomp` (runtime-spec 1.3.0, config-linux.md, "Seccomp").

    `cache_dir`: a directory of the caller's own (0700; made if missing) that keeps compiled
    filters between calls; None compiles every time.
    Raises InvalidSpec for a profile that is wrong, OrlopError for one that this host can't run
    or if libseccomp is missing; pointers start at /linux/seccomp.
    """
    key = _key(profile) if cache_dir else ""
    compiled = seccomp_cache.load(cache_dir, key) if cache_dir else None
    if compiled is None:
        compiled = _compiler().compile_profile(profile)
        if cache_dir:
            seccomp_cache.store(cache_dir, key, compiled, _library_path())
    program, flags, unknown = compiled
    path = profile.get("listenerPath") or ""
    found = Filter(program, flags, path, profile.get("listenerMetadata") or "", unknown)
    if found.notify and not path:
        message = "SCMP_ACT_NOTIFY needs a listener's socket"
        raise InvalidSpec(message, pointer="/linux/seccomp/listenerPath")
    return found


def known() -> dict[str, object]:
    """Return what `orlop features` says of seccomp (features-linux.md, "Seccomp").

    `enabled`; `actions`, `operators`, `archs`, `knownFlags`: names understood, whatever the
    kernel; `supportedFlags`: those of `knownFlags` that the kernel confirms.  Beyond the
    standard: `supportedActions`, the same for `actions`, and `libseccomp`, its version.
    Without libseccomp only `enabled`, false.
    """
    try:
        compiler = _compiler()
    except OrlopError:
        return {"enabled": False}
    major, minor, micro = compiler.native.version()
    return {
        "enabled": True,
        "actions": sorted(compiler.ACTIONS),
        "operators": sorted(compiler.OPERATORS),
        "archs": [name for name in compiler.ARCHITECTURES if compiler.arch_token(name)],
        "knownFlags": sorted(compiler.FLAGS),
        "supportedFlags": [
            name for name in sorted(compiler.FLAGS) if compiler.flag_supported(name)
        ],
        "supportedActions": [
            name for name in sorted(compiler.ACTIONS) if compiler.action_supported(name)
        ],
        "libseccomp": f"{major}.{minor}.{micro}",
    }


def _key(profile: Seccomp) -> str:
    """Return the name of a profile's filter in the cache: a digest of all that it depends on.

    The version of libseccomp is not among it, for asking would mean to load the library: the
    cached file itself says from which library it is.  The kernel is, because the flags and
    actions that it has are asked when compiling.
    """
    system = os.uname()
    facts = (
        _FORMAT,
        system.machine,
        system.release,
        system.version,
        sys.maxsize,
        sys.byteorder,
        [_canonical(profile.get(key)) for key in _COMPILED_KEYS],
    )
    return seccomp_cache.digest(repr(facts).encode("utf-8", "surrogatepass")).hex()


def _canonical(value: object) -> object:
    """Return the value with its objects' members in order, and those that are null left out."""
    if isinstance(value, dict):
        return {
            key: _canonical(member) for key, member in sorted(value.items()) if member is not None
        }
    if isinstance(value, list):
        return [_canonical(item) if isinstance(item, dict) else item for item in value]
    return value


def _compiler() -> ModuleType:
    """Import the compiler, and with it libseccomp."""
    try:
        from runtime import seccomp_compiler
    except ImportError as error:
        # A library that the dynamic linker misses is an ImportError too, of the plain kind.
        unbuilt = isinstance(error, ModuleNotFoundError)
        hint = "build the native modules" if unbuilt else "install libseccomp 2.5 or newer"
        message = f"can't compile a seccomp profile: {error}"
        raise OrlopError(message, pointer="/linux/seccomp", hint=hint) from error
    return seccomp_compiler


def _library_path() -> str:
    path: str = _compiler().native.library_path()
    return path
