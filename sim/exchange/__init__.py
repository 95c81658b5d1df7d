"""The venue: matching engine, OUCH 5.0 over SoupBinTCP, ITCH 5.0 over MoldUDP64, on sockets."""
