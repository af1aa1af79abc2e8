"""The role depot: its configuration as it is written, and its modules' decisions."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import yaml
from ansible.module_utils import labkit_apt

ROLE = Path(__file__).parents[2] / "roles" / "depot"
services = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_depot_services.py")))
proof = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_depot_proof.py")))
packages = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_depot_packages.py")))
OWN = "https://npm.example"


def rendered(template: str, **given: Any) -> str:
    inputs = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    internals = {
        "__depot_settings": "/etc/labkit-depot",
        "__depot_run": "/run/labkit-depot",
        "__depot_log_bytes": 1,
        "__depot_store_port": 5081,
        "__depot_through_port": 5082,
        "__depot_hub_port": 5083,
        "__depot_hub": inputs["depot_upstreams"]["docker.io"],
        "__depot_npm_own": OWN,
        "__depot_npm": OWN,
    }
    folder = jinja2.FileSystemLoader(ROLE / "templates")
    environment = jinja2.Environment(
        loader=folder,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - no page, but nginx and YAML
    )
    return environment.get_template(template).render({**inputs, **internals, **given})


def test_nginx_listens_and_answers_as_the_inputs_say() -> None:
    text = rendered("nginx.conf.j2", depot_port=1234, depot_proxy_port=4321)

    assert "listen 1234;" in text
    assert "listen 4321;" in text
    assert "allow 10.0.0.0/8;" in text
    assert text.index("allow fe80::/10;") < text.index("deny all;")
    assert '"download.docker.com" https;' in text


def test_nothing_but_reading_is_allowed_anywhere() -> None:
    for template, passes in (("nginx.conf.j2", 1), ("npm.conf.j2", 1), ("packages.conf.j2", 1)):
        assert rendered(template).count("limit_except GET HEAD { deny all; }") == passes


def test_nginx_is_started_with_options_that_one_of_ubuntu_22_04_has() -> None:
    (start,) = (
        line for line in rendered("nginx.service.j2").splitlines() if line.startswith("ExecStart=")
    )

    # 1.18; -e came with 1.19.5.
    assert " -e " not in start


@pytest.mark.parametrize(
    "newer",
    # What nginx's CHANGES tell of 1.19.1, 1.19.3 and 1.19.4.
    ["min_free=", "proxy_cookie_flags", "ssl_reject_handshake"],
)
def test_nginx_is_told_nothing_that_one_of_ubuntu_22_04_does_not_know(newer: str) -> None:
    for template in ("nginx.conf.j2", "npm.conf.j2", "packages.conf.j2"):
        assert newer not in rendered(template)


def test_modules_are_said_to_lie_at_the_depot_whoever_names_them() -> None:
    assert rendered("npm.conf.j2").count("sub_filter ") == 1
    mirror = rendered("npm.conf.j2", __depot_npm="https://mirror.example/npm")

    assert f'sub_filter "{OWN}/" "http://$http_host/npm/";' in mirror
    assert 'sub_filter "https://mirror.example/npm/" "http://$http_host/npm/";' in mirror


def test_the_store_cannot_be_written_to_and_the_other_asks_upstream_through_nginx() -> None:
    store = yaml.safe_load(rendered("store.yml.j2"))
    through = yaml.safe_load(rendered("through.yml.j2"))
    nginx = rendered("nginx.conf.j2", __depot_hub="http://198.18.7.1:5000")

    assert store["storage"]["maintenance"]["readonly"]["enabled"] is True
    assert "proxy" not in store
    assert through["proxy"]["remoteurl"] == "http://127.0.0.1:5083"
    assert "listen 127.0.0.1:5083;" in nginx
    assert "set $depot_hub http://198.18.7.1:5000;" in nginx
    assert {one["http"]["addr"].split(":")[0] for one in (store, through)} == {"127.0.0.1"}


def test_every_template_is_written_to_some_path() -> None:
    named = (ROLE / "vars/main.yml").read_text()

    assert [one.name for one in (ROLE / "templates").iterdir() if one.name not in named] == []


def test_only_a_file_whose_text_differs_is_stale(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("x")
    files = {str(tmp_path / "same"): "x", str(tmp_path / "new"): "y"}

    assert services.stale(files) == {str(tmp_path / "new"): "y"}
    services.write(files)
    assert services.stale(files) == {}


def test_a_folder_of_somebody_elses_is_told_from_a_depots(tmp_path: Path) -> None:
    assert not services.is_foreign(tmp_path / "nowhere")
    assert not services.is_foreign(tmp_path)
    (tmp_path / "theirs").touch()
    assert services.is_foreign(tmp_path)
    (tmp_path / services.MARK).touch()
    assert not services.is_foreign(tmp_path)


class Said(Exception):
    """What a module failed with."""


def bring_up(units: dict[str, dict[str, str]], directory: Path) -> list[str]:
    def fail(**told: Any) -> None:
        raise Said(told["msg"])

    module = SimpleNamespace(params={"units": units}, check_mode=False, fail_json=fail)
    return list(services.bring_up(module, directory))


def test_files_that_were_written_but_refused_or_not_read_are_due_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "depot"
    units = {"a.service": {str(tmp_path / "a.conf"): "x"}, "b.service": {}}
    seen, restarted, codes = services.bring_up.__globals__, [], [1, 0]  # type: Any, list[Any], Any
    refusals = ["no such directive", "", ""]

    def systemctl(verb: str, *words: str) -> Any:
        code = 0
        if verb == "restart":
            restarted.append(words)
            code = codes.pop(0)
        return SimpleNamespace(returncode=code)

    monkeypatch.setitem(seen, "FOLDERS", {"store": ""})
    monkeypatch.setitem(seen, "systemctl", systemctl)
    monkeypatch.setitem(seen, "idle", lambda _: [])
    monkeypatch.setitem(seen, "refused", lambda: refusals.pop(0))
    directory.mkdir()
    (directory / "store").mkdir()
    with pytest.raises(Said, match="no such directive"):
        bring_up(units, directory)

    # Nothing is stale any more, but no service has read it: at first one that cannot be restarted.
    for _ in range(2):
        assert bring_up(units, directory) == ["a.service"]
    assert bring_up(units, directory) == []
    assert restarted == [("a.service",)] * 2


@pytest.mark.parametrize("kept", [True, False])
def test_the_folder_of_its_settings_goes_when_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    seen = services.take_down.__globals__
    monkeypatch.setitem(seen, "RUN", tmp_path / "run")
    monkeypatch.setitem(seen, "systemctl", lambda *_: None)
    settings = tmp_path / "labkit-depot"
    services.write({str(settings / "store.yml"): "x"})
    if kept:
        (settings / "installed.json").touch()
    units = {"a.service": {str(settings / "store.yml"): "x"}}
    services.take_down(SimpleNamespace(params={"units": units}, check_mode=False), tmp_path / "d")

    assert settings.exists() is kept


def test_only_labkits_own_answer_is_a_depots() -> None:
    assert proof.is_depot(b'{"labkit": "depot", "proxy_port": 3142}')
    assert not any(proof.is_depot(one) for one in (b"", b"<html>", b"[]", b'{"labkit": "x"}'))


def test_what_does_not_come_true_in_time_is_named() -> None:
    proofs = {"so": ("unit", lambda: True), "not so": ("unit", lambda: False)}

    assert proof.silent(proofs, 0) == ["not so"]


def test_what_was_installed_is_remembered_over_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = packages.install.__globals__
    monkeypatch.setitem(noted, "NOTED", tmp_path / "depot" / "installed.json")
    monkeypatch.setitem(noted, "UNITS", tmp_path)
    asked: list[tuple[str, ...]] = []
    none = labkit_apt.Answer("")
    monkeypatch.setitem(noted, "apt_get", lambda *words: asked.append(words) or none)
    monkeypatch.setitem(noted, "run", lambda *_: "nginx install ok installed")

    assert packages.install(["nginx"]) == none
    assert (tmp_path / "nginx.service").readlink() == Path("/dev/null")
    assert packages.noted() == ["nginx"]
    assert packages.remove(packages.noted()) == none
    assert not (tmp_path / "nginx.service").is_symlink()
    assert not (tmp_path / "depot").exists()
    assert [words[0] for words in asked] == ["update", "install", "purge"]


def test_a_busy_apt_is_waited_for_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, busy = packages.install.__globals__, labkit_apt.Answer("held", "unattended-upgr (1)")
    monkeypatch.setitem(seen, "NOTED", tmp_path / "installed.json")
    monkeypatch.setitem(seen, "apt_get", lambda *_: busy)
    monkeypatch.setitem(seen, "run", lambda *_: "nginx install ok installed")

    assert packages.install(["ca-certificates"]).waiting == "unattended-upgr (1)"
    assert packages.remove(["ca-certificates", "nginx"]).waiting
    assert packages.noted() == ["ca-certificates"]


def test_the_module_that_runs_apt_is_found_in_a_playbook_of_the_depot_alone() -> None:
    own = ROLE / "module_utils/labkit_apt.py"

    assert own.resolve() == ROLE.parent / "base/module_utils/labkit_apt.py"
