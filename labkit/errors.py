"""What can go wrong, in the words the instructor reads."""


class LabkitError(Exception):
    """
    A failure that is told in two lines: what happened, and what to try.

    Raised as itself it means that this controller or the run could not go on; the
    subclasses tell the command line which exit code the kind of failure has.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(LabkitError):
    """The command line, the inventory or a variable is wrong; nothing was touched."""


class ControllerError(LabkitError):
    """The controller lacks what the command needs; no machine is to blame."""
