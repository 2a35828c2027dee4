"""Defenses: training, detection and certification."""
