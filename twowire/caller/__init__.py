"""A caller that speaks Twilio's side of Media Streams: what ``twowire call`` is made of.

``stream`` is Twilio's media stream, ``conversation`` the person on the phone; both are pure.
``session`` connects them to a gateway.
"""
