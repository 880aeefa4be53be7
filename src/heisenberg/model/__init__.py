"""Frozen types that every stage takes and returns. No behaviour beyond derived facts."""
