router {
  asn                = "64500"
  id                 = "2001:db8::1"
  listen             = ["192.0.2.1:bgp", "192.0.2.1:0"]
  kernel             = "false"
  default_local_pref = 4294967296
  always_compare_med = 1
  cluster_id         = "0.0.0.0"
}

neighbor "a" {
  address       = "192.0.2.900"
  asn           = 0
  local_asn     = 23456
  hold_time     = 90
  keepalive     = "1.5s"
  connect_retry = "2h"
  idle_hold     = "soon"
  port          = 70000
  multihop      = 0
  passive       = yes
  next_hop      = "slef"
  add_path      = "yes"
  local_role    = "costumer"
  families      = ["ipv4", "vpnv4"]
  import        = "policy.all"
  export        = all
  description   = ["x"]
  shutdown      = 1
  max_prefixes  = 1.5
}

neighbor "b" {
  address   = "fe80::1%eth0"
  asn       = 65535
  hold_time = "2s"
  next_hop  = self
  interface = "no such"
  families  = []
  prefixes  = group.x
  import    = prefix_set.x
}

neighbor "c" {
  address = "::ffff:192.0.2.9"
  asn     = 64500.5
}

neighbor "d" {
  address = "0.0.0.0"
  asn     = null
}
