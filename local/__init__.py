"""The AWS embedded in this repository, and the commands that rehearse an environment on it."""
