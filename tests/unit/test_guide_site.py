"""The guide for a browser: as it was written, without what only labkit reads."""

import re
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.guide.reader import read_guide
from labkit.guide.site import html_of, write_site


@pytest.fixture
def site(tmp_path: Path) -> Path:
    guide = tmp_path / "guide"
    (guide / "pictures").mkdir(parents=True)
    (guide / "pictures/layers.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (guide / "01-first.md").write_text(
        "# First & last\n<!-- chapter: minutes=10 -->\n\n![layers](pictures/layers.svg)\n"
    )
    (guide / "02-second.md").write_text("# Second\n<!-- chapter: machines=3 -->\n\nText.\n")
    (guide / "A1-more.md").write_text("# More\n")
    (guide / "what-changed.md").write_text("# What changed\n")
    write_site(read_guide(guide), tmp_path / "site")
    return tmp_path / "site"


def test_each_file_becomes_a_page_with_its_pictures(site: Path) -> None:
    names = sorted(str(one.relative_to(site)) for one in site.rglob("*") if one.is_file())

    assert names == [
        "01-first.html",
        "02-second.html",
        "A1-more.html",
        "index.html",
        "pictures/layers.svg",
        "what-changed.html",
    ]
    assert '<img src="pictures/layers.svg" alt="layers"' in (site / "01-first.html").read_text()


def test_chapters_lead_to_each_other_and_to_the_index(site: Path) -> None:
    middle = (site / "02-second.html").read_text()

    assert re.search(r'rel="prev" href="01-first.html"', middle)
    assert re.search(r'rel="next" href="A1-more.html"', middle)
    assert 'href="index.html"' in middle
    assert "02 · 3 machines" in middle
    assert "First &amp; last" in middle
    assert 'rel="prev"' not in (site / "01-first.html").read_text()
    assert 'rel="next"' not in (site / "A1-more.html").read_text()


def test_without_a_readme_the_index_lists_the_chapters(site: Path) -> None:
    index = (site / "index.html").read_text()

    assert re.findall(r'<a href="([^"]+)"><b>', index) == [
        "01-first.html",
        "02-second.html",
        "A1-more.html",
    ]
    assert "10 min" in index


def test_a_readme_is_the_index(tmp_path: Path) -> None:
    (tmp_path / "01-first.md").write_text("# First\n")
    (tmp_path / "README.md").write_text("# The workshop\n\n[First](01-first.md#clean-up)\n")
    write_site(read_guide(tmp_path), tmp_path / "site")

    assert (
        '<a href="01-first.html#clean-up">First</a>' in (tmp_path / "site/index.html").read_text()
    )


def test_a_console_tells_prompt_typed_and_answer_apart() -> None:
    text = html_of("```console\n$ cat <<END\n> a < b\n> END\na < b\n> c\nroot@...:/# date\n```\n")

    assert '<span class="prompt">$ </span><b>cat &lt;&lt;END</b>' in text
    assert '<span class="prompt">&gt; </span><b>a &lt; b</b>' in text
    assert "<i>a &lt; b</i>\n<i>&gt; c</i>" in text
    assert '<span class="prompt">root@...:/# </span><b>date</b>' in text


def test_comments_to_labkit_are_gone_and_say_where_one_types() -> None:
    text = html_of(
        "<!-- chapter: minutes=5 -->\n"
        "<!-- rehearse: machine=vm2 terminal=2 until=5 -->\n```console\n$ a\n```\n"
        "<!-- rehearse: file=app/x.yml -->\n```yaml\na: 1\n```\n"
        "<!-- kept -->\n<details><summary>Answer</summary>\n\nYes.\n\n</details>\n"
    )

    assert "rehearse" not in text
    assert "minutes" not in text
    assert "<small>vm2, terminal 2</small>" in text
    assert "<small>~/app/x.yml</small>" in text
    assert "<details><summary>Answer</summary>" in text


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("09-ports.md", "09-ports.html"),
        ("README.md#order", "index.html#order"),
        ("#here", "#here"),
        ("https://docs.docker.com/x.md", "https://docs.docker.com/x.md"),
        ("pictures/a.svg", "pictures/a.svg"),
    ],
)
def test_links_lead_to_pages(link: str, target: str) -> None:
    assert f'href="{target}"' in html_of(f"[text]({link})")


def test_headings_have_the_anchors_of_github() -> None:
    assert '<h2 id="what-docker-ps--a-shows">' in html_of("## What `docker ps -a` shows?")


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "01-first.md").write_text("# First\n")
    with pytest.raises(BadInput, match="cannot be written"):
        write_site(read_guide(tmp_path), tmp_path / "01-first.md" / "site")
