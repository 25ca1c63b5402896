"""What the gateway decides, without clocks or storage: time and state come in as arguments."""
