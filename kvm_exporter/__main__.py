"""What does ``python -m kvm_exporter`` run?  The command line."""

from __future__ import annotations

import sys

from kvm_exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
