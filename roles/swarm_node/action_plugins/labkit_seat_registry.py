"""Make the class's certificate authority and the seat's certificate here, where the key stays."""

from __future__ import annotations

import datetime as dt
import fcntl
import ipaddress
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator

CA, KEY = "registry-ca.crt", "registry-ca.key"
DAY = dt.timedelta(days=1)
CA_DAYS, LEAF_DAYS, RENEW_DAYS = 3650, 365, 30
OTHER_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


class Authority(NamedTuple):
    """The class's certificate authority: its certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def read_authority(folder: Path) -> Authority | None:
    """
    Return the authority that lies in a folder, None where there is none or it soon ends.

    Raises:
        ValueError: Only half of it is there, or it is no such thing.
        OSError: It cannot be read.
    """
    if not (folder / CA).exists() and not (folder / KEY).exists():
        return None
    try:
        certificate = x509.load_pem_x509_certificate((folder / CA).read_bytes())
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), None)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is missing, while its other half is there") from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise ValueError(f"{folder / KEY} is not the key of {CA}")
    return Authority(certificate, key) if lasts(certificate) else None


def lasts(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is good for some time to come."""
    return certificate.not_valid_after_utc - now() > RENEW_DAYS * DAY


def now() -> dt.datetime:
    """Return the time on this controller."""
    return dt.datetime.now(dt.UTC)


def named(name: str) -> x509.Name:
    """Return a name as a certificate has it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def builder(subject: x509.Name, days: int) -> x509.CertificateBuilder:
    """Return what all our certificates begin with; a clock may be some hours behind ours."""
    return (
        x509.CertificateBuilder(subject_name=subject, serial_number=x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + days * DAY)
    )


def new_authority() -> Authority:
    """Return an authority that can sign certificates of servers, and no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = named("labkit: the registries of this class")
    usage = dict.fromkeys(OTHER_USES, False)
    certificate = (
        builder(name, CA_DAYS)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep this folder's authority to ourselves: Ansible's forks ask for it all at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def ensure_authority(folder: Path) -> Authority:
    """
    Return the folder's authority, made if need be; its key is nobody else's to read.

    Raises:
        ValueError, OSError: See read_authority; or it cannot be kept.
    """
    with locked(folder):
        if known := read_authority(folder):
            return known
        made = new_authority()
        for name, text, mode in (
            (KEY, key_pem(made.key), 0o600),
            (CA, pem(made.certificate), 0o644),
        ):
            draft = folder / f".{name}.new"
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
            draft.replace(folder / name)
        return made


def san(hosts: list[str]) -> x509.SubjectAlternativeName:
    """Return names and addresses as a certificate has them, in a fixed order."""
    entries: list[x509.GeneralName] = []
    for host in sorted(set(hosts)):
        try:
            entries.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            entries.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(entries)


def issue(authority: Authority, hosts: list[str]) -> tuple[str, str]:
    """Return a new certificate for these hosts, with the authority's behind it, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        builder(named(hosts[0]), LEAF_DAYS)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(san(hosts), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return pem(certificate) + pem(authority.certificate), key_pem(key)


def is_good(text: str, authority: Authority, hosts: list[str]) -> bool:
    """Tell whether a certificate is this authority's, for exactly these hosts, and lasts."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        certificate.verify_directly_issued_by(authority.certificate)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    chained = pem(authority.certificate) in text
    return chained and lasts(certificate) and list(named) == list(san(hosts))


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """One round trip where all is well, two where a certificate is to be issued."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make here what is missing, and put on the machine what belongs there."""
        super().run(tmp, task_vars)
        authority = self._authority()
        if authority is None:
            return {"changed": True, "msg": "a dry run makes no certificate authority"}
        result = self._hand_over(authority, task_vars)
        if self._task.args["serves"] and not result.get("failed"):
            hosts = result["hosts"]
            if not is_good(result["certificate"], authority, hosts):
                dry = self._task.check_mode
                made = ("", "") if dry else issue(authority, hosts)
                result = self._hand_over(authority, task_vars, *made)
                result["changed"] = True
        # They would carry certificates into every record of the run.
        for name in ("invocation", "certificate"):
            result.pop(name, None)
        return result

    def _authority(self) -> Authority | None:
        folder = Path(self._task.args["directory"])
        try:
            return read_authority(folder) if self._task.check_mode else ensure_authority(folder)
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(
                f"the class's certificate authority ({CA} and {KEY} beside the inventory):"
                f" {error}; put both back, or move both away to have new ones made"
            ) from error

    def _hand_over(
        self,
        authority: Authority,
        task_vars: dict[str, Any] | None,
        certificate: str = "",
        key: str = "",
    ) -> dict[str, Any]:
        given = {name: self._task.args[name] for name in ("names", "address", "owner", "serves")}
        result: dict[str, Any] = self._execute_module(
            module_args={
                **given,
                "authority": pem(authority.certificate),
                "certificate": certificate,
                "key": key,
            },
            task_vars=task_vars,
        )
        return result
