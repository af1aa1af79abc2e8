"""The depot as a machine sees it: whether it answers now, and what is told if it does not."""

from __future__ import annotations

import http.client
import json
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

MOST_BYTES = 65536
# On the class's own network; the checks of labkit wait as long. apt alone waits less, each time.
SECONDS = 3


def silence(url: str, seconds: float = SECONDS) -> str:
    """
    Return why the depot does not answer at a URL, "" where it does.

    A page that only answers is none: what a hotel's login page says is no JSON object, and
    what another server says is not this one.
    """
    try:
        # A proxy of the environment is for the internet, and would not find the class's network.
        with build_opener(ProxyHandler({})).open(f"{url}/labkit", timeout=seconds) as answer:
            said = json.loads(answer.read(MOST_BYTES))
    except HTTPError as error:
        return f"it answers {error.code}, so another server has its port or this machine is refused"
    except ValueError:
        return "what answers there is no depot"
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
    itself = isinstance(said, dict) and said.get("labkit") == "depot"
    return "" if itself else "what answers there is no depot"


def gone(url: str, reason: str) -> str:
    """Return the note of a machine that does without its depot from the beginning."""
    return (
        f"the depot {url} does not answer ({reason}), so this machine goes on directly: "
        "look with labkit depot status, start it with labkit depot up, then provision again"
    )
