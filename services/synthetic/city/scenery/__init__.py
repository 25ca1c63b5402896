"""A scenery seed -> streets: ground, walls, plants, furniture, and the traffic on their roads."""
