"""sandbox_probe.py: tries what a sandbox forbids, and prints as JSON how each attempt went: "done", or the error's name.

Rule: it is started by copies of the units, and without their lines for comparison. Nothing here is an attack: each is the
mildest use of a call, on what sandbox.py has left open to everybody in folders named probe.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import stat
import sys

# Where a unit may write.
STATE = os.environ.get("STATE_DIRECTORY", "/var/tmp")
LIBC = ctypes.CDLL(None, use_errno=True)
# By number where the C library has no function of the name; the same on all architectures but x86_64's older ones.
NEWER = {"io_uring_setup": 425, "pidfd_open": 434}
OLDER = {"x86_64": {"add_key": 248, "userfaultfd": 323, "bpf": 321, "perf_event_open": 298},
         "aarch64": {"add_key": 217, "userfaultfd": 282, "bpf": 280, "perf_event_open": 241}}
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
PTRACE_TRACEME, ADDR_NO_RANDOMIZE, PROT_ALL = 0, 0x0040000, 7


def call(name: str, *args) -> None:
    """A system call. Raises OSError."""
    numbers = NEWER | OLDER.get(platform.machine(), {})
    result = LIBC.syscall(numbers[name], *args) if name in numbers else getattr(LIBC, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)


def write(folder: str) -> None:
    path = f"{folder}/{os.getpid()}"
    with open(path, "w", encoding="ascii"):
        os.unlink(path)


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def see(path: str) -> None:
    os.stat(path)


def unix_listener(step: str) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        if step == "bind":
            door.bind(f"\0probe-{os.getpid()}")
        else:
            door.listen()


def family(number: int, kind: int = socket.SOCK_STREAM) -> None:
    socket.socket(number, kind).close()


def connect(address: str) -> None:
    """Over UDP nobody need answer; what is forbidden is to send."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(b"?", (address, 9))


def writable_code() -> None:
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, mmap.PAGESIZE, PROT_ALL, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


def setuid_file() -> None:
    path = f"{STATE}/probe"
    with open(path, "w", encoding="ascii"):
        pass
    try:
        os.chmod(path, 0o4700)
    finally:
        os.unlink(path)


def private_file() -> None:
    """Goes well if others could read a new file of ours."""
    path = f"{STATE}/probe"
    with open(path, "w", encoding="ascii") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    os.unlink(path)
    if not mode & 0o077:
        raise OSError(errno.EACCES, oct(mode))


def writable_mount(path: str) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, path)


def privilege(field: str, none: str) -> None:
    """Goes well if this process has or could get what `field` of its status tells of."""
    with open("/proc/self/status", encoding="ascii") as status:
        value = next(line.split()[1] for line in status if line.startswith(field + ":"))
    if value == none:
        raise OSError(errno.EPERM, field)


def scheduler(policy: int, priority: int) -> None:
    os.sched_setscheduler(0, policy, os.sched_param(priority))


# The directive that forbids it, and the attempt.
ATTEMPTS = {
    "ProtectSystem: write /etc": lambda: write("/etc/probe"),
    "ProtectSystem: write /usr": lambda: write("/usr/probe"),
    "ProtectSystem: write /var": lambda: write("/var/probe"),
    "ProtectSystem: write /tmp": lambda: write("/tmp/probe"),
    "ProtectHome: write /home": lambda: write("/home/probe"),
    "ProtectHome: read /home": lambda: read("/home/probe/file"),
    "PrivateTmp: read /tmp": lambda: read("/tmp/probe/file"),
    "PrivateDevices: see /dev": lambda: see("/dev/probe"),
    "ProtectKernelModules: list modules": lambda: os.listdir("/usr/lib/modules/probe"),
    "ProtectKernelTunables: /proc/sys": lambda: writable_mount("/proc/sys/net"),
    "ProtectControlGroups: /sys/fs/cgroup": lambda: writable_mount("/sys/fs/cgroup"),
    "ProtectProc: see process 1": lambda: see("/proc/1/status"),
    "ProtectClock: set the clock": lambda: call("clock_settime", 0, ctypes.byref((ctypes.c_long * 2)(1, 0))),
    "ProtectHostname: set the host name": lambda: call("sethostname", b"bench", 5),
    "ProtectKernelLogs: read the kernel's log": lambda: call("klogctl", 10, None, 0),
    "CapabilityBoundingSet: have capabilities": lambda: privilege("CapBnd", "0000000000000000"),
    "NoNewPrivileges: gain some": lambda: privilege("NoNewPrivs", "1"),
    "RestrictSUIDSGID: make a setuid file": setuid_file,
    "UMask: make a file that others can read": private_file,
    "MemoryDenyWriteExecute: map writable code": writable_code,
    "RestrictNamespaces: a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    "RestrictNamespaces: a mount namespace": lambda: call("unshare", CLONE_NEWUSER | CLONE_NEWNS),
    "RestrictRealtime: set a real-time scheduler": lambda: scheduler(os.SCHED_RR, 1),
    "SystemCallFilter: set a scheduler": lambda: scheduler(os.SCHED_BATCH, 0),
    "LockPersonality: set a personality": lambda: call("personality", ADDR_NO_RANDOMIZE),
    "SystemCallFilter: bind": lambda: unix_listener("bind"),
    "SystemCallFilter: listen": lambda: unix_listener("listen"),
    "SystemCallFilter: mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "SystemCallFilter: ptrace": lambda: call("ptrace", PTRACE_TRACEME, 0, None, None),
    "SystemCallFilter: load a module": lambda: call("delete_module", b"no_such_module", 0),
    "SystemCallFilter: chown": lambda: os.chown("/proc/self/cwd", -1, -1),
    "SystemCallFilter: setuid": lambda: os.setuid(os.getuid()),
    "SystemCallFilter: a key ring": lambda: call("add_key", b"user", b"probe", b"x", 1, -2),
    "SystemCallFilter: io_uring": lambda: call("io_uring_setup", 1, ctypes.byref((ctypes.c_char * 256)())),
    "SystemCallFilter: userfaultfd": lambda: call("userfaultfd", 1),
    "SystemCallFilter: shared memory": lambda: call("shmget", 0, 4096, 0o600),
    "SystemCallFilter: lock memory": lambda: call("mlock", ctypes.create_string_buffer(8), 8),
    "RestrictAddressFamilies: IPv4": lambda: family(socket.AF_INET),
    "RestrictAddressFamilies: IPv6": lambda: family(socket.AF_INET6),
    "RestrictAddressFamilies: packets": lambda: family(socket.AF_PACKET, socket.SOCK_RAW),
    "RestrictAddressFamilies: VSOCK": lambda: family(socket.AF_VSOCK),
    "IPAddressDeny: send to this machine": lambda: connect("127.0.0.1"),
    "IPAddressDeny: send to this machine's other address": lambda: connect("10.77.0.1"),
    "IPAddressDeny: send to another": lambda: connect("10.77.0.2"),
}


def tried(action) -> str:
    try:
        action()
        return "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def main() -> None:
    asked = sys.argv[1:]
    # Those that are asked for: an attempt that is no failure may change what the next one meets.
    chosen = {name: action for name, action in ATTEMPTS.items() if not asked or name.split(":")[0] in asked}
    json.dump({name: tried(action) for name, action in chosen.items()}, sys.stdout)


if __name__ == "__main__":
    main()
