"""What the load test and the checklist have in common: options, words, and forms of a report."""
