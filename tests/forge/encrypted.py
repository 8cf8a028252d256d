"""Forges encrypted dumps: dump_encrypt of sys/kern/kern_shutdown.c, key making of sbin/dumpon."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

IV = bytes(range(100, 132))
SECRET = bytes(range(64))


def curve() -> bytes:
    """A private key of another kind."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(frozen=True)
class Pair:
    """An RSA key."""

    private: rsa.RSAPrivateKey

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """The private key as openssl genrsa writes it."""
        how = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption()
        )
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, how
        )


def pair(bits: int = 1024) -> Pair:
    """A new one."""
    return Pair(rsa.generate_private_key(65537, bits))


def key_file(algorithm: int, keys: Pair, *, oaep: bool = True, secret: bytes = SECRET) -> bytes:
    """Struct kerneldumpkey: 1 is AES-256-CBC, 2 ChaCha20."""
    how = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    blob = keys.private.public_key().encrypt(secret, how if oaep else padding.PKCS1v15())
    return struct.pack(">B32sI", algorithm, IV, len(blob)) + blob


def encrypt(algorithm: int, data: bytes) -> bytes:
    """As the kernel does, 4096 bytes at a time; AES needs a multiple of 16."""
    if algorithm == 2:
        return bytes(a ^ b for a, b in zip(data, _chacha_stream(len(data)), strict=True))
    vector, out = IV[:16], b""
    for at in range(0, len(data), 4096):
        cipher = Cipher(algorithms.AES(SECRET[:32]), modes.CBC(vector)).encryptor()
        piece = cipher.update(data[at : at + 4096])
        vector = piece[-16:]
        out += piece
    return out


def _chacha_stream(length: int) -> bytes:
    """D. J. Bernstein's: a 64-bit counter from 0, a 64-bit nonce."""
    return b"".join(_chacha_block(number) for number in range(-(-length // 64)))[:length]


def _chacha_block(counter: int) -> bytes:
    start = [
        *struct.unpack("<4I", b"expand 32-byte k"),
        *struct.unpack("<8I", SECRET[:32]),
        counter & 0xFFFFFFFF,
        counter >> 32,
        *struct.unpack("<2I", IV[:8]),
    ]
    words = list(start)

    def turn(a: int, b: int, c: int, d: int) -> None:
        for left, right, other, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            words[left] = (words[left] + words[right]) & 0xFFFFFFFF
            mixed = words[other] ^ words[left]
            words[other] = (mixed << by | mixed >> (32 - by)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            turn(column, column + 4, column + 8, column + 12)
        for column in range(4):
            turn(column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12)
    mixed = ((a + b) & 0xFFFFFFFF for a, b in zip(words, start, strict=True))
    return struct.pack("<16I", *mixed)
