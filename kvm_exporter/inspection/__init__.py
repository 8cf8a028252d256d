"""What is in this kernel?  ``kvm_exporter inspect``: one subject a file, on live and dead alike."""
