"""The production checklist: `python -m checklist` says whether a container passes it."""
