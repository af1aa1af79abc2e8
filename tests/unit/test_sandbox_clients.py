"""What an image learns of the box's npm and Go is what serves it there, and no secret."""

import json

from labkit.sandbox import clients

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def test_npm_in_an_image_uses_the_boxs_registry_and_trusts_whom_the_box_trusts() -> None:
    listing = {
        "registry": "https://npm.example/",
        "proxy": None,
        "https-proxy": "http://proxy.example:3128",
        "//npm.example/:_authToken": "secret",
        "cafile": "/home/me/own.crt",
    }

    assert clients.read_npm(json.dumps(listing), AUTHORITIES) == (
        "registry=https://npm.example/\n"
        "https-proxy=http://proxy.example:3128\n"
        f"cafile={AUTHORITIES}\n"
    )


def test_a_registry_on_the_boxs_loopback_is_not_handed_on() -> None:
    listing = {"registry": "http://localhost:4873/", "proxy": "http://127.0.0.1:3128"}

    assert clients.read_npm(json.dumps(listing), AUTHORITIES) == f"cafile={AUTHORITIES}\n"


def test_a_box_without_npm_leaves_the_choice_to_npm() -> None:
    assert clients.read_npm("", AUTHORITIES) == f"cafile={AUTHORITIES}\n"


def test_go_in_an_image_uses_the_boxs_module_proxy() -> None:
    listing = {"GOPROXY": "https://go.example,direct", "GOSUMDB": "off", "GOPRIVATE": ""}

    assert clients.read_go(json.dumps(listing), {"GOPROXY": "none of it"}) == (
        "GOPROXY=https://go.example,direct\nGOSUMDB=off\n"
    )


def test_a_box_without_go_may_still_name_a_module_proxy() -> None:
    assert clients.read_go("", {"GOPROXY": "https://go.example", "HOME": "/root"}) == (
        "GOPROXY=https://go.example\n"
    )
