"""Rewards and verdicts over HTTP, for trainers elsewhere."""
