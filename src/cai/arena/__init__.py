"""Policies on the same prompts: gathered, set against each other, and counted."""
