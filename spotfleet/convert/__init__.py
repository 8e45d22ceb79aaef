"""A way over: Copilot manifests, ECS task definitions and Compose files as settings of this project."""
