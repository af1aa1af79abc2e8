"""What to do about a step that failed, for the answers that Docker gives often."""

import re

# The first pattern that is found decides; each was seen on a real machine.
ADVICE = (
    (
        r"(?s)permission denied.*docker(\.sock| API)|docker API.*permission denied",
        "labkit provision --limit {machine} --tags attendee puts the attendee into group docker",
    ),
    (
        r"(?i)cannot connect to the docker daemon|failed to connect to the docker API",
        "see why the engine stopped: journalctl -u docker; labkit provision starts it again",
    ),
    (
        r"(?i)no space left on device|disk quota exceeded",
        "free some space on {machine}: df -h and docker system df show what takes it",
    ),
    (
        r"port is already allocated|(?i:address already in use)",
        "end what listens there on {machine}; who it is: sudo ss -ltnp",
    ),
    (r"(?i)toomanyrequests|rate limit", "wait until the registry allows more, or use a mirror"),
    (
        r"'compose' is not a docker command|unknown (command: docker compose|shorthand flag: 'd')",
        "labkit provision --limit {machine} --tags docker_engine installs Compose",
    ),
    (
        r"(?i)unable to find image|pull access denied|manifest unknown|failed to resolve (sou|ref)",
        "labkit provision --limit {machine} --tags images; an image beside those: images_pull",
    ),
    (
        r"(?i)temporary failure (in name resolution|resolving)|could not resolve|no such host",
        "look at the DNS of {machine}: /etc/resolv.conf, and dns in /etc/docker/daemon.json",
    ),
    (
        r"Conflict\. The container name",
        "remove the container that has the name: docker rm, as whoever made it",
    ),
    (
        r"^no (end|line that matches .*) within",
        "see what keeps {machine} busy: top; is it only slow, give the step a limit=",
    ),
)


def advice(answer: str, machine: str) -> str:
    """Return what to do about an answer, empty where we do not know it."""
    todo = next((todo for pattern, todo in ADVICE if re.search(pattern, answer)), "")
    return todo.format(machine=machine)
