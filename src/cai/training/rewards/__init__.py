"""What a completion is worth in GRPO and RLOO, as reward functions that TRL calls."""
