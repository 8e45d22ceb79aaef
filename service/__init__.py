"""The web service that the fleet runs."""
