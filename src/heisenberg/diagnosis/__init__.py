"""From an incident's evidence to one diagnosis: rules claim, the engine weighs, verify checks."""
