"""A camera, a file or a folder in, frames pushed: a client of the gateway like any other."""
