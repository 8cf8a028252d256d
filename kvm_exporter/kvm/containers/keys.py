"""How is the key of an encrypted dump had?  struct kerneldumpkey, and the private key of dumpon(8).

Needs the package cryptography, as decrypting does; encrypted imports both when it must.

Rules, from sys/sys/kerneldump.h and sbin/decryptcore/decryptcore.c:

1. One byte of algorithm, 32 of initialization vector, the length of the encrypted key (big-endian),
   then that key: RSA with OAEP, or PKCS 1 v1.5 as older dumpon(8) made it.  It is as long as the
   modulus, and holds 64 bytes, of which both algorithms take the first 32.
2. A wrong private key fails with OAEP; with PKCS 1 v1.5 newer libraries give random bytes instead,
   of another length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kvm_exporter.kvm.errors import AccessDenied, FormatError
from kvm_exporter.kvm.source import File

AES_256_CBC, CHACHA20 = 1, 2
"""KERNELDUMP_ENC_*."""

KEY = struct.Struct(">B32sI")
"""struct kerneldumpkey, packed."""

LONGEST = 16384 // 8
"""KERNELDUMP_ENCKEY_MAX_SIZE."""

PLAIN = 64
"""KERNELDUMP_KEY_MAX_SIZE."""

LARGEST_PEM = 64 << 10
"""Bytes that are read of a private key's file."""


@dataclass(frozen=True, slots=True)
class Key:
    """The dump's own key: ``algorithm`` 1 AES-256-CBC, 2 ChaCha20; 32 bytes; 32 bytes of vector."""

    algorithm: int
    key: bytes
    vector: bytes

    def __repr__(self) -> str:
        return f"Key(algorithm={self.algorithm})"


def unlock(name: str, sealed: bytes, private_key: str) -> Key:
    """The key of the dump ``name``; ``private_key`` is a path.

    Errors: AccessDenied where the private key is not that of this dump; FormatError where
    ``sealed`` or the private key is damaged.
    """
    algorithm, vector, length = KEY.unpack_from(sealed.ljust(KEY.size, b"\0"))
    blob = sealed[KEY.size : KEY.size + length]
    if algorithm not in (AES_256_CBC, CHACHA20) or length > LONGEST or len(blob) != length:
        raise FormatError(
            f"{name}: its key is damaged: algorithm {algorithm}, {length:#x} bytes of encrypted "
            f"key, where {len(sealed):#x} bytes are there in all"
        )
    private = _private(private_key)
    if private.key_size != 8 * length:
        raise AccessDenied(
            f"{private_key}: a key of {private.key_size} bits, but {name} needs {8 * length}"
        )
    return Key(algorithm, _decrypted(private, blob, private_key, name)[:32], vector)


def _private(path: str) -> RSAPrivateKey:
    with File(path) as file:
        pem = file.read(0, LARGEST_PEM)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise FormatError(f"{path}: no private key in PEM without a passphrase: {e}") from e
    if not isinstance(key, RSAPrivateKey):
        raise FormatError(f"{path}: not a key of RSA, the only kind that dumpon(8) takes")
    return key


def _decrypted(private: RSAPrivateKey, blob: bytes, path: str, name: str) -> bytes:
    """Rule 2."""
    # SHA-1 is what RSA_PKCS1_OAEP_PADDING means (EVP_PKEY_CTX_set_rsa_padding(3))
    for padding in (OAEP(MGF1(SHA1()), SHA1(), None), PKCS1v15()):  # noqa: S303
        try:
            plain = private.decrypt(blob, padding)
        except ValueError:
            continue
        if len(plain) == PLAIN:
            return plain
    raise AccessDenied(f"{path}: not the private key that {name} was encrypted for")
