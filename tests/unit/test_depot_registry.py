"""How a registry is asked: how long it is waited for, and who hears what."""

import time
from collections.abc import Iterator

import pytest
from hub import Hub, serving

from labkit.depot.stock import registry
from labkit.depot.stock.registry import Credentials, Registry, RegistryError
from labkit.depot.stock.upstream import Limits, limits, resolve
from labkit.errors import LabkitError
from labkit.quantities import allowance


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(registry, "TRIES", 2)
    with serving(Hub()) as one:
        one.image("library/ubuntu", "24.04", b"layer", "amd64", "arm64")
        yield one


def test_one_that_hangs_is_not_waited_for_without_end(hub: Hub) -> None:
    hub.faults["manifests"] = ["hang"] * 9
    began = time.monotonic()
    with pytest.raises(RegistryError, match="no answer within 0 s") as why:
        Registry("docker.io", hub.url, patience=0.3).ask("x/manifests/1", "x:1", read=len)

    assert time.monotonic() - began < 2.5
    assert why.value.status == 0
    assert "depot_upstreams" in str(why.value.hint)


def test_one_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TRIES", 1)
    with pytest.raises(RegistryError, match=r"docker.io \(127.0.0.1:9\) .*ubuntu: .*refused"):
        resolve("ubuntu@sha256:" + "0" * 64, ["amd64"], {"docker.io": "http://127.0.0.1:9"})


def test_a_longer_wait_than_anybody_has_is_told_instead(hub: Hub) -> None:
    hub.headers = {"Retry-After": "3600"}
    hub.faults["manifests"] = [429]
    with pytest.raises(RegistryError) as why:
        resolve("ubuntu:24.04", ["amd64"], {"docker.io": hub.url})

    assert "in 3600 s" in str(why.value.hint)


def test_an_image_for_none_of_the_architectures_is_refused(hub: Hub) -> None:
    with pytest.raises(LabkitError, match="nothing for riscv64"):
        resolve("ubuntu:24.04", ["riscv64"], {"docker.io": hub.url})


def test_a_lone_manifest_is_for_what_its_configuration_says(hub: Hub) -> None:
    child = resolve("ubuntu:24.04", ["arm64"], {"docker.io": hub.url}).platforms["arm64"]
    found = resolve(f"ubuntu@{child.digest}", ["amd64", "arm64"], {"docker.io": hub.url})

    assert found.digest == child.digest
    assert found.platforms == {"arm64": child}
    assert found.size("arm64") > sum(one.size for one in child.blobs)


def test_a_manifest_that_is_not_its_digests_is_refused(hub: Hub) -> None:
    hub.faults["manifests/sha256"] = ["alter"]
    with pytest.raises(LabkitError, match="gives something else"):
        resolve("ubuntu:24.04", ["amd64"], {"docker.io": hub.url})


def test_a_mirror_that_counts_nothing_has_no_limit(hub: Hub) -> None:
    assert limits({"docker.io": hub.url}) == Limits(None, None, None)


@pytest.mark.parametrize("told", [True, False])
def test_a_limit_that_is_used_up_is_told_as_such(hub: Hub, *, told: bool) -> None:
    hub.headers = {"ratelimit-limit": "100;w=21600"} if told else {}
    hub.faults["ratelimitpreview"] = [429]
    found = limits({"docker.io": hub.url})

    assert found == (Limits(100, 0, 21600) if told else Limits(None, 0, None))
    assert allowance(found) == ("0 of 100 per 6 hours are left" if told else "0 are left")


@pytest.mark.parametrize("status", [401, 403])
def test_an_account_that_is_refused_is_no_lack_of_a_limit(hub: Hub, status: int) -> None:
    hub.user = "ada"
    hub.faults["/token"] = [status]
    with pytest.raises(RegistryError) as why:
        limits({"docker.io": hub.url}, Credentials("ada", "wrong"))

    assert "name and password" in str(why.value.hint)


def test_credentials_are_for_docker_hub_alone(hub: Hub) -> None:
    hub.user = "ada"
    hub.image("a/b", "1", b"other", "amd64")
    account = Credentials("ada", "word")

    assert resolve("ubuntu:24.04", ["amd64"], {"docker.io": hub.url}, account).platforms
    assert hub.authorized == ["Basic YWRhOndvcmQ="]
    hub.authorized.clear()
    assert resolve("ghcr.io/a/b:1", ["amd64"], {"ghcr.io": hub.url}, account).platforms
    assert hub.authorized == [""]
