"""As much of MongoDB's wire protocol as it takes to ask a database something simple."""

import socket
import struct
from typing import Any

# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
OP_MSG = 2013
SECONDS = 10


def ask(address: str, port: int, **command: Any) -> dict[str, Any]:
    """Send one command and return the answer, whose `ok` is 1 if all went well."""
    body = struct.pack("<Ib", 0, 0) + encode(command)
    with socket.create_connection((address, port), SECONDS) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack_from("<i", answer.read(16))
            return decode(answer.read(length - 16)[5:])


def encode(document: dict[str, Any]) -> bytes:
    """Return the document in BSON, of texts, small numbers, lists and documents."""
    elements = b""
    for name, value in document.items():
        match value:
            case int():
                kind, data = b"\x10", struct.pack("<i", value)
            case str():
                kind, data = b"\x02", struct.pack("<i", len(value.encode()) + 1) + value.encode()
                data += b"\0"
            case list():
                kind, data = b"\x04", encode({str(at): one for at, one in enumerate(value)})
            case _:
                kind, data = b"\x03", encode(value)
        elements += kind + name.encode() + b"\0" + data
    return struct.pack("<i", 5 + len(elements)) + elements + b"\0"


def decode(document: bytes) -> dict[str, Any]:
    """Return the numbers and texts of a BSON document that has nothing else in it."""
    found: dict[str, Any] = {}
    rest = document[4:-1]
    while rest:
        kind, (name, _, rest) = rest[0], rest[1:].partition(b"\0")
        if kind == 0x02:
            (length,) = struct.unpack_from("<i", rest)
            value, size = rest[4 : 3 + length].decode(), 4 + length
        else:
            form = {0x01: "<d", 0x10: "<i", 0x12: "<q"}[kind]
            value, size = struct.unpack_from(form, rest)[0], struct.calcsize(form)
        found[name.decode()], rest = value, rest[size:]
    return found
