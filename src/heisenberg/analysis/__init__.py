"""From a run and its logs to incidents: normalise, correlate, cluster. Pure; no file is opened."""
