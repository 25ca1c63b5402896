"""Ways to find people in frames. All share one contract; `registry` names them."""
