"""Starts a program on a terminal: a session of its own whose terminal is standard input.

Run as a script (``python -I -S terminal.py REPORT LC_CTYPE PROGRAM ARGUMENT...``) at the head of a new session,
never imported. REPORT is a descriptor: nothing comes on it if the program has been started, else errno as
text. LC_CTYPE is what the program shall have, empty for none: Python changes it by itself (PEP 538).
"""

import fcntl
import os
import signal
import sys
import termios


def main() -> None:
    """Take the terminal, and become the program."""
    report, locale, *command = int(sys.argv[1]), *sys.argv[2:]
    os.environ.pop("LC_CTYPE", None)
    if locale:
        os.environ["LC_CTYPE"] = locale
    os.set_inheritable(report, False)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # What is ignored stays ignored in a program: Python ignores SIGPIPE, a background job SIGINT.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:
            pass  # the C library's own
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(report, str(error.errno).encode())
        os._exit(127)


if __name__ == "__main__":
    main()
