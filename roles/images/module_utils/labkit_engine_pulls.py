"""Pull an image over the engine's own socket."""

from __future__ import annotations

import http.client
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ansible.module_utils.labkit_engine_socket import EngineConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

PAUSES = (2, 8)
# Another try does not change these answers; a layer that was cut off the engine itself has asked
# for again and again (max-download-attempts).
FINAL = re.compile(
    r"not found|manifest unknown|no matching manifest|denied|unauthorized|invalid|no space left"
    r"|unexpected EOF",
    re.IGNORECASE,
)
ABSENT = re.compile(r"not found|manifest unknown", re.IGNORECASE)

Image = dict[str, Any]


class PullError(Exception):
    """An image cannot be had; the text is the engine's or the registry's answer."""


def split(reference: str) -> tuple[str, str]:
    """Return repository, and tag or digest ("latest" if it has none)."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return split(repository)[0], digest
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def digests(image: Image | None, repository: str) -> list[str]:
    """Return the digests under which the engine got an image from that repository."""

    def short(name: str) -> str:
        return name.removeprefix("docker.io/").removeprefix("library/")

    known = [name.partition("@") for name in (image or {}).get("RepoDigests") or []]
    return [digest for name, _, digest in known if short(name) == short(repository)]


def read_progress(lines: Iterable[bytes]) -> None:
    """
    Follow a pull to its end.

    Raises:
        PullError: The engine told of an error.
    """
    for line in lines:
        event = json.loads(line)
        if "error" in event:
            raise PullError(event["error"])


class Engine:
    """The Docker engine of this machine (https://docs.docker.com/reference/api/engine/)."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Return status and answer; the answer of a pull is read to its end."""
        connection = EngineConnection("localhost", timeout=self.patience)
        connection.request(method, path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        if path.startswith("/images/create") and answer.status == http.client.OK:
            return answer.status, read_progress(answer)  # type: ignore[func-returns-value]
        body = answer.read()
        return answer.status, json.loads(body) if body else None

    def inspect(self, reference: str) -> Image | None:
        """Return what the engine knows of an image."""
        status, image = self.ask("GET", f"/images/{quote(reference)}/json")
        return image if status == http.client.OK else None

    def tag(self, reference: str, name: str) -> bool:
        """Give an image a further name; tell whether it was new."""
        source, target = self.inspect(reference), self.inspect(name)
        if source and target and source["Id"] == target["Id"]:
            return False
        repository, tag = split(name)
        status, answer = self.ask(
            "POST", f"/images/{quote(reference)}/tag?repo={quote(repository)}&tag={quote(tag)}"
        )
        if status != http.client.CREATED:
            raise PullError(f"it cannot be named {name}: {answer['message']}")
        return True

    def pull_once(self, reference: str) -> None:
        """
        Pull an image.

        Raises:
            PullError: With the answer, or because there was none for too long.
        """
        repository, tag = split(reference)
        path = f"/images/create?fromImage={quote(repository)}&tag={quote(tag)}"
        try:
            status, answer = self.ask("POST", path)
        except TimeoutError as error:
            raise PullError(f"silent for {self.patience} s") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PullError(str(error) or type(error).__name__) from error
        if status != http.client.OK:
            raise PullError(answer["message"])

    def pull(self, reference: str) -> None:
        """Pull an image, with further tries where they may help."""
        for pause in (*PAUSES, None):
            try:
                return self.pull_once(reference)
            except PullError as error:
                if pause is None or FINAL.search(str(error)):
                    raise
                time.sleep(pause)
        return None

    def ensure(self, wanted: dict[str, Any], recorded: str) -> dict[str, Any]:
        """Have one image with all its names; return what became of it."""
        reference, began = wanted["reference"], time.monotonic()
        repository = split(reference)[0]
        pulled = not is_there(self.inspect(reference), repository, recorded)
        if pulled:
            self.fetch(reference, repository, recorded)
        image = self.inspect(reference)
        if image is None:
            raise PullError("it was pulled, but the engine does not know it")
        known = digests(image, repository)
        return {
            "reference": reference,
            "digest": recorded if recorded in known else [*known, image["Id"]][0],
            "bytes": image["Size"],
            "pulled": pulled,
            "tagged": [name for name in wanted["tags"] or [] if self.tag(reference, name)],
            "seconds": round(time.monotonic() - began, 1),
        }

    def fetch(self, reference: str, repository: str, recorded: str) -> None:
        """Pull by the recorded digest, or by name if the registry has it no more."""
        exact = f"{repository}@{recorded}"
        try:
            if recorded and exact != reference:
                self.pull(exact)
                self.tag(exact, reference)
                return
        except PullError as error:
            if not ABSENT.search(str(error)):
                raise
        self.pull(reference)


def is_there(image: Image | None, repository: str, recorded: str) -> bool:
    """Tell whether an image is the one recorded, or any that came from its registry."""
    known = digests(image, repository)
    return recorded in known if recorded else bool(known)
