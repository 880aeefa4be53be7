"""Heisenberg: what broke, whose is it, is it new, and how do you know."""

__version__ = "0.1.0"
