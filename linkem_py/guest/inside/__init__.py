# What runs inside the guest, on nothing but the interpreter and the C library:
#
#   init      the guest's first process: mounts, modules, then the command
#   mounts    what the guest covers of the host's file tree, and how
#   modules   loads kernel modules from the folder of the kernel's own package
#   command   starts the command
#   pump      carries its streams over the line
#   frames    the byte protocol of the line (pure; the host uses it too)
#
# Every import costs more there than here, so these files import little, and not through the
# package: `init` is run as a script, with this folder as its module path.
"""The guest's side of `linkem_py.guest`."""

__all__: list[str] = []
