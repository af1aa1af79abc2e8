"""Host keys: which are new, which have changed, and how to forget one. Pure functions."""

import base64
import hashlib
import hmac
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FIELDS = 3  # hosts, type of the key, key; a comment may follow
SALTED = re.compile(r"\|1\|(?P<salt>[^|]+)\|(?P<hash>\S+)")
OFFERED = re.compile(r"sent by the remote host is\s+(?P<fingerprint>SHA256:\S+?)\.?\s")
OFFENDING = re.compile(r"Offending \S+ key in (?P<file>.+?):(?P<line>\d+)\s")
CHANGED = re.compile(r"Host key for (?P<host>\S+) has changed")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host showed; `host` is its name as known_hosts has it."""

    host: str
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """What ssh said when it refused a host; `known` is None where the file cannot tell."""

    host: str
    offered: str
    known: str | None
    file: str
    line: int

    @property
    def message(self) -> str:
        """What happened, naming both fingerprints."""
        known = self.known or "another key"
        return (
            f"its host key has changed: {self.file} line {self.line} holds {known}, "
            f"the machine showed {self.offered}"
        )

    @property
    def remedy(self) -> str:
        """What to do, ending in the command that forgets the old key."""
        forget = shlex.join(["ssh-keygen", "-R", self.host, "-f", self.file])
        return f"if the machine was rebuilt, forget its old key: {forget}"


def known_name(host: str, port: int | None = None) -> str:
    """Return a host's name as ssh writes it: in small letters, `[host]:port` unless it is 22."""
    name = host.lower()
    return name if port in {None, 22} else f"[{name}]:{port}"


def fingerprint(line: str) -> str | None:
    """
    Return the `SHA256:…` of a line of known_hosts, as `ssh-keygen -lf` shows it.

    None for a comment, an empty line, or one that ssh would not understand either.
    """
    fields = _fields(line)
    if len(fields) < FIELDS:
        return None
    try:
        digest = hashlib.sha256(base64.b64decode(fields[2], validate=True)).digest()
    except ValueError:
        return None
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def new_keys(before: str, after: str, names: Iterable[str] = ()) -> list[HostKey]:
    """
    Return the keys that the known_hosts text `after` holds and `before` does not.

    `names` are the hosts that may have been met (see `known_name`): hashed entries are
    told by trying them. A hashed entry of none of them keeps its hash for a name.
    """
    seen = Counter(before.splitlines())
    keys = []
    for line in after.splitlines():
        known = seen[line] > 0
        seen[line] -= known
        proof = fingerprint(line)
        if not known and proof:
            hosts, kind = _fields(line)[:2]
            keys += [HostKey(host, kind, proof) for host in _hosts(hosts, names)]
    return keys


def changed_key(stderr: str) -> ChangedKey | None:
    """
    Read ssh's "REMOTE HOST IDENTIFICATION HAS CHANGED", or return None if it says no such thing.

    The known key's fingerprint comes from the file and line that ssh names.
    """
    text = stderr.replace("\r", "") + "\n"
    offered, offending, changed = (p.search(text) for p in (OFFERED, OFFENDING, CHANGED))
    if not (offered and offending and changed):
        return None
    file, line = offending["file"], int(offending["line"])
    return ChangedKey(changed["host"], offered["fingerprint"], _known(file, line), file, line)


def _known(file: str, line: int) -> str | None:
    try:
        return fingerprint(Path(file).read_text(errors="replace").splitlines()[line - 1])
    except (OSError, IndexError):
        return None


def _fields(line: str) -> list[str]:
    if line.lstrip().startswith("#"):
        return []
    fields = line.split()
    # "@cert-authority" and "@revoked" stand before the hosts.
    return fields[1:] if fields and fields[0].startswith("@") else fields


def _hosts(entry: str, names: Iterable[str]) -> list[str]:
    salted = SALTED.fullmatch(entry)
    if not salted:
        return entry.split(",")
    return [name for name in names if _is_hash_of(name, salted)] or [entry]


def _is_hash_of(name: str, salted: re.Match[str]) -> bool:
    try:
        salt, wanted = base64.b64decode(salted["salt"]), base64.b64decode(salted["hash"])
    except ValueError:  # a damaged line: ssh takes it for nobody's, too
        return False
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(digest, wanted)
