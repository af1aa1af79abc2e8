"""The guide as pages for a browser, which can be read without a network."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from labkit.errors import BadInput
from labkit.guide.annotation import CHAPTER, REHEARSE, Annotation, read_annotation
from labkit.guide.console import PROMPT, SHELL
from labkit.guide.model import Chapter, Guide
from labkit.guide.reader import parser, plain_text, title_of
from labkit.pages import render

INDEX = "README"
PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Page:
    """One page: where it comes from and goes to; `chapter` is None for what is only read."""

    source: Path
    name: str
    title: str
    chapter: Chapter | None = None


def write_site(guide: Guide, directory: Path) -> None:
    """
    Write a page for each file of the guide, and an index.html, with the pictures beside them.

    Raises:
        BadInput: The directory cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        pictures = guide.directory / PICTURES
        if pictures.is_dir():
            shutil.copytree(pictures, directory / PICTURES, dirs_exist_ok=True)
        chapters = [
            Page(one.file, f"{one.file.stem}.html", one.title, one) for one in guide.chapters
        ]
        for page in (*chapters, *_others(guide)):
            (directory / page.name).write_text(_page(page, chapters), encoding="utf-8")
        if not (guide.directory / f"{INDEX}.md").exists():
            _write_index(directory, chapters)
    except OSError as error:
        raise BadInput(f"--html: {directory} cannot be written: {error}", "name a folder") from None


def html_of(text: str) -> str:
    """Return Markdown as HTML: comments to labkit gone, consoles told apart, links to pages."""
    markdown = parser()
    tokens = markdown.parse(text)
    _adapt(tokens)
    markdown.add_render_rule("fence", _fence)
    markdown.add_render_rule("html_block", _html_block)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _others(guide: Guide) -> Iterator[Page]:
    for file in guide.pages:
        name = "index" if file.stem == INDEX else file.stem
        title = title_of(parser().parse(file.read_text(encoding="utf-8"))) or file.stem
        yield Page(file, f"{name}.html", title)


def _page(page: Page, chapters: Sequence[Page]) -> str:
    place = chapters.index(page) if page in chapters else None
    return render(
        "guide.html.j2",
        page=page,
        content=html_of(page.source.read_text(encoding="utf-8")),
        before=chapters[place - 1] if place else None,
        after=chapters[place + 1] if place is not None and place + 1 < len(chapters) else None,
    )


def _write_index(directory: Path, chapters: Sequence[Page]) -> None:
    page = Page(directory, "index.html", "The chapters")
    listed = render("chapters.html.j2", chapters=chapters)
    text = render("guide.html.j2", page=page, content=listed, before=None, after=None)
    (directory / page.name).write_text(text, encoding="utf-8")


def _adapt(tokens: Sequence[Token]) -> None:
    """Give headings anchors and blocks their place, and let links lead to pages, not files."""
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(plain_text(tokens[number + 1])))
        elif token.type == "html_block" and (found := REHEARSE.fullmatch(token.content)):
            tokens[number + 1].meta["where"] = _where(read_annotation(found[1]))
        for one in token.children or ():
            if one.type == "link_open":
                one.attrSet("href", _target(str(one.attrGet("href"))))


def _where(said: Annotation) -> str:
    """Return in a word or two where one does what stands in a block, empty if as usual."""
    machine = f"vm{said.machine}" if said.machine > 1 else ""
    terminal = f"terminal {said.terminal}" if said.terminal > 1 else ""
    return ", ".join(one for one in (machine, terminal, said.file and f"~/{said.file}") if one)


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading, so that links hold in both places."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _target(link: str) -> str:
    path, _, anchor = link.partition("#")
    if re.search(r"^\w+:|^/", link) or not path.endswith(".md"):
        return link
    page = "index" if Path(path).stem == INDEX else path.removesuffix(".md")
    return f"{page}.html" + (f"#{anchor}" if anchor else "")


def _html_block(_self: RendererHTML, tokens: Sequence[Token], number: int, *_: Any) -> str:
    content = tokens[number].content
    return "" if REHEARSE.fullmatch(content) or CHAPTER.fullmatch(content) else content


def _fence(_self: RendererHTML, tokens: Sequence[Token], number: int, *_: Any) -> str:
    token = tokens[number]
    kind = token.info.split(" ")[0]
    lines = token.content.splitlines()
    shown = "\n".join(_console(lines)) if kind == "console" else escape("\n".join(lines))
    where = token.meta.get("where", "")
    label = f"<small>{escape(where)}</small>" if where else ""
    return f'<pre class="{escape(kind)}" tabindex="0">{label}<code>{shown}</code></pre>\n'


def _console(lines: Sequence[str]) -> Iterator[str]:
    typed = False
    for line in lines:
        if found := SHELL.fullmatch(line) or PROMPT.fullmatch(line):
            prompt = line.removesuffix(found["text"])
        elif typed and line.startswith("> "):
            prompt = "> "
        else:
            typed = False
            yield f"<i>{escape(line)}</i>" if line else ""
            continue
        typed = True
        yield f'<span class="prompt">{escape(prompt)}</span><b>{escape(line[len(prompt) :])}</b>'
