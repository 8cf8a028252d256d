"""How are kvm(3)'s functions served?  A file a subject; compat.py gathers their names."""
