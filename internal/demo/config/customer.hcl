# The customer of the demo: one neighbor, its own prefixes, and a mistake.

router {
  asn    = 64510
  id     = "192.0.2.31"
  listen = []
  kernel = false
}

originate "ours" {
  prefixes = ["203.0.113.0/24", "2001:db8:700::/48"]
}

originate "mistake" {
  prefixes = ["8.8.8.0/24"] # not ours: the edge refuses it
}

policy "all" {
  rule "everything" { then = "accept" }
}

policy "to-provider" {
  rule "ours" {
    match { source = ["originated"] }
    then = "accept"
  }
}

neighbor "edge" {
  address       = "127.64.0.1"
  asn           = 64500
  local_role    = "customer"
  local_address = "127.64.0.31"
  port          = 10179
  idle_hold     = "1s"
  import        = policy.all
  export        = policy.to-provider
  family "ipv4" {
    next_hop = "192.0.2.31"
  }
  family "ipv6" {
    next_hop = "2001:db8::31"
  }
}
