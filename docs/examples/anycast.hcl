# A DNS server that announces its service addresses to the two routers above
# it, as other servers elsewhere do with the same addresses (anycast).
#
# Addresses and AS numbers are those for documentation: put yours in their place.

router {
  asn    = 64511
  id     = "192.0.2.10"
  listen = []    # it connects, nobody connects to it
  kernel = false # the host has a default route without us
}

# The service. "holdfast down" for both routers takes this server out of it.
originate "dns" {
  prefixes = ["203.0.113.0/24", "2001:db8:53::/48"]
}

# Nothing that they send is needed here.
policy "nothing" {}

policy "to-routers" {
  rule "the service" {
    match { source = "originated" }
    set { add_communities = "64500:53" } # agreed with the network: DNS, here
    then = "accept"
  }
}

group "routers" {
  asn          = 64500
  local_role   = "customer"
  import       = policy.nothing
  export       = policy.to-routers
  hold_time    = "9s"
  max_prefixes = 10 # they should send nothing but a default route
}

neighbor "router-a" {
  group   = group.routers
  address = "192.0.2.1"
}

neighbor "router-b" {
  group   = group.routers
  address = "192.0.2.2"
}

neighbor "router-a-v6" {
  group   = group.routers
  address = "2001:db8:ffff::1"
}

neighbor "router-b-v6" {
  group   = group.routers
  address = "2001:db8:ffff::2"
}
