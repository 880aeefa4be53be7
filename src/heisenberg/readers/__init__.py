"""Turn bytes into the model: one module a format, chosen by content."""
