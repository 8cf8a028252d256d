"""Where snapshots go, one destination a file."""
