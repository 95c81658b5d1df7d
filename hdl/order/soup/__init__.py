"""SoupBinTCP and OUCH 5.0, as the venue sends them: from octets to reports."""
