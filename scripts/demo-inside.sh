#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the demonstration's container, in busybox's shell.

# On cgroup v2 or v1, whichever the host has.
memory_limit() {
    cat /sys/fs/cgroup/memory.max 2>/dev/null ||
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || echo unknown
}

status() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }

echo
echo "host name      $(hostname)"
echo "user           $(id)"
echo "capabilities   $(status CapEff) (effective), no new privileges: $(status NoNewPrivs)"
echo "memory limit   $(memory_limit) bytes"
echo
echo "processes"
for process in /proc/[0-9]*; do
    # Without a fork: the list is of this shell alone, and it is pid 1.
    read -r name <"$process/comm" && echo "  ${process#/proc/} $name"
done
echo
echo "mounts"
while read -r _ target kind options _; do
    case $target in
    / | /proc | /sys | /tmp) printf '  %-8s %-24s %s\n' "$kind" "$target" "$options" ;;
    esac
done </proc/mounts
