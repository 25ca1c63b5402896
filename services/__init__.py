"""CityBrain's services. They never import each other; they talk over shared.topics."""
