"""The web service that the fleet runs. Your own pages go into `handlers.py`."""
