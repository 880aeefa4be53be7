"""Where the bytes of a run's artefacts come from."""
