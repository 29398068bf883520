"""The SIP user agent, pure: the floors of RFC 3261 from syntax to dialogs."""
