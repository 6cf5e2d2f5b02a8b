# The edge router of the demo: two transits, one customer, its own prefixes.
#
# Edit this file while the demo runs, then say "reload": policies count at once
# and no session is reset.

router {
  asn    = 64500
  id     = "192.0.2.1"
  listen = ["127.64.0.1:10179"]
  kernel = false # the demo touches nothing outside of itself
}

# --- prefixes ---------------------------------------------------------------

prefix_set "ours" {
  prefixes = [
    "198.51.100.0/24",
    "2001:db8:500::/48",
  ]
}

prefix_set "customer" {
  prefixes = [
    "203.0.113.0/24",
    "2001:db8:700::/48",
  ]
}

originate "ours" {
  prefixes = prefix_set.ours
}

# --- policies: what comes in ------------------------------------------------

# Nobody may send us these. What passes all rules goes on to the next policy of
# the list that this one stands in.
policy "no-bogons" {
  rule "default route" {
    match { prefix = ["0.0.0.0/0", "::/0"] }
    then = "reject"
  }
  rule "private addresses" {
    match { prefix = ["10.0.0.0/8 le 32", "172.16.0.0/12 le 32", "192.168.0.0/16 le 32", "fc00::/7 le 128"] }
    then = "reject"
  }
  rule "too long" {
    match {
      family        = "ipv4"
      prefix_length = "25-32"
    }
    match {
      family        = "ipv6"
      prefix_length = "49-128"
    }
    then = "reject"
  }
  rule "AS numbers that nobody has" {
    match { as_path_contains = [23456, "64512-131071", "4200000000-4294967295"] }
    then = "reject"
  }
}

policy "from-transit" {
  rule "ours and our customer's" {
    match { prefix = [prefix_set.ours, prefix_set.customer] }
    then = "reject"
  }
  rule "mark" {
    set {
      remove_communities = ["64500:*"] # only we write those
      add_communities    = ["64500:100"]
      local_pref         = 100
    }
    then = "continue"
  }

  # +0 changes nothing. Make it +50 and reload: all routes move to transit-b.
  rule "preference of transit-b" {
    match { neighbor = neighbor.transit-b }
    set { local_pref = "+0" }
    then = "continue"
  }
  rule "rest" { then = "accept" }
}

# One policy for all customers: neighbor.prefixes is the list that each neighbor
# has of its own.
policy "from-customer" {
  rule "not theirs" {
    match {
      not { prefix = neighbor.prefixes }
    }
    then = "reject"
  }
  rule "mark" {
    set {
      remove_communities = ["64500:*"]
      add_communities    = ["64500:200"]
      local_pref         = 300
    }
    then = "accept"
  }
}

# --- policies: what goes out ------------------------------------------------

policy "to-transit" {
  rule "ours and our customers'" {
    match { source = ["originated", "customer"] }
    set { remove_communities = ["64500:*"] }
    then = "accept"
  }
}

policy "to-customer" {
  rule "everything" { then = "accept" }
}

# --- neighbors --------------------------------------------------------------

group "transit" {
  local_role       = "customer" # RFC 9234: what we are to them
  local_address    = "127.64.0.1"
  port             = 10179 # BGP has 179, for which one must be root
  idle_hold        = "1s"  # after a failure; short, because this is a demo
  graceful_restart = false # the demo shows how routes move, not how they stay
  import           = [policy.no-bogons, policy.from-transit]
  export           = policy.to-transit
  family "ipv4" {
    max_prefixes = 1200000
    next_hop     = "192.0.2.1" # of 127.0.0.0/8 none can be announced
  }
  family "ipv6" {
    max_prefixes = 300000
    next_hop     = "2001:db8::1"
  }
}

group "customers" {
  local_role    = "provider"
  local_address = "127.64.0.1"
  passive       = true # they connect
  import        = [policy.no-bogons, policy.from-customer]
  export        = policy.to-customer
  family "ipv4" {
    max_prefixes = 10
    next_hop     = "192.0.2.1"
  }
  family "ipv6" {
    max_prefixes = 10
    next_hop     = "2001:db8::1"
  }
}

neighbor "transit-a" {
  group   = group.transit
  address = "127.64.0.11"
  asn     = 64501
  port    = 10180 # the cable that the demo cuts
}

neighbor "transit-b" {
  group   = group.transit
  address = "127.64.0.12"
  asn     = 64502
}

neighbor "customer" {
  group    = group.customers
  address  = "127.64.0.31"
  asn      = 64510
  prefixes = prefix_set.customer
}
