# A user-mode kernel made from source, in the user's cache folder, where `guest.kernels` finds it.
#
#   build           makes one: the order of the steps, and nothing left half done
#   source          where the source comes from: a package, a file, a folder
#   needs           the programs and the room that it takes, and the packages that bring them
#   configuration   what the kernel is to have (kernel.config), and whether a tree gave it
#   compile         runs make, and tells how far it is
#   cache           the finished ones: their names, the lock, listing and removing
#   errors          what can go wrong
"""Builds user-mode kernels."""

from linkem_py.guest.building.build import build_kernel
from linkem_py.guest.building.cache import BuiltKernel, built_kernels, remove_kernel
from linkem_py.guest.building.errors import BuildError

__all__ = ["BuildError", "BuiltKernel", "build_kernel", "built_kernels", "remove_kernel"]
