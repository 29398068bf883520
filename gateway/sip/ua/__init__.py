"""The SIP user agent: all calls, registrations and pings of one gateway as one pure machine."""
