"""Each stand-in keeps the promises of the image it stands for, as far as the workshop needs them."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import MACHINES, Room, labkit
from wire import ask

from labkit.sandbox.standins import STAND_INS

pytestmark = pytest.mark.machines

VM1 = MACHINES[0]
IMAGES = {one.folder or one.name: one.references[0] for one in STAND_INS}
REFERENCES = [reference for one in STAND_INS for reference in one.references]

Type = Callable[[str], str]


@pytest.fixture
def shell(room: Room) -> Iterator[Type]:
    """Type lines as the attendee, the last one has to succeed; what is called my-… is gone afterwards."""
    sandbox = json.loads(labkit("sandbox", "status", str(room.directory), "--json").stdout)
    if not sandbox["stand_ins"]:
        pytest.skip("the images are Docker Hub's own here: script/test --stand-ins tries these")

    def type_(lines: str) -> str:
        done = room.as_attendee(VM1, lines)
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield type_
    type_("docker ps -aq --filter name=^my- | xargs -r docker rm -fv")
    type_(
        "docker volume rm -f my-data; docker rmi -f my-image localhost:5000/my-image; rm -rf ~/my-*"
    )


def until(shell: Type, line: str, wanted: str) -> None:
    deadline = time.monotonic() + 20
    while wanted not in (said := shell(f"{line} 2>&1 || true")):
        assert time.monotonic() < deadline, f"{line}: {said}"
        time.sleep(0.2)


def test_every_name_is_served_and_each_image_says_what_it_is(shell: Type) -> None:
    shell(f"printf '%s\\n' {' '.join(REFERENCES)} | xargs -n 1 -P 4 docker pull -q")
    shown = json.loads(shell(f"docker inspect {' '.join(REFERENCES)}"))

    assert [one["Config"]["Labels"]["labkit.stand-in"] for one in shown] == ["true"] * len(shown)
    assert len(shown) == len(REFERENCES)


@pytest.mark.parametrize("name", ["node", "node-alpine"])
def test_node_runs_npm_as_its_unprivileged_user(shell: Type, name: str) -> None:
    image = IMAGES[name]
    version = image.partition(":")[2].partition("-")[0]
    run = f"docker run --rm --user node --workdir /home/node {image}"
    said = shell(f"{run} sh -c 'id -u; echo $NODE_VERSION; npm install ms@2.1.3 2>&1'")

    assert said.splitlines()[:2] == ["1000", version]
    assert "added 1 package" in said
    assert shell(f"{run} --version") == f"v{version}\n", "an option alone is node's"


def test_what_is_called_alpine_has_busybox_and_neither_bash_nor_apt(shell: Type) -> None:
    for name in ("alpine", "node-alpine"):
        line = "busybox | head -n 1; which nc wget; which bash apt-get || echo nothing else"
        said = shell(f'docker run --rm {IMAGES[name]} sh -c "{line}"').splitlines()

        assert said[0].startswith("BusyBox ")
        assert said[1:] == ["/usr/bin/nc", "/usr/bin/wget", "nothing else"]


def test_debian_is_what_its_tag_says_and_ubuntu_has_ps(shell: Type) -> None:
    release = shell(
        f"docker run --rm {IMAGES['debian']} sh -c '. /etc/os-release; echo $VERSION_CODENAME'"
    )

    assert f"debian:{release.strip()}-slim" == IMAGES["debian"]
    assert "ps" in shell(f"docker run --rm {IMAGES['ubuntu']} ps -e")


def test_nginx_serves_what_is_mounted_and_ends_when_it_is_asked_to(shell: Type) -> None:
    run = "docker run -d --name my-web -p 3000:80"
    shell("mkdir ~/my-pages && echo 'it is mine' > ~/my-pages/index.html")
    shell(f"{run} -v ~/my-pages:/usr/share/nginx/html:ro {IMAGES['nginx']}")
    until(shell, "curl -s localhost:3000", "it is mine")

    assert "GET / HTTP" in shell("docker logs my-web")
    shell("docker stop --time 5 my-web")
    assert (
        shell("docker inspect -f '{{.State.ExitCode}}' my-web && docker rm my-web") == "0\nmy-web\n"
    )
    shell(
        "echo 'events {} http { server { listen 80; return 200 configured; } }' > ~/my-nginx.conf;"
        f"{run} -v ~/my-nginx.conf:/etc/nginx/nginx.conf:ro {IMAGES['nginx']}"
    )
    until(shell, "curl -s localhost:3000", "configured")


def test_a_registry_keeps_in_its_volume_what_is_pushed(shell: Type) -> None:
    image = "localhost:5000/my-image"
    run = "docker run -d --name my-registry -v my-data:/var/lib/registry"
    shell(f"{run} -p 5000:5000 {IMAGES['registry']} && docker tag hello-world {image}")
    until(shell, "curl -s -o /dev/null -w '%{http_code}' localhost:5000/v2/", "200")
    shell(f"docker push -q {image} && docker rm -f my-registry && docker rmi {image}")
    shell(f"{run} -p 5000:443 -e REGISTRY_HTTP_ADDR=:443 registry:3")
    until(shell, "curl -s localhost:5000/v2/_catalog", "my-image")

    assert "Hello from Docker!" in shell(f"docker run --rm {image}")
    collect = "registry garbage-collect /etc/distribution/config.yml"
    assert "0 blobs and 0 manifests eligible" in shell(f"docker exec my-registry {collect} 2>&1")


def test_a_registry_speaks_tls_with_the_certificate_that_it_is_given(shell: Type) -> None:
    shell(
        "mkdir ~/my-certs && cd ~/my-certs && openssl req -x509 -days 1 -nodes -newkey rsa:2048"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout my.key -out my.crt;"
        "docker run -d --name my-registry -p 5000:443 -v ~/my-certs:/certs:ro"
        " -e REGISTRY_HTTP_ADDR=0.0.0.0:443 -e REGISTRY_HTTP_TLS_CERTIFICATE=/certs/my.crt"
        f" -e REGISTRY_HTTP_TLS_KEY=/certs/my.key {IMAGES['registry']}"
    )
    ask_it = "curl -s https://localhost:5000/v2/_catalog"

    until(shell, f"{ask_it} --cacert ~/my-certs/my.crt", '{"repositories":[]}')
    assert shell(f"{ask_it} || echo $?") == "60\n", "nobody trusts it who was not told to"


def test_go_builds_a_static_program_for_an_image_with_nothing_else(shell: Type) -> None:
    shell(
        f"""mkdir ~/my-go && cd ~/my-go
cat > main.go << 'END'
package main

import "os"

func main() {{ os.Stdout.WriteString("built by Go\\n") }}
END
cat > Dockerfile << 'END'
FROM {IMAGES["golang"]} AS build
WORKDIR /src
COPY main.go .
RUN go build -o /hello main.go
FROM scratch
COPY --from=build /hello /
CMD ["/hello"]
END
docker build -q -t my-image ."""
    )

    assert shell("docker run --rm my-image") == "built by Go\n"
    assert int(shell("docker inspect -f '{{.Size}}' my-image")) < 5_000_000


def test_the_database_keeps_what_it_acknowledged(shell: Type, room: Room) -> None:
    run = f"docker run -d --name my-db -p 27017:27017 -v my-data:/data/db {IMAGES['mongo']}"
    shell(run)
    until(shell, "docker logs my-db", "Waiting for connections")
    thing = {"insert": "things", "documents": [{"_id": 1, "text": "kept"}], "$db": "my"}

    assert ask(room.address(VM1), 27017, **thing)["n"] == 1
    shell("docker kill --signal KILL my-db && docker start my-db")
    until(shell, "docker exec my-db bash -c '</dev/tcp/127.0.0.1/27017 && echo listens'", "listens")
    assert ask(room.address(VM1), 27017, count="things", **{"$db": "my"}) == {"n": 1, "ok": 1}
    stop = "s=$(date +%s%N); docker stop my-db >/dev/null; echo $((($(date +%s%N) - s) / 1000000))"
    assert int(shell(stop)) < 3000
    assert shell("docker inspect -f '{{.State.ExitCode}}' my-db && docker rm my-db") == "0\nmy-db\n"
    shell(run)
    until(shell, "docker logs my-db", "Waiting for connections")
    assert ask(room.address(VM1), 27017, count="things", **{"$db": "my"})["n"] == 1
    assert shell("docker exec my-db stat -c '%U %u' /data/db /proc/1") == "mongodb 999\n" * 2
