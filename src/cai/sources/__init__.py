"""Files and hub data sets, read into prompts. `prompts.py` is the door."""
