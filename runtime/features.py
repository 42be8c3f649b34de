# SPDX-License-Identifier: Apache-2.0
"""The features document (features.md): what this build can do on this host.

The standard's distinction: a list names what the runtime recognizes; `enabled` and the `supported…`
members tell what works here.
"""

from __future__ import annotations

import os

from runtime import mount_options
from runtime.capabilities import NAMES
from runtime.namespaces import FILES
from runtime.version import COMMIT, VERSION
from spec.version import OCI_VERSION, OCI_VERSION_MIN

HOOKS = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
#: Heeded only with --allow-annotation; a name that ends in "." stands for all that begin with it.
UNSAFE_ANNOTATIONS = ("org.systemd.property.", "org.criu.config")


def features() -> dict[str, object]:
    """The document, in the standard's order."""
    from runtime import criu, scheduling, seccomp

    known = seccomp.known()
    members = ("enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags")
    filters = {name: known[name] for name in members if name in known}
    annotations = {
        "org.orlop.version": VERSION,
        "org.orlop.commit": COMMIT,
    }
    if known.get("libseccomp"):
        annotations["io.github.seccomp.libseccomp.version"] = str(known["libseccomp"])
    if criu.find():
        annotations["org.opencontainers.runc.checkpoint.enabled"] = "true"
    return {
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": OCI_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": mount_words(),
        "linux": {
            "namespaces": namespaces(),
            "capabilities": list(NAMES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": True,
                "rdma": True,
            },
            "seccomp": filters,
            # of the runtime, whatever the host has (features-linux.md)
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {
                "modes": list(scheduling.MEMORY_MODES),
                "flags": list(scheduling.MEMORY_FLAGS),
            },
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": annotations,
        "potentiallyUnsafeConfigAnnotations": list(UNSAFE_ANNOTATIONS),
    }


def mount_words() -> list[str]:
    """Every mount option that is recognized."""
    words = {
        *mount_options.ATTRIBUTES,
        *mount_options.RECURSIVE,
        *mount_options.PROPAGATION,
        *mount_options.SUPERBLOCK,
        *mount_options.IGNORED,
        *mount_options.EXTENSIONS,
    }
    return sorted(words)


def namespaces() -> list[str]:
    """Kinds of namespace that the kernel has."""
    return sorted(name for name, file in FILES.items() if os.path.exists(f"/proc/self/ns/{file}"))
