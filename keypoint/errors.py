"""What can go wrong through no fault of the code, and the exit status each kind ends a command
with.

Every message answers three questions: what was given, what is allowed, what to do. It names the
file and the id or key. Programming errors stay assertions and built-in exceptions.
"""


class KeypointError(Exception):
    """Any error that the user can mend; never raised itself."""

    exit_status = 1


class ConfigError(KeypointError, ValueError):
    """A config file, an override or a command line that does not fit."""

    exit_status = 2


class DataError(KeypointError, ValueError):
    """Annotations, images, person boxes or results that cannot be used."""

    exit_status = 3


class CheckpointError(KeypointError, ValueError):
    """A checkpoint or weights file that cannot be read or does not fit the network."""

    exit_status = 4


class NumericsError(KeypointError, ArithmeticError):
    """A number that is not finite where training or scoring needs one."""

    exit_status = 5
