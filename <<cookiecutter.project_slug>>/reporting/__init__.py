"""What the load test and the checklist share: options, words, and the forms of a report."""
