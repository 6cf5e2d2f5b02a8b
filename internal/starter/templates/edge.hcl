# A router of AS {{.ASN}} at the edge of its network, written by "holdfast init".
{{- template "head" .}}
{{template "unused" .}}{{template "blackhole" .}}
{{- template "careful" .}}
{{- if .Transits}}
# From transits: the rest.
policy "from-transit" {
  rule "rest" { then = "accept" }
}
{{end}}
{{- if or .Peers .Servers}}
# From peers: before the same route of a transit.
policy "from-peer" {
  rule "rest" {
    set { local_pref = 150 }
    then = "accept"
  }
}
{{end}}
# To transits and peers: what is ours and our customers', and nothing else, so that
# no routes of a transit leak to another one.
policy "ours-and-customers" {
  rule "ours and our customers'" {
    match { source = ["originated", "customer"] }
    then = "accept"
  }
}
{{range .Transits}}
# Those that we pay. local_role says what we are to them (RFC 9234); max_prefixes
# ends a session that floods us: some more than a whole table has.
group "transit" {
  local_role = "customer"
  import     = [policy.careful, policy.from-transit]
  export     = policy.ours-and-customers
{{- template "limits" .}}
}
{{$both := .Both}}{{range .Members}}
neighbor "{{.Name}}" {
  group   = group.transit
  address = "{{.Address}}"
  asn     = {{.ASN}}
{{- if $both}}
  families = "{{.Family}}"
{{- end}}
  #password_file = "/etc/holdfast/{{.Name}}.key" # agreed with them: TCP MD5
}
{{end}}{{end}}
{{- range .Servers}}
# Route servers of the exchange: they pass on routes of its members, without their
# own AS number in the path.
group "route-servers" {
  local_role       = "rs-client"
  enforce_first_as = false
  import           = [policy.careful, policy.from-peer]
  export           = policy.ours-and-customers
{{- template "limits" .}}
}
{{$both := .Both}}{{range .Members}}
neighbor "{{.Name}}" {
  group   = group.route-servers
  address = "{{.Address}}"
  asn     = {{.ASN}}
{{- if $both}}
  families = "{{.Family}}"
{{- end}}
}
{{end}}{{end}}
{{- range .Peers}}
# Peers: networks that exchange what is theirs and their customers'. What they say
# about their size in PeeringDB, and a half more, is a good max_prefixes.
group "peers" {
  local_role = "peer"
  import     = [policy.careful, policy.from-peer]
  export     = policy.ours-and-customers
{{- template "less" .}}
}
{{$both := .Both}}{{range .Members}}
neighbor "{{.Name}}" {
  group   = group.peers
  address = "{{.Address}}"
  asn     = {{.ASN}}
{{- if $both}}
  families = "{{.Family}}"
{{- end}}
}
{{end}}{{end}}
# Customers: one policy for all, each with prefixes of its own. It may have a prefix
# dropped that is under attack.
#policy "from-customer" {
#  rule "not theirs" {
#    match {
#      not { prefix = neighbor.prefixes }
#    }
#    then = "reject"
#  }
#  rule "blackhole" {
#    match { community = ["blackhole"] }
#    set {
#      add_communities = ["no-export"]
#      next_hop        = "discard"
#    }
#    then = "accept"
#  }
#  rule "too long or too short" {
#    match { prefix = prefix_set.builtin-bad-lengths }
#    then = "reject"
#  }
#  rule "rest" {
#    set { local_pref = 200 }
#    then = "accept"
#  }
#}
#policy "to-customer" {
#  rule "everything" { then = "accept" }
#}
#group "customers" {
#  local_role   = "provider"
#  import       = policy.from-customer
#  export       = policy.to-customer
#  max_prefixes = 20
#}
#neighbor "customer" {
#  group    = group.customers
#  address  = "192.0.2.30"
#  asn      = 64510
#  prefixes = ["198.51.100.0/24 le 32"]
#}
{{if .Transits}}{{template "protect" .}}{{end}}
