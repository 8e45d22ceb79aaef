"""What AWS demands of these templates, rule by rule: a fact, and how a rendered environment is checked against it."""
