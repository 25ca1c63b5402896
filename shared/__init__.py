"""The floor every service stands on: bus, messages, storage, models, the app factory."""
