"""The Twilio door, pure: stream messages, signatures, tokens, TwiML."""
