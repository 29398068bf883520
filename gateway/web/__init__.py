"""HTTP: Twilio's webhooks, health, metrics, the call API."""
