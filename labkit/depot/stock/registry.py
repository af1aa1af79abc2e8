"""One registry, asked over HTTP: https://distribution.github.io/distribution/spec/api/."""

import base64
import email.message
import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from labkit.errors import LabkitError

AGENT = "labkit"
# Seconds of silence after which an answer is no longer waited for, and tries after such trouble.
PATIENCE = 30
TRIES = 4
# A registry that asks for more is not waited for: the instructor decides.
LONGEST_WAIT = 60
PASSING = (408, 425, 429, 500, 502, 503, 504)
UNAUTHORIZED, FORBIDDEN, MISSING, TOO_MANY = 401, 403, 404, 429
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
SAID_BYTES = 2000

Result = TypeVar("Result")


class Credentials(NamedTuple):
    """Who logs in at Docker Hub; no other registry is told."""

    user: str
    password: str


class RegistryError(LabkitError):
    """
    What a registry did not give.

    `status` is its HTTP status, 0 where it did not answer; `headers` are those of the refusal.
    """

    def __init__(
        self,
        message: str,
        hint: str,
        *,
        status: int = 0,
        wait: float | None = None,
        headers: email.message.Message | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.wait = wait
        self.headers = email.message.Message() if headers is None else headers

    @property
    def passing(self) -> bool:
        """Whether it may be over if one asks again."""
        return self.wait is not None and self.wait <= LONGEST_WAIT


class Registry:
    """
    A registry at a URL, known by the name that references have; safe to use from threads.

    `credentials` are given to where it says that tokens are had, over TLS unless it has none
    itself, and to nobody else.
    """

    def __init__(
        self,
        name: str,
        url: str,
        credentials: Credentials | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.name, self.url, self._credentials = name, url.rstrip("/"), credentials
        self.patience = patience
        self._allowed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_Redirect)

    def ask(
        self,
        path: str,
        what: str,
        *,
        method: str = "GET",
        headers: Callable[[], Mapping[str, str]] = dict,
        read: Callable[[http.client.HTTPResponse], Result],
    ) -> Result:
        """
        Return what `read` makes of the answer, asking again where that helps.

        `path` begins behind /v2/; `what` is told where it fails. What `read` meets of a broken
        connection counts as a failed try, and another begins with the `headers` of then.

        Raises:
            RegistryError: It does not give it.
        """
        for number in range(1, TRIES + 1):
            try:
                return self._once(path, what, method, headers(), read)
            except RegistryError as error:
                if number == TRIES or not error.passing:
                    raise
                time.sleep(error.wait or 2 ** (number - 1))
        raise AssertionError

    def _once(
        self,
        path: str,
        what: str,
        method: str,
        headers: Mapping[str, str],
        read: Callable[[http.client.HTTPResponse], Result],
    ) -> Result:
        scope = "/".join(path.split("/")[:-2])
        try:
            try:
                return self._send(path, method, headers, scope, read)
            except urllib.error.HTTPError as error:
                challenge = error.headers.get("WWW-Authenticate", "")
                if error.code != UNAUTHORIZED or not challenge:
                    raise
                error.close()
                with self._lock:
                    self._allowed[scope] = self._authorize(challenge, scope)
                return self._send(path, method, headers, scope, read)
        except urllib.error.HTTPError as error:
            raise self._refused(error, what) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._silent(error, what) from None

    def _send(
        self,
        path: str,
        method: str,
        headers: Mapping[str, str],
        scope: str,
        read: Callable[[http.client.HTTPResponse], Result],
    ) -> Result:
        request = urllib.request.Request(  # noqa: S310 - the URL is the instructor's
            f"{self.url}/v2/{path}", method=method, headers={"User-Agent": AGENT, **headers}
        )
        if allowed := self._allowed.get(scope):
            # Where blobs really lie is told by a redirection, to a host that must not learn it.
            request.add_unredirected_header("Authorization", allowed)
        with self._opener.open(request, timeout=self.patience) as answer:
            return read(answer)

    def _authorize(self, challenge: str, scope: str) -> str:
        """Return the header that the challenge asks for: a token's, or the credentials'."""
        basic = None
        if self._credentials:
            pair = f"{self._credentials.user}:{self._credentials.password}"
            basic = "Basic " + base64.b64encode(pair.encode()).decode()
        kind, asked = challenge.split(" ", 1)[0].lower(), dict(CHALLENGE.findall(challenge))
        if kind == "basic":
            return basic or ""
        realm = urllib.parse.urlsplit(asked.get("realm", ""))
        if self.url.startswith("https:") and realm.scheme != "https":
            raise ValueError(f"it sends credentials to {realm.netloc} without TLS")
        query = {"service": asked.get("service", ""), "scope": f"repository:{scope}:pull"}
        url = realm._replace(query="&".join(filter(None, (realm.query, _encoded(query)))))
        request = urllib.request.Request(url.geturl(), headers={"User-Agent": AGENT})  # noqa: S310
        if basic:
            request.add_unredirected_header("Authorization", basic)
        with self._opener.open(request, timeout=self.patience) as answer:
            given: dict[str, Any] = json.load(answer)
        return f"Bearer {given.get('token') or given.get('access_token', '')}"

    def _refused(self, error: urllib.error.HTTPError, what: str) -> RegistryError:
        said = _said(error)
        wait = _wait(error.headers) if error.code in PASSING else None
        if error.code == TOO_MANY and not wait:
            # The Hub's limit lasts for hours: to ask again within seconds is of no use.
            wait = None
        where = "" if error.url.startswith(self.url) else f" ({_host(error.url)})"
        answer = f"{error.code} {error.reason}" + (f": {said}" if said else "")
        return RegistryError(
            f"{self.name}{where} does not give {what}: {answer}",
            self._hint(error.code, wait),
            status=error.code,
            wait=wait,
            headers=error.headers,
        )

    def _hint(self, code: int, wait: float | None) -> str:
        if code == TOO_MANY:
            later = f"in {wait:.0f} s" if wait else "in some hours"
            return f"go on {later}: what is there stays; a Hub account allows more (--hub-user)"
        if code in {UNAUTHORIZED, FORBIDDEN}:
            given = "check the account's name and password" if self._credentials else ""
            return given or "is the name right? a private image needs credentials (--hub-user)"
        if code == MISSING:
            return "check the name and the tag (images_pull, and FROM in the apps' Dockerfiles)"
        return "the registry has a trouble of its own: run again later, what is there stays"

    def _silent(self, error: Exception, what: str) -> RegistryError:
        reason = getattr(error, "reason", None) or error
        late = isinstance(reason, TimeoutError)
        said = f"no answer within {self.patience:.0f} s" if late else str(reason) or repr(reason)
        return RegistryError(
            f"{self.name} ({_host(self.url)}) does not give {what}: {said}",
            "check the way to the registry (depot_upstreams), then run again: what is there stays",
            # A setting that is wrong stays so; a line that broke may hold the next time.
            wait=None if isinstance(error, (ValueError, KeyError)) else 0,
        )


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows, and stays logged in where it leads to the same place."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the library's signature
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: email.message.Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        allowed = req.unredirected_hdrs.get("Authorization")
        if following is None:
            return None
        following.method = req.get_method()
        before, now = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if allowed and before[:2] == now[:2]:
            following.add_unredirected_header("Authorization", allowed)
        return following


def _encoded(query: Mapping[str, str]) -> str:
    return urllib.parse.urlencode({key: value for key, value in query.items() if value})


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _wait(headers: email.message.Message) -> float:
    """Return the seconds that it asks to wait, 0 where it leaves them to us."""
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0


def _said(error: urllib.error.HTTPError) -> str:
    """Return what a registry's error says, which is JSON if it is the registry that speaks."""
    try:
        body = error.read(SAID_BYTES)
        first = json.loads(body)["errors"][0]
        return str(first.get("message") or first.get("code") or "")
    except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError):
        return ""
    finally:
        error.close()
