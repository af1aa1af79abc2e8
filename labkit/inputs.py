"""The roles' inputs, as their argument_specs describe them: types, and which names there are."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader

Specs = dict[str, dict[str, Any]]
# The inputs that are no role's: the ports at which attendees' browsers have to reach a machine,
# empty where a firewall or a jump host stands between it and this controller; and where such a
# port is found from here, for a machine behind port forwarding: its port -> the one to ask.
VERIFY: dict[str, Any] = {
    "verify_ports": {"type": "list", "elements": "int", "default": [3000]},
    "verify_forwards": {"type": "dict", "default": {}},
}
NEAR_ENOUGH = 0.5


def read_specs(loader: DataLoader, roles: Iterable[Path]) -> Specs:
    """Return for each role its inputs, each with its type and choices as in argument_specs."""
    specs: Specs = {}
    for role in roles:
        file = role / "meta" / "argument_specs.yml"
        if file.exists():
            specs[role.name] = loader.load_from_file(str(file))["argument_specs"]["main"]["options"]
    return specs


def convert(specs: Specs, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """
    Return the inputs in the types that their roles expect, and one line for each that is wrong.

    What Ansible takes for a bool counts as one: `-e name=false` comes as text. An input that
    is None, since only a run can know its value, is passed on as it is.
    """
    converted, wrong = dict(inputs), []
    for spec in specs.values():
        for name, option in spec.items():
            value = inputs.get(name)
            if value is None:
                continue
            if option["type"] == "str" and isinstance(value, float):
                wrong.append(f"{name}: {value} is a number, from which YAML drops zeros; quote it")
                continue
            # The default is in the value already, and no template here.
            kind = {name: {key: one for key, one in option.items() if key != "default"}}
            result = ArgumentSpecValidator(kind).validate({name: value})
            if not result.error_messages:
                converted[name] = result.validated_parameters[name]
            elif option.get("no_log"):
                wrong.append(f"{name} has to be of type {option['type']}")
            else:
                wrong.extend(f"{name}: {message}" for message in result.error_messages)
    return converted, wrong


def unknown(specs: Specs, names: Iterable[str]) -> list[str]:
    """Return one line for each name that looks like a role's input but is none."""
    wrong = []
    for name in sorted(names):
        # `docker_engine_x` is docker_engine's, even if there were a role named docker.
        roles = [role for role in specs if name.startswith(f"{role}_")]
        if not roles or name in specs[role := max(roles, key=len)]:
            continue
        near = get_close_matches(name, specs[role], n=1, cutoff=NEAR_ENOUGH)
        offer = f"; did you mean {near[0]}?" if near else ""
        wrong.append(f"{name} is no input of the role {role}{offer}")
    return wrong
