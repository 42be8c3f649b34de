#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command in a throw-away virtual machine with a pure cgroup v2 tree.

See README.md beside this file; setup.sh beside it has to have run once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("OCI_VM_CACHE") or Path("~/.cache/oci-vm").expanduser()).resolve()
HIDDEN = ("/tmp", "/var/tmp", "/run", "/dev")  # a tmpfs in the guest
KEEP_ENV = ("PATH", "HOME", "LANG", "TERM", "TZ", "VIRTUAL_ENV", "USER", "LOGNAME", "SHELL")
KEEP_PREFIX = ("LC_", "PYTEST_", "PYTHON")
TIMED_OUT, BROKEN = 124, 125
#: What the guest reports when its command has ended: "exit STATUS".
REPORT_WORDS = 2
HALTING = 60.0  # seconds that a guest has to halt once its command has ended


class Options(argparse.Namespace):
    """The command line, with types."""

    systemd: bool
    hybrid: bool
    fast: bool
    timeout: float
    mem: str
    cpus: int
    env: list[str]
    show: list[str]
    rw: list[str]
    tmpfs: list[str]
    stdin: bool
    accel: str
    append: str
    console: bool
    qemu: str
    command: list[str]


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage="run_in_vm.py [options] -- CMD [ARG ...]",
        description="Run CMD as root in a QEMU guest with pure cgroup v2 (or --hybrid).",
    )
    flag, add = "store_true", parser.add_argument
    add("--systemd", action=flag, help="systemd is PID 1 in the guest, CMD a service of it")
    add("--hybrid", action=flag, help="with --systemd: controllers on cgroup v1, and v2 beside it")
    add(
        "--fast",
        action=flag,
        help="User Mode Linux instead of QEMU: several times faster, "
        "but no cpuset controller, one CPU, no time namespace",
    )
    add(
        "--timeout",
        type=float,
        default=1800,
        metavar="S",
        help="kill the guest after S seconds (status 124); default 1800",
    )
    add("--mem", default="4G", help="the guest's memory; default 4G")
    add(
        "--cpus",
        type=int,
        default=min(os.cpu_count() or 1, 2),
        help="virtual CPUs; default 2, but 1 is faster for serial work",
    )
    add_paths(parser)
    add("--stdin", action=flag, help="read standard input to its end and give it to CMD")
    add("--accel", default=os.environ.get("OCI_VM_ACCEL", "tcg"), choices=("tcg", "kvm"))
    add("--append", default="", metavar="ARGS", help="more kernel arguments")
    add("--console", action=flag, help="the kernel's messages on standard error")
    add("--qemu", default="", metavar="ARGS", help="more arguments of QEMU")
    add("command", nargs="+", metavar="CMD")
    opt = parser.parse_args(namespace=Options())
    if opt.fast:
        opt.cpus = 1
    return opt


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Options that can be given several times: the environment and the directories."""

    def add(name: str, metavar: str, text: str) -> None:
        parser.add_argument(name, action="append", default=[], metavar=metavar, help=text)

    add(
        "--env",
        "NAME[=VALUE]",
        "pass or set an environment variable (PATH, HOME, LANG, "
        "VIRTUAL_ENV, LC_*, PYTEST_*, PYTHON* are passed anyway)",
    )
    add(
        "--show",
        "PATH",
        "show a host path below /tmp, /var/tmp or /run, which "
        "are empty in the guest (the working directory always is shown)",
    )
    add("--rw", "DIR", "share DIR writable: the guest's writes reach the host")
    add("--tmpfs", "DIR", "an empty tmpfs at DIR")


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """A newc archive (cpio(5)) of {name: (mode, content)}."""
    out = bytearray()
    for inode, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def is_below(path: str, directories: list[str] | tuple[str, ...]) -> bool:
    """Whether `path` is one of `directories` or inside one."""
    return any(path == d or path.startswith(f"{d}/") for d in directories)


def guest_env(opt: Options) -> dict[str, str]:
    """The command's environment."""
    env = {k: v for k, v in os.environ.items() if k in KEEP_ENV or k.startswith(KEEP_PREFIX)}
    for item in opt.env:
        name, equals, value = item.partition("=")
        if equals:
            env[name] = value
        elif name in os.environ:
            env[name] = os.environ[name]
    return env


def guest_paths(opt: Options, cwd: str) -> dict[str, list[str]]:
    """SHOW, RW and TMPFS, checked: the guest's shell splits them at blanks."""
    paths = {
        name: [str(Path(p).absolute()) for p in wanted]
        for name, wanted in (("SHOW", opt.show), ("RW", opt.rw), ("TMPFS", opt.tmpfs))
    }
    if is_below(cwd, HIDDEN) and not is_below(cwd, paths["SHOW"] + paths["RW"]):
        paths["SHOW"].append(cwd)
    for path in paths["SHOW"] + paths["RW"]:
        if not Path(path).exists():
            sys.exit(f"run_in_vm: {path}: no such path")
    for path in [p for group in paths.values() for p in group]:
        if path != shlex.quote(path):
            sys.exit(f"run_in_vm: {path!r}: only plain characters, please")
    return paths


def make_initrd(opt: Options, release: str, cwd: str, tmp: Path) -> Path:
    """The cached initramfs, followed by an archive with this run's job."""
    config = {
        "MODE": "systemd" if opt.systemd else "plain",
        "RELEASE": release,
        "MODULES": f"{CACHE}/uml/usr/lib/uml/modules"
        if opt.fast
        else f"{CACHE}/kernel/lib/modules",
        "FS": "hostfs" if opt.fast else "9p",
        **{name: " ".join(paths) for name, paths in guest_paths(opt, cwd).items()},
    }
    env = [f"{name}={value}" for name, value in guest_env(opt).items()]
    job = (
        f"cd {shlex.quote(cwd)} || exit 125\n"
        f"exec /usr/bin/env -i {shlex.join(env)} {shlex.join(opt.command)}\n"
    )
    shell = "".join(f"{name}={shlex.quote(value)}\n" for name, value in config.items())
    files = {
        "init": (0o100755, (HERE / "guest-init.sh").read_bytes()),
        "job": (0o040755, b""),
        "job/conf": (0o100644, shell.encode()),
        "job/pid1": (0o100644, (HERE / "guest-job.sh").read_bytes()),
        "job/job": (0o100644, job.encode("utf-8", "surrogateescape")),
    }
    if opt.stdin:
        files["job/stdin"] = (0o100600, sys.stdin.buffer.read())
    initrd = tmp / "initrd"
    with initrd.open("wb") as out:
        with (CACHE / ("uml.cpio" if opt.fast else "base.cpio")).open("rb") as base:
            shutil.copyfileobj(base, out)
        out.write(b"\0" * (-out.tell() % 512))
        out.write(cpio(files))
    return initrd


def kernel_args(opt: Options) -> list[str]:
    """The guest kernel's command line."""
    args = ["panic=-1", "psi=1", "mitigations=off", "nokaslr"]
    if not opt.hybrid:
        args += ["cgroup_no_v1=all"]
    args += ["audit=0", "nowatchdog", "rcupdate.rcu_expedited=1", "no_timer_check"]
    args += ["random.trust_cpu=on", "fstab=no"]
    args += ["loglevel=6"] if opt.console else ["quiet", "loglevel=4"]
    if opt.systemd:
        args += ["systemd.unit=oci-vm.target", "systemd.show_status=0"]
        unified = 0 if opt.hybrid else 1
        args += [f"systemd.unified_cgroup_hierarchy={unified}", "systemd.gpt_auto=0"]
    return args + opt.append.split()


def uml_command(opt: Options, tmp: Path, initrd: Path, fds: dict[str, int]) -> list[str]:
    """User Mode Linux, in namespaces of its own."""
    # / is read-only for the process that is the guest; what it may write (--rw) is mounted a
    # second time before.
    writable = [shlex.quote(str(Path(d).absolute())) for d in opt.rw]
    binds = "".join(f"mount --bind {d} {d}\n" for d in writable)
    serial = "".join(f" ssl{n}=null,fd:{fd}" for n, fd in enumerate(fds.values(), 1))
    console = "con0=null,fd:2" if opt.console else "con0=null,fd:1"
    (tmp / "uml").mkdir()  # umid directory, private to the guest
    script = (
        f"set -e\n{binds}mount -t tmpfs uml {tmp}/uml\nmount -o remount,bind,ro /\n"
        f"exec {shlex.quote(str(CACHE))}/uml/usr/bin/linux.uml mem={opt.mem} uml_dir={tmp}/uml/ "
        f"umid=guest initrd={initrd} con=null {console} ssl=null{serial} "
        f"console=tty0 {shlex.join(kernel_args(opt))}\n"
    )
    # The guest's processes are processes of the host, in sessions of their own; the PID namespace
    # lets none of them outlive the guest.
    return [
        *("unshare", "--mount", "--propagation", "private", "--pid", "--fork"),
        *("--kill-child", "--mount-proc", "sh", "-c", script),
    ]


def qemu_command(opt: Options, tmp: Path, initrd: Path, fds: dict[str, int]) -> list[str]:
    """QEMU with the host's root file system over 9p and three serial ports."""
    args = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"]
    args += ["-display", "none", "-nic", "none", "-monitor", "none"]
    args += ["-machine", "pc,hpet=off,vmport=off,usb=off", "-m", opt.mem, "-smp", str(opt.cpus)]
    args += ["-kernel", str(CACHE / "vmlinux"), "-initrd", str(initrd)]
    args += ["-append", " ".join(["console=ttyS0", *kernel_args(opt)])]
    if opt.accel == "kvm":
        args += ["-accel", "kvm", "-cpu", "host,-arch-capabilities"]
    else:
        args += ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,la57=off"]
    args += ["-serial", "stdio" if opt.console else f"file:{tmp}/console"]
    args += ["-device", "virtio-serial-pci,id=vs"]
    for n, (name, fd) in enumerate(fds.items(), 1):
        args += ["-chardev", f"file,id={name},path=/dev/fd/{fd}"]
        args += ["-device", f"virtserialport,bus=vs.0,nr={n},chardev={name},name=oci.{name}"]
    shared = "local,path={},mount_tag={},multidevs=remap"
    root = shared.format("/", "hostroot")
    args += ["-virtfs", f"{root},security_model=none,readonly=on"]
    for n, directory in enumerate(opt.rw):
        writable = shared.format(Path(directory).absolute(), f"rw{n}")
        args += ["-virtfs", f"{writable},security_model=passthrough"]
    return args + shlex.split(opt.qemu)


def copy(source: int, target: int) -> None:
    """Copy until the source ends, even where nobody reads the target any more."""
    while data := os.read(source, 65536):
        try:
            while data:
                data = data[os.write(target, data) :]
        except OSError:
            target = os.open("/dev/null", os.O_WRONLY)


class Guest:
    """One run: the guest's process and the pipes that it writes to."""

    def __init__(self, opt: Options, tmp: Path, initrd: Path) -> None:
        self.opt, self.tmp = opt, tmp
        self._report = b""
        self._has_reported = threading.Event()
        pipes = {name: os.pipe() for name in ("out", "err", "ctl")}
        fds = {name: writer for name, (_, writer) in pipes.items()}
        command = uml_command if opt.fast else qemu_command
        with (tmp / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command(opt, tmp, initrd, fds),
                pass_fds=list(fds.values()),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if opt.console else log,
                stderr=sys.stderr if opt.console else log,
                env={**os.environ, "TMPDIR": "/dev/shm"},  # UML's memory is a file there
            )
        for writer in fds.values():
            os.close(writer)
        self._threads = [
            threading.Thread(target=copy, args=(pipes["out"][0], 1), daemon=True),
            threading.Thread(target=copy, args=(pipes["err"][0], 2), daemon=True),
            threading.Thread(target=self._read_report, args=(pipes["ctl"][0],), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_report(self, fd: int) -> None:
        with open(fd, "rb") as file:
            self._report = file.readline()
            self._has_reported.set()
            file.read()  # the guest waits for nobody

    def status(self) -> int:
        """Wait for the guest's end; the command's status, TIMED_OUT or BROKEN."""
        if not self._ends():
            seconds = f"{self.opt.timeout:g}"
            print(f"run_in_vm: no end after {seconds} s, guest killed", file=sys.stderr)
            return TIMED_OUT
        for thread in self._threads:
            thread.join()
        words = self._report.decode().split()
        if len(words) == REPORT_WORDS and words[0] == "exit":
            return int(words[1])
        print("run_in_vm: the guest ended without a status; its last messages:", file=sys.stderr)
        for name in ("log", "console"):
            with contextlib.suppress(OSError):
                lines = (self.tmp / name).read_text(errors="replace").splitlines()
                sys.stderr.write("".join(f"{name}: {line}\n" for line in lines[-25:]))
        return BROKEN

    def _ends(self) -> bool:
        """Whether it ends in time.

        User Mode Linux sometimes spins after "System halted": who has reported is killed then.
        """
        if self._has_reported.wait(self.opt.timeout):
            try:
                self.process.wait(HALTING)
            except subprocess.TimeoutExpired:
                self.stop()
        return self.process.poll() is not None

    def stop(self) -> None:
        """Kill the guest if it still runs."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def tidy(tmp: Path) -> None:
    """Remove the files of a run. Never recursive: a view of / is mounted in a guest's namespace."""
    for entry in tmp.iterdir():
        with contextlib.suppress(OSError):
            if entry.is_dir():
                entry.rmdir()
            else:
                entry.unlink()
    try:
        tmp.rmdir()
    except OSError as error:
        print(f"run_in_vm: {tmp}: {error}", file=sys.stderr)


def terminate(*_: object) -> NoReturn:
    """On SIGTERM: leave through the clean-up."""
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    """Boot, run, report."""
    opt = options()
    if os.geteuid() != 0:
        sys.exit("run_in_vm: must be root")
    try:
        release = (CACHE / "ready").read_text().split()[opt.fast]
    except OSError:
        sys.exit(f"run_in_vm: run {HERE / 'setup.sh'} first")
    signal.signal(signal.SIGTERM, terminate)
    tmp = Path(tempfile.mkdtemp(prefix="oci-vm-"))
    guest = None
    try:
        guest = Guest(opt, tmp, make_initrd(opt, release, os.getcwd(), tmp))
        return guest.status()
    finally:
        if guest:
            guest.stop()
        tidy(tmp)


if __name__ == "__main__":
    sys.exit(main())
