"""Errors that a user can mend."""


class InputError(ValueError):
    """What the user gave is at fault; the message is one sentence that says what to do.

    The command-line programs print it without a traceback and exit with status 2.
    """


class NotFiniteError(FloatingPointError):
    """A training met a number that is not finite.

    Attributes:
      step: at which it did.
      what: "The loss of step 3 is nan" and the like.
    """

    def __init__(self, step: int, what: str):
        super().__init__(f"{what}: lower train.learning_rate and begin anew in another --workdir.")
        self.step, self.what = step, what
