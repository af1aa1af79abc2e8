"""How a check says that a promise is not kept, or what the instructor should know all the same."""

from collections.abc import Callable

Note = Callable[[str], None]


class Unkept(AssertionError):
    """A promise that is not kept: what was expected, what was seen, what to do."""

    def __init__(self, expected: str, seen: str, todo: str) -> None:
        super().__init__(f"expected {expected}; saw {seen}; {todo}")
        self.expected = expected
        self.seen = seen
        self.todo = todo


def promise(kept: object, *, expected: str, seen: str, todo: str) -> None:
    """
    Raise Unkept unless the promise is kept.

    Each text continues a sentence ("expected …", "saw …") and says it to an instructor.
    """
    __tracebackhide__ = True
    if not kept:
        raise Unkept(expected, seen.strip() or "nothing at all", todo)
