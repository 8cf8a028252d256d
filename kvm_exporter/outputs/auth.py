"""Does the client know the password?  HTTP basic authentication against bcrypt hashes."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from threading import Lock

from kvm_exporter.outputs.web_config import WebConfig

REMEMBERED = 256
BCRYPT_BYTES = 72
"""bcrypt looks at no more; Python's raises for longer passwords where others ignore the rest."""


class BasicAuth:
    """Checks Authorization headers; a password that was right is not hashed again.

    An unknown user costs a check as well, so that time tells no names.  One check runs at a time:
    guessing must not take every CPU.
    """

    def __init__(self, config: Callable[[], WebConfig]) -> None:
        self._config = config
        self._right: set[bytes] = set()
        self._key = b""
        self._checking = Lock()

    def granted(self, header: str) -> bool:
        """Whether the header's user and password are good, or none are asked for."""
        users = self._config().basic_auth_users
        if not users:
            return True
        credentials = _credentials(header)
        if credentials is None:
            return False
        user, password = credentials
        known = user in users
        hashed = users[user] if known else next(iter(users.values()))
        return self._is_right(user, password, hashed) and known

    def _is_right(self, user: str, password: bytes, hashed: str) -> bool:
        token = self._token(user, password, hashed)
        if token in self._right:
            return True
        import bcrypt  # noqa: PLC0415 - only where users are configured

        with self._checking:
            try:
                right = bcrypt.checkpw(password[:BCRYPT_BYTES], hashed.encode())
            except ValueError:  # a NUL in the password
                return False
        if right:
            if len(self._right) >= REMEMBERED:
                self._right.clear()
            self._right.add(token)
        return right

    def _token(self, user: str, password: bytes, hashed: str) -> bytes:
        """What is remembered in place of a password: a hash that only this process can make."""
        from hashlib import blake2b  # noqa: PLC0415 - costs 4 MiB, and few need it
        from os import urandom  # noqa: PLC0415

        self._key = self._key or urandom(32)
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        joined = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return blake2b(joined, key=self._key).digest()


def _credentials(header: str) -> tuple[str, bytes] | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = binascii.a2b_base64(value.strip(), strict_mode=True).partition(b":")
    except ValueError:
        return None
    return (user.decode("utf-8", "surrogateescape"), password) if colon else None
