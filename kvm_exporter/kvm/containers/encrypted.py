"""Is a dump encrypted, and may we read it?

The kernel compresses first: a compressed dump is inside.  What savecore -z compresses is encrypted
already: then it is around.
"""

from __future__ import annotations

from dataclasses import replace

from kvm_exporter.kvm.containers.model import Container, Stage
from kvm_exporter.kvm.errors import AccessDenied, Unsupported


def open_encrypted(stage: Stage) -> Stage:
    """Unlock its key, and read through it."""
    source = stage.source
    if stage.sealed is None or stage.options.private_key is None:
        raise AccessDenied(
            f"{source.name} is encrypted: give the private key whose public one dumpon(8) -k got"
        )
    try:
        # both need the extra
        from kvm_exporter.kvm.containers.decrypting import decrypted  # noqa: PLC0415
        from kvm_exporter.kvm.containers.keys import unlock  # noqa: PLC0415
    except ImportError as e:
        raise Unsupported(
            f"{source.name} is encrypted, which needs the package cryptography: "
            "pip install 'kvm_exporter[encrypted]'"
        ) from e
    key = unlock(source.name, stage.sealed, stage.options.private_key)
    plain, algorithm = decrypted(source, key)
    layers = (*stage.layers, f"encrypted, {algorithm}")
    # without identity no index of what it hid is left on the disk (cache, rule 5)
    return replace(stage, source=plain, sealed=None, identity=None, layers=layers)


CONTAINER = Container("encrypted", lambda stage: stage.sealed is not None, open_encrypted)
