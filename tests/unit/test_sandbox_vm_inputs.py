"""What a class of virtual machines is told about images, and what its image is told about the box."""

import re
from pathlib import Path

import pytest

from labkit.errors import ControllerError
from labkit.sandbox import apps, apt, parts
from labkit.sandbox.standins import STAND_INS
from labkit.sandbox.vm import image, inputs

ROOT = Path(__file__).parents[2]


def test_emulated_machines_pull_what_the_swarm_chapter_runs_and_build_nothing() -> None:
    few = inputs.few_images("todo:1.0")
    stack = (ROOT / "todo" / "docker-compose-swarm.yml").read_text()
    wanted = {name for name in inputs.SWARM_IMAGES if f"image: {name}:" in stack}
    pulled = {one["reference"].partition(":")[0] for one in few["images_pull"]}

    assert few["images_build"] == []
    assert wanted == {"nginx", "mongo"}
    assert wanted | {"hello-world", "todo"} <= pulled
    assert "node" not in pulled


def test_the_apps_image_has_the_name_that_the_stack_asks_for() -> None:
    stack = (ROOT / "todo" / "docker-compose-swarm.yml").read_text()
    (registry, version) = re.findall(r"REGISTRY:-(.+?)\}/todo:\$\{TODO_VERSION:-(.+?)\}", stack)[0]

    assert inputs.few_images(f"todo:{version}")["images_pull"][-1] == {
        "reference": f"todo:{version}",
        "tags": [f"{registry}/todo:{version}"],
        "disk_mb": 250,
    }


def test_there_is_a_stand_in_for_each_of_them() -> None:
    assert set(inputs.SWARM_IMAGES) <= {one.name for one in STAND_INS}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {name: {"etc/setting": (b"", 0o644)} for name in ("files", "npm", "go")}
    monkeypatch.setattr(parts, "_settings", lambda: told)


@pytest.mark.usefixtures("settings")
def test_the_app_is_built_from_the_stand_in_or_from_the_real_image() -> None:
    ours, real = apps.plan_app(stand_ins=True), apps.plan_app(stand_ins=False)

    assert ours.image.references == real.image.references == ("todo:1.0",)
    assert [parent.image.folder for parent in ours.parents] == ["node-alpine"]
    assert real.parents == ()
    base = re.findall(r"^FROM (\S+)", real.sources["Dockerfile"][0].decode(), re.MULTILINE)
    assert base == ["node:24.19.0-alpine"]
    assert not ours.stands_in
    assert ours.mark != real.mark


@pytest.mark.usefixtures("settings")
def test_a_build_is_sent_what_dockers_client_would_send() -> None:
    sent = set(apps.plan_app(stand_ins=True).sources)

    assert {
        "Dockerfile",
        "package.json",
        "package-lock.json",
        "entrypoint.sh",
        "src/server.js",
    } <= sent
    left_out = {"README.md", ".env", "Dockerfile.full", "docker-compose.yml", "nginx.conf"}
    assert not left_out & sent
    assert not [name for name in sent if name.startswith(("test/", "node_modules/"))]


DUMP = """\
Acquire::http::Proxy "http://localhost:3142";
Acquire::https::Proxy "http://127.0.0.1:3142/";
Acquire::http::Proxy::mirror.lan "http://127.example.org:1";
"""


def test_a_proxy_on_the_boxs_loopback_is_found_from_a_virtual_machine() -> None:
    assert apt.read_options(DUMP, "10.0.2.2") == (
        'Acquire::http::Proxy "http://10.0.2.2:3142";\n'
        'Acquire::https::Proxy "http://10.0.2.2:3142/";\n'
        'Acquire::http::Proxy::mirror.lan "http://127.example.org:1";\n'
    )
    assert apt.seen_from_a_machine("URIs: http://127.0.0.1/debian", "") == (
        "URIs: http://127.0.0.1/debian"
    )


def test_a_box_that_lacks_a_tool_is_told_which_package_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image.shutil, "which", lambda name, **_: None if "m" in name else name)

    with pytest.raises(ControllerError) as refused:
        image.require_tools()

    assert "qemu-system-x86_64, qemu-img, mmdebstrap, mke2fs" in refused.value.message
    assert "qemu-system-x86 qemu-utils mmdebstrap e2fsprogs" in str(refused.value.hint)
    assert "busybox" not in str(refused.value.hint)


def test_nothing_in_the_image_says_which_machine_it_is() -> None:
    files = image.sources("trixie")

    assert "usr/local/sbin/sandbox-setup" in files
    assert not [name for name in files if "ssh_host_" in name or name.endswith("machine-id")]
    assert all(mode in (0o644, 0o755) for _, mode in files.values())
