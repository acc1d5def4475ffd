"""Rounds of feedback and training, each measured against anchors that never change."""
