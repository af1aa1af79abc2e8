"""Bad input is one clear line that names it and a hint; nothing is touched, nothing is traced."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from commandline import Labkit

from labkit.errors import BadInput
from labkit.refusals import refuse_twins, wrong_connection, wrong_values
from labkit.ssh import Connection

# No machine stands behind it: whoever is let through is refused there at once.
GOOD = "[machines]\nvm1 ansible_host=127.0.0.1 ansible_port=1\n"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
# A pipe instead of a file.
PIPE = None
ROLES = "group_vars/machines/roles.yml"
VAULT = """$ANSIBLE_VAULT;1.1;AES256
35303263333135643063313036346361646364353937623939333636366134353362346434633465
6132333536653665626336316337333932393661396239640a613730373663356562663332656231
35353761633464636233356464353964306532633565336131323334613061623035613865623535
3238353235646165320a663663643638313263633836386161323165623636313064313835613232
39663831613862316566613361393366663936353935376238333234363737383932
"""


@dataclass(frozen=True)
class Case:
    """What is wrong: what is typed, what lies in the class's folder, what the line has to say."""

    says: str
    typed: str = "verify -i class.ini"
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)

    def put(self, folder: Path) -> None:
        for name, content in {"class.ini": GOOD, **self.files}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is PIPE:
                os.mkfifo(file)
            else:
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, mode in self.modes.items():
            (folder / name).chmod(mode)


def hosts(*lines: str) -> dict[str, str | bytes | None]:
    return {"class.ini": "\n".join(("[machines]", *lines, ""))}


def limited(limit: str, says: str) -> Case:
    return Case(says, f"verify -i class.ini --limit={limit}")


VERIFY = "verify -i class.ini"
CASES = {
    # The inventory as a file.
    "missing": Case("there is no inventory .*/none.ini", "provision -i none.ini"),
    "folder without one": Case(
        "no file in .*/sub is an inventory", "verify -i sub", {"sub/.x": ""}
    ),
    "folder with a broken one": Case(
        "/sub/two: a [ has no ]".replace("[", r"\["),
        "provision -i sub",
        {"sub/one": GOOD, "sub/two": "[machines\nvm2\n"},
    ),
    "binary": Case("class.ini is a binary file", files={"class.ini": b"\x7fELF\0\0\1"}),
    "pipe": Case("class.ini is a pipe", files={"class.ini": PIPE}),
    "pipe beside it": Case("roles.yml is a pipe", files={ROLES: PIPE}),
    "device": Case("/dev/null is a pipe or a device", "verify -i /dev/null"),
    "unreadable": Case("'class.ini' is not readable", modes={"class.ini": 0}),
    "unreadable beside it": Case("roles.yml", files={ROLES: ""}, modes={ROLES: 0}),
    # Its text.
    "broken INI": Case(r"class.ini: a \[ has no \]", files={"class.ini": "[machines\nvm1\n"}),
    "broken YAML": Case(
        "class.yml:2:", "verify -i class.yml", {"class.yml": "machines: {hosts: [\n"}
    ),
    "YAML of another shape": Case(
        'class.yml: Invalid "hosts"', "verify -i class.yml", {"class.yml": "all: {hosts: [a]}\n"}
    ),
    "broken variables": Case("roles.yml:2:", files={ROLES: "a: [\n"}),
    "empty": Case("class.ini holds no machine", files={"class.ini": ""}),
    "undefined address": Case(
        "ansible_host: 'nope' is undefined .*vm1", files=hosts("vm1 ansible_host='{{ nope }}'")
    ),
    # Who takes part.
    "limit of nobody": limited("seat9", "no machine matches --limit 'seat9'"),
    "limit nearly right": limited("vn1", "'vn1'; did you mean vm1?"),
    "limit without nobody": limited("all:!seat9", "'seat9'"),
    "limit that leaves none": limited("!vm1", "--limit leaves no machine"),
    "limit of nothing": limited("", "--limit is empty"),
    "limit no expression": limited("~[", r"--limit: ~\[ is no regular expression"),
    "limit no file": limited("@names", "--limit: .*names"),
    # The way to a machine.
    "listed twice": Case(
        "vm1 and vm2 are one machine: both lead to h.example port 22",
        files=hosts("vm1 ansible_host=h.example", "vm2 ansible_host=H.example ansible_port=22"),
    ),
    "port too high": Case("no port 70000 .*vm1", files=hosts("vm1 ansible_port=70000")),
    "port no number": Case("port.*'ssh'", files=hosts("vm1 ansible_port=ssh")),
    "open quotation": Case(
        "ssh arguments of vm1", files=hosts("vm1 ansible_ssh_common_args='-o \"x'")
    ),
    "key typed missing": Case("File 'no.key' does not exist", f"{VERIFY} --private-key no.key"),
    "key unreadable": Case(
        "my.key' is not readable", f"{VERIFY} --private-key my.key", {"my.key": KEY}, {"my.key": 0}
    ),
    "key for all": Case(
        "my.key is open to others",
        f"{VERIFY} --private-key my.key",
        {"my.key": KEY},
        {"my.key": 0o644},
    ),
    # Variables.
    "type": Case("docker_engine_daemon", files={ROLES: "docker_engine_daemon: [1]\n"}),
    "unknown input": Case("did you mean base_packages?", files={ROLES: "base_package: [vim]\n"}),
    "attendee": Case("'Jo Doe' cannot be", files={ROLES: "attendee_name: Jo Doe\n"}),
    "app": Case(
        "sample_apps_names must be one or more of: fortune-clock, todo, guide. Got no match for: tido",
        files={ROLES: "sample_apps_names: [todo, tido]\n"},
    ),
    "image": Case("'A b' is no image", files={ROLES: "images_pull: [{reference: A b}]\n"}),
    "host name": Case("'vm_1' cannot be a host name", files=hosts("vm_1")),
    "host name no UTF-8": Case(
        "cannot be a host name", files={"class.ini": b"[machines]\nvm\xe9\n"}
    ),
    "vault closed": Case("vault password must be specified", files={ROLES: VAULT}),
    "vault wrong": Case(
        "Decryption failed",
        f"{VERIFY} --vault-password-file pw",
        {ROLES: VAULT, "pw": "open barley\n"},
    ),
    "vault empty": Case(
        "Invalid vault password .*/pw", f"{VERIFY} --vault-password-file pw", {"pw": ""}
    ),
    "vault missing": Case("'pw' does not exist", f"{VERIFY} --vault-password-file pw"),
    # What else is typed.
    "forks": Case("0 is not in the range", f"{VERIFY} --forks 0"),
    "role": Case("no role 'imags'", "provision -i class.ini --tags imags"),
    "report": Case("--junit: no/report.xml", f"{VERIFY} --junit no/report.xml"),
    "page": Case("--html: no/page.html", f"{VERIFY} --html no/page.html"),
    "record": Case("--since: last is no record", f"{VERIFY} --since last"),
    # What is to be rehearsed.
    "guide alone": Case("--guide and --force are for a rehearsal", f"{VERIFY} --guide g"),
    "guide missing": Case("there is no guide in g", f"{VERIFY} --rehearse --guide g"),
    "guide empty": Case("g holds no chapter", f"{VERIFY} --rehearse --guide g", {"g/README": ""}),
    "guide damaged": Case(
        "g/01-a.md:3: unknown word 'oops'",
        f"{VERIFY} --rehearse --guide g",
        {"g/01-a.md": "# A\n\n<!-- rehearse: oops -->\n```console\n$ a\n```\n"},
    ),
    "chapter": Case(
        "there is no chapter '7'", f"{VERIFY} --rehearse=1,7 --guide g", {"g/01-a.md": "# A\n"}
    ),
    "seat too small": Case(
        "chapter 02 needs 3 machines, and vm1 has 1 here",
        f"{VERIFY} --rehearse=1-2 --guide g",
        {"g/01-a.md": "# A\n", "g/02-b.md": "# B\n<!-- chapter: machines=3 -->\n"},
    ),
    # The class's folder.
    "folder read only": Case(r"\.labkit: Permission denied", modes={".": 0o555}),
    "record of another": Case(
        r"\.labkit.*: Permission denied", files={".labkit/lock": ""}, modes={".labkit/lock": 0o444}
    ),
    "logins damaged": Case("logins.csv is no table", files={"logins.csv": b"\xff\xfe\0"}),
    "logins unreadable": Case(
        "logins.csv cannot be read", files={"logins.csv": ""}, modes={"logins.csv": 0}
    ),
    "lock damaged": Case("engine.lock.json is no JSON", files={"engine.lock.json": "[]"}),
}
Answer = tuple[CompletedProcess[str], bool, list[Path]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Answer]]]:
    """Run all cases, two at a time: each waits for Ansible to be imported."""

    def run(case: Case) -> Answer:
        labkit = Labkit(tmp_path_factory.mktemp("bad"))
        case.put(labkit.folder)
        before = labkit.kept()
        said = labkit(*case.typed.split())
        unchanged = labkit.kept() == before
        labkit.folder.chmod(0o755)
        left = list(labkit.scratch.iterdir())
        shutil.rmtree(labkit.scratch)
        return said, unchanged, left

    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, case) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_one_line_with_a_hint_and_nothing_is_touched(
    answers: dict[str, Future[Answer]], name: str
) -> None:
    said, unchanged, left = answers[name].result()

    assert "Traceback" not in said.stderr
    assert (said.returncode, said.stdout) == (2, ""), said.stderr
    what, todo = said.stderr.splitlines()
    assert what.startswith("labkit: ")
    assert re.search(CASES[name].says, what), what
    assert todo.startswith("  → ")
    assert unchanged
    assert left == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        *(({"attendee_name": one}, one) for one in ("root", "-x", "1st", "a" * 33, "jo:x", "")),
        *(
            ({"images_pull": [{"reference": one}]}, one)
            for one in ("", "Ubuntu", "a//b", "a:b:c", "ubuntu:", "x@sha256:1", "-a", "http://a/b")
        ),
        ({"images_pull": [{"reference": "a", "tags": ["A"]}]}, "A"),
        *(
            ({"base_hostname": one}, one)
            for one in ("a b", "-a", "a.", "192.0.2.1", "a" * 65, "ü", "")
        ),
        *(
            ({"sample_apps_names": ["a"], "images_build": [{"context": "a", "files": [one]}]}, one)
            for one in ("/etc/passwd", "../x", "")
        ),
    ],
)
def test_a_value_that_cannot_be_is_named(given: dict[str, object], named: str) -> None:
    ((what, todo),) = wrong_values(given)

    assert repr(named) in what
    assert todo


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        *((Connection("h", port), str(port)) for port in (-1, 0, 65536)),
        *((Connection(host), repr(host)) for host in ("-oProxyCommand=x", "a b", "", "a/b")),
        (Connection("h", key="keys/no.key"), "keys/no.key"),
    ],
)
def test_a_way_that_leads_nowhere_is_named(connection: Connection, named: str) -> None:
    ((what, todo),) = wrong_connection(connection)

    assert named in what
    assert todo


def test_a_key_that_an_agent_may_hold_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA")

    for key in (tmp_path / "id", tmp_path / "id.pub"):
        assert list(wrong_connection(Connection("fe80::1%eth0", 65535, key=str(key)))) == []


@pytest.mark.parametrize(
    "reference",
    [
        *("hello-world", "ubuntu:24.04", "library/ubuntu", "10.0.0.1:5000/a/b_c:v1.2-x"),
        *("registry.example/a@sha256:" + "0" * 64, "[::1]:5000/a", "a__b/c--d:_1"),
    ],
)
def test_an_image_reference_is_one_as_docker_takes_it(reference: str) -> None:
    assert list(wrong_values({"images_pull": [{"reference": reference}]})) == []


def test_what_only_a_run_can_know_is_not_judged() -> None:
    assert (
        list(wrong_values(dict.fromkeys(("attendee_name", "base_hostname", "images_pull")))) == []
    )


JUMPS = (("-J", "gate1"), ("-o", "ProxyJump=gate2"), ("-o", "ProxyCommand=nc %h %p"), ())


def test_one_address_behind_different_gates_or_ports_is_several_machines() -> None:
    behind = [Connection("10.0.0.1", arguments=jump) for jump in JUMPS]
    forwarded = [Connection("10.0.0.1", port) for port in (2201, 2202)]
    listed = {f"vm{number}": one for number, one in enumerate((*behind, *forwarded))}

    refuse_twins(listed, os.environ)
    with pytest.raises(BadInput, match="vm0 and twin are one machine"):
        refuse_twins({**listed, "twin": behind[0]}, os.environ)
