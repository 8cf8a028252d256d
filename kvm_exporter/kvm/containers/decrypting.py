"""How is an encrypted dump read at any place?

Rules, from sys/kern/kern_shutdown.c (dump_encrypt) and sbin/decryptcore/decryptcore.c:

1. AES-256-CBC is one chain over the whole dump: a block's initialization vector is the block of
   ciphertext before it, the first one's is the key's (its first 16 bytes).  No padding.
2. ChaCha20 counts its 64-byte blocks from 0 over the whole dump, in 64 bits; its nonce is the first
   8 bytes of the key's vector.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import CBC

from kvm_exporter.kvm.containers.cells import Cells
from kvm_exporter.kvm.containers.keys import AES_256_CBC, Key
from kvm_exporter.kvm.source import Source

CELL = 32 << 10
"""Bytes that are decrypted at once."""

AES_BLOCK, CHACHA_BLOCK = 16, 64


class Aes:
    """Makes cells of plain bytes: rule 1."""

    def __init__(self, source: Source, key: Key) -> None:
        self._source = source
        self._key = key
        self.close = source.close

    def make(self, index: int) -> dict[int, bytes]:
        """As Maker.make."""
        if index:
            data = self._source.read(index * CELL - AES_BLOCK, CELL + AES_BLOCK)
            vector, data = data[:AES_BLOCK], data[AES_BLOCK:]
        else:
            vector, data = self._key.vector[:AES_BLOCK], self._source.read(0, CELL)
        data = data[: len(data) // AES_BLOCK * AES_BLOCK]
        if not data:
            return {}
        return {index: Cipher(AES(self._key.key), CBC(vector)).decryptor().update(data)}


class ChaCha:
    """Makes cells of plain bytes: rule 2."""

    def __init__(self, source: Source, key: Key) -> None:
        self._source = source
        self._key = key
        self.close = source.close

    def make(self, index: int) -> dict[int, bytes]:
        """As Maker.make."""
        counter = (index * CELL // CHACHA_BLOCK).to_bytes(8, "little")
        cipher = Cipher(ChaCha20(self._key.key, counter + self._key.vector[:8]), mode=None)
        return {index: cipher.decryptor().update(self._source.read(index * CELL, CELL))}


def decrypted(source: Source, key: Key) -> tuple[Cells, str]:
    """A source's plain bytes, and the algorithm's name."""
    if key.algorithm == AES_256_CBC:
        whole = source.size // AES_BLOCK * AES_BLOCK
        return Cells(source.name, whole, CELL, Aes(source, key)), "AES-256-CBC"
    return Cells(source.name, source.size, CELL, ChaCha(source, key)), "ChaCha20"
