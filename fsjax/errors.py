"""The one exception for what a user can mend."""


class InputError(ValueError):
    """What the user gave is at fault; the message is one sentence that says what to do.

    The command-line programs print it without a traceback and exit with status 2.
    """
