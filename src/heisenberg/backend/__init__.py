"""The service: HTTP, database, keys and limits over the pipeline. Needs the `backend` extra."""
