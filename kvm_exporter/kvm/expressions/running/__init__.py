"""What does a program give?  It is run again and again, in few reads."""
