{{define "head"}}
#
# After an edit, "holdfast check" says what is wrong with it, and "holdfast
# reload" makes it run. Lines that begin with # and no space are recipes: take
# the # off. All arguments: docs/configuration.md; policies: docs/policy.md.

# Who we are. The id is an IPv4 address that no other router has.
router {
  asn = {{.ASN}}
  id  = "{{.ID}}"
}

# Our own prefixes: announced to all neighbors, always.
prefix_set "ours" {
  prefixes = [{{range .Prefixes}}
    "{{.}}",{{end}}
  ]
}

originate "ours" {
  prefixes = prefix_set.ours
}
{{end}}

{{define "careful"}}
# Our own prefixes with all that is inside of them, which nobody else may announce.
prefix_set "inside-ours" {
  prefixes = [{{range .Inside}}
    "{{.}}",{{end}}
  ]
}

# A validator, such as Routinator or rpki-client with StayRTR, knows who may announce
# what. Where you have one, take the # off here and at the rule "RPKI" below. While it
# cannot be reached, and has not said anything yet, nothing is rejected.
#rpki "validator" {
#  address = "192.0.2.10"
#  port    = 3323
#}

# What no network may announce to us. Sets named builtin- come with holdfast; what
# no rule decides about goes on to the next policy of an import list.
policy "careful" {
  rule "ours" {
    match { prefix = prefix_set.inside-ours }
    then = "reject"
  }
  rule "addresses that nobody has" {
    match { prefix = prefix_set.builtin-bogons }
    then = "reject"
  }
  rule "too long or too short" {
    match { prefix = prefix_set.builtin-bad-lengths }
    then = "reject"
  }
  rule "default route" {
    match { prefix = ["0.0.0.0/0", "::/0"] }
    then = "reject"
  }
  #rule "RPKI" {
  #  match { rpki = "invalid" } # announced by somebody who may not (RFC 6811)
  #  match { aspa = "invalid" } # leaked by a network on the path
  #  then = "reject"
  #}
  rule "paths that are too long" {
    match { as_path_length = "60-1000" }
    then = "reject"
  }
{{- if .Unusual}}
  # AS{{.Unusual}} is such a number itself: take the # off when the real neighbors are here.
  #rule "AS numbers that nobody has" {
  #  match { as_path_contains = as_set.builtin-bogon-asns }
  #  then = "reject"
  #}
{{- else}}
  rule "AS numbers that nobody has" {
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
{{- end}}
}
{{end}}

{{define "limits"}}
{{- if .IPv4}}
  family "ipv4" { max_prefixes = 1200000 }{{end}}
{{- if .IPv6}}
  family "ipv6" { max_prefixes = 300000 }{{end}}
{{- end}}

{{define "less"}}
{{- if .IPv4}}
  family "ipv4" { max_prefixes = 20000 }{{end}}
{{- if .IPv6}}
  family "ipv6" { max_prefixes = 5000 }{{end}}
{{- end}}

{{define "protect"}}
# What must not go dark. It comes first when something is lost; who is announced it is
# checked and kept, and this version does not act on that yet.
#protect "ours" {
#  prefixes = prefix_set.ours
#  announced_to {
#    group    = group.transit
#    at_least = {{.Needed}}
#  }
#}
{{end}}

{{define "unused"}}
# What is sent to parts of them that nobody has: dropped here. Where the kernel has
# a default route that leads out, it would go in circles. Not where it leads in.
#static "unused" {
#  prefixes  = prefix_set.ours
#  blackhole = true
#}
{{end}}

{{define "blackhole"}}{{if .Attacked}}
# An address under attack: tell the transits to drop what is sent to it (RFC 7999).
# The same without an edit: holdfast announce {{.Attacked}} --community blackhole --for 1h
#originate "blackhole" {
#  prefixes = ["{{.Attacked}}"]
#  set { add_communities = ["blackhole"] }
#}
{{end}}{{end}}
