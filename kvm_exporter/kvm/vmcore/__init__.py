"""What does a Linux kernel's core say of itself?  VMCOREINFO, and the way to its page tables."""
