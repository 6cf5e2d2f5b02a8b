# The sins again, each written down as a choice: nothing to say.

router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}

originate "ours" {
  prefixes = ["198.51.100.0/22"]
}

policy "all" {
  rule "what is meant" {
    match { prefix = ["198.51.100.0/22 le 24", "10.0.0.0/8 le 24", "192.168.0.0/16 le 24"] }
    then = "accept"
  }
  rule "private AS numbers" {
    match { as_path_contains = "64512-65534" }
    then = "accept"
  }
  rule "rest" { then = "accept" }
}

policy "any" {
  rule "any prefix" {
    match { prefix = "0.0.0.0/0 le 32" }
    then = "accept"
  }
}

policy "leak" {
  rule "for our twin" {
    match { source = ["provider", "peer"] }
    then = "accept"
  }
}

policy "careful" {
  rule "bogons" {
    match { prefix = [prefix_set.builtin-bogons, prefix_set.builtin-bad-lengths, "198.51.100.0/22 le 32"] }
    match { as_path_contains = as_set.builtin-bogon-asns }
    then = "reject"
  }
}

neighbor "bare" {
  address      = "192.0.2.2"
  asn          = 3356
  local_role   = "none"
  max_prefixes = 0
  import       = policy.all
  export       = policy.all
}

neighbor "transit" {
  address    = "192.0.2.3"
  asn        = 174
  local_role = "customer"
  import     = policy.all
  export     = policy.leak
  family "ipv4" { max_prefixes = 0 }
}

neighbor "customer" {
  address      = "192.0.2.4"
  asn          = 3320
  local_role   = "provider"
  max_prefixes = 0
  import       = [policy.careful, policy.any]
  export       = policy.all
}

# Nobody is careful of a neighbor that is down.
neighbor "down" {
  address  = "192.0.2.5"
  asn      = 3333
  shutdown = true
}
