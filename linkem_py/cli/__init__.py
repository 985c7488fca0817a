# The `linkem` command. Thin: it finds out what is asked, and where it can run; the rest is other packages' work.
#
#   main             words in, exit status out; errors become one line
#   arguments        the grammar of the command line
#   errors           what can be wrong with a command line
#   console          colour, notices, tables of text
#   kernel_choice    this kernel, a user namespace on it, or a guest: decided from facts (pure)
#   facts            the facts, found by trying
#   user_namespace   enters one
#   remedies         which package brings what a kernel lacks (pure)
#   described        the network that a command line describes: a topology, links of presets, a scenario
#   scenario_files   a scenario from a file, and the traces that it names
#   load             a topology from a file or a name
#   shipped          the topologies that come with linkem_py
#   parameters       --set name=value, by the signature of topology()
#   doctor           linkem doctor: looks; `diagnosis` puts it into words (pure)
#   run              linkem run: measures a network (`progress`), or runs a command in it (`commands`)
#   plan             linkem plan
#   plot             linkem plot
#   topologies       linkem topologies
#   presets          linkem presets; `preset_tables` is what people read of them (pure)
#
# Networks that stay up:
#
#   network_arguments  the grammar of their commands
#   start            what run and up have in common, before there is a network
#   up               linkem up: in the foreground, or by `daemon` in the background
#   replay           linkem replay: as up, of a recording; or lists it
#   hosting          owns a network: its names, its control socket, its MQTT
#   live             the links on a terminal, twice a second
#   inside           what up runs in a guest: not for people
#   networks         linkem list, down
#   looking          linkem show, stats, watch
#   changing         linkem set, clear, partition, heal
#   schedule         linkem schedule; schedule_files: what a file has of one
#   switching        linkem link, carrier, readdress
#   programs         linkem exec, shell
#   reach            a running network from outside, by its socket; or a broker: `reach_mqtt`
#   fields           field=value, as people write it (pure)
#   words, happenings  impairments and events, as people read them (pure)
#   completion       what shells complete
#   schema           linkem schema
#
# Nothing here imports numpy, networkx or rich before it is needed: in a guest an import costs five times as much.
"""The ``linkem`` command."""
