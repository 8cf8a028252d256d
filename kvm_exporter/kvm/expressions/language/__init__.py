"""What does an expression say?  Its text becomes a tree of parts."""
