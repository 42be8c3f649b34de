#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /init of the guest (busybox sh).  Builds the guest's root - an overlay with a
# tmpfs on top of the host's root file system - and goes on as PID 1 in it.
# run_in_vm.py puts /job/conf (shell variables), /job/job, /job/pid1 next to it.
export PATH=/bin
# shellcheck source=/dev/null
. /job/conf
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
fail() { echo "guest-init: $*" >/dev/kmsg; sleep 1; poweroff -f; }

while read -r m; do
    insmod "/mods/$m" || fail "cannot load $m"
done </mods/list

# The host's root, read-only, and the overlay.
if [ "$FS" = hostfs ]; then
    mount -t hostfs -o ro,/ hostroot /host || fail "no host root"
else
    mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose \
        hostroot /host || fail "no host root"
fi
mount -t tmpfs -o size=80%,mode=755 rw /rw
mkdir /rw/upper /rw/work
chmod 755 /rw/upper
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work \
    root /root || fail "no overlay"
mount --bind /root /ovl

# Directories that a file system of its own belongs on; on tmpfs, so that they
# can hold the upper directory of a further overlay.
for d in dev proc sys run tmp var/tmp; do mkdir -p "/root/$d"; done
mount -t tmpfs -o mode=1777,size=50% tmp /root/tmp
mount -t tmpfs -o mode=1777,size=50% vartmp /root/var/tmp
mount -t tmpfs -o mode=755,size=50% run /root/run
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
ln -sf /proc/self/fd /root/dev/fd
ln -sf fd/0 /root/dev/stdin
ln -sf fd/1 /root/dev/stdout
ln -sf fd/2 /root/dev/stderr
mkdir -p /root/dev/pts /root/dev/shm /root/dev/mqueue /root/dev/net
[ -e /root/dev/net/tun ] || mknod /root/dev/net/tun c 10 200
[ -e /root/dev/fuse ] || mknod /root/dev/fuse c 10 229
[ -e /root/dev/loop-control ] || mknod /root/dev/loop-control c 10 237
mount -t devpts -o mode=620,gid=5,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
mount -t mqueue mqueue /root/dev/mqueue
mount -t securityfs securityfs /root/sys/kernel/security 2>/root/dev/null
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot \
    cgroup2 /root/sys/fs/cgroup
mount -t bpf bpf /root/sys/fs/bpf 2>/root/dev/null
mkdir -p /root/run/lock /root/run/oci-vm "/root/lib/modules/$RELEASE"
mount --bind "/ovl$MODULES/$RELEASE" "/root/lib/modules/$RELEASE"

# Wished for by the caller: empty tmpfs, host directories that the mounts
# above hid (SHOW), writable host directories (9p).
for d in $TMPFS; do mkdir -p "/root$d"; mount -t tmpfs -o mode=755 tmpfs "/root$d"; done
for d in $SHOW; do
    if [ -d "/ovl$d" ]; then
        mkdir -p "/root$d"
    else
        mkdir -p "$(dirname "/root$d")"; : >"/root$d"
    fi
    mount --bind "/ovl$d" "/root$d" || fail "cannot show $d"
done
n=0
for d in $RW; do
    mkdir -p "/root$d"
    if [ "$FS" = hostfs ]; then
        mount -t hostfs -o "$d" "rw$n" "/root$d" || fail "cannot share $d"
    else
        mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,access=any \
            "rw$n" "/root$d" || fail "cannot share $d"
    fi
    n=$((n + 1))
done

# The guest is no container, even if the host is one.
rm -f /root/.dockerenv
echo oci-vm >/root/etc/hostname

cp /job/* /root/run/oci-vm/
cp /bin/busybox /root/run/oci-vm/busybox
hostname oci-vm
ip link set lo up
umount /ovl
# One writable tmpfs stays mounted below the overlay; /host and /rw are out of
# sight once the root moves.
if [ "$MODE" = systemd ]; then
    mount -t tmpfs -o mode=755 etcsystemd /root/etc/systemd/system
    for u in systemd-udevd.service systemd-udevd-kernel.socket \
             systemd-udevd-control.socket systemd-udev-trigger.service \
             systemd-udev-settle.service systemd-hwdb-update.service \
             systemd-timesyncd.service systemd-pstore.service \
             systemd-firstboot.service systemd-boot-system-token.service \
             systemd-random-seed.service systemd-update-utmp.service \
             systemd-binfmt.service systemd-modules-load.service \
             systemd-machine-id-commit.service systemd-sysctl.service \
             systemd-journal-flush.service systemd-journal-catalog-update.service \
             systemd-remount-fs.service systemd-network-generator.service \
             systemd-update-done.service systemd-sysusers.service \
             ldconfig.service proc-sys-fs-binfmt_misc.automount \
             sys-kernel-debug.mount sys-kernel-tracing.mount \
             sys-kernel-config.mount sys-fs-fuse-connections.mount \
             dev-hugepages.mount kmod-static-nodes.service \
             modprobe@dm_mod.service modprobe@loop.service \
             modprobe@drm.service modprobe@configfs.service \
             modprobe@efi_pstore.service modprobe@fuse.service \
             systemd-tmpfiles-setup-dev.service \
             systemd-initctl.socket e2scrub_reap.service \
             systemd-ask-password-console.path systemd-ask-password-wall.path \
             timers.target cryptsetup.target veritysetup.target \
             integritysetup.target swap.target; do
        ln -s /dev/null "/root/etc/systemd/system/$u"
    done
    for d in system-generators system-environment-generators; do
        mount -t tmpfs -o mode=755 "none" "/root/lib/systemd/$d"
        [ ! -d "/root/usr/local/lib/systemd/$d" ] ||
            mount -t tmpfs -o mode=755 "none" "/root/usr/local/lib/systemd/$d"
        rm -rf "/root/etc/systemd/$d"
    done
    cat >/root/etc/systemd/system/oci-vm.target <<'U'
[Unit]
Description=Test guest
Requires=basic.target oci-vm-job.service
After=basic.target
Wants=dbus.service
AllowIsolate=yes
U
    cat >/root/etc/systemd/system/oci-vm-job.service <<'U'
[Unit]
Description=The command of run_in_vm.py
After=basic.target dbus.service dbus.socket
[Service]
Type=exec
ExecStart=/run/oci-vm/busybox sh /run/oci-vm/pid1
Delegate=yes
KillMode=process
TasksMax=infinity
LimitNOFILE=1048576
StandardInput=null
StandardOutput=journal
StandardError=journal
U
    umount /root/sys/fs/bpf /root/sys/fs/cgroup
    exec switch_root /root /lib/systemd/systemd --unit=oci-vm.target
fi
exec switch_root /root /run/oci-vm/busybox sh /run/oci-vm/pid1
