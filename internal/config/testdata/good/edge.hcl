router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "customers" {
  prefixes = [
    "203.0.113.0/24",                  # one line, one reason, one revision
    "198.51.100.0/22",
  ]
}

originate "customers" {
  prefixes = prefix_set.customers      # exact prefixes; a range (ge/le) here is an error
}

protect "customers" {
  prefixes = prefix_set.customers
  announced_to {
    group    = group.transit
    at_least = 2
  }
}

policy "to-transit" {
  rule "our customers" {
    match {
      prefix = prefix_set.customers
      source = ["originated", "customer"]
    }
    set {
      add_communities = ["64500:100"]
    }
    then = "accept"
  }
}

policy "from-customer" {
  rule "only what is theirs" {
    match { prefix = neighbor.prefixes }   # a slot that each neighbor fills: one policy for 200 customers
    then = "accept"
  }
}

group "transit" {
  local_role = "customer"              # RFC 9234: what we are to them
  import     = policy.from-transit
  export     = policy.to-transit
  family "ipv4" { max_prefixes = 1200000 }
  family "ipv6" { max_prefixes = 300000 }
}

neighbor "transit-a" {
  group         = group.transit
  address       = "192.0.2.9"
  asn           = 64601
  password_file = "transit-a.key"
}

neighbor "shop" {
  group    = group.customers
  address  = "192.0.2.30"
  asn      = 64700
  prefixes = prefix_set.shop
}

# What the blocks above refer to.

prefix_set "shop" {
  prefixes = ["203.0.113.128/25"]
}

policy "from-transit" {
  rule "all but our own" {
    match {
      not { prefix = prefix_set.customers }
    }
    then = "accept"
  }
}

policy "to-customer" {
  rule "everything" { then = "accept" }
}

group "customers" {
  local_role = "provider"
  import     = policy.from-customer
  export     = policy.to-customer
}
