# The edge of a small provider, AS 64500: two transits, an exchange, customers,
# and a second router of its own.
#
# All numbers and addresses are those for documentation, which the policies
# here refuse from outside: put your own and your neighbors' in their place.

router {
  asn = 64500
  id  = "192.0.2.1"
}

# --- what is ours -----------------------------------------------------------

prefix_set "ours" {
  prefixes = [
    "198.51.100.0/24",
    "2001:db8::/32",
  ]
}

# Nobody but we and our customers may announce a part of it.
prefix_set "inside-ours" {
  prefixes = [
    "198.51.100.0/24 le 32",
    "2001:db8::/32 le 128",
  ]
}

originate "ours" {
  prefixes = prefix_set.ours
}

# Packets for parts of it that nobody has end here, and do not go in circles.
static "unused" {
  prefixes  = prefix_set.ours
  blackhole = true
}

# --- who may announce what --------------------------------------------------

# Validators that are asked by RTR. Without any, nothing is rejected for that.
rpki "validator-1" { address = "192.0.2.10" }

rpki "validator-2" { address = "2001:db8::10" }

# --- what comes in ----------------------------------------------------------

# Networks that buy transit from nobody: no peer has a way to them.
as_set "transit-free" {
  asns = [174, 701, 1299, 2914, 3257, 3320, 3356, 3491, 5511, 6453, 6461, 6762, 6830, 7018, 12956]
}

# Of an import list, each policy takes what the one before has not decided about.
policy "careful" {
  rule "ours" {
    match { prefix = prefix_set.inside-ours }
    then = "reject"
  }
  rule "what nobody has, and default routes" {
    match { prefix = [prefix_set.builtin-bogons, "0.0.0.0/0", "::/0"] }
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
  rule "too long or too short" {
    match { prefix = prefix_set.builtin-bad-lengths }
    match { as_path_length = "60-1000" }
    then = "reject"
  }
  rule "what the RPKI says is wrong" {
    match { rpki = "invalid" }
    match { aspa = "invalid" }
    then = "reject"
  }
  # Only we write these.
  rule "our communities" {
    set { remove_communities = ["64500:*", "64500:*:*"] }
    then = "continue"
  }
}

policy "from-transit" {
  rule "mark" {
    set { add_communities = "64500:100" }
    then = "continue"
  }
}

policy "from-peer" {
  rule "somebody's transit" {
    match { as_path_contains = as_set.transit-free }
    then = "reject"
  }
  rule "mark" {
    set {
      local_pref      = 150
      add_communities = "64500:200"
    }
    then = "continue"
  }
}

policy "rest" {
  # RFC 8326: whoever is about to go down says so, and other ways are taken.
  rule "graceful shutdown" {
    match { community = "graceful-shutdown" }
    set { local_pref = 0 }
    then = "accept"
  }
  rule "rest" { then = "accept" }
}

# One policy for all customers: the slots are what each of them has below.
policy "from-customer" {
  rule "not theirs" {
    match {
      not { prefix = neighbor.prefixes }
    }
    match {
      not { as_path_origin = neighbor.origin_asns }
    }
    then = "reject"
  }
  # RFC 7999: a customer under attack gives up one of its addresses.
  rule "blackhole" {
    match {
      family        = "ipv4"
      prefix_length = 32
      community     = "blackhole"
    }
    match {
      family        = "ipv6"
      prefix_length = 128
      community     = "blackhole"
    }
    set {
      add_communities = "no-export"
      next_hop        = "discard"
    }
    then = "accept"
  }
  rule "too long or too short" {
    match { prefix = prefix_set.builtin-bad-lengths }
    then = "reject"
  }
  rule "what the RPKI says is wrong" {
    match { rpki = "invalid" }
    match { aspa = "invalid" }
    then = "reject"
  }
  rule "prefer" {
    set { local_pref = 200 }
    then = "continue"
  }
  rule "but as a backup, if they say so" {
    match { community = "64500:50" }
    set { local_pref = 80 }
    then = "continue"
  }
}

# --- what goes out ----------------------------------------------------------

# The same to transits and peers: never what came from one of them.
policy "to-outside" {
  rule "ours and our customers'" {
    match { source = ["originated", "customer"] }
    set { remove_communities = ["64500:*", "64500:*:*"] }
    then = "accept"
  }
  # What customers announce to our other router comes from there.
  rule "our customers' at the other router" {
    match {
      source    = "ibgp"
      community = "64500:300"
    }
    set { remove_communities = ["64500:*", "64500:*:*"] }
    then = "accept"
  }
}

policy "to-customer" {
  rule "everything" { then = "accept" }
}

# The other router must know what is a customer's.
policy "to-twin" {
  rule "customers'" {
    match { source = "customer" }
    set { add_communities = "64500:300" }
    then = "accept"
  }
  rule "rest" { then = "accept" }
}

# --- neighbors --------------------------------------------------------------

group "transit" {
  local_role = "customer" # what we are to them (RFC 9234)
  import     = [policy.careful, policy.from-transit, policy.rest]
  export     = policy.to-outside
  family "ipv4" { max_prefixes = 1200000 }
  family "ipv6" { max_prefixes = 300000 }
}

neighbor "transit-a" {
  group    = group.transit
  address  = "192.0.2.9"
  asn      = 64501
  families = "ipv4"
}

neighbor "transit-a-v6" {
  group    = group.transit
  address  = "2001:db8:ffff::9"
  asn      = 64501
  families = "ipv6"
}

neighbor "transit-b" {
  group    = group.transit
  address  = "192.0.2.13"
  asn      = 64502
  families = "ipv4"
}

# The exchange's route servers have no AS number of their own in the paths.
group "route-servers" {
  asn              = 64505
  local_role       = "rs-client"
  enforce_first_as = false
  import           = [policy.careful, policy.from-peer, policy.rest]
  export           = policy.to-outside
  max_prefixes     = 400000
}

neighbor "rs1" {
  group   = group.route-servers
  address = "192.0.2.65"
}

neighbor "rs2" {
  group   = group.route-servers
  address = "192.0.2.66"
}

group "peers" {
  local_role   = "peer"
  import       = [policy.careful, policy.from-peer, policy.rest]
  export       = policy.to-outside
  max_prefixes = 5000
}

neighbor "peer-video" {
  group        = group.peers
  address      = "192.0.2.70"
  asn          = 64506
  max_prefixes = 500
}

group "customers" {
  local_role          = "provider"
  import              = [policy.from-customer, policy.rest]
  export              = policy.to-customer
  max_prefixes        = 100
  max_prefixes_action = "restart"
}

# Addresses of its own, and an AS behind it.
neighbor "shop" {
  group       = group.customers
  description = "shop.example, contract 1234, noc@shop.example"
  tags        = ["gold"]
  address     = "192.0.2.130"
  asn         = 64508
  prefixes    = "203.0.113.0/24 le 32"
  origin_asns = [64508, 64509]
}

# A part of ours.
neighbor "school" {
  group       = group.customers
  address     = "2001:db8:ffff::86"
  asn         = 64510
  prefixes    = "2001:db8:700::/48 le 128"
  origin_asns = 64510
}

# Inside our AS all passes, but for what the policy changes.
neighbor "edge2" {
  address       = "192.0.2.2"
  asn           = 64500
  local_address = "192.0.2.1"
  families      = ["ipv4", "ipv6"]
  next_hop      = "self"
  export        = policy.to-twin
}
