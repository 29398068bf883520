"""What can be wrong with what a browser sends."""


class BadOfferError(Exception):
    """An offer or a piece of one that we cannot live with; the answer is a 400.

    ``reason`` is a metric label of few values. The text is for the developer of the page and shows no secret.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
