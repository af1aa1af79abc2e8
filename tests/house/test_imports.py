"""Which module of the package may know which other, and who may speak to the outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import FILES, ROOT, text

PACKAGE = ROOT / "labkit"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
    if path.is_relative_to(PACKAGE) and path.suffix == ".py"
}
# Each is the one door to something: who else walks in there does not know its traps.
DOORS = {
    "ansible_runner": ("labkit.runner",),
    "ansible": ("labkit.resolve", "labkit.inputs"),
    "docker": ("labkit.sandbox",),
    "testinfra": ("labkit.checks",),
    "pytest": ("labkit.checks",),
    "rich": ("labkit.board", "labkit.display", "labkit.cli"),
    "click": ("labkit.cli",),
    "markdown_it": ("labkit.guide",),
    "jinja2": ("labkit.pages",),
}
# Processes of their own: their standard output is a pipe to labkit, not the screen.
CHILDREN = (
    "labkit.resolve",
    "labkit.checks",
    "labkit.rehearsal.keeper",
    "labkit.seat.prober",
    "labkit.plan.look",
    "labkit.depot.stock",
)
SPEAKERS = ("labkit.display", "labkit.board", *CHILDREN)
ENDERS = ("labkit.cli", *CHILDREN)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of all that a module imports at run time, wherever it does so."""
    for node in at_run_time(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: write the import out in full"
            yield from (f"{node.module}.{one.name}" for one in node.names)


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        hidden = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not hidden:
            yield node
            yield from at_run_time(node)


def owner(imported: str) -> str | None:
    """Return which of our modules an imported name is or belongs to."""
    while imported and imported not in MODULES:
        imported = imported.rpartition(".")[0]
    return imported or None


OURS = {
    module: {found for one in imports(path) if (found := owner(one)) and found != "labkit"}
    for module, path in MODULES.items()
}


def reached(module: str) -> set[str]:
    """Return all of our modules that one imports, also through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = OURS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


every_module = pytest.mark.parametrize("module", MODULES)


@pytest.mark.parametrize("module", ["labkit.errors", "labkit.events"])
def test_the_words_of_the_house_depend_on_nothing_of_ours(module: str) -> None:
    assert OURS[module] == set()


@every_module
def test_the_command_line_is_imported_by_nobody(module: str) -> None:
    # `python -m labkit` is the command line itself, under another name.
    if module != "labkit.__main__":
        assert "labkit.cli" not in OURS[module]


@every_module
def test_a_library_is_reached_through_its_one_door(module: str) -> None:
    strangers = {one.split(".")[0] for one in imports(MODULES[module])} & DOORS.keys()

    assert not [one for one in strangers if not within(module, DOORS[one])]


@every_module
def test_imports_run_one_way(module: str) -> None:
    assert module not in reached(module), "it imports itself, through others"


def test_the_runner_and_what_shows_a_run_do_not_know_each_other() -> None:
    screen = {"labkit.board", "labkit.display"}

    assert not reached("labkit.runner") & screen
    assert not (reached("labkit.board") | reached("labkit.display")) & {"labkit.runner"}


@every_module
def test_only_the_display_prints(module: str) -> None:
    said = [
        one
        for one in calls(MODULES[module])
        if one == "print" or one.endswith((".stdout.write", ".stderr.write", "console.print"))
    ]

    assert not said or within(module, SPEAKERS)


@every_module
def test_only_the_command_line_echoes_and_makes_exit_codes(module: str) -> None:
    made = set(calls(MODULES[module]))

    assert "click.echo" not in made or module == "labkit.cli"
    ends = {"sys.exit", "exit", "os._exit", "SystemExit"} & made
    assert not ends or within(module, ENDERS)


def test_what_the_other_tests_look_at_is_there() -> None:
    assert {"labkit.cli", "labkit.runner", "labkit.resolve"} <= MODULES.keys()
    assert OURS["labkit.provision"] >= {"labkit.classroom", "labkit.runner"}
