"""The door of the city: takes frames, composes alerts and trajectories, answers dashboards."""
