"""What training reads: rows of runs and files, with people's data mixed in."""
