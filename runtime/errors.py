# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as exceptions. Texts that engines match are runc's (libcontainer/error.go)."""

from __future__ import annotations

from spec.errors import OrlopError


class InvalidId(OrlopError, ValueError):
    """The container id has characters that are not allowed."""


class NotFound(OrlopError, LookupError):
    """No container has this id under this state root."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"container {container_id!r}: container does not exist")


class AlreadyExists(OrlopError):
    """A container with this id is there."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"container {container_id!r}: container with given ID already exists")


class WrongStatus(OrlopError):
    """The container's status does not allow the operation."""


class NotRunning(WrongStatus):
    """The container has no process to signal or to join."""


class Unsupported(OrlopError):
    """This host, or this version, can't do what the configuration asks for."""


class UsageError(OrlopError, ValueError):
    """The command line is wrong."""


class PlanFailed(OrlopError):
    """An operation of the plan failed in the init.

    operation, step: the operation's name and the system call. errno: the number, 0 if none.
    subject: what the operation acted on.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        step: str,
        errno: int,
        subject: str = "",
        pointer: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, pointer=pointer, hint=hint)
        self.operation = operation
        self.step = step
        self.errno = errno
        self.subject = subject
