# Networks in tests of other projects: the plugin that pytest finds by its entry point.
#
#   plugin        the options, markers, fixtures and hooks: what pytest sees
#   place         where a run's networks can be: this kernel, a user namespace, a guest; why not
#   rerun         the whole run again, in another place
#   networks      the networks of one test: made, watched, closed
#   loops         in which event loop a test wants them, and the fixtures for each
#   with_asyncio  those for pytest-asyncio (imported only where it is installed)
#   failure       what a failed test's report says of its networks
#   captures      a capture of every peer, kept for failed tests
#   leaks         what a test has left behind
#
# pytest loads `plugin` in every project of an environment that has linkem_py: nothing here may import
# the rest of the package before a test asks for a network, or a setting for a kernel.
"""Networks in tests: a pytest plugin."""
