"""Recipe -> objects: the only place that assembles."""
