# SPDX-License-Identifier: Apache-2.0
"""The messages of containerd's Task API, events and options, by their field numbers.

containerd api/runtime/task/v3/shim.proto (byte for byte v2's), api/events/task.proto,
api/types/*.proto, api/runtime/bootstrap, runc and runtime options; ttrpc's request.proto.
"""

from __future__ import annotations

from shim.protobuf import BOOL, BYTES, INT, MAP, UINT, Field, Table

ANY = Table(Field(1, "type_url"), Field(2, "value", BYTES))
TIMESTAMP = Table(Field(1, "seconds", INT), Field(2, "nanos", INT))
MOUNT = Table(
    Field(1, "type"), Field(2, "source"), Field(3, "target"), Field(4, "options", many=True)
)
EMPTY = Table()

# ttrpc
STATUS = Table(Field(1, "code", INT), Field(2, "message"), Field(3, "details", of=ANY, many=True))
KEY_VALUE = Table(Field(1, "key"), Field(2, "value"))
REQUEST = Table(
    Field(1, "service"),
    Field(2, "method"),
    Field(3, "payload", BYTES),
    Field(4, "timeout_nano", INT),
    Field(5, "metadata", of=KEY_VALUE, many=True),
)
RESPONSE = Table(Field(1, "status", of=STATUS), Field(2, "payload", BYTES))

# Task
PROCESS_ID = Table(Field(1, "id"), Field(2, "exec_id"))
STATE = Table(
    Field(1, "id"),
    Field(2, "bundle"),
    Field(3, "pid", UINT),
    Field(4, "status", UINT),
    Field(5, "stdin"),
    Field(6, "stdout"),
    Field(7, "stderr"),
    Field(8, "terminal", BOOL),
    Field(9, "exit_status", UINT),
    Field(10, "exited_at", of=TIMESTAMP),
    Field(11, "exec_id"),
)
CREATE = Table(
    Field(1, "id"),
    Field(2, "bundle"),
    Field(3, "rootfs", of=MOUNT, many=True),
    Field(4, "terminal", BOOL),
    Field(5, "stdin"),
    Field(6, "stdout"),
    Field(7, "stderr"),
    Field(8, "checkpoint"),
    Field(9, "parent_checkpoint"),
    Field(10, "options", of=ANY),
)
PID = Table(Field(1, "pid", UINT))
DELETED = Table(
    Field(1, "pid", UINT), Field(2, "exit_status", UINT), Field(3, "exited_at", of=TIMESTAMP)
)
PROCESS_INFO = Table(Field(1, "pid", UINT), Field(2, "info", of=ANY))
PIDS = Table(Field(1, "processes", of=PROCESS_INFO, many=True))
CHECKPOINT = Table(Field(1, "id"), Field(2, "path"), Field(3, "options", of=ANY))
KILL = Table(Field(1, "id"), Field(2, "exec_id"), Field(3, "signal", UINT), Field(4, "all", BOOL))
EXEC = Table(
    Field(1, "id"),
    Field(2, "exec_id"),
    Field(3, "terminal", BOOL),
    Field(4, "stdin"),
    Field(5, "stdout"),
    Field(6, "stderr"),
    Field(7, "spec", of=ANY),
)
RESIZE = Table(
    Field(1, "id"), Field(2, "exec_id"), Field(3, "width", UINT), Field(4, "height", UINT)
)
CLOSE_IO = Table(Field(1, "id"), Field(2, "exec_id"), Field(3, "stdin", BOOL))
UPDATE = Table(Field(1, "id"), Field(2, "resources", of=ANY), Field(3, "annotations", MAP))
EXITED = Table(
    Field(1, "exit_status", UINT),
    Field(2, "exited_at", of=TIMESTAMP),
    # ours, for who asks for DETAILS: whether kills were counted, and how many of the container's
    # processes were killed for want of memory
    Field(100, "counts_kills", BOOL),
    Field(101, "oom_kills", UINT),
)
STATS = Table(Field(1, "stats", of=ANY))
CONNECTED = Table(Field(1, "shim_pid", UINT), Field(2, "task_pid", UINT), Field(3, "version"))
SHUTDOWN = Table(Field(1, "id"), Field(2, "now", BOOL))
PROCESS_DETAILS = Table(Field(1, "exec_id"))

# metadata of a request that wants details of an exit or a failure, and the type of those of a
# failure in the answer's status
DETAILS = "orlop-details"
FAILURE = "orlop.shim.v1.Failure"

# a service of our own: shim.attach
STREAMS = "orlop.shim.v1.Streams"
ATTACHED = "attach:"  # as stdin, stdout or stderr: whoever attaches
ATTACH = Table(
    Field(1, "id"),
    Field(2, "exec_id"),
    Field(3, "stdin", BOOL),
    Field(4, "stdout", BOOL),
    Field(5, "stderr", BOOL),
    Field(6, "ends_input", BOOL),
    Field(7, "log", BOOL),
)
LOGGED = Table(Field(1, "inode", UINT), Field(2, "size", UINT))

# events
ENVELOPE = Table(
    Field(1, "timestamp", of=TIMESTAMP),
    Field(2, "namespace"),
    Field(3, "topic"),
    Field(4, "event", of=ANY),
)
FORWARD = Table(Field(1, "envelope", of=ENVELOPE))
TASK_IO = Table(
    Field(1, "stdin"), Field(2, "stdout"), Field(3, "stderr"), Field(4, "terminal", BOOL)
)
_CONTAINER = Field(1, "container_id")
#: topic -> the type's name and its fields
EVENTS = {
    "/tasks/create": (
        "TaskCreate",
        Table(
            _CONTAINER,
            Field(2, "bundle"),
            Field(3, "rootfs", of=MOUNT, many=True),
            Field(4, "io", of=TASK_IO),
            Field(5, "checkpoint"),
            Field(6, "pid", UINT),
        ),
    ),
    "/tasks/start": ("TaskStart", Table(_CONTAINER, Field(2, "pid", UINT))),
    "/tasks/delete": (
        "TaskDelete",
        Table(
            _CONTAINER,
            Field(2, "pid", UINT),
            Field(3, "exit_status", UINT),
            Field(4, "exited_at", of=TIMESTAMP),
            Field(5, "id"),
        ),
    ),
    "/tasks/exit": (
        "TaskExit",
        Table(
            _CONTAINER,
            Field(2, "id"),
            Field(3, "pid", UINT),
            Field(4, "exit_status", UINT),
            Field(5, "exited_at", of=TIMESTAMP),
        ),
    ),
    "/tasks/oom": ("TaskOOM", Table(_CONTAINER)),
    "/tasks/exec-added": ("TaskExecAdded", Table(_CONTAINER, Field(2, "exec_id"))),
    "/tasks/exec-started": (
        "TaskExecStarted",
        Table(_CONTAINER, Field(2, "exec_id"), Field(3, "pid", UINT)),
    ),
    "/tasks/paused": ("TaskPaused", Table(_CONTAINER)),
    "/tasks/resumed": ("TaskResumed", Table(_CONTAINER)),
    "/tasks/checkpointed": ("TaskCheckpointed", Table(_CONTAINER, Field(2, "checkpoint"))),
}

# options
RUNC_OPTIONS = Table(
    Field(1, "no_pivot_root", BOOL),
    Field(2, "no_new_keyring", BOOL),
    Field(3, "shim_cgroup"),
    Field(4, "io_uid", UINT),
    Field(5, "io_gid", UINT),
    Field(6, "binary_name"),
    Field(7, "root"),
    Field(8, "criu_path"),
    Field(9, "systemd_cgroup", BOOL),
    Field(10, "criu_image_path"),
    Field(11, "criu_work_path"),
)
# containerd.linux.runc.CreateOptions, of what clients before 2.0 give every shim but runc's where
# a container has id maps; the fields of a restore are not here
LEGACY_OPTIONS = Table(
    Field(1, "no_pivot_root", BOOL),
    Field(8, "no_new_keyring", BOOL),
    Field(9, "shim_cgroup"),
    Field(10, "io_uid", UINT),
    Field(11, "io_gid", UINT),
)
RUNTIME_OPTIONS = Table(Field(1, "type_url"), Field(2, "config_path"), Field(3, "config_body"))
CHECKPOINT_OPTIONS = Table(
    Field(1, "exit", BOOL),
    Field(2, "open_tcp", BOOL),
    Field(3, "external_unix_sockets", BOOL),
    Field(4, "terminal", BOOL),
    Field(5, "file_locks", BOOL),
    Field(6, "empty_namespaces", many=True),
    Field(7, "cgroups_mode"),
    Field(8, "image_path"),
    Field(9, "work_path"),
    Field(10, "parent_path"),
)

# bootstrap
EXTENSION = Table(Field(1, "value", of=ANY))
BOOTSTRAP_PARAMS = Table(
    Field(1, "instance_id"),
    Field(2, "namespace"),
    Field(3, "log_level", INT),
    Field(4, "containerd_version"),
    Field(5, "ttrpc_address"),
    Field(6, "grpc_address"),
    Field(7, "containerd_binary"),
    Field(8, "extensions", of=EXTENSION, many=True),
    Field(9, "socket_dir"),
)
BOOTSTRAP_RESULT = Table(
    Field(1, "version", INT), Field(2, "address"), Field(3, "protocol"),
    Field(4, "capabilities", many=True), Field(5, "metadata", MAP),
)  # fmt: skip
RUNTIME_VERSION = Table(Field(1, "version"), Field(2, "revision"))
RUNTIME_INFO = Table(
    Field(1, "name"),
    Field(2, "version", of=RUNTIME_VERSION),
    Field(3, "options", of=ANY),
    Field(4, "features", of=ANY),
    Field(5, "annotations", MAP),
)
