"""Outcomes in, alerts and trajectories out: each folded once, in the order of its clips."""
