"""A role is a contract: its inputs stand in one index, typed and explained in another."""

import re
from pathlib import Path
from typing import Any

import pytest
from house import FILES, PLAYBOOKS, ROLES, ROOT, TASK_FILES, load, name, tasks, text

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
MOST_TASKS = 40
LONGEST_TASK_FILE = 60
LONGEST_PLAYBOOK = 30


def defaults(role: Path) -> dict[str, Any]:
    file = role / "defaults" / "main.yml"
    return (load(file) or {}) if file.exists() else {}


def undefaulted(role: Path) -> set[str]:
    """Return the inputs that stand commented out, as `# <role>_noun:`, having no sane default."""
    file = role / "defaults" / "main.yml"
    pattern = rf"(?m)^# ?({role.name}_\w+):"
    return set(re.findall(pattern, text(file))) if file.exists() else set()


def options(role: Path) -> dict[str, dict[str, Any]]:
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return specs["main"].get("options") or {}


def composed(playbook: Path) -> list[str]:
    """Return the roles that a playbook names, in its order."""
    return [
        one if isinstance(one, str) else one.get("role") or one["name"]
        for play in load(playbook)
        for one in play.get("roles", ())
    ]


@every_role
def test_the_index_of_inputs_is_what_the_role_accepts(role: Path) -> None:
    assert set(defaults(role)) | undefaulted(role) == set(options(role))
    assert not set(defaults(role)) & undefaulted(role)


@every_role
def test_a_default_is_told_as_it_is(role: Path) -> None:
    told = {one: option["default"] for one, option in options(role).items() if "default" in option}

    assert told == defaults(role)


@every_role
def test_every_input_has_a_type_and_is_explained(role: Path) -> None:
    bare = [
        one
        for one, option in options(role).items()
        if not (option.get("type") and option.get("description"))
        or (option["type"] == "list" and not option.get("elements"))
    ]

    assert bare == []


@every_role
def test_inputs_and_internals_bear_the_roles_name(role: Path) -> None:
    assert [one for one in options(role) if not one.startswith(f"{role.name}_")] == []
    for file in (role / "vars").glob("*.yml"):
        own = load(file) or {}
        assert [one for one in own if not one.startswith(f"__{role.name}_")] == []


@every_role
def test_what_a_task_remembers_bears_the_roles_name(role: Path) -> None:
    prefixes = (f"__{role.name}_", f"{role.name}_")
    for file in (file for file in TASK_FILES if file.is_relative_to(role)):
        for task in tasks(load(file)):
            facts = task.get("ansible.builtin.set_fact") or {}
            made = [one for one in (task.get("register"), *facts, *task.get("vars", {})) if one]
            known = [one for one in made if one.startswith(prefixes) or one == "cacheable"]
            assert made == known, task["name"]


@every_role
def test_own_modules_are_known_by_their_name(role: Path) -> None:
    own = [
        file.stem
        for kind in ("library", "action_plugins", "module_utils")
        for file in (role / kind).glob("*.py")
        if file.stem != "__init__"
    ]

    assert [one for one in own if not one.startswith("labkit_")] == []


def test_an_own_module_has_one_owner() -> None:
    owned = [file.name for file in FILES if re.match(r"roles/\w+/library/", name(file))]

    assert sorted(set(owned)) == sorted(owned)


def test_provisioning_composes_every_role() -> None:
    # The depot takes no part in the class: it has a playbook of its own, and that alone.
    named = composed(ROOT / "playbooks" / "provision.yml")
    depots = composed(ROOT / "playbooks" / "depot.yml")

    assert depots == ["depot"]
    assert sorted(named + depots) == [role.name for role in ROLES]


def test_a_role_carries_its_name_as_its_tag() -> None:
    for play in load(ROOT / "playbooks" / "provision.yml"):
        for one in play["roles"]:
            tags = [one["tags"]] if isinstance(one["tags"], str) else one["tags"]
            assert one["role"] in tags
            assert set(tags) <= {one["role"], "always"}


@pytest.mark.parametrize("file", [*TASK_FILES, *PLAYBOOKS], ids=name)
def test_a_task_says_what_it_is_for(file: Path) -> None:
    plays = load(file) or []
    for play in plays if file in PLAYBOOKS else [{"tasks": plays}]:
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            for task in tasks(play.get(part)):
                assert purpose(task.get("name", "")), task


def purpose(said: str) -> bool:
    """Tell whether a name begins with a capital, like an order, and does not end like prose."""
    first = said.rpartition(" | ")[2].split(" ")[0]
    narrates = first.endswith(("ing", "ed")) or (first.endswith("s") and not first.endswith("ss"))
    return (
        first[:1].isupper()
        and first not in {"A", "An", "The"}
        and not (narrates or said.endswith("."))
    )


@pytest.mark.parametrize("file", TASK_FILES, ids=name)
def test_a_task_file_can_be_read_at_a_glance(file: Path) -> None:
    assert len(text(file).splitlines()) <= LONGEST_TASK_FILE


@pytest.mark.parametrize("file", PLAYBOOKS, ids=name)
def test_a_playbook_reads_as_a_table_of_contents(file: Path) -> None:
    assert len(text(file).splitlines()) <= LONGEST_PLAYBOOK


def test_few_fat_tasks_make_a_machine() -> None:
    plays = load(ROOT / "playbooks" / "provision.yml")
    roles = {ROOT / "roles" / one for one in composed(ROOT / "playbooks" / "provision.yml")}
    files = [file for file in TASK_FILES if file.parent.name == "tasks"]
    mains = [list(tasks(load(file))) for file in files if file.parents[1] in roles]
    own = [list(tasks(play.get(part))) for play in plays for part in ("pre_tasks", "post_tasks")]

    assert len(roles) <= sum(map(len, mains + own)) <= MOST_TASKS


@pytest.mark.parametrize("file", [*TASK_FILES, *PLAYBOOKS], ids=name)
def test_a_failure_is_never_just_ignored(file: Path) -> None:
    assert "ignore_errors" not in text(file)
    assert "ignore_unreachable" not in text(file)
