"""The queries, each scoped to one organization."""
