# A content network, AS 64500, at an exchange: it takes what the route servers
# and a few peers have, and sends everybody its own prefixes.
#
# All numbers and addresses are those for documentation, which the policies
# here refuse from outside: put your own and your neighbors' in their place.

router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "ours" {
  prefixes = ["203.0.113.0/24", "2001:db8:100::/48"]
}

originate "ours" {
  prefixes = prefix_set.ours
}

# A validator, asked by RTR, knows who may announce what. Without it, nothing is
# rejected for that.
rpki "validator" { address = "192.0.2.10" }

policy "careful" {
  rule "ours" {
    match { prefix = ["203.0.113.0/24 le 32", "2001:db8:100::/48 le 128"] }
    then = "reject"
  }
  rule "what nobody has, and default routes" {
    match { prefix = [prefix_set.builtin-bogons, prefix_set.builtin-bad-lengths, "0.0.0.0/0", "::/0"] }
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
  rule "what the RPKI says is wrong" {
    match { rpki = "invalid" }
    match { aspa = "invalid" }
    then = "reject"
  }
}

# Directly before by way of the route servers, if both have it.
policy "from-peer" {
  rule "rest" {
    set { local_pref = 160 }
    then = "accept"
  }
}

policy "from-route-server" {
  rule "rest" {
    set { local_pref = 150 }
    then = "accept"
  }
}

policy "to-exchange" {
  rule "ours" {
    match { source = "originated" }
    then = "accept"
  }
}

# Route servers have a session for each family; the AS number of the group is
# theirs. Communities that steer what they do with our routes are set in the
# policy: ask the exchange for its list.
group "route-servers" {
  asn          = 64505
  local_role   = "rs-client"
  import       = [policy.careful, policy.from-route-server]
  export       = policy.to-exchange
  max_prefixes = 400000
}

neighbor "rs1-v4" {
  group   = group.route-servers
  address = "192.0.2.65"
}

neighbor "rs1-v6" {
  group   = group.route-servers
  address = "2001:db8:ffff::65"
}

neighbor "rs2-v4" {
  group   = group.route-servers
  address = "192.0.2.66"
}

neighbor "rs2-v6" {
  group   = group.route-servers
  address = "2001:db8:ffff::66"
}

group "peers" {
  local_role   = "peer"
  import       = [policy.careful, policy.from-peer]
  export       = policy.to-exchange
  max_prefixes = 5000
}

neighbor "access-v4" {
  group       = group.peers
  description = "Access Networks, noc@access.example"
  address     = "192.0.2.71"
  asn         = 64506
}

neighbor "access-v6" {
  group       = group.peers
  description = "Access Networks, noc@access.example"
  address     = "2001:db8:ffff::71"
  asn         = 64506
}

# It shuts down today; the text is sent to it (RFC 9003).
neighbor "old-v4" {
  group    = group.peers
  address  = "192.0.2.72"
  asn      = 64507
  shutdown = "depeering as agreed, ticket 42"
}
