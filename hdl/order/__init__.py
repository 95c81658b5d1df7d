"""Order entry: from approved orders to frames."""
