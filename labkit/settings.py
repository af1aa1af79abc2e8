"""The Ansible settings that labkit adds, each only where the instructor set none himself."""

import configparser
import locale
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.paths import content


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of Ansible: its variable, labkit's value, and where `ansible.cfg` has it."""

    variable: str
    value: str
    key: str
    sections: tuple[str, ...] = ("defaults",)


SETTINGS = (
    Setting(
        "ANSIBLE_PIPELINING", "True", "pipelining", ("defaults", "connection", "ssh_connection")
    ),
    # One way of sending files, over the connection that is there: no second handshake.
    Setting("ANSIBLE_SSH_TRANSFER_METHOD", "piped", "transfer_method", ("ssh_connection",)),
    # Every supported system has it here; finding it out costs a round trip a machine.
    Setting("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3", "interpreter_python"),
    Setting("ANSIBLE_TASK_TIMEOUT", "1800", "task_timeout"),
    Setting("ANSIBLE_TIMEOUT", "10", "timeout"),
    Setting(
        "ANSIBLE_INVENTORY_UNPARSED_FAILED",
        "True",
        "unparsed_is_failed",
        ("inventory",),
    ),
    # A folder's broken file would only be warned of, and its machines be missing from the class.
    Setting(
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED",
        "True",
        "any_unparsed_is_failed",
        ("inventory",),
    ),
    # An inventory may be a folder; what labkit itself keeps in there lists no machines.
    Setting(
        "ANSIBLE_INVENTORY_IGNORE_REGEX",
        r"^(known_hosts|logins\.csv|engine\.lock\.json|registry-ca\.(crt|key)|images\.lock\.yml)(\.old|~)?$",
        "ignore_patterns",
        ("inventory",),
    ),
    Setting("ANSIBLE_DEPRECATION_WARNINGS", "False", "deprecation_warnings"),
    # Else a module's arguments stand in the machine's journal, what came out of a vault too.
    Setting("ANSIBLE_NO_TARGET_SYSLOG", "True", "no_target_syslog"),
    # ansible-runner turns checking off unless told otherwise.
    Setting("ANSIBLE_HOST_KEY_CHECKING", "True", "host_key_checking"),
)


def environment(class_directory: Path, run_directory: Path) -> dict[str, str]:
    """
    Return the environment in which Ansible runs for a class.

    `ansible.cfg` is looked for beside the inventory, then in the working directory,
    then where Ansible looks by itself; `ANSIBLE_CONFIG` beats them all.
    """
    chosen = dict(os.environ)
    for folder in (class_directory, Path.cwd()):
        if (folder / "ansible.cfg").is_file():
            chosen.setdefault("ANSIBLE_CONFIG", str(folder / "ansible.cfg"))
    config = _read(chosen.get("ANSIBLE_CONFIG"))
    for setting in SETTINGS:
        value = _configured(config, setting) or setting.value
        chosen.setdefault(setting.variable, value)
    if not _configured(config, Setting("", "", "local_tmp")):
        # Else below HOME, which need not be there, nor be writable.
        chosen.setdefault("ANSIBLE_LOCAL_TEMP", str(run_directory / "ansible"))
    if not _speaks_utf8():
        # Ansible refuses to run in any other encoding; this one is part of every system.
        chosen["LC_ALL"] = "C.UTF-8"
    extra = ssh_arguments(class_directory, run_directory)
    for tool in ("SSH", "SCP", "SFTP"):
        variable, key = f"ANSIBLE_{tool}_EXTRA_ARGS", f"{tool.lower()}_extra_args"
        own = chosen.get(variable) or _configured(config, Setting("", "", key, ("ssh_connection",)))
        chosen[variable] = f"{own} {extra}" if own else extra
    chosen["ANSIBLE_ROLES_PATH"] = os.pathsep.join(
        filter(None, (str(content() / "roles"), chosen.get("ANSIBLE_ROLES_PATH"))),
    )
    # The ansible-playbook of labkit's own environment, which need not be active.
    chosen["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), chosen.get("PATH", "")))
    return chosen


def ssh_arguments(class_directory: Path, run_directory: Path) -> str:
    """
    Return what labkit adds at the end of ssh's arguments.

    ssh takes the first value it finds of an option, so all that the inventory, the
    environment or `ansible.cfg` say comes before this. A machine that was never met
    is accepted once and kept beside the inventory; a silent one is given up after 20 seconds.
    """
    known = f'"{class_directory}/known_hosts" ~/.ssh/known_hosts ~/.ssh/known_hosts2'
    options = {
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": known,
        "HashKnownHosts": "no",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlPath": f'"{run_directory}/%C"',
    }
    return " ".join(f"-o '{name}={value}'" for name, value in options.items())


def _speaks_utf8() -> bool:
    """Tell whether the locale that the environment asks for exists, and is one of UTF-8."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
        return locale.nl_langinfo(locale.CODESET).upper() == "UTF-8"
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _read(file: str | None) -> configparser.ConfigParser:
    config = configparser.ConfigParser(
        interpolation=None, strict=False, inline_comment_prefixes=(";",)
    )
    if file:
        try:
            config.read(file)
        except configparser.Error:
            # Ansible reads it next, and says what is wrong better than we could.
            return configparser.ConfigParser()
    return config


def _configured(config: Mapping[str, Mapping[str, str]], setting: Setting) -> str | None:
    values = (config[section].get(setting.key) for section in setting.sections if section in config)
    return next((value for value in values if value), None)
