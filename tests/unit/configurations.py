# SPDX-License-Identifier: Apache-2.0
"""Configurations of containers of many kinds, as the golden plans are made from."""

from __future__ import annotations

import json
from typing import Any

from spec.template import default_spec

Config = dict[str, Any]
#: Stands in environment variables of these configurations, and in no plan.
SECRET = "hunter2"  # noqa: S105 - it is nobody's


def default() -> Config:
    config: Config = json.loads(json.dumps(default_spec()))
    config["process"]["terminal"] = False
    config["process"]["env"].append(f"TOKEN={SECRET}")
    return config


def rootless() -> Config:
    config: Config = json.loads(json.dumps(default_spec(rootless=True, uid=1000, gid=1000)))
    config["process"]["terminal"] = False
    config["process"]["env"] = [f"HOME=/home/{SECRET}"]
    return config


def terminal() -> Config:
    config = default()
    config["process"]["terminal"] = True
    config["process"]["consoleSize"] = {"height": 24, "width": 80}
    return config


def hooks() -> Config:
    config = default()
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
    config["hooks"] = {
        kind: [
            {"path": f"/usr/bin/{kind}", "args": [kind, "-x"], "env": [f"KEY={SECRET}"]},
            {"path": "/bin/second", "timeout": 5},
        ]
        for kind in (*kinds, "poststop")
    }
    return config


def seccomp() -> Config:
    config = default()
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    return config


def seccomp_with_new_privileges() -> Config:
    config = seccomp()
    config["process"]["noNewPrivileges"] = False
    return config


def pod() -> Config:
    """A container of a pod: the sandbox's network, ipc, uts and pid namespace."""
    config = default()
    del config["hostname"]
    for namespace in config["linux"]["namespaces"]:
        if namespace["type"] in ("network", "ipc", "uts", "pid"):
            file = {"network": "net"}.get(namespace["type"], namespace["type"])
            namespace["path"] = f"/proc/4242/ns/{file}"
    return config


def pod_with_user_namespace() -> Config:
    config = pod()
    config["linux"]["namespaces"].append({"type": "user", "path": "/proc/4242/ns/user"})
    return config


def user_namespace() -> Config:
    """Root makes a container whose ids are others outside."""
    config = default()
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 20]}
    config["mounts"].append(bind("/data", "/srv/data", "rbind", "ro"))
    return config


def host_namespaces() -> Config:
    """No namespace but a mount namespace: cgroups are bound, not mounted."""
    config = default()
    del config["hostname"]
    config["linux"]["namespaces"] = [{"type": "mount"}]
    return config


def no_mount_namespace() -> Config:
    config = default()
    config["linux"]["namespaces"] = [{"type": "pid"}, {"type": "uts"}]
    for key in ("maskedPaths", "readonlyPaths"):
        del config["linux"][key]
    config["mounts"] = []
    config["root"]["readonly"] = False
    return config


def user() -> Config:
    config = default()
    config["process"].update(
        {
            "user": {"uid": 1000, "gid": 100, "umask": 0o077, "additionalGids": [27]},
            "cwd": "/home/someone",
            "args": ["/bin/sh", "-c", "echo 'it''s' \"$TOKEN\"\n"],
            "oomScoreAdj": -100,
        }
    )
    return config


def scheduled() -> Config:
    """Where and how it runs, and what confines it."""
    config = default()
    config["process"].update(
        {
            "scheduler": {
                "policy": "SCHED_FIFO",
                "priority": 10,
                "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            },
            "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 2},
            "execCPUAffinity": {"initial": "0", "final": "1-3"},
            "apparmorProfile": "docker-default",
            "selinuxLabel": "system_u:system_r:container_t:s0:c1,c2",
        }
    )
    config["linux"].update(
        {
            "mountLabel": "system_u:object_r:container_file_t:s0:c1,c2",
            "memoryPolicy": {
                "mode": "MPOL_INTERLEAVE",
                "nodes": "0-1",
                "flags": ["MPOL_F_STATIC_NODES"],
            },
            "personality": {"domain": "LINUX32"},
        }
    )
    return config


def scheduled_in_user_namespace() -> Config:
    config = scheduled()
    del config["process"]["rlimits"]
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    return config


def propagation() -> Config:
    config = default()
    config["linux"]["rootfsPropagation"] = "shared"
    config["mounts"].append(bind("/a", "/srv/a", "bind", "rshared"))
    config["mounts"].append(bind("b", "/srv/b", "rbind", "rro", "rnosuid", "slave"))
    return config


def bind(target: str, source: str, *options: str) -> Config:
    return {"destination": target, "type": "bind", "source": source, "options": list(options)}


def mounts() -> Config:
    """What takes more than a bind and a file system: id maps, links, remounts, a later ro."""
    config = user_namespace()
    one = [{"containerID": 0, "hostID": 5, "size": 1}]
    mapped = bind("/mapped", "/srv/mapped", "rbind", "ridmap", "ro")
    config["mounts"] += [
        {**mapped, "uidMappings": one, "gidMappings": one},
        bind("/shifted", "relative", "bind", "idmap", "slave", "shared"),
        bind("/etc/link", "/srv/link", "bind", "copy-symlink"),
        bind("/data", "none", "bind", "remount", "nosuid", "rshared"),
        {"destination": "/run", "type": "tmpfs", "options": ["ro", "iversion", "nosymfollow"]},
        {"destination": "/run", "type": "tmpfs", "options": ["remount", "size=1m"]},
        bind("/inner", "/srv/bundle/rootfs/run", "bind"),
    ]
    config["linux"]["rootfsPropagation"] = "slave"
    return config


def docker() -> Config:
    """What dockerd 29 writes, as far as it decides a plan."""
    config = default()
    capabilities = [f"CAP_{n}" for n in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "MKNOD", "SETUID")]
    config["process"].update(
        {
            "args": ["docker-entrypoint.sh", "postgres"],
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin", f"POSTGRES_PASSWORD={SECRET}", "EMPTY="],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288}],
        }
    )
    config["hostname"] = "3f1c1ad2b6c4"
    config["root"]["readonly"] = False
    files = ("resolv.conf", "hostname", "hosts")
    config["mounts"] += [
        bind(f"/etc/{name}", f"/var/lib/docker/containers/3f1c/{name}", "rbind", "rprivate")
        for name in files
    ]
    volume = "/var/lib/docker/volumes/pgdata/_data"
    config["mounts"].append(bind("/var/lib/postgresql/data", volume, "rbind", "rprivate"))
    linux = config["linux"]
    linux["cgroupsPath"] = "/docker/3f1c1ad2b6c4"
    linux["sysctl"] = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 1",
    }
    linux["namespaces"].append({"type": "time"})
    linux["resources"]["memory"] = {"limit": 536870912}
    linux["resources"]["devices"].append(
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
    )
    linux["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
    config["hooks"] = {
        "prestart": [{"path": "/proc/1234/exe", "args": ["libnetwork-setkey", "3f1c"]}]
    }
    return config


def everything() -> Config:
    config = user_namespace()
    config["process"].update(terminal()["process"], user=config["process"]["user"])
    config["process"]["capabilities"]["ambient"] = ["CAP_KILL"]
    config["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]
    config["process"]["oomScoreAdj"] = 500
    config["domainname"] = "example.org"
    config["hooks"] = hooks()["hooks"]
    config["mounts"] += [
        bind("/nofollow", "/srv/link", "bind", "src-nofollow", "dest-nofollow"),
        {
            "destination": "/var/cache",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["tmpcopyup", "ro", "size=1m", "rnodev"],
        },
    ]
    linux = config["linux"]
    linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent.sock",
        "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}],
    }
    linux["namespaces"].append({"type": "time"})
    linux["timeOffsets"] = {"monotonic": {"secs": 100, "nanosecs": 5}, "boottime": {"secs": -1}}
    linux["sysctl"] = {"net.ipv4.conf.eth0/1.forwarding": "1", "kernel.shm_rmid_forced": "1"}
    linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600},
        {"path": "/dev/pipe", "type": "p", "uid": 3, "gid": 4},
    ]
    return config
