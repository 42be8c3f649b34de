#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs in the guest's root (busybox sh): as PID 1, or as a service of systemd.
# Runs /run/oci-vm/job with its output on the host's pipes, reports its status
# and switches the guest off.
d=/run/oci-vm
b=$d/busybox
port=/dev/vport0p
if [ ! -e ${port}1 ]; then         # User Mode Linux
    port=/dev/ttyS
    for n in 1 2 3; do $b stty raw -echo -F $port$n; done
fi
$b mkfifo -m 600 $d/out $d/err
$b cat <$d/out >${port}1 & o=$!
$b cat <$d/err >${port}2 & e=$!
[ -e $d/stdin ] || : >$d/stdin
$b sh $d/job <$d/stdin >$d/out 2>$d/err
status=$?
# Whoever still holds the pipes (a detached container) gets two seconds.
i=0
while [ $i -lt 40 ] && { kill -0 $o || kill -0 $e; } 2>/dev/null; do
    $b usleep 50000
    i=$((i + 1))
done
echo "exit $status" >${port}3
$b poweroff -f
