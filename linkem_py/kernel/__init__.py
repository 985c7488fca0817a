# The only place that talks to the kernel.
#
#   codec        messages as bytes, and back
#   netlink      a netlink socket that sends batches and gets exact answers
#   namespaces   network namespaces held by file descriptors
#   offload      segmentation offloads
#   driver       KernelDriver: carries out operations
#   rollback     all or nothing
#   readback     what the kernel really has
#   probe        what the kernel can do
#   fake         FakeDriver: a driver without a kernel
#   system       system calls that Python 3.11 lacks
"""The kernel: codecs, batches, namespaces, drivers, probes."""
