"""What ends a command early, as one sentence for its user.

CliError            exit code 1
├── UsageError      exit code 2: the command line itself is wrong
└── ClusterAccessError  the cluster does not answer, or answers no
"""


class CliError(Exception):
    """`str(error)` is the sentence; it says what to do where that can be known."""

    exit_code = 1


class UsageError(CliError):
    exit_code = 2


class ClusterAccessError(CliError):
    """Raised by `cluster` for every command alike."""
