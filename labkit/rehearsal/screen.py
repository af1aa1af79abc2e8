"""What stands on a terminal's screen once all that a program printed has been drawn."""

import re

# Control sequences: colours and cursors (CSI), titles (OSC), charsets and other short ones.
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-Z\\-~]"
)
UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f]")


def drawn(printed: str) -> str:
    """
    Return the printed text as lines that people see: no colours, no text that was drawn over.

    What a carriage return goes back to is overwritten whole, as progress bars do.
    """
    text = re.sub(r"\r+\n", "\n", ESCAPES.sub("", printed))
    text = re.sub(r"[^\n\x08]\x08", "", text)
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(UNSEEN.sub("", line) for line in lines)


def without_echo(seen: str, typed: str) -> str:
    """
    Return what was seen after the typed text that a program's own terminal repeated.

    A shell may break what it repeats into lines, and put `> ` before each further line.
    """
    lines = (map(re.escape, re.sub(r"\s", "", line)) for line in typed.split("\n"))
    echo = r"\s*\n(?:> )?\s*".join(r"\s*".join(line) for line in lines)
    found = re.match(rf"\s*{echo}[ \t]*(?:\n|\Z)", seen) if typed else None
    return seen[found.end() :] if found else seen
