# Two injectors (eBGP, iBGP) and an observer that is sent everything.
router {
  asn    = 64511
  id     = "10.255.0.1"
  listen = ["10.99.0.1:179"]
  kernel = false
}

policy "all" {
  rule "rest" { then = "accept" }
}

policy "none" {}

neighbor "a1" {
  address          = "10.99.0.2"
  asn              = 65001
  passive          = true
  multihop         = 255
  enforce_first_as = false
  families         = ["ipv4", "ipv6"]
  add_path         = "receive"
  import           = policy.all
  export           = policy.none
}

neighbor "a2" {
  address  = "10.99.0.3"
  asn      = 64511
  passive  = true
  families = ["ipv4", "ipv6"]
  add_path = "receive"
  import   = policy.all
  export   = policy.none
}

neighbor "b" {
  address  = "10.99.0.9"
  asn      = 64999
  passive  = true
  multihop = 255
  import   = policy.none
  export   = policy.all
  family "ipv4" { next_hop = "self" }
  family "ipv6" { next_hop = "2001:db8:ffff::1" }
}
