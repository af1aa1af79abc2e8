"""The pytest plugin that tells each check's outcome as it is known."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from labkit.checks.line import NoAnswer, Unreachable
from labkit.checks.promise import Unkept
from labkit.events import NOTE
from labkit.verdicts import UNCHECKED

Tell = Callable[[Mapping[str, Any]], None]

LAST_LINES = 12
AGAIN = "run: labkit verify again; if it stays, report it as a bug of labkit's"


class Reporter:
    """Tells `{"check", "promise", "outcome", …}` of each check; ends when the machine is gone."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._reasons: dict[str, dict[str, str]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which check is tried, so that one that never ends can be named."""
        self._tell({"started": nodeid})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Keep why a check failed, and how it reads as a promise."""
        report = yield
        report.promise = sentence(item)
        if call.excinfo is not None:
            report.reason = reason(call.excinfo)
            if isinstance(call.excinfo.value, Unreachable):
                report.outcome_word = "unreachable"
                item.session.shouldstop = "the machine is unreachable"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell a check once: when it has run, or when it could not start or tidy up."""
        notes = [str(text) for name, text in report.user_properties if name == "note"]
        if report.when == "call" or not report.passed:
            self._tell(
                {
                    "check": report.nodeid,
                    "promise": report.promise,
                    "outcome": getattr(report, "outcome_word", report.outcome),
                    "seconds": round(report.duration, 3),
                    **({"detail": f"{NOTE}{'; '.join(notes)}"} if notes else {}),
                    **getattr(report, "reason", {}),
                },
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell a file of checks that cannot be read, lest it look like one that has none."""
        if report.failed:
            self._tell(broken("the checks can be read", report.longreprtext, report.nodeid))

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell a failure of pytest's own."""
        self._tell(broken("the checks run to their end", str(excrepr)))


def broken(promise: str, detail: str, check: str = UNCHECKED) -> dict[str, Any]:
    """Return the outcome of a check that labkit itself could not carry out."""
    lines = detail.strip().splitlines() or ["no more is known"]
    return {
        "check": check,
        "promise": promise,
        "outcome": "failed",
        "seconds": 0.0,
        "expected": promise,
        "seen": lines[-1],
        "todo": AGAIN,
        "detail": "\n".join(lines[-LAST_LINES:]),
    }


def sentence(item: pytest.Item) -> str:
    """Return the promise: the first line of the test's docstring, or its name, and for whom."""
    function = getattr(item, "obj", None)
    name = getattr(item, "originalname", item.name)
    first = (getattr(function, "__doc__", None) or "").strip().partition("\n")[0].rstrip(".")
    text = first or name.removeprefix("test_").replace("_", " ")
    callspec = getattr(item, "callspec", None)
    return f"{text}: {callspec.id}" if callspec else text


def reason(excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, str]:
    """Return expected, seen, todo and detail of whatever ended a check."""
    error = excinfo.value
    if isinstance(error, Unkept):
        return {"expected": error.expected, "seen": error.seen, "todo": error.todo}
    if isinstance(error, pytest.skip.Exception):
        return {"detail": str(error.msg)}
    if isinstance(error, Unreachable):
        return {
            "expected": "a machine that answers over SSH",
            "seen": str(error) or "a connection that ended without a word",
            "todo": "see that it is switched on, and that ssh reaches it from here",
        }
    if isinstance(error, NoAnswer):
        return {"expected": "an answer", "seen": str(error), "todo": "look what keeps it busy: top"}
    trace = str(excinfo.getrepr(style="short")).splitlines()[-LAST_LINES:]
    return {
        "expected": "a check that can be carried out",
        "seen": f"{type(error).__name__}: {error}",
        "todo": AGAIN,
        "detail": "\n".join(trace),
    }
