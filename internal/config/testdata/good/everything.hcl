# Every block and argument at least once.
router {
  asn                         = 4200000000
  id                          = "192.0.2.1"
  cluster_id                  = "192.0.2.2"
  client_to_client_reflection = false
  listen                      = ["192.0.2.1", "[2001:db8::1]:1179"]
  metrics                     = ["127.0.0.1", "[::1]:9180"]
  kernel                      = true
  on_stop                     = "flush"
  default_local_pref          = 200
  always_compare_med          = true
}

prefix_set "own" { prefixes = ["203.0.113.0/24", "2001:db8:100::/40"] }
prefix_set "AS-FOO:BAR" {
  prefixes      = ["192.0.2.0/24 le 28", "198.51.100.0/24 ge 25 le 26", "2001:db8::/32 ge 33"]
  prefixes_file = "customers.txt"
}
as_set "private" { asns = [23456, "64512-65534", "AS4200000000-4294967294"] }
as_set "listed" { asns_file = "asns.txt" }
community_set "own" { communities = ["64500:*", "64500:1:*", "rt:64500:1"] }
community_set "listed" { communities_file = "communities.txt" }
as_path_set "short" { patterns = ["64501", "64501 64502+"] }
as_path_set "listed" { patterns_file = "paths.txt" }

originate "own" {
  prefixes = prefix_set.own
  policy   = policy.plain
  set {
    replace_communities = ["64500:100", "no-export"]
    med                 = 10
    local_pref          = 300
    next_hop            = ["192.0.2.3", "2001:db8::3"]
    origin              = "incomplete"
    weight              = 32768
  }
}

table "main" {
  source       = ["192.0.2.1", "2001:db8::1"]
  multipath    = 4
  install      = policy.plain
  redistribute = [policy.plain, policy.empty]
  import {
    from   = table.blue
    policy = policy.plain
  }
}

table "blue" {
  id     = 100
  metric = 30
  kernel = false
}

static "gateway" {
  prefixes  = ["198.51.101.0/24"]
  next_hop  = "192.0.2.77"
  interface = "eth0"
  table     = table.blue
}

static "hole" {
  prefixes  = ["198.51.102.0/24"]
  blackhole = true
}

originate "more" {
  prefixes        = ["198.51.100.0/24", "0.0.0.0/0"]
  table           = table.blue
  while_in_kernel = true
}

rpki "cache" {
  address       = "192.0.2.10"
  port          = 8282
  local_address = "192.0.2.1"
  refresh       = "10m"
  expire        = "2h"
}

rpki "vrps" { file = "vrps.json" }

aggregate "big" {
  table    = table.main
  prefix   = "198.51.0.0/16"
  policy   = [policy.plain, policy.empty]
  suppress = true
  set { add_communities = community_set.listed }
}

protect "own" {
  prefixes = [prefix_set.own, "198.51.100.0/24"]
  announced_to {
    group    = group.internal
    at_least = 1
  }
  announced_to { group = group["with space"] }
}

policy "chain" {
  rule "prefixes" {
    match {
      prefix        = ["192.0.2.0/24 le 32", prefix_set["AS-FOO:BAR"], neighbor.prefixes, "2001:db8::/32"]
      prefix_length = [8, "16-24"]
      not {
        next_hop = ["192.0.2.1", "2001:db8::/64", prefix_set.own]
        not { family = "ipv6" }
      }
    }
    match {
      neighbor = neighbor.everything
      group    = [group.internal, group["with space"]]
      source   = ["originated", "kernel", "ibgp", "ebgp", "customer", "provider", "peer", "static", "connected"]
      origin   = ["igp", "egp", "incomplete"]
      family   = ["ipv4", "ipv6"]
    }
    set {
      local_pref         = "+10"
      med                = "none"
      remove_communities = [community_set.own, "64501:*", "no-peer"]
      prepend            = 3
      prepend_asn        = 64500
      next_hop           = "unchanged"
    }
    then = "continue"
  }
  rule "paths" {
    match {
      as_path          = [as_path_set.short, as_path_set.listed, ".* 64503"]
      as_path_contains = [as_set.private, as_set.listed, 64666]
      as_path_origin   = [neighbor.origin_asns, 64504]
      as_path_first    = 64505
      as_path_length   = "1-50"
      community        = [community_set.own, "65000:666"]
      community_all    = ["64500:1", "64500:2:3"]
      med              = [0, "100-200"]
      local_pref       = 100
      rpki             = ["valid", "unknown"]
    }
    set {
      local_pref          = "-10"
      med                 = "+1"
      replace_communities = []
      next_hop            = "self"
    }
    then = "reject"
  }
  rule "rest" { then = "continue" }
}

policy "blackhole" {
  rule "leaks" {
    match { aspa = ["invalid", "unknown"] }
    then = "reject"
  }
  rule "all" {
    match { community = "blackhole" }
    set { next_hop = "discard" }
    then = "accept"
  }
}

policy "empty" {}

policy "member" {
  rule "asn" {
    match { community = ["0:neighbor.asn", "64500:*:neighbor.asn"] }
    set {
      prepend     = 2
      prepend_asn = "first"
    }
    then = "accept"
  }
}

policy "plain" {
  rule "escape $${x} %%{y} \"quoted\" \\" { then = "accept" }
}

group "internal" {
  asn                    = 4200000000
  route_reflector_client = true
  next_hop               = "self"
  password_file          = "transit-a.key"
  hold_time              = "30s"
  keepalive              = "7s"
  family "ipv6" { next_hop = "2001:db8::9" }
}

group "with space" {
  local_role = "rs-client"
  families   = ["ipv4", "ipv6"]
  tags       = ["exchange"]
  import     = [policy.plain, policy.empty]
  export     = policy.plain
}

neighbor "everything" {
  table = table.blue
  group                = group["with space"]
  description          = "all \"arguments\" at once\t"
  tags                 = ["a", "b"]
  shutdown             = "maintenance until 6:00"
  address              = "192.0.2.9"
  asn                  = 64501
  local_asn            = 64502
  local_asn_options    = ["send-both", "prepend-inbound"]
  dual_as              = true
  local_role           = "provider"
  require_role         = true
  local_address        = "192.0.2.1"
  port                 = 1179
  passive              = true
  multihop             = 3
  hold_time            = "0s"
  connect_retry        = "10s"
  idle_hold            = "1m30s"
  families             = ["ipv6", "ipv4"]
  graceful_restart     = "helper"
  graceful_restart_time = "90s"
  stale_routes_time    = "10m"
  long_lived_graceful_restart = "24h"
  extended_messages    = false
  extended_next_hop    = true
  enforce_first_as     = false
  allow_own_as         = 2
  max_as_path_length   = 50
  reject_as_sets       = true
  graceful_shutdown    = true
  accept_graceful_shutdown = false
  prefixes             = [prefix_set.own, "198.51.100.0/24"]
  origin_asns          = [as_set.listed, 64501]
  import               = policy.chain
  export               = [policy.chain, policy.plain]
  next_hop             = "unchanged"
  max_prefixes         = 1000
  max_prefixes_warn    = 90
  max_prefixes_count   = "accepted"
  max_prefixes_action  = "restart"
  max_prefixes_restart = "15m"
  max_prefixes_out     = 100
  add_path             = "both"
  add_path_send        = 2
  default_originate    = true
  send_suppressed      = true
  remove_private_as    = true
  as_override          = true
  family "ipv6" {
    max_prefixes = 0
    add_path     = "none"
    add_path_send = "all"
    next_hop     = "auto"
    import       = []
  }
}

neighbor "reflected" {
  group     = group.internal
  address   = "fe80::9"
  interface = "eth0"
  family "ipv4" { route_reflector_client = false }
}

neighbor "route-server-client" {
  address             = "192.0.2.70"
  asn                 = 64570
  local_role          = "rs"
  route_server_client = true
  import              = policy.plain
  export              = policy.member
}

neighbor "near" {
  address      = "2001:db8::10"
  asn          = 64503
  ttl_security = 1
  mss          = 1220
  dscp         = 16

  tcp_user_timeout = "1m"
  fast_fallover    = false
  bfd              = true
  bfd_interval     = "100ms"
  bfd_min_receive  = "1500ms"
  bfd_multiplier   = 5

  families     = ["ipv4", "ipv6"]
  import       = [policy.blackhole, policy.plain]
  export       = policy.plain
}

neighbor_range "rack" {
  group       = group["with space"]
  addresses   = ["10.0.0.0/8", "2001:db8:1::/48"]
  asns        = [as_set.private, 64510, "64520-64530"]
  limit       = 200
  prefixes    = prefix_set.own
  origin_asns = [64501, 64502]
  shutdown    = "not yet"
  family "ipv6" { max_prefixes = 10 }
}

neighbor_range "hosts" {
  addresses     = "10.1.0.0/16"
  asn           = 64500
  password_file = "transit-a.key"
}

neighbor "leaf" {
  interface = "eth1"
  asn       = 64506
  import    = policy.plain
  export    = policy.plain
}
