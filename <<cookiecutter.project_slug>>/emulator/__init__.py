"""What tests, the quick start and load tests talk to when no orchestrator is there."""
