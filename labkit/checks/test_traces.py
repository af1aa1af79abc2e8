"""What the checks themselves leave behind: nothing. Runs last."""

from testinfra.host import Host

from labkit.checks.promise import promise

LOOK = (
    "docker ps --all --filter label=labkit.check --format 'container {{.ID}}'; "
    "docker image ls --filter label=labkit.check --format 'image {{.ID}}'; "
    "docker volume ls --filter label=labkit.check --format 'volume {{.Name}}'"
)


def test_the_checks_left_nothing_behind(host: Host) -> None:
    seen = host.run(LOOK)

    promise(
        seen.succeeded and not seen.stdout.strip(),
        expected="no container, image or volume labelled labkit.check",
        seen=", ".join((seen.stdout + seen.stderr).strip().splitlines()),
        todo="remove it: docker rm -f, docker image rm or docker volume rm with its name",
    )
