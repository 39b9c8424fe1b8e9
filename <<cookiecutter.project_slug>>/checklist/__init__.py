"""Does this container pass the production checklist? `python -m checklist` tries and says."""
