router {
  asn = 64500
  id  = "192.0.2.1"
}

policy "all" {
  rule "all" { then = "accept" }
}

group "internal" {
  asn        = 64500
  local_role = "peer"
}

neighbor "link-local" {
  address = "fe80::1"
  asn     = 64500
}

neighbor "not-link-local" {
  address   = "2001:db8::1"
  interface = "eth0"
  asn       = 64500
}

neighbor "families-mixed" {
  address       = "2001:db8::2"
  local_address = "192.0.2.1"
  asn           = 64500
}

neighbor "self" {
  address       = "192.0.2.2"
  local_address = "192.0.2.2"
  asn           = 64500
}

neighbor "local-asn" {
  address   = "192.0.2.3"
  asn       = 64501
  local_asn = 64501
}

neighbor "keepalive" {
  address   = "192.0.2.4"
  asn       = 64500
  hold_time = "30s"
  keepalive = "30s"
}

neighbor "ttl" {
  address      = "192.0.2.5"
  asn          = 64500
  multihop     = 2
  ttl_security = 1
}

neighbor "in-group" {
  group                  = group.internal
  address                = "192.0.2.6"
  route_reflector_client = true
  family "ipv6" { as_override = true }
}

neighbor "client" {
  address                = "192.0.2.7"
  asn                    = 64501
  route_reflector_client = true
  import                 = policy.all
}

neighbor "roles" {
  address      = "192.0.2.78"
  asn          = 64501
  require_role = true
  import       = policy.all
  export       = policy.all
}

neighbor "rs-client" {
  address             = "192.0.2.77"
  asn                 = 64501
  local_role          = "peer"
  route_server_client = true
  next_hop            = "self"
  as_override         = true
  import              = policy.all
  family "ipv4" { remove_private_as = true }
}

neighbor "next-hops" {
  address  = "192.0.2.8"
  asn      = 64500
  families = ["ipv4", "ipv6"]
  next_hop = "192.0.2.1"
}

neighbor "next-hop-6" {
  address = "192.0.2.9"
  asn     = 64500
  family "ipv4" { next_hop = "2001:db8::1" }
}

neighbor "limits" {
  address             = "192.0.2.10"
  asn                 = 64500
  max_prefixes_action = "restart"
  family "ipv6" {
    max_prefixes         = 10
    max_prefixes_restart = "60s"
    max_prefixes_action  = "warn"
  }
}

neighbor "left-out" {
  address  = "192.0.2.11"
  asn      = 64500
  families = ["ipv6"]
  family "ipv4" {}
}

group "limited" {
  asn = 64500
  family "ipv4" { max_prefixes = 1000 }
}

neighbor "hidden" {
  group        = group.limited
  address      = "192.0.2.12"
  max_prefixes = 10
}

neighbor "unfiltered" {
  address = "192.0.2.13"
  asn     = 64501
  family "ipv4" { import = policy.all }
  family "ipv6" {}
}

neighbor "off" {
  address  = "192.0.2.14"
  asn      = 64501
  shutdown = "until its owner calls"
}

neighbor "nowhere" {
  asn = 64500
}

neighbor "leaf-1" {
  interface = "eth1"
  asn       = 64500
}

neighbor "leaf-2" {
  interface = "eth1"
  asn       = 64500
}

neighbor "leaf-3" {
  address   = "fe80::3"
  interface = "eth1"
  asn       = 64500
}

neighbor "leaf-4" {
  interface     = "eth2"
  local_address = "192.0.2.1"
  asn           = 64500
}

neighbor "no-restart" {
  address                     = "192.0.2.90"
  asn                         = 64500
  graceful_restart            = false
  graceful_restart_time       = "60s"
  stale_routes_time           = "60s"
  long_lived_graceful_restart = "24h"
  fast_fallover               = "off"
}
