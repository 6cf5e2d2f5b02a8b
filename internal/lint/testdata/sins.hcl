# Every sin once.

router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}

originate "ours" {
  prefixes = ["198.51.100.0/22", "192.88.99.0/24", "2001:db8:100::/40", "0.0.0.0/0"]
}

aggregate "more" {
  prefix = "192.0.2.0/24"
}

protect "customers" {
  prefixes = ["203.0.113.0/25", "203.0.113.128/25"]
}

policy "all" {
  rule "rest" { then = "accept" }
}

policy "exact" {
  rule "ours" {
    match { prefix = ["198.51.100.0/22", "192.0.2.0/24 le 32", "203.0.113.0/24 le 32", "10.0.0.0/8", "192.168.0.0/16 le 32"] }
    then = "reject"
  }
  rule "others" { then = "accept" }
}

policy "no-bogon-asns" {
  rule "path" {
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
}

policy "origin" {
  rule "theirs" {
    match { as_path_origin = 3320 }
    then = "accept"
  }
}

policy "ours" {
  rule "ours" {
    match { source = ["originated", "customer"] }
    then = "accept"
  }
}

# No role, no limit; accepts everything.
neighbor "bare" {
  address = "192.0.2.2"
  asn     = 3356
  import  = policy.all
  export  = policy.ours
}

# A limit for one of two families; what is inside of our own is accepted.
neighbor "transit" {
  address           = "192.0.2.3"
  asn               = 174
  local_role        = "customer"
  families          = ["ipv4", "ipv6"]
  import            = policy.exact
  export            = policy.all
  default_originate = true
  family "ipv4" { max_prefixes = 1200000 }
}

neighbor "peer" {
  address      = "192.0.2.4"
  asn          = 6939
  local_role   = "peer"
  max_prefixes = 10
  import       = policy.exact
  export       = policy.all
}

# Its own AS number is one that the policy rejects.
neighbor "laboratory" {
  address      = "192.0.2.5"
  asn          = 65001
  local_role   = "customer"
  max_prefixes = 10
  import       = [policy.no-bogon-asns, policy.exact]
  export       = policy.ours
}

neighbor "customer" {
  address      = "192.0.2.6"
  asn          = 3320
  local_role   = "provider"
  max_prefixes = 10
  import       = policy.origin
  export       = policy.all
}

# Whoever connects: nothing limits them.
neighbor_range "access" {
  addresses = ["192.0.2.128/25", "2001:db8:7::/64"]
  asns      = ["3500-3600"]
  import    = policy.exact
  export    = policy.ours
}

# Half of what is protected is a customer's.
neighbor "halves" {
  address      = "192.0.2.7"
  asn          = 3333
  local_role   = "provider"
  max_prefixes = 10
  prefixes     = "203.0.113.128/25"
  import       = policy.origin
  export       = policy.all
}
