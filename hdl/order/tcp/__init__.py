"""One TCP connection to the venue, as a client, in gateware."""
