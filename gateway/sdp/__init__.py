"""Session descriptions (RFC 8866) and their offer/answer (RFC 3264), pure."""
