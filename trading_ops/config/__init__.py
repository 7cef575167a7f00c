"""Configuration: settings, targets.yml and secrets. The environment is read only here."""
