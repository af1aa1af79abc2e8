"""A class is read by Ansible itself, from any inventory that Ansible can read."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.classroom import Class, Request, read_class
from labkit.errors import BadInput
from labkit.paths import content

Write = Callable[[str, str], Path]
Read = Callable[..., Class]

INI = """
[machines]
seat01-vm1 ansible_host=192.0.2.11 seat=seat01
seat01-vm2 ansible_host=192.0.2.12 seat=seat01 ansible_port=2222
seat02-vm1 ansible_host=192.0.2.21 seat=seat02
guest

[depot]
depot ansible_host=192.0.2.2

[machines:vars]
ansible_user=ubuntu
"""
SEATS = {
    "seat01": [
        {"name": "seat01-vm1", "address": "192.0.2.11"},
        {"name": "seat01-vm2", "address": "192.0.2.12"},
    ],
    "seat02": [{"name": "seat02-vm1", "address": "192.0.2.21"}],
    "guest": [{"name": "guest", "address": "guest"}],
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into the class's folder; the working directory is another one."""
    for variable in ("ANSIBLE_CONFIG", "ANSIBLE_INVENTORY", "ANSIBLE_REMOTE_USER"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def write(name: str, text: str) -> Path:
        file = tmp_path / "my class" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(inventory: Path, **given: Any) -> Class:
        (tmp_path / "run").mkdir(exist_ok=True)
        return read_class(Request(inventory, **given), tmp_path / "run")

    return read


def test_an_ini_inventory_with_a_depot(write: Write, read: Read) -> None:
    known = read(write("class.ini", INI))

    assert known.seats() == SEATS
    assert [one.number for one in known.machines] == [1, 2, 1, 1]
    assert known.chosen == ("seat01-vm1", "seat01-vm2", "seat02-vm1", "guest")
    assert known.machines[1].connection.port == 2222
    assert known.machines[1].connection.user == "ubuntu"


def test_a_yaml_inventory(write: Write, read: Read) -> None:
    hosts = "{vm1: {ansible_host: 192.0.2.11, seat: a}, vm2: {seat: a}}"
    known = read(write("class.yml", f"machines: {{hosts: {hosts}}}\n"))

    assert list(known.seats()) == ["a"]
    assert known.machines[1].connection.host == "vm2"


def test_an_inventory_that_is_a_directory(write: Write, read: Read) -> None:
    write("class/hosts.ini", INI)
    write("class/group_vars/machines/attendee.yml", "attendee_name: maria\n")
    folder = write("class/host_vars/guest.yml", "seat: seat02\n").parents[1]
    known = read(folder)

    assert known.directory == folder
    assert known.machines[3].seat == "seat02"
    assert {one.inputs["attendee_name"] for one in known.machines} == {"maria"}


def test_what_labkit_keeps_in_an_inventory_that_is_a_directory_is_no_machine(
    write: Write, read: Read
) -> None:
    write("class/known_hosts", "192.0.2.11 ssh-ed25519 AAAA\n")
    write("class/logins.csv", "seat,machine,address,user,password\nvm1,vm1,h,student,k7wm\n")
    write("class/engine.lock.json", "{}")
    known = read(write("class/hosts.ini", "vm1\n").parent)

    assert [one.name for one in known.machines] == ["vm1"]


def test_without_a_group_machines_every_host_outside_depot_is_one(write: Write, read: Read) -> None:
    known = read(write("class.ini", "vm1\n[other]\nvm2\n[depot]\ncache\n"))

    assert [one.name for one in known.machines] == ["vm1", "vm2"]


NATTED = """[machines]
vm1 ansible_host=127.0.0.1 ansible_port=2201 seat=a seat_address=10.0.0.11
vm2 ansible_host=127.0.0.1 ansible_port=2202 seat=a seat_address='10.0.0.{{ octet }}' octet=12
vm3 ansible_host=192.0.2.13 seat=a swarm_node_advertise_address=''
vm4 ansible_host=192.0.2.14 seat=a swarm_node_advertise_address=10.0.0.14
"""
PLAIN = """
- hosts: all
  gather_facts: false
  connection: local
  vars_files: ["{{ role }}/defaults/main.yml", "{{ role }}/vars/main.yml"]
  tasks:
    - ansible.builtin.assert:
        that:
          - __preflight_seat_machines | map(attribute='address') | join(' ') == expected
          - preflight_address in expected.split()
"""


def test_the_seats_own_address_beats_the_one_that_ssh_uses(write: Write, read: Read) -> None:
    known = read(write("class.ini", NATTED))

    assert [one["address"] for one in known.seats()["a"]] == [
        *("10.0.0.11", "10.0.0.12", "192.0.2.13", "10.0.0.14")
    ]
    assert known.machines[0].connection.host == "127.0.0.1"


def test_plain_ansible_takes_the_seats_own_address_too(write: Write) -> None:
    playbook, inventory = write("play.yml", PLAIN), write("class.ini", NATTED)
    known = {
        "role": f"{content()}/roles/preflight",
        "expected": "10.0.0.11 10.0.0.12 192.0.2.13 10.0.0.14",
    }
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, "-e", json.dumps(known), playbook],
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(re.findall("ok=1 .*failed=0", done.stdout)) == 4, done.stdout + done.stderr


def test_a_seat_may_be_computed(write: Write, read: Read) -> None:
    text = "[machines]\na-1\na-2\n[machines:vars]\nseat={{ inventory_hostname.split('-')[0] }}\n"

    assert list(read(write("class.ini", text)).seats()) == ["a"]


def test_addresses_and_keys_may_be_computed(write: Write, read: Read) -> None:
    text = """[machines]
vm1 octet=7
[machines:vars]
ansible_host=192.0.2.{{ octet }}
ansible_ssh_private_key_file={{ inventory_dir }}/id_ed25519
"""
    file = write("class.ini", text)
    write("id_ed25519.pub", "an agent holds the other half")
    connection = read(file).machines[0].connection

    assert connection.host == "192.0.2.7"
    assert connection.key == str(file.parent / "id_ed25519")


def test_every_roles_inputs_are_known_with_their_defaults(write: Write, read: Read) -> None:
    write("group_vars/machines/images.yml", "images_pull: [{reference: 'alpine:3'}]\n")
    inputs = read(write("class.ini", "[machines]\nvm1\n")).machines[0].inputs

    assert [image["reference"] for image in inputs["images_pull"]] == ["alpine:3"]
    assert inputs["attendee_name"] == "student"
    assert inputs["sample_apps_names"] == ["fortune-clock", "todo", "guide"]


def test_jump_hosts_and_other_arguments_are_honoured(write: Write, read: Read) -> None:
    text = """[machines]
vm1
[machines:vars]
ansible_ssh_common_args=-J gate@192.0.2.1 -o UserKnownHostsFile="/a b/known"
"""
    arguments = read(write("class.ini", text)).machines[0].connection.arguments

    assert arguments[arguments.index("-J") + 1] == "gate@192.0.2.1"
    assert "UserKnownHostsFile=/a b/known" in arguments
    # ssh takes the first value of an option: labkit's own stand behind the instructor's.
    assert arguments.index("-J") < arguments.index("StrictHostKeyChecking=accept-new")


def test_the_login_may_come_from_the_command_line(write: Write, read: Read) -> None:
    file = write("class.ini", "[machines]\nvm1\n")
    key = str(write("maria.key", ""))
    connection = (
        read(
            file,
            user="maria",
            private_key=key,
            connection_password="k7wm",  # noqa: S106 - a test's
            become_password="p3xd",  # noqa: S106 - a test's
        )
        .machines[0]
        .connection
    )

    assert (connection.user, connection.key) == ("maria", key)
    assert (connection.password, connection.become_password) == ("k7wm", "p3xd")
    assert not {"k7wm", "p3xd"} & set(re.findall(r"\w+", repr(connection)))


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ("seat01", ["seat01-vm1", "seat01-vm2"]),
        ("seat02-vm1", ["seat02-vm1"]),
        ("seat01-vm1,guest", ["seat01-vm1", "guest"]),
        ("machines:!seat01", ["seat02-vm1", "guest"]),
        ("*vm1", ["seat01-vm1", "seat02-vm1"]),
        ("depot", []),
    ],
)
def test_a_limit_names_machines_seats_or_patterns(
    write: Write, read: Read, limit: str, chosen: list[str]
) -> None:
    known = read(write("class.ini", INI), limit=limit)

    assert list(known.chosen) == chosen
    assert known.seats() == SEATS


@pytest.mark.parametrize("limit", ["seat9", "seat01,seat9", "guest,nobody"])
def test_an_unknown_name_in_a_limit_is_told(write: Write, read: Read, limit: str) -> None:
    with pytest.raises(BadInput, match=r"--limit.*(seat9|nobody)") as error:
        read(write("class.ini", INI), limit=limit)

    assert "ansible-inventory --graph" in str(error.value.hint)


def test_extra_variables_beat_all_others(write: Write, read: Read) -> None:
    write("group_vars/all.yml", "attendee_name: maria\nswarm_node_mesh: true\n")
    extra = write("extra.yml", "attendee_sudo: true\n")
    known = read(
        write("class.ini", INI),
        extra_vars=("attendee_name=jo", f"@{extra}", '{"images_pull": []}'),
    )
    inputs = known.machines[0].inputs

    assert (inputs["attendee_name"], inputs["attendee_sudo"]) == ("jo", True)
    assert inputs["images_pull"] == []
    assert known.extra_vars["attendee_name"] == "jo"
    assert "extra_vars" not in repr(known)


def vaulted(write: Write, text: str) -> tuple[Path, str]:
    """Put an encrypted file among the class's variables, and return its password's file."""
    password = write("vault-password", "open sesame\n")
    file = write("group_vars/machines/vault.yml", text)
    command = ["ansible-vault", "encrypt", "--vault-password-file", password, file]
    subprocess.run(command, check=True, capture_output=True)
    return password, "open sesame"


def test_a_vault_opens_with_its_password_file(write: Write, read: Read) -> None:
    password, _ = vaulted(write, "attendee_name: secret\n")
    known = read(write("class.ini", INI), vault_password_files=(str(password),))

    assert known.machines[0].inputs["attendee_name"] == "secret"


def test_a_vault_opens_with_the_password_that_was_asked_for(write: Write, read: Read) -> None:
    _, password = vaulted(write, "attendee_name: secret\n")
    known = read(write("class.ini", INI), vault_password=password)

    assert known.machines[0].inputs["attendee_name"] == "secret"


def test_a_closed_vault_is_told_with_the_way_to_open_it(write: Write, read: Read) -> None:
    vaulted(write, "attendee_name: secret\n")

    with pytest.raises(BadInput) as error:
        read(write("class.ini", INI))
    assert "--ask-vault-pass" in str(error.value.hint)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class.ini", "[machines\nvm1\n"),
        ("class.yml", "machines: {hosts: [\n"),
        ("class.ini", "[machines:children]\nnobody\n[machines:vars]\nno value\n"),
    ],
)
def test_a_broken_inventory_is_named(write: Write, read: Read, name: str, text: str) -> None:
    with pytest.raises(BadInput) as error:
        read(write(name, text))

    assert f"my class/{name}" in error.value.message
    assert "\n" not in error.value.message
    assert "Traceback" not in error.value.message
    assert error.value.hint


def test_a_broken_variable_file_is_named(write: Write, read: Read) -> None:
    write("group_vars/machines/images.yml", "images_pull: [\n")

    with pytest.raises(BadInput, match=r"images\.yml"):
        read(write("class.ini", INI))


@pytest.mark.parametrize("text", ["", "[machines]\n", "[depot]\ncache\n"])
def test_a_class_without_machines_is_refused(write: Write, read: Read, text: str) -> None:
    with pytest.raises(BadInput, match=r"class\.ini") as error:
        read(write("class.ini", text))

    assert error.value.hint


def test_an_inventory_that_is_not_there_is_named(tmp_path: Path, read: Read) -> None:
    with pytest.raises(BadInput, match="there is no inventory") as error:
        read(tmp_path / "class.ini")

    assert "labkit sandbox up" in str(error.value.hint)


def test_a_machine_that_is_not_reached_over_ssh_is_refused(write: Write, read: Read) -> None:
    with pytest.raises(BadInput, match="vm1 is reached by 'local'"):
        read(write("class.ini", "[machines]\nvm1 ansible_connection=local\n"))


@pytest.mark.parametrize("given", ["swarm_node_mesh=false", "swarm_node_mesh=no"])
def test_an_input_has_the_type_that_its_role_expects(write: Write, read: Read, given: str) -> None:
    known = read(write("class.ini", "[machines]\nvm1\n"), extra_vars=(given,))

    assert known.machines[0].inputs["swarm_node_mesh"] is False


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("docker_engine_daemon", "[1, 2]", "docker_engine_daemon"),
        ("docker_engine_version", "28.10", "docker_engine_version: 28.1 is a number"),
        ("docker_engine_source", "snap", "value of docker_engine_source must be one of"),
        ("attendee_sudo", "perhaps", "attendee_sudo"),
        ("images_pull", "[{tags: [a]}]", "missing required arguments: reference"),
        ("base_package", "[vim]", "no input of the role base; did you mean base_packages?"),
        ("attendee_keys", "{a: 1}", "attendee_keys"),
        ("swarm_node_zzz", "1", "swarm_node_zzz is no input of the role swarm_node"),
    ],
)
def test_a_wrong_input_is_named_with_its_machines(
    write: Write, read: Read, name: str, value: str, said: str
) -> None:
    write("host_vars/vm1.yml", f"{name}: {value}\n")
    with pytest.raises(BadInput, match=re.escape(said)) as raised:
        read(write("class.ini", "[machines]\nvm1\nvm2\n"))

    assert "vm1" in str(raised.value)
    assert "vm2" not in str(raised.value)
    assert raised.value.hint


def test_a_secret_of_the_wrong_type_is_not_told(write: Write, read: Read) -> None:
    write("host_vars/vm1.yml", "attendee_password_hashes: [s3cret]\n")
    with pytest.raises(BadInput, match="attendee_password_hashes has to be of type dict") as raised:
        read(write("class.ini", "[machines]\nvm1\n"))

    assert "s3cret" not in str(raised.value)


def test_a_group_or_variable_that_no_role_owns_is_fine(write: Write, read: Read) -> None:
    known = read(write("class.ini", "[machines]\nvm1 venue=lab7 ansible_become=true\n"))

    assert known.machines


def test_machines_are_told_where_the_depot_is(write: Write, read: Read) -> None:
    known = read(
        write("class.ini", INI.replace("[depot]", "[depot:vars]\ndepot_proxy_port=3999\n[depot]"))
    )
    inputs = known.machines[0].inputs

    assert known.depot
    assert inputs["preflight_depot"] == known.depot.url == "http://192.0.2.2:5080"
    assert inputs["preflight_depot_proxy_port"] == 3999


def test_a_class_without_a_depot_knows_none(write: Write, read: Read) -> None:
    known = read(write("class.ini", "vm1\n"))

    assert known.depot is None
    assert known.machines[0].inputs["preflight_depot"] == ""
