"""What a machine is: read from its own files and commands, changing nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# As the command `timeout` has it.
TOO_LATE = 124

_TIME_SERVICES = ("chrony", "ntpsec", "ntp", "openntpd", "systemd-timesyncd")


def look() -> dict[str, Any]:
    """Return the machine as the roles and the checks know it, without its kernel's features."""
    system = os_release(_read("/etc/os-release"))
    return {
        "distribution": system.get("ID", "unknown"),
        "release": system.get("VERSION_ID", ""),
        "codename": system.get("VERSION_CODENAME", ""),
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "kernel": platform.release(),
        "container": run("systemd-detect-virt", "--quiet", "--container")[0] == 0,
        "avx": "avx" in _read("/proc/cpuinfo").split(),
        "memory_mb": memory_mb(_read("/proc/meminfo")),
        "disk_free_mb": free_mb("/var/lib/docker"),
        "root_free_mb": free_mb("/"),
        "one_disk": _nearest("/var/lib/docker").stat().st_dev == Path("/").stat().st_dev,
        "hostname": socket.gethostname(),
        "machine_id": _read("/etc/machine-id").strip(),
        "engine_id": engine_id(),
        "host_key": fingerprint(_read("/etc/ssh/ssh_host_ed25519_key.pub")),
        "default_address": source_address("192.0.2.1") or source_address("2001:db8::1"),
        "addresses": addresses(run("ip", "-json", "address")[1]),
        "time_service": time_service(),
        "systemd": Path("/run/systemd/system").is_dir(),
        "cloud_init": shutil.which("cloud-init") is not None,
        "engine": shutil.which("dockerd") is not None,
        "python": platform.python_version(),
        # apt's module cannot even pretend (--check) before this is there.
        "python_apt": importlib.util.find_spec("apt") is not None,
    }


def run(*command: str, seconds: float = 20) -> tuple[int, str]:
    """Return the exit code (127 where the command is missing, 124 after the limit) and output."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TOO_LATE, f"no answer within {seconds:g} s"
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.strip()


def os_release(text: str) -> dict[str, str]:
    """Return the variables of an os-release file, unquoted."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def memory_mb(meminfo: str) -> int:
    """Return the machine's whole memory in MiB as /proc/meminfo tells it, 0 if it does not."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def free_mb(path: str) -> int:
    """Return the MiB free for everybody on the file system that holds the path, or will hold it."""
    state = os.statvfs(_nearest(path))
    return state.f_bavail * state.f_frsize // 2**20


def fingerprint(public_key: str) -> str:
    """Return a public key's fingerprint as `ssh-keygen -l` prints it, "" for no key."""
    if not public_key.strip():
        return ""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def engine_id() -> str:
    """Return the id by which swarm knows this engine, "" before it ever ran."""
    old = Path("/etc/docker/key.json")  # engines before 23
    if old.is_file():
        return str(json.loads(old.read_text(encoding="utf-8")).get("kid", ""))
    return _read("/var/lib/docker/engine-id").strip()


def source_address(target: str) -> str:
    """Return the address this machine would send from to the target, "" without a route."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        # Connecting a datagram socket only asks for the route: nothing is sent.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def addresses(listing: str) -> list[dict[str, str]]:
    """Return each global address with its interface, from `ip -json address`."""
    try:
        links = json.loads(listing)
    except ValueError:
        return []
    return [
        {"interface": link["ifname"], "address": info["local"]}
        for link in links
        for info in link.get("addr_info", [])
        if info.get("scope") == "global" and "local" in info
    ]


def time_service() -> str:
    """Return the unit that keeps this machine's clock, "" if none is installed."""
    folders = (
        Path("/etc/systemd/system"),
        Path("/usr/lib/systemd/system"),
        Path("/lib/systemd/system"),
    )
    for name in _TIME_SERVICES:
        if any((folder / f"{name}.service").is_file() for folder in folders):
            return name
    return ""


def wait_for_cloud_init(seconds: float) -> bool:
    """
    Wait until cloud-init has ended, or is not there, and return True; False after the limit.

    How it ended is not asked: 2 stands for warnings, and a failed line of the
    instructor's own cloud-config (1) need not keep the machine from the class.
    """
    if shutil.which("cloud-init") is None:
        return True
    return run("cloud-init", "status", "--wait", seconds=seconds)[0] != TOO_LATE


def _nearest(path: str) -> Path:
    folder = Path(path)
    while not folder.exists():
        folder = folder.parent
    return folder


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
