# SPDX-License-Identifier: Apache-2.0
"""Compiled filters on disk, found by what they were compiled from.

Compiling takes milliseconds and libseccomp; reading takes neither.  A file that isn't ours alone
to write is not believed, because who writes the filter decides what the container may do: the
directory and the file must belong to the caller's effective user and be closed to everyone else,
judged through open descriptors.  Whatever is wrong with the cache, the answer is "not cached",
never an error.

A file, named by the key; numbers are 32 bits in native byte order:

    +--------+-------+---------------+----------------+----------+---------+-------------+
    | digest | flags | length of     | length of      | library  | unknown | BPF program |
    | 32     | 4     | library  4    | unknown  4     |          |         |             |
    +--------+-------+---------------+----------------+----------+---------+-------------+

`digest` is BLAKE2b-256 of the key and all that follows, so that a torn, altered or renamed file
is noticed.  `library` names the libseccomp that compiled the program and the state of its file:
an upgraded library invalidates the entry without being loaded.  `unknown` holds the names that
the library didn't know, one to a line.
"""

from __future__ import annotations

import os
import sys

# The C module that hashlib would import, a hundred times faster to import than hashlib.
from _blake2 import blake2b
from stat import S_IMODE, S_ISREG
from time import monotonic_ns

# Files to keep; the oldest beyond them go.  A filter is a few KiB.
CAPACITY = 64

_DIGEST_SIZE = 32
_HEADER_SIZE = _DIGEST_SIZE + 3 * 4
# Far above any filter: BPF_MAXINSNS * 8 bytes of program, and the names.
_MAX_SIZE = 1 << 20
_OTHERS = 0o077
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def digest(data: bytes) -> bytes:
    """Return BLAKE2b-256 of the data."""
    return blake2b(data, digest_size=_DIGEST_SIZE).digest()


def load(directory: str, key: str) -> tuple[bytes, int, tuple[str, ...]] | None:
    """Return what `store` was given under `key`: program, flags, unknown names; None if absent."""
    try:
        content = _read(directory, key)
        return _unpack(key, content) if content else None
    except (OSError, ValueError):
        return None


def store(
    directory: str, key: str, compiled: tuple[bytes, int, tuple[str, ...]], library: str
) -> None:
    """Keep a compiled filter, and make room for it.  `library` is the path of libseccomp.

    Does nothing where the directory can't be made, written or trusted.
    """
    try:
        content = _pack(key, compiled, _identity(library))
        os.makedirs(directory, 0o700, exist_ok=True)
        dir_fd = _open_directory(directory)
    except OSError:
        return
    try:
        _write(dir_fd, key, content)
        _evict(dir_fd)
    except OSError:
        return
    finally:
        os.close(dir_fd)


def _identity(library: str) -> bytes:
    """Return a line that changes when the library's file is replaced."""
    status = os.stat(library)
    state = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    return os.fsencode(f"{state} {library}")


def _pack(key: str, compiled: tuple[bytes, int, tuple[str, ...]], identity: bytes) -> bytes:
    program, flags, unknown = compiled
    names = "\n".join(unknown).encode("utf-8", "surrogatepass")
    numbers = (flags, len(identity), len(names))
    header = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
    body = header + identity + names + program
    return digest(key.encode() + body) + body


def _unpack(key: str, content: bytes) -> tuple[bytes, int, tuple[str, ...]] | None:
    """Check a file's content and take it apart; None if torn, foreign or of another library."""
    body = content[_DIGEST_SIZE:]
    if len(content) < _HEADER_SIZE or digest(key.encode() + body) != content[:_DIGEST_SIZE]:
        return None
    flags, identity_size, names_size = (
        int.from_bytes(body[offset : offset + 4], sys.byteorder) for offset in (0, 4, 8)
    )
    names_at = 12 + identity_size
    program_at = names_at + names_size
    identity = body[12:names_at]
    library = os.fsdecode(identity.partition(b" ")[2])
    if _identity(library) != identity:
        return None
    names = body[names_at:program_at].decode("utf-8", "surrogatepass")
    return body[program_at:], flags, tuple(names.split("\n")) if names else ()


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not S_IMODE(status.st_mode) & _OTHERS


def _open_directory(directory: str) -> int:
    """Open the cache's directory; raises PermissionError if others could write or read it."""
    dir_fd = os.open(directory, _OPEN_DIRECTORY)
    if _is_private(os.fstat(dir_fd)):
        return dir_fd
    os.close(dir_fd)
    raise PermissionError(directory)


def _read(directory: str, key: str) -> bytes | None:
    """Return a file's content, None if it is not a private regular file of bearable size."""
    dir_fd = _open_directory(directory)
    try:
        fd = os.open(key, _OPEN_FILE, dir_fd=dir_fd)
    finally:
        os.close(dir_fd)
    try:
        status = os.fstat(fd)
        if not (S_ISREG(status.st_mode) and _is_private(status) and status.st_size <= _MAX_SIZE):
            return None
        return os.read(fd, status.st_size)
    finally:
        os.close(fd)


def _write(dir_fd: int, key: str, content: bytes) -> None:
    """Write a file under a temporary name and rename it: readers see all of it or none.

    Without fsync: after a power failure the digest tells.
    """
    temporary = f".{os.getpid()}.{monotonic_ns()}"
    fd = os.open(temporary, _CREATE_FILE, 0o600, dir_fd=dir_fd)
    try:
        if os.write(fd, content) == len(content):
            os.rename(temporary, key, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            return
    except OSError:  # no space left, as a short write says too
        pass
    finally:
        os.close(fd)
    os.unlink(temporary, dir_fd=dir_fd)


def _evict(dir_fd: int) -> None:
    """Remove the oldest files beyond CAPACITY, temporary ones of dead writers included."""
    names = os.listdir(dir_fd)
    if len(names) <= CAPACITY:
        return
    aged = []
    for name in names:
        try:
            aged.append((os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:  # another process evicts too
            continue
    aged.sort()
    for _, name in aged[:-CAPACITY]:
        try:
            os.unlink(name, dir_fd=dir_fd)
        except FileNotFoundError:
            continue
