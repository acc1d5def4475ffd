"""`cai train`: from rows to trained models."""
