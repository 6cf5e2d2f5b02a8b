# A transit of the demo. The demo plays it a real table, over a session for each
# family, because the table comes from two collectors' neighbors.

router {
  asn    = 64502
  id     = "192.0.2.12"
  listen = ["127.64.0.12:10179"]
  kernel = false
}

policy "all" {
  rule "everything" { then = "accept" }
}

policy "nothing" {}

policy "to-customers" {
  # Others are closer to AS6939 and AS15169.
  rule "far" {
    match { as_path_contains = [6939, 15169] }
    set { prepend = 1 }
    then = "accept"
  }
  rule "rest" { then = "accept" }
}

group "table" {
  passive   = true
  idle_hold = "1s"
  import    = policy.all
  export    = policy.nothing
}

neighbor "table-ipv4" {
  group    = group.table
  address  = "127.64.0.21"
  asn      = 30844
  families = ["ipv4"]
}

neighbor "table-ipv6" {
  group    = group.table
  address  = "127.64.0.22"
  asn      = 13030
  families = ["ipv6"]
}

neighbor "edge" {
  address    = "127.64.0.1"
  asn        = 64500
  local_role = "provider"
  passive    = true
  idle_hold  = "1s"
  import     = policy.all
  export     = policy.to-customers
  family "ipv4" {
    max_prefixes = 100
    next_hop     = "192.0.2.12"
  }
  family "ipv6" {
    max_prefixes = 100
    next_hop     = "2001:db8::12"
  }
}
