"""The transaction floor of SIP (RFC 3261 §17, RFC 6026): four state tables, and the layer that walks them."""
