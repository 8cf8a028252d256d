"""What a kernel can tell, one operating system a folder, the same values out."""
