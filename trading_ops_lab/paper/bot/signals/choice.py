"""Who decides now, the model or the fallback: at once to the fallback, and slowly back."""


class Choice:
    """The fallback decides until the model has proved itself, also at the start."""

    def __init__(self, recover_after: int) -> None:
        """Take the number of good rounds in a row after which the model decides."""
        self._recover_after = recover_after
        self.model_decides = False

    def judge(self, *, usable: bool, good_rounds: int) -> bool:
        """Take one pass's view; return whether who decides has changed.

        Args:
            usable: whether there is a signal for each symbol that may be acted on.
            good_rounds: rounds in a row that the model answered whole and well.
        """
        before = self.model_decides
        if self.model_decides:
            # One bad answer is no reason to go while the one before it is still good.
            self.model_decides = usable
        else:
            self.model_decides = usable and good_rounds >= self._recover_after
        return self.model_decides is not before
