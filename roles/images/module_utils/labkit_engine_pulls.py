"""Pull an image over the engine's own socket."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ansible.module_utils.labkit_engine_socket import EngineConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PAUSES = (2, 8)
# Another try does not change these answers; a layer that was cut off the engine itself has asked
# for again and again (max-download-attempts).
FINAL = re.compile(
    r"not found|manifest unknown|no matching manifest|denied|unauthorized|invalid|no space left"
    r"|unexpected EOF",
    re.IGNORECASE,
)
ABSENT = re.compile(r"not found|manifest unknown", re.IGNORECASE)
FULL = re.compile(r"no space left", re.IGNORECASE)
# https://github.com/moby/moby/blob/v28.2.2/distribution/xfer/download.go
RETRYING = "Retrying in "
HUB = {"docker.io", "index.docker.io"}

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


def short(repository: str) -> str:
    """Return a repository's name as the engine shows it: Docker Hub's own go without a prefix."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def by_the_mirror(repository: str) -> str:
    """
    Return the name under which a mirror has an image of another registry, "" for Docker Hub's own.

    An engine asks its mirrors for Docker Hub's names alone; labkit's depot has the others there,
    below the name of their registry.
    """
    host, slash, _ = repository.partition("/")
    other = slash and ("." in host or host == "localhost") and host not in HUB
    # With a port it would be no name of Docker Hub's.
    return f"docker.io/{repository}" if other and ":" not in host else ""


def digests(image: Image | None, repository: str) -> list[str]:
    """Return the digests under which the engine got an image from that repository."""
    known = [name.partition("@") for name in (image or {}).get("RepoDigests") or []]
    return [digest for name, _, digest in known if short(name) == short(repository)]


def read_progress(lines: Iterable[bytes], gone: Callable[[], bool] = lambda: False) -> None:
    """
    Follow a pull to its end.

    `gone` is asked where a layer did not come whole: of a mirror that died meanwhile the engine
    would want each layer again and again, for a minute.

    Raises:
        PullError: The engine told of an error, or the mirror is gone.
    """
    for line in lines:
        event = json.loads(line)
        if "error" in event:
            raise PullError(event["error"])
        if str(event.get("status", "")).startswith(RETRYING) and gone():
            raise PullError("the depot is gone")


class Engine:
    """
    The Docker engine of this machine (https://docs.docker.com/reference/api/engine/).

    `without_depot` is called where a pull failed; it tells whether the depot is gone since, and
    the engine does not ask it any more. `bears` is asked, with how many times in a row it was,
    whether a silence of `patience` seconds is to be borne.
    """

    def __init__(
        self,
        patience: int,
        without_depot: Callable[[], bool] = lambda: False,
        bears: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.patience, self.without_depot, self.bears = patience, without_depot, bears
        self.left = False

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Return status and answer; the answer of a pull is read to its end."""
        directly = self.left
        connection = EngineConnection("localhost", timeout=self.patience)
        connection.bears = self.bears
        # A pull of which nobody reads the end any more is given up by the engine.
        with closing(connection):
            connection.request(method, path, headers={"Content-Length": "0"})
            answer = connection.getresponse()
            if path.startswith("/images/create") and answer.status == http.client.OK:
                read_progress(answer, lambda: not directly and self._has_left())
                return answer.status, None
            body = answer.read()
        return answer.status, json.loads(body) if body else None

    def shelf(self) -> Shelf:
        """Return all that the engine has now, by one question."""
        return Shelf(self.ask("GET", "/images/json")[1] or [])

    def tag(self, reference: str, name: str) -> None:
        """Give an image a further name, which another one may have had."""
        repository, tag = split(name)
        status, answer = self.ask(
            "POST", f"/images/{quote(reference)}/tag?repo={quote(repository)}&tag={quote(tag)}"
        )
        if status != http.client.CREATED:
            raise PullError(f"it cannot be named {name}: {answer['message']}")

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
        directly = False
        for pause in (*PAUSES, None):
            try:
                return self.pull_once(reference)
            except PullError as error:
                if not directly and not FULL.search(str(error)) and self._has_left():
                    # The answer was that of a depot in its last moments: it says nothing.
                    directly = True
                    continue
                if pause is None or FINAL.search(str(error)):
                    raise
                time.sleep(pause)
        return self.pull_once(reference)

    def _has_left(self) -> bool:
        """Tell, after a pull failed, whether the depot is gone."""
        self.left = self.left or self.without_depot()
        return self.left

    def fetch(self, reference: str, digest: str, *, mirrored: bool) -> str:
        """
        Pull an image by its digest, or by its name without one; return what came of it.

        That is "exact", or "by tag" if nobody has that digest any more; what has a digest in its
        name is that or nothing. `mirrored` tells that there
        is a depot, which has images of other registries, too.
        """
        repository, wanted = split(reference)
        digest = wanted if "@" in reference else digest
        if not digest:
            self.pull(reference)
            return "by tag"
        try:
            exact = self._by_digest(repository, digest, mirrored=mirrored)
        except PullError as error:
            if "@" in reference or not ABSENT.search(str(error)):
                raise
            self.pull(reference)
            return "by tag"
        # Of a name with a digest in it there is nothing to tag: it is found by that.
        if "@" not in reference:
            self.tag(exact, reference)
        return "exact"

    def _by_digest(self, repository: str, digest: str, *, mirrored: bool) -> str:
        """Pull an image by its digest, and return the name that it has then."""
        odd = by_the_mirror(repository)
        if mirrored and odd and not self.left:
            try:
                self.pull_once(f"{odd}@{digest}")
            except PullError as error:
                if FULL.search(str(error)):
                    raise
                # Of a depot that is gone no other odd name is asked: each would cost its silence.
                self._has_left()
            else:
                return f"{odd}@{digest}"
        self.pull(f"{repository}@{digest}")
        return f"{repository}@{digest}"


class Shelf:
    """
    The images that an engine has, found by their names.

    An image that came as `docker.io/ghcr.io/a/b` is shown as `ghcr.io/a/b`, and found so.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._named: dict[str, Image] = {}
        for image in images:
            for name in (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())):
                self._named[name] = image

    def find(self, reference: str) -> Image | None:
        """Return an image by a name as `docker pull` takes it, None if it is not there."""
        repository, tag = split(reference)
        return self._named.get(f"{short(repository)}{'@' if ':' in tag else ':'}{tag}")


def is_there(image: Image | None, repository: str, recorded: str) -> bool:
    """Tell whether an image is the one recorded, or any that came from its registry."""
    known = digests(image, repository)
    return recorded in known if recorded else bool(known)


def wanted_digest(entry: Mapping[str, Any], lock: Mapping[str, str], reference: str) -> str:
    """
    Return the digest that an image has to have: that of the lock, else the recorded one.

    What was pulled in place of a locked image that nobody has any more will do from then on.
    """
    locked = str(lock.get(reference, ""))
    if locked and entry.get("instead_of") != locked:
        return locked
    return str(entry.get("digest", ""))
