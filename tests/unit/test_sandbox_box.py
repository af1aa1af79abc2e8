"""What is read off the box is what its machines can use, and nothing else."""

import pytest

from labkit.sandbox import apt, box

MIRRORS = """\
Packages|Vendor||stable|http://vendor.example/apt/
Packages|Debian|main|bookworm|http://mirror.example/debian/
DEP-11|Debian|main|bookworm|http://mirror.example/debian/
Packages|Debian|contrib|bookworm|http://other.example/debian/
Packages|Debian|main|bookworm-updates|http://mirror.example/debian/
Packages|Debian|main|bookworm-security|http://mirror.example/debian-security/
"""


def test_the_boxs_mirrors_serve_our_release() -> None:
    main, security = apt.read_targets(MIRRORS, "trixie")

    assert main == apt.Archive("http://mirror.example/debian", ("trixie", "trixie-updates"))
    assert security == apt.Archive("http://mirror.example/debian-security", ("trixie-security",))
    assert main.lines()[0] == "deb http://mirror.example/debian trixie main"


def test_a_machine_of_an_older_release_gets_that_releases_suites() -> None:
    main, security = apt.read_targets(MIRRORS, "bookworm")

    assert main.suites == ("bookworm", "bookworm-updates")
    assert security.suites == ("bookworm-security",)


def test_a_box_that_never_updated_its_lists_still_names_its_mirrors() -> None:
    unknown = MIRRORS.replace("|Debian|", "||")

    assert apt.read_targets(unknown, "trixie") == apt.read_targets(MIRRORS, "trixie")


def test_a_box_with_ubuntus_mirrors_only_leaves_the_choice_to_the_tools() -> None:
    line = "Packages|Ubuntu|main|noble|http://mirror.example/ubuntu/\n"

    assert apt.read_targets(line, "trixie") == ()


def test_only_options_that_hold_on_a_machine_are_handed_on() -> None:
    dump = (
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::Proxy "http://127.0.0.1:3142";\n'
        'Acquire::Check-Date "false";\n'
        'Acquire::Languages:: "none";\n'
        'Acquire::http "";\n'
    )

    assert apt.read_options(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Check-Date "false";\n'
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("# made by hand\nnameserver 192.0.2.53\n", "nameserver 192.0.2.53\n"),
        ("nameserver 127.0.0.53\nsearch example.org\n", ""),
        (
            "search example.org\nnameserver 127.0.0.1\nnameserver 192.0.2.53\noptions edns0\n",
            "search example.org\nnameserver 192.0.2.53\n",
        ),
        ("nameserver\n", ""),
    ],
)
def test_a_resolver_on_the_boxs_loopback_is_not_handed_on(text: str, kept: str) -> None:
    assert box.read_resolver_settings(text) == kept


def test_the_kernel_is_asked_and_not_a_list_of_modules() -> None:
    # This family every kernel has; no kernel has the other.
    assert box.kernel_knows("nlctrl")
    assert not box.kernel_knows("labkit")


def test_an_address_nobody_answers_at_is_out_of_reach() -> None:
    assert not box.answers("http://127.0.0.1:1/", (200,))


@pytest.mark.parametrize("asked", ["1", "0", ""])
def test_stand_ins_that_are_asked_for_come_before_docker_hub(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "answers", lambda *_: True)
    monkeypatch.setenv("LABKIT_STAND_INS", asked)

    assert box.reaches_hub() == (asked != "1")
    assert box.look().reaches_hub == (asked != "1")
