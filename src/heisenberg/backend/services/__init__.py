"""What the service does, free of HTTP: one transaction per piece of work."""
