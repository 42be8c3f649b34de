#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prepare this machine for run_in_vm.py: Debian packages, a guest kernel and a
# small initramfs.  Idempotent; everything that is not a Debian package goes
# into $OCI_VM_CACHE (default ~/.cache/oci-vm).  Needs root (apt).
set -euo pipefail

cache=${OCI_VM_CACHE:-$HOME/.cache/oci-vm}
force=no
[ "${1:-}" = --force ] && force=yes

# systemd-sysv and dbus are not needed by this machine but by the guest, which
# sees this machine's root file system.
packages=(qemu-system-x86 busybox-static kmod cpio python3 systemd
          systemd-sysv dbus iproute2 iptables libseccomp2)
missing=()
for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
        missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" >/dev/null
fi

# The guest kernel: Debian's full kernel (the cloud flavour lacks 9p, and the
# machine's own kernel may have no modules at all).  It is unpacked, never
# installed, so that no boot loader or initramfs hook of this machine runs.
mkdir -p "$cache"
image=$(apt-cache depends linux-image-amd64 2>/dev/null |
        awk '$1 == "Depends:" {print $2; exit}')
if [ -z "$image" ]; then
    apt-get update -qq
    image=$(apt-cache depends linux-image-amd64 |
            awk '$1 == "Depends:" {print $2; exit}')
fi
release=${image#linux-image-}
uml=$(basename "$(echo "$cache"/uml/usr/lib/uml/modules/*)")
if [ $force = yes ] || [ "$(cat "$cache/ready" 2>/dev/null)" != "$release $uml" ]; then
    echo "setup: unpacking $image and user-mode-linux into $cache"
    rm -rf "$cache"/{ready,kernel,uml,dl,initramfs}
    mkdir -p "$cache"/{kernel,uml,dl}
    (cd "$cache/dl" && apt-get download -qq "$image" user-mode-linux 2>/dev/null) || {
        apt-get update -qq
        (cd "$cache/dl" && apt-get download -qq "$image" user-mode-linux)
    }
    dpkg-deb -x "$cache"/dl/user-mode-linux_*.deb "$cache/uml"
    uml=$(basename "$(echo "$cache"/uml/usr/lib/uml/modules/*)")
    dpkg-deb --fsys-tarfile "$cache"/dl/linux-image-*.deb |
        tar -x -C "$cache/kernel" --exclude='./usr/share' \
            --exclude='*/drivers/gpu' --exclude='*/drivers/media' \
            --exclude='*/drivers/infiniband' --exclude='*/drivers/staging' \
            --exclude='*/drivers/net/ethernet' --exclude='*/drivers/net/wireless' \
            --exclude='*/kernel/sound' ./boot ./lib/modules
    rm -rf "$cache/dl"

    # The uncompressed kernel boots by PVH: the guest need not decompress it,
    # which software emulation does slowly.
    /usr/bin/python3 - "$cache/kernel/boot/vmlinuz-$release" "$cache/vmlinux" <<'PY'
import lzma
import sys

data = open(sys.argv[1], 'rb').read()
start = data.find(b'\xfd7zXZ\0')
if start < 0:
    sys.exit('setup: the kernel is not xz-compressed; cannot unpack it')
kernel = lzma.LZMADecompressor().decompress(data[start:])
assert kernel[:4] == b'\x7fELF'
open(sys.argv[2], 'wb').write(kernel)
PY
    depmod -b "$cache/kernel" "$release"

    # depmod expects lib/modules below the directory it is given.
    mkdir -p "$cache/uml/lib"
    ln -sfn ../usr/lib/uml/modules "$cache/uml/lib/modules"
    depmod -b "$cache/uml" "$uml"

    # The initramfs: busybox and the modules that reach the root file system.
    # /init and the job are added by run_in_vm.py.
    initramfs() {    # ARCHIVE MODULES-ROOT RELEASE MODULE...
        local i=$cache/initramfs out=$1 base=$2 rel=$3 a m ko
        shift 3
        mkdir -p "$i"/{bin,dev,proc,sys,mods,host,rw,root,ovl}
        cp "$(command -v busybox)" "$i/bin/busybox"
        for a in sh mount umount mkdir insmod switch_root cat ln mknod chmod \
                 cp sleep poweroff echo ls rm hostname ip dirname; do
            ln -s busybox "$i/bin/$a"
        done
        for m in "$@"; do
            modprobe -d "$base" -S "$rel" --show-depends "$m" |
                awk '$1 == "insmod" {print $2}'
        done | awk '!seen[$0]++' | while read -r ko; do
            cp "$ko" "$i/mods/"
            basename "$ko" >>"$i/mods/list"
        done
        (cd "$i" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$out"
        rm -rf "$i"
    }
    initramfs "$cache/base.cpio" "$cache/kernel" "$release" \
        virtio_pci virtio_console overlay 9pnet_virtio 9p
    initramfs "$cache/uml.cpio" "$cache/uml" "$uml" overlay
    echo "$release $uml" >"$cache/ready"
fi
echo "setup: ready, guest kernel $release, User Mode Linux $uml"
