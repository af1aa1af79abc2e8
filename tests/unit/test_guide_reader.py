"""A chapter is Markdown that people read, and steps that labkit can take."""

import shlex
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadInput
from labkit.guide.annotation import Annotation, read_annotation
from labkit.guide.console import read_console
from labkit.guide.model import Chapter, Does, Part, Step, choose
from labkit.guide.reader import read_chapter, read_guide


def chapter(folder: Path, text: str, name: str = "05-background.md") -> Chapter:
    guide = folder / "guide"
    guide.mkdir(exist_ok=True)
    (guide / name).write_text(text)
    return read_chapter(guide / name)


def steps(text: str, note: str = "") -> list[Step]:
    return read_console(text.split("\n"), 10, read_annotation(note))


def test_a_command_has_its_place_and_its_answer() -> None:
    (step,) = steps("$ docker ps\nCONTAINER ID\n\n...  clock\n\n")

    assert (step.does, step.text, step.line) == (Does.TYPE, "docker ps", 10)
    assert step.expected == ("CONTAINER ID", "", "...  clock")
    assert (step.exit, step.machine, step.terminal, step.limit) == (0, 1, 1, 60.0)


def test_a_command_may_have_several_lines() -> None:
    first, second = steps("$ cat <<END > file\n> one\n>\n> END\n$ echo \\\n> two\ntwo\n> three")

    assert first.text == "cat <<END > file\none\n\nEND"
    # Once something was answered, `>` is a part of the answer.
    assert (second.text, second.expected) == ("echo \\\ntwo", ("two", "> three"))


@pytest.mark.parametrize(
    ("line", "prompt", "text"),
    [
        ("root@...:/# date", "root@...:/#", "date"),
        ("root@0f9a:/usr/src/app# ls -l", "root@0f9a:/usr/src/app#", "ls -l"),
        ("node@...:~$ id", "node@...:~$", "id"),
        ("/ # apk add curl", "/ #", "apk add curl"),
        ("/app $ id", "/app $", "id"),
    ],
)
def test_what_is_typed_into_a_container_keeps_its_prompt(line: str, prompt: str, text: str) -> None:
    (_, step) = steps(f"$ docker run -it ubuntu bash\n{line}\nanswer")

    assert (step.prompt, step.text, step.expected) == (prompt, text, ("answer",))


def test_only_the_last_command_of_a_block_is_annotated() -> None:
    first, second = steps("$ one\n$ two", "exit=3 until=5 limit=9 machine=vm2 terminal=2")

    assert (first.exit, first.until, second.exit, second.until) == (0, 0.0, 3, 5.0)
    assert {(one.limit, one.place) for one in (first, second)} == {(9.0, (2, 2))}


def test_an_interrupted_command_is_one_in_the_background_and_ctrl_c() -> None:
    run, press = steps("$ ./clock\ntick", 'interrupt="^tick"')

    assert (run.background, run.expected) == ("^tick", ("tick",))
    assert (press.does, press.exit, press.title) == (Does.PRESS, None, "Ctrl-C")


def test_ctrl_c_may_stand_where_one_sees_it() -> None:
    run, press = steps("$ ./clock\ntick\n^C\nbye", "interrupt=tick exit=130")

    assert (run.expected, press.expected, press.exit) == (("tick",), ("bye",), 130)


def test_a_chapter_is_taken_in_the_order_of_its_parts(tmp_path: Path) -> None:
    found = chapter(
        tmp_path,
        """# In the *background*
<!-- chapter: machines=2 minutes=12 -->

```console
$ lesson
```
## Clean up
### All of it
```console
$ clean
```
## Afterwards
<!-- rehearse: setup machine=vm2 -->

```console
$ setup
```
- in a list
  <!-- rehearse: file=app/Dockerfile -->
  ```dockerfile
  FROM ubuntu:24.04
  ```
```text
$ shown
```
""",
    )

    assert (found.number, found.title, found.machines, found.minutes) == (
        "05",
        "In the background",
        2,
        12,
    )
    assert [(one.number, one.title, one.part, one.line) for one in found.steps] == [
        (1, "setup", Part.SETUP, 16),
        (2, "lesson", Part.LESSON, 5),
        (3, "edit ~/app/Dockerfile", Part.LESSON, 20),
        (4, "clean", Part.CLEANUP, 10),
    ]
    assert found.steps[2].text == "FROM ubuntu:24.04\n"
    assert found.place == "guide/05-background.md"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("<!-- rehearse: exti=1 -->\n```console\n$ a\n```", 1, "unknown word 'exti'"),
        ("<!-- rehearse: exit=x -->\n```console\n$ a\n```", 1, "exit=x"),
        ("<!-- rehearse: exit=1 exit=2 -->\n```console\n$ a\n```", 1, "said twice"),
        ("<!-- rehearse: setup=1 -->\n```console\n$ a\n```", 1, "takes no value"),
        ("<!-- rehearse: limit -->\n```console\n$ a\n```", 1, "takes a value"),
        ("<!-- rehearse: limit=0 -->\n```console\n$ a\n```", 1, "number of seconds"),
        ("<!-- rehearse: interrupt=( -->\n```console\n$ a\n```", 1, "no regular expression"),
        ('<!-- rehearse: skip="a -->\n```console\n$ a\n```', 1, "quotation"),
        ("<!-- rehearse: machine=seat01 -->\n```console\n$ a\n```", 1, "vm1, vm2"),
        ("<!-- rehearse: needs=luck -->\n```console\n$ a\n```", 1, "mesh"),
        ("<!-- rehearse: file=/etc/passwd -->\n```text\na\n```", 1, "below the attendee's home"),
        ("<!-- rehearse: file=a/../../b -->\n```text\na\n```", 1, "below the attendee's home"),
        ("<!-- rehearse: file=a -->\n```console\n$ a\n```", 2, "not for a console"),
        ("<!-- rehearse: exit=1 -->\n```text\na\n```", 2, "only a console block"),
        ("<!-- rehearse: until=3 background=a -->\n```console\n$ a\n```", 1, "ends by itself"),
        ("a\n\n<!-- rehearse: exit=1 -->\n\ntext\n\n```console\n$ a\n```", 3, "above no fenced"),
        ("<!-- rehearse: exit=1 -->\n", 1, "above no fenced"),
        ("```console\nanswer\n$ a\n```", 1, "line 2 answers no command"),
        ("```console\n\n```", 1, "needs a command"),
        ("<!-- rehearse: until=2 -->\n```console\n^C\n```", 2, "no command"),
        ("<!-- chapter: machine=3 -->\n```console\n$ a\n```", 1, "unknown word 'machine'"),
        ("\n<!-- rehearse: machine=vm2 -->\n```console\n$ a\n```", 4, "machines=2"),
    ],
)
def test_what_is_wrong_in_a_chapter_is_told_with_its_line(
    text: str, line: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as error:
        chapter(tmp_path, text)

    assert error.value.message.startswith(f"guide/05-background.md:{line}: ")
    assert said in error.value.message


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("all", "01 02 09 10 A1 A2"),
        ("1", "01"),
        ("01", "01"),
        ("2,9-10", "02 09 10"),
        ("10,1", "01 10"),
        ("9-A1", "09 10 A1"),
        ("a2", "A2"),
    ],
)
def test_chapters_are_chosen_by_number(wanted: str, chosen: str, tmp_path: Path) -> None:
    for name in ("01-a", "02-b", "09-c", "10-d", "A1-e", "A2-f", "what-changed", "README"):
        (tmp_path / f"{name}.md").write_text("# t\n")
    guide = read_guide(tmp_path)

    assert " ".join(one.number for one in choose(guide, wanted)) == chosen
    assert [one.stem for one in guide.pages] == ["README", "what-changed"]


@pytest.mark.parametrize("wanted", ["3", "", "2-1", "1,", "1-3", "x"])
def test_a_chapter_that_there_is_not_is_answered_with_those_there_are(
    wanted: str, tmp_path: Path
) -> None:
    for name in ("01-a", "02-b"):
        (tmp_path / f"{name}.md").write_text("# t\n")

    with pytest.raises(BadInput, match="there is no chapter") as error:
        choose(read_guide(tmp_path), wanted)
    assert error.value.hint == "the chapters are 01, 02"


def test_an_instructors_own_files_need_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# About\n")
    (tmp_path / "our-proxy.md").write_text("# Our proxy\n\n```console\n$ true\n```\n")
    guide = read_guide(tmp_path)

    assert [(one.number, one.title) for one in guide.chapters] == [("our-proxy", "Our proxy")]
    assert choose(guide, "our-proxy") == list(guide.chapters)


def test_a_folder_without_chapters_is_no_guide(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput):
            read_guide(folder)


WORD = st.text(string.ascii_letters + string.punctuation + " ", min_size=1).filter(str.strip)
TYPED = WORD.filter(lambda text: "\n" not in text)
ANSWER = st.lists(
    st.text(string.ascii_letters + " .:/#@", max_size=20).filter(
        lambda line: not read_or_none(line)
    ),
    max_size=5,
)


def read_or_none(line: str) -> list[Step]:
    try:
        return read_console([line], 1, Annotation())
    except ValueError:
        return []


@given(st.lists(st.tuples(st.lists(TYPED, min_size=1, max_size=3), ANSWER), min_size=1, max_size=5))
def test_what_is_written_as_a_console_is_read_as_it_was_meant(
    said: list[tuple[list[str], list[str]]],
) -> None:
    lines: list[str] = []
    for typed, answer in said:
        lines += [f"$ {typed[0]}", *(f"> {more}" for more in typed[1:]), *answer]
    found = read_console(lines, 1, Annotation())

    assert [one.text for one in found] == ["\n".join(typed) for typed, _ in said]
    for step, (_, answer) in zip(found, said, strict=True):
        kept = [line.rstrip() for line in answer]
        while kept and not kept[-1]:
            kept.pop()
        assert list(step.expected) == kept
        assert lines[step.line - 1] == f"$ {step.text.split(chr(10))[0]}"


@given(WORD.filter(lambda text: "-->" not in text))
def test_a_value_may_hold_anything_in_quotes(reason: str) -> None:
    assert read_annotation(f"skip={shlex.quote(reason)}").skip == reason


def test_chapters_stand_before_appendices_and_2_before_10(tmp_path: Path) -> None:
    for name in ("A10-x", "A2-x", "14-x", "02-x", "README"):
        (tmp_path / f"{name}.md").write_text("# A title\n")

    assert [one.number for one in read_guide(tmp_path).chapters] == ["02", "14", "A2", "A10"]
