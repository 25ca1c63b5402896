"""A plan -> what goes wrong in the city, where and when."""
