"""Rewards and comparisons over HTTP, for trainers that are not ours."""
