# Another kernel beside this one: an ordinary program (User-mode Linux), no root needed.
#
#   run          runs a command in a guest: the one thing to call
#   kernels      finds the kernels on this machine
#   memory       how much memory, and where its file can be
#   launch       starts a kernel: its command line, the descriptors it inherits
#   keeper       the process that holds the kernel, so that nothing is left however it ends
#   session      carries the command's streams until it has ended
#   streams      input on its way in, output on its way out, and how much of it may be under way
#   interrupts   signals for the command, and when they end the guest
#   terminal     the terminal, if there is one
#   virtual_time how a guest runs in virtual time, and when that stands still (pure)
#   watch        watches it while a command runs; `peek` reads the kernel's clock from outside
#   inside/      what runs in the guest, on the bare interpreter
#   building/    makes a kernel from source
#
# The launcher starts the keeper, the keeper the kernel, the kernel `init`, and that the command. Launcher
# and `init` talk over one line, in frames (`inside.frames`); input takes a short cut through
# shared memory. The kernel's console is kept aside, for error messages only.
"""Runs commands inside a user-mode kernel, with this machine's files."""

from linkem_py.guest.kernels import GuestKernel, find_kernel, find_kernels, find_virtual_time_kernel
from linkem_py.guest.memory import parse_memory
from linkem_py.guest.run import INSIDE_VARIABLE, GuestTimeoutError, run_in_guest
from linkem_py.guest.virtual_time import GuestStalledError, VirtualTime

__all__ = [
    "INSIDE_VARIABLE",
    "GuestKernel",
    "GuestStalledError",
    "GuestTimeoutError",
    "VirtualTime",
    "find_kernel",
    "find_kernels",
    "find_virtual_time_kernel",
    "parse_memory",
    "run_in_guest",
]
