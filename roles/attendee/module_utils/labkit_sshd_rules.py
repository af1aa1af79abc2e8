"""What sshd's settings mean for one user."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_settings(text: str) -> dict[str, list[str]]:
    """Return the values of each setting that `sshd -T` prints; names in small letters."""
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name, []).extend(value.split())
    return settings


def shut_out_by(settings: Mapping[str, list[str]], name: str, groups: list[str]) -> str:
    """
    Return the setting that keeps the user out, or "".

    Patterns for a user at certain hosts (USER@HOST) are judged by the user alone.
    """
    users = {
        rule: [pattern.partition("@")[0] for pattern in settings.get(rule, [])]
        for rule in ("allowusers", "denyusers")
    }
    named = {
        "DenyUsers": listed(users["denyusers"], [name]),
        "AllowUsers": bool(users["allowusers"]) and not listed(users["allowusers"], [name]),
        "DenyGroups": listed(settings.get("denygroups", []), groups),
        "AllowGroups": bool(settings.get("allowgroups"))
        and not listed(settings["allowgroups"], groups),
    }
    return next((rule for rule, out in named.items() if out), "")


def listed(patterns: list[str], names: list[str]) -> bool:
    """Tell whether a list of patterns, where "!" means "not", has one of the names."""
    if any(fnmatchcase(name, pat[1:]) for name in names for pat in patterns if pat[0] == "!"):
        return False
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
