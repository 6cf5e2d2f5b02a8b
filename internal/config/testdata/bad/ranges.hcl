router {
  asn = 64500
  id  = "192.0.2.1"
}

policy "theirs" {
  rule "theirs" {
    match { prefix = neighbor.prefixes }
    then = "accept"
  }
}

group "numbered" {
  asn = 64501
}

neighbor_range "addresses" {
  addresses = ["192.0.2.1", "192.0.2.1/24", "fe80::/64", "224.0.0.0/8", "x"]
  asn       = 64501
}

neighbor_range "nobody" {
  addresses = "192.0.2.0/24"
}

neighbor_range "ours" {
  addresses = "192.0.3.0/24"
  asns      = 64500
}

neighbor_range "both" {
  addresses = "192.0.4.0/24"
  asn       = 64501
  asns      = ["64501-64510"]
}

neighbor_range "slots" {
  group     = group.numbered
  addresses = ["192.0.5.0/24", "2001:db8:5::/64"]
  import    = policy.theirs
}

neighbor_range "dials" {
  addresses = "192.0.6.0/24"
  asns      = ["0-4294967295"]
  passive   = true
  limit     = 0
}

neighbor_range "twice" {
  addresses = ["192.0.6.0/24", "192.0.7.0/24", "192.0.7.7/32"]
  asns      = 64501
}

neighbor_range "wide" {
  addresses     = "192.0.0.0/20"
  asn           = 64500
  password_file = "../good/transit-a.key"
}

neighbor "twice/192.0.7.8" {
  address = "192.0.7.7"
  asn     = 64500
}

neighbor "silent" {
  address = "192.0.15.1"
  asn     = 64500
}
