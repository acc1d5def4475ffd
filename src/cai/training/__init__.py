"""From rows to trained models: TRL trains; here is what it lacks for AI feedback."""
