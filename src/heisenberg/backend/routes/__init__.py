"""What each address answers: thin functions over the services."""
