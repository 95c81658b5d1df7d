"""A venue, a virtual card and its host, at work together on a network of their own."""
