"""The depot's nginx as it really answers, where this box has one: each on this box's loopback."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_depot_role import rendered

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="this box has no nginx")

Answer = tuple[int, str]
# Path → status, headers and text of what an archive answers.
Pages = dict[str, tuple[int, dict[str, str], str]]


class Archive(ThreadingHTTPServer):
    """An archive of packages that remembers what it was asked."""

    def __init__(self, pages: Pages) -> None:
        asked = self.asked = []  # type: list[str]
        tokens = self.tokens = []  # type: list[str]
        self.pause = pause = threading.Event()
        pause.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                tokens.append(self.headers.get("Authorization", ""))
                pause.wait()
                status, headers, text = pages.get(self.path, (404, {}, ""))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


class Names(threading.Thread):
    """A name server that knows one address for all names: the loopback's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            asked, client = self.socket.recvfrom(512)
            question = asked[12 : asked.index(b"\0", 12) + 5]
            head = asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
            self.socket.sendto(head + question + answer, client)


class Nginx:
    """One depot's nginx, and what it is asked."""

    def __init__(self, folder: Path, **inputs: object) -> None:
        self.folder, self.port, self.proxy = folder, free_port(), free_port()
        self.hub = free_port()
        names = Names()
        names.start()
        for name in ("packages", "log"):
            (folder / name).mkdir()
        (folder / "resolver.conf").write_text(f"resolver 127.0.0.1:{names.port} ipv6=off;\n")
        for port in (self.port, self.proxy):
            (folder / f"listen-{port}.conf").touch()
        given = {
            "__depot_settings": str(folder),
            "__depot_run": str(folder),
            "depot_directory": str(folder),
            "__depot_npm": "http://npm.example",
            "depot_port": self.port,
            "depot_proxy_port": self.proxy,
            "__depot_hub_port": self.hub,
            **inputs,
        }
        for name in ("npm.conf", "packages.conf", "nginx.conf", "log.sh"):
            text = rendered(f"{name}.j2", **given)
            (folder / name).write_text(text.replace("user www-data;", ""))

    def ask(self, target: str, *, proxy: bool = False, host: str = "", hub: bool = False) -> Answer:
        """Return status and text of an answer; `host` is what is said besides, `hub` as whom."""
        port = self.hub if hub else self.proxy if proxy else self.port
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Host": host} if host else {"Authorization": "Bearer t0ken"} if hub else {}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; where nobody is root, as who runs the tests."""
        words = [str(NGINX), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            try:
                until_it_listens(self.port)
                yield
            finally:
                process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until_it_listens(port: int) -> None:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    pytest.fail("nginx does not start")
    return None


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that others get into: where root runs nginx, its workers are nobody."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def nginx(folder: Path) -> Iterator[Nginx]:
    one = Nginx(folder)
    with one.running():
        yield one


@contextmanager
def archive(pages: Pages) -> Iterator[Archive]:
    server = Archive(pages)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_who_is_no_client_does_not_even_learn_that_it_is_a_depot(folder: Path) -> None:
    closed = Nginx(folder)
    settings = folder / "nginx.conf"
    with closed.running():
        assert json.loads(closed.ask("/labkit")[1])["labkit"] == "depot"
    settings.write_text(settings.read_text().replace("allow 127.0.0", "allow 192.0.2"))
    with closed.running():
        assert closed.ask("/labkit")[0] == 403
        assert closed.ask("/v2/")[0] == 403


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://127.0.0.1:{port}/v2/", ""),
        ("http://LOCALHOST:{port}/v2/", ""),
        ("http://localhost.:{port}/v2/", ""),
        ("http://a.localhost:{port}/v2/", ""),
        ("http://[::1]:{port}/v2/", ""),
        ("http://169.254.169.254/latest", ""),
        # Said twice, differently: the second is what would be asked.
        ("http://archive.example/v2/", "127.0.0.1:{port}"),
        ("http://archive.example/v2/", "other.example"),
    ],
)
def test_nothing_on_its_loopback_is_to_be_had_through_it(
    nginx: Nginx, target: str, host: str
) -> None:
    with archive({"/v2/": (200, {}, "secret")}) as hidden:
        at = hidden.server_port
        answer = nginx.ask(target.format(port=at), proxy=True, host=host.format(port=at))

        assert answer[0] == 403
        assert hidden.asked == []


def test_an_archive_is_asked_by_its_name_and_port(nginx: Nginx) -> None:
    with archive({"/a.deb": (200, {}, "package")}) as server:
        url = f"http://Archive.example:{server.server_port}/a.deb"

        assert nginx.ask(url, proxy=True) == (200, "package")
        assert nginx.ask(url, proxy=True) == (200, "package")
        assert server.asked == ["/a.deb"]


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost", "x@127.0.0.1", "[::1]", "LocalHost."])
def test_no_archive_sends_it_to_its_own_loopback(nginx: Nginx, place: str) -> None:
    with archive({"/v2/": (200, {}, "secret")}) as hidden:
        lure = {"Location": f"http://{place}:{hidden.server_port}/v2/"}
        with archive({"/list": (302, lure, "")}) as server:
            url = f"http://archive.example:{server.server_port}/list"

            assert nginx.ask(url, proxy=True)[0] == 502
            assert hidden.asked == []


def test_nor_does_one_that_it_was_sent_to(nginx: Nginx) -> None:
    with archive({"/v2/": (200, {}, "secret")}) as hidden:
        lure = {"Location": f"http://127.0.0.1:{hidden.server_port}/v2/"}
        with archive({"/next": (302, lure, "")}) as other:
            moved = {"Location": f"http://other.example:{other.server_port}/next"}
            with archive({"/list": (302, moved, "")}) as server:
                url = f"http://archive.example:{server.server_port}/list"

                assert nginx.ask(url, proxy=True)[0] == 502
                assert (other.asked, hidden.asked) == (["/next"], [])


def test_an_archive_may_send_elsewhere(nginx: Nginx) -> None:
    with archive({"/list": (200, {}, "there")}) as other:
        moved = {"Location": f"http://other.example:{other.server_port}/list"}
        with archive({"/list": (302, moved, "")}) as server:
            url = f"http://archive.example:{server.server_port}/list"

            assert nginx.ask(url, proxy=True) == (200, "there")


def test_a_login_page_is_not_kept_as_a_package(nginx: Nginx) -> None:
    pages: Pages = {"/a.deb": (200, {"Content-Type": "text/html; charset=utf-8"}, "log in")}
    with archive(pages) as server:
        url = f"http://archive.example:{server.server_port}/a.deb"
        assert nginx.ask(url, proxy=True) == (200, "log in")
        pages["/a.deb"] = (200, {"Content-Type": "application/vnd.debian.binary-package"}, "it")

        assert nginx.ask(url, proxy=True) == (200, "it")


def test_what_lies_elsewhere_is_kept_as_long_as_if_it_lay_here(nginx: Nginx) -> None:
    names = ("/InRelease", "/a.deb")
    with archive({name: (200, {}, "first") for name in names}) as other:
        there = f"http://other.example:{other.server_port}"
        with archive({n: (302, {"Location": f"{there}{n}"}, "") for n in names}) as server:
            here = f"http://archive.example:{server.server_port}"
            for name in names:
                assert nginx.ask(f"{here}{name}", proxy=True) == (200, "first")
            # An index is asked for again each time, save within a second, which nginx counts whole.
            time.sleep(2.2)
            for name in names:
                assert nginx.ask(f"{here}{name}", proxy=True) == (200, "first")

        assert sorted(other.asked) == ["/InRelease", "/InRelease", "/a.deb"]


def test_what_is_kept_of_elsewhere_is_answered_when_nobody_answers(nginx: Nginx) -> None:
    with archive({"/a/InRelease": (200, {}, "list")}) as other:
        place = {"Location": f"http://other.example:{other.server_port}/a/InRelease"}
        with archive({"/InRelease": (302, place, "")}) as server:
            url = f"http://archive.example:{server.server_port}/InRelease"
            assert nginx.ask(url, proxy=True) == (200, "list")
    time.sleep(2.2)

    assert nginx.ask(url, proxy=True) == (200, "list")


def test_its_log_is_put_away_when_it_is_large_and_goes_on(nginx: Nginx) -> None:
    log = nginx.folder / "log" / "access.jsonl"

    def until(written: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not written() and time.monotonic() < deadline:
            time.sleep(0.05)

    def logged(name: str) -> list[str]:
        nginx.ask(f"/v2/{name}")
        until(lambda: name in log.read_text())
        return [json.loads(line)["path"] for line in log.read_text().splitlines()]

    assert logged("first") == ["/v2/first"]
    subprocess.run(["sh", nginx.folder / "log.sh"], check=True)
    # Its workers open the new file a moment after the one who makes it.
    until(log.exists)
    time.sleep(0.2)

    assert logged("second") == ["/v2/second"]
    assert "/v2/first" in (log.parent / "access.jsonl.1").read_text()
    log.unlink()
    subprocess.run(["sh", nginx.folder / "log.sh"], check=True)


def test_a_layer_that_a_class_asks_for_at_once_comes_over_the_line_once(folder: Path) -> None:
    layer = f"/v2/library/app/blobs/sha256:{'a' * 64}"
    with archive({"/signed": (200, {}, "layer")}) as store:
        signed = {"Location": f"http://store.example:{store.server_port}/signed"}
        other = layer.replace("/app/", "/other/")
        with archive({layer: (307, signed, ""), other: (307, signed, "")}) as hub:
            one = Nginx(folder, __depot_hub=f"http://hub.example:{hub.server_port}")
            store.pause.clear()
            with one.running(), ThreadPoolExecutor(5) as pool:
                # Another image has the same layer.
                asked = [*[layer] * 4, other]
                answers = [pool.submit(one.ask, path, hub=True) for path in asked]
                time.sleep(0.5)
                store.pause.set()

                assert [answer.result() for answer in answers] == [(200, "layer")] * 5
                assert store.asked == ["/signed"]
                # Where it lies, a token beside the signature would be refused.
                assert (set(hub.tokens), store.tokens) == ({"Bearer t0ken"}, [""])


def test_what_a_registry_refuses_is_asked_for_again(folder: Path) -> None:
    layer = f"/v2/library/app/blobs/sha256:{'b' * 64}"
    pages: Pages = {layer: (401, {"WWW-Authenticate": "Bearer realm=there"}, "who?")}
    with archive(pages) as hub:
        one = Nginx(folder, __depot_hub=f"http://hub.example:{hub.server_port}")
        with one.running():
            assert one.ask(layer, hub=True) == (401, "who?")
            pages[layer] = (200, {}, "layer")

            assert one.ask(layer, hub=True) == (200, "layer")


def test_what_a_name_stands_for_is_asked_anew_also_where_it_lies_elsewhere(folder: Path) -> None:
    pages: Pages = {f"/{name}": (200, {}, name) for name in "ab"}
    with archive(pages) as store:
        there = f"http://store.example:{store.server_port}"
        named = {
            f"/v2/library/{name}/manifests/latest": (307, {"Location": f"{there}/{name}"}, "")
            for name in "ab"
        }
        with archive(named) as hub:
            one = Nginx(folder, __depot_hub=f"http://hub.example:{hub.server_port}")
            with one.running():
                answers = [one.ask(path, hub=True) for path in named]
                pages["/a"] = (200, {}, "new")

                assert answers == [(200, "a"), (200, "b")]
                assert one.ask(next(iter(named)), hub=True) == (200, "new")
