"""What to do about answers that machines give often."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from labkit.events import Event, Kind, Reason
from labkit.hostkeys import changed_key

# The first pattern that is found decides; each was seen on a real machine.
CONNECTING = (
    (
        r"Could not resolve hostname",
        "check ansible_host in the inventory, and this controller's DNS",
    ),
    (
        r"Permission denied \(",
        "check ansible_user and the key (--private-key), or give -k for a password",
    ),
    (
        r"Host key verification failed",
        "trust the machine's key first: ssh to it once, and compare the fingerprint",
    ),
    (
        r"No route to host|Network is unreachable",
        "is the machine switched on, and is its address right?",
    ),
    (r"Connection refused", "does sshd run on the machine, and is ansible_port right?"),
    (
        r"[Tt]imed? ?out|banner exchange|Timeout, server|Broken pipe|Connection reset|closed by",
        "the machine does not answer: restart it, then run again with --retry-failed",
    ),
)
WORKING = (
    (r"password is required|Missing sudo password", "give the sudo password with -K"),
    (
        r"Incorrect sudo password|incorrect password attempt",
        "the sudo password (-K) is wrong on this machine",
    ),
    (r"is not in the sudoers", "let ansible_user use sudo on the machine, or connect as root"),
    (
        r"module interpreter .* was not found|python3: (command )?not found",
        "install Python on the machine: apt-get install python3",
    ),
    (r"No space left on device|MB free;", "free some space on the machine's disk"),
    (r"dpkg was interrupted", "repair the machine's packages: sudo dpkg --configure -a"),
    (
        r"Could not get lock|dpkg frontend lock",
        "another process holds the apt lock: wait for it, or end it",
    ),
    (
        r"(?i)pull rate limit|toomanyrequests",
        "wait until it allows more, or name a mirror (docker_engine_daemon: registry-mirrors)",
    ),
    (
        r"Not pulled: ",
        "check the images' names (images_pull) and the way from the machine to the registry",
    ),
    # What the answer itself says how to mend needs only this.
    (r"", "put that right on the machine, then run again with --retry-failed"),
)
# What Ansible says before it passes on what ssh said.
ANSIBLES_WORDS = re.compile(r"^.*?(?:via|over) ssh: ", re.DOTALL)
FINGER_FIELDS = ("machine_id", "engine_id", "host_key", "hostname")


def explain(event: Event) -> Event:
    """Return the event with each reason made plain: a changed host key is told, a hint is added."""
    reasons = tuple(_plain(reason, event.kind) for reason in event.reasons)
    return replace(event, reasons=reasons) if reasons else event


def hint(answer: str, kind: Kind) -> str:
    """Return what to do about an answer; empty where ssh's answer is beyond us."""
    known = (*CONNECTING, *WORKING[:-1]) if kind is Kind.UNREACHABLE else WORKING
    return next((todo for pattern, todo in known if re.search(pattern, answer)), "")


def duplicates(identities: Mapping[str, Mapping[str, str]]) -> Iterable[tuple[str, Reason]]:
    """Yield each machine that shares with another what must be its own, and the reason."""
    for field in FINGER_FIELDS:
        owners: dict[str, list[str]] = {}
        for machine, identity in identities.items():
            if identity.get(field):
                owners.setdefault(identity[field], []).append(machine)
        for value, machines in owners.items():
            for machine in machines if len(machines) > 1 else ():
                others = ", ".join(name for name in machines if name != machine)
                yield machine, _twin(field, value, others)


def _twin(field: str, value: str, others: str) -> Reason:
    return Reason(
        "Compare the machines of the class",
        f"its {field.replace('_', ' ')} {value} is also that of {others}",
        "the machines are clones of one disk (swarm_node_repair_clones: true gives each its own),"
        " or one machine is listed twice",
    )


def _plain(reason: Reason, kind: Kind) -> Reason:
    changed = changed_key(reason.answer) if kind is Kind.UNREACHABLE else None
    if changed:
        return Reason(reason.tried, changed.message, changed.remedy)
    answer = reason.answer
    if kind is Kind.UNREACHABLE:
        answer = ANSIBLES_WORDS.sub("", answer).strip()
    return Reason(reason.tried, answer, reason.todo or hint(answer, kind))
