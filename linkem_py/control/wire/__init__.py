# The language of every surface: what can be said to a running network, and what it says. Pure.
#
#   commands     Update, Reschedule, Switch, Carrier, Readdress, Partition, Heal: what a network can be told
#   replies      Reply, Problem: what became of a command
#   states       Description, LinkState, LinkCounters, LinkRate: what is
#   events       Changed, Refused, Notice, Missed: what happens
#   limits       from bytes to a JSON object that cannot do harm, and back
#   shape        what a JSON value must be made of, or an error that says where it is not
#   impairments  impairments as JSON
#   schedules    schedules as JSON
#   requests     commands as JSON
#   answers      replies as JSON, and the problem that an error is
#   reports      states as JSON
#   news         events as JSON
#   json         every name of the codec
#   topics       MQTT topics, and what networks can be named
#   meanings     what each field means, in a sentence
#   pieces       what a JSON Schema is made of
#   schema       JSON Schema of all of it, generated from the model
"""The language of every surface: commands, replies, states and events, and their JSON."""
