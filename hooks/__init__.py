"""Sceptre plugins, one module per hook or resolver; pyproject.toml registers them as entry points."""
