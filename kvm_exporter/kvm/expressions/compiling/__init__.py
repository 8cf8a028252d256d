"""What does an expression mean in this kernel?  Its tree becomes a program."""
