"""What the measurements count."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from upstream import given

LOG = """\
203.0.113.1 - - [29/Nov/2026:15:47:12 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "docker"
203.0.113.1 - - [29/Nov/2026:15:47:12 +0000] "HEAD /v2/library/a/blobs/sha256:1 HTTP/1.1" 200 7 "" "d"
203.0.113.1 - - [29/Nov/2026:15:47:12 +0000] "GET /v2/library/a/manifests/1 HTTP/1.1" 200 9 "" "d"
203.0.113.1 - - [29/Nov/2026:15:47:12 +0000] "GET /v2/library/a/blobs/sha256:1 HTTP/1.1" 200 100 "" "d"
203.0.113.1 - - [29/Nov/2026:15:47:13 +0000] "GET /v2/library/a/blobs/sha256:1 HTTP/1.1" 206 40 "" "d"
203.0.113.1 - - [29/Nov/2026:15:47:13 +0000] "GET /v2/library/a/blobs/sha256:2 HTTP/1.1" 404 30 "" "d"
"""


def test_bytes_over_the_line_are_those_of_blobs_that_were_given_also_in_parts() -> None:
    assert given(LOG) == [100, 40]
