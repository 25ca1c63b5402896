"""The whole city on one machine: Redis and every service, each as its own process."""
