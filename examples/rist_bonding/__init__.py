"""A live stream over LTE, 5G and Wi-Fi at once: RIST bonding with GStreamer, and what it does when a link dies.

A camera sends an MPEG transport stream to a studio with GStreamer's `ristsink` and `ristsrc` (RIST
simple profile, VSF TR-06-1) over the three links of topologies/bonding_cellular.py. One link goes
down in the middle and comes back. Printed are, over time and in tables at the end, what each link
carried and lost, what RIST sent again and what round trip it saw, what it recovered, and what was
missing in the studio: the stream's packets are numbered, so that nothing is estimated.

    linkem guest -- python -m examples.rist_bonding --plot rist.png          (about 30 seconds)

As root, without a guest, where the kernel has netem. It needs GStreamer, its plugins "good" and
"bad", and Python's bindings for it; on Debian and Ubuntu:

    apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \\
        gstreamer1.0-plugins-bad python3-gi gir1.2-gstreamer-1.0

Two ways to bond: `--method broadcast` sends every packet on every link, `--method round-robin` each
on the next one. docs/media-bonding.md explains the figures, and how to test your own program so.
"""

# Read from here:
#
#   __main__   the command line
#   run        a network, the two programs in it, the link that dies; collects what all of them say
#   camera     the sender     } programs of their own, for they run with the Python that has GStreamer:
#   studio     the receiver   } they import nothing of linkem_py and print a line of JSON twice a second
#   elements   what GStreamer's elements tell of themselves
#   ts         the stream: numbered packets
#   timeline   what was collected, and what follows from it
#   tables     that, printed
#   plot       that, drawn
